"""What all explanations have in common: their head, counts of detections, and their JSON."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, is_dataclass
from typing import Any, Literal

from scrframe.statistics.json import to_json

Kind = Literal["visit", "exposure", "ccd", "star"]


#: Metadata of a field that is None, and not in the JSON, where a run has no such figure.
OPTIONAL = {"optional": True}
#: Metadata of a field whose items stand in the JSON among the fields beside it.
MERGED = {"merged": True}
#: Key of the metadata of a field that has another name in the JSON.
KEY = "key"


@dataclass(frozen=True, kw_only=True)
class Explanation:
    """Why an offset is what it is: the head of each kind of explanation.

    Fields that end in ``_mag`` are in mag; NaN is what is not defined.

    Attributes
    ----------
    kind : {"visit", "exposure", "ccd", "star"}
    survey, band : str
        Names of the survey and of its band.
    data_note : str
        What every product says of its data; empty for real data.
    mode : {"joint", "sequential"}
        How the offsets were solved.
    """

    kind: Kind
    survey: str
    band: str
    data_note: str
    mode: str

    def to_json(self) -> dict[str, Any]:
        """Return all of it as plain JSON; what is not defined is None."""
        content: dict[str, Any] = to_json(_content(self))
        return content


def _content(value: Any) -> Any:
    """Return dictionaries and lists for dataclasses and tuples, by what their fields declare."""
    if isinstance(value, tuple):
        return [_content(item) for item in value]
    if isinstance(value, Mapping):
        return {name: _content(item) for name, item in value.items()}
    if not is_dataclass(value) or isinstance(value, type):
        return value
    content: dict[str, Any] = {}
    for each in fields(value):
        item = getattr(value, each.name)
        if each.metadata.get("merged"):
            content |= item
        elif item is not None or not each.metadata.get("optional"):
            content[each.metadata.get(KEY, each.name)] = _content(item)
    return content


@dataclass(frozen=True, kw_only=True)
class DetectionCounts:
    """What became of detections of the Calibration Sample.

    Attributes
    ----------
    in_sample, stars : int
        Detections, and stars that they are of.
    used, stars_used : int
        Those that the offsets were solved from.
    low_weight : int
        Of the used, those taken for outliers: with less than half their weight.
    left_out : mapping of str to int
        Number of the others by reason; the first reason counts.
    flags : mapping of str to int
        Detections with each flag.
    control : int
        Detections of stars of the Control Sample.
    """

    in_sample: int
    stars: int | None = field(default=None, metadata=OPTIONAL)
    used: int
    stars_used: int
    low_weight: int | None = field(default=None, metadata=OPTIONAL)
    left_out: Mapping[str, int] | None = field(default=None, metadata=OPTIONAL)
    flags: Mapping[str, int]
    control: int | None = field(default=None, metadata=OPTIONAL)
