"""Random text is YAML or refused, and random data survive writing and reading."""

import yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st

from scrframe.config.document import escape, parse_yaml
from scrframe.config.survey import _Dumper
from scrframe.errors import ConfigError

pieces = st.one_of(
    st.sampled_from(["a", ": ", "- ", "\n", "  ", *"{}[]'|>%#?\t\x07", '"', ", ", "---", "..."]),
    st.sampled_from(["&x", "*x", "!t", "<<", "1:30", "${X}", "${", "1e5", "~"]),
)


@settings(max_examples=300, deadline=None, derandomize=True)
@given(st.one_of(st.text(max_size=40), st.lists(pieces, max_size=15).map("".join)))
@example("\ud800")
def test_any_text_is_read_or_refused_in_one_line(text):
    try:
        parse_yaml(text, "f.yaml", {})
    except ConfigError as error:
        assert str(error).startswith("f.yaml")


plain = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**12), 10**12)
    | st.floats(allow_nan=False)
    | st.text(st.characters(codec="utf-8", categories=("L", "N", "P", "S", "Zs")))
    | st.sampled_from(["1e5", "012", "1:30", "yes", "${X}", "$${X:-y}", "~", "=", "1_0", "0o7"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["a", "b", "c"]), inner, max_size=3)
    ),
    max_leaves=8,
)


@settings(max_examples=300, deadline=None, derandomize=True)
@given(st.dictionaries(st.sampled_from(["x", "y"]), plain))
def test_what_is_written_reads_back(data):
    text = yaml.dump(escape(data), Dumper=_Dumper, sort_keys=False, width=100, allow_unicode=True)
    assert parse_yaml(text, "f.yaml", {}).data == data
