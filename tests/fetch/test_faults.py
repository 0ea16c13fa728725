"""Whatever a service does wrong is asked again, refused or gone on from, and never taken."""

from __future__ import annotations

import hashlib
import shutil

import pytest

from scrframe.errors import KEPT, ServiceError, notes_of

#: What goes wrong once, by kind of request, and is mended by asking again.
PASSING = [
    ("sync", "503"),
    ("sync", "500"),
    ("sync", "cut"),
    ("sync", "error"),
    ("sync", "late"),
    ("submit", "503"),
    ("submit", "error"),
    ("job", "expired"),
    ("job", "cut"),
    ("job", "failed"),
    ("result", "half"),
    ("result", "fewer"),
    ("result", "wrong"),
    ("result", "twice"),
    ("result", "expired"),
    ("result", "error"),
    ("datalink", "503"),
    ("datalink", "redirect"),
    ("datalink", "truncated"),
    ("datalink", "wrong"),
    ("datalink", "fewer"),
    ("datalink", "error"),
    ("datalink", "cut"),
]


FOLDERS = ("gaia_source", "gaia_xp", "zgr23")


def content(root) -> dict[str, str]:
    """Return the hashes of all data below a root, by name."""
    return {
        str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(root.rglob("*"))
        if path.is_file() and path.name != "_provenance.json"
    }


@pytest.fixture
def truth(fetched, bare_root, services):
    """Return what one catalogue's sources and spectra are without faults; the root is bare."""
    for path in sorted((bare_root / "catalogues").iterdir())[1:]:
        path.unlink()

    def of(**order):
        fetched(**order)
        found = content(bare_root)
        clear(bare_root, *(path.name for path in bare_root.iterdir() if path.name in FOLDERS))
        services.seen.clear()
        services.jobs.clear()
        return found

    return of


def clear(root, *folders: str) -> None:
    """Remove what was fetched."""
    for folder in folders:
        shutil.rmtree(root / folder, ignore_errors=True)


def test_passing_faults_are_asked_again(truth, fetched, bare_root, services):
    expected = truth(only=("sources", "spectra"))
    fetched(only=("sources",))
    for kind, fault in PASSING:
        product = "spectra" if kind == "datalink" else "sources"
        folder = {"spectra": "gaia_xp", "sources": "gaia_source"}[product]
        clear(bare_root, folder)
        services.faults = {kind: [fault]}
        fetched(only=(product,))
        assert services.faults[kind] == [], (kind, fault)  # it came to pass
        found = content(bare_root / folder)
        assert found == {
            name.partition("/")[2]: value
            for name, value in expected.items()
            if name.startswith(folder)
        }, (kind, fault)


@pytest.mark.parametrize("fault", ["503", "half", "spoilt", "late"])
def test_passing_faults_of_files(truth, fetched, bare_root, services, fault):
    order = {"wished": "folders", "only": ("sources",)}
    expected = truth(**order)
    services.faults = {"file": [fault], "listing": ["503"]}
    fetched(**order)
    assert content(bare_root) == expected
    assert services.faults == {"file": [], "listing": []}


LASTING = [
    ("sync", "503", "down for a moment, 4 times in a row"),
    ("sync", "busy", "too many requests of yours; it asks to come back after 99999 s"),
    ("sync", "401", r"refuses \(401\): who are you\?; if it wants a login.*netrc"),
    ("result", "fewer", r"cut the answer|sent \d+ rows, but counts \d+; tried 4 times"),
    ("result", "wrong", "which was not asked for; tried 4 times"),
    ("result", "half", "tried 4 times"),
    ("datalink", "error", "the disk is on fire; tried 4 times"),
    ("datalink", "truncated", "cannot be read as a zip.*tried 4 times"),
    ("datalink", "wrong", "which was not asked for; tried 4 times"),
]


def test_lasting_faults_end_in_the_services_words(truth, fetched, bare_root, services):
    expected = truth(only=("sources", "spectra"))
    for kind, fault, words in LASTING:
        services.faults = {kind: [fault] * 60}
        with pytest.raises(ServiceError, match=words) as caught:
            fetched(only=("sources", "spectra"))
        assert KEPT in notes_of(caught.value)
        shown = content(bare_root)
        assert not [name for name in shown if name.startswith("gaia_xp/dr3")], (kind, fault)
    services.faults = {}
    fetched(only=("sources", "spectra"))
    assert content(bare_root) == expected


def test_a_job_is_taken_up_again(truth, fetched, bare_root, services):
    expected = truth(only=("sources",))
    services.faults = {"result": ["401"]}
    with pytest.raises(ServiceError):
        fetched(only=("sources",))
    (refused,) = services.refused
    fetched(only=("sources",))
    assert content(bare_root) == expected
    # The job that was done is not asked for anew. (Its neighbour, in flight when the run ended, may
    # be.)
    queries = [job["query"] for job in services.jobs.values()]
    assert queries.count(services.jobs[refused]["query"]) == 1
