"""What cannot be written is refused before any work."""

from pathlib import Path

import pytest

from scrframe.errors import ConfigError
from scrframe.plugin import NoConfig, Part, Writer
from scrframe.run.plugins import SelectedWriter, check_writers


def unused(*_):
    raise AssertionError


WRITERS = [SelectedWriter(Writer("w", "", "1", write=unused, suffixes=(".fits",)), NoConfig())]


def parts(*names):
    return [Part(f"{name}#{n}", Path(name), "1", {}) for n, name in enumerate(names)]


def test_parts_of_one_file_are_refused():
    check_writers(WRITERS, parts("a.fits", "b.FITS"))
    with pytest.raises(ConfigError, match=r"the loader reads a\.fits in several parts"):
        check_writers(WRITERS, parts("a.fits", "b.fits", "a.fits"))
    check_writers([], parts("a.fits", "a.fits"))


def test_another_format_is_refused():
    with pytest.raises(ConfigError, match=r"cannot write a\.csv \(it writes \.fits\)"):
        check_writers(WRITERS, parts("a.csv"))
