"""What `import scrframe` offers."""

import scrframe


def test_only_public_names_are_listed_and_all_are_there():
    assert dir(scrframe) == sorted(scrframe.__all__)
    for name in dir(scrframe):
        assert getattr(scrframe, name) is not None
