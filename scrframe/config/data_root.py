"""The data root: a directory, or the built-in sample survey."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from scrframe.config.survey import SurveyDescription
from scrframe.errors import DataError

#: The reserved word for the built-in sample; a directory so called is ``./sample``.
SAMPLE = "sample"


@dataclass(frozen=True)
class DataRoot:
    """Where a run reads.

    Attributes
    ----------
    is_sample : bool
        Whether it is the built-in sample survey.
    path : Path or None
        The directory, absolute; None for the sample, which lies in the cache.
    """

    is_sample: bool
    path: Path | None


def resolve_data_root(description: SurveyDescription, cli_value: str | None = None) -> DataRoot:
    """Return the data root of a run; a value from the command line comes first.

    Raises
    ------
    DataError
        If the directory does not exist.
    """
    value = description.data.root if cli_value is None else cli_value
    if value == SAMPLE:
        return DataRoot(True, None)
    path = Path(value).expanduser().absolute()
    if not value or not path.is_dir():
        what = "is no directory" if value and path.exists() else "does not exist"
        hint = " (the built-in sample is called by the one word sample)" if not value else ""
        raise DataError(
            f'data root "{value}" {what}; give one by --data, data.root or SCRFRAME_DATA{hint}'
        )
    return DataRoot(False, path)
