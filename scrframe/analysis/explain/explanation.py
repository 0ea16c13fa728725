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
    """

    #: one of "visit", "exposure", "ccd", "star"
    kind: Kind
    #: Names of the survey and of its band.
    survey: str
    band: str
    #: What every product says of its data; empty for real data.
    data_note: str
    #: How the offsets were solved.
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
    """What became of detections of the Calibration Sample."""

    #: Detections, and stars that they are of.
    in_sample: int
    stars: int | None = field(default=None, metadata=OPTIONAL)
    #: Those that the offsets were solved from.
    used: int
    stars_used: int
    #: Of the used, those taken for outliers: with less than half their weight.
    low_weight: int | None = field(default=None, metadata=OPTIONAL)
    #: Number of the others by reason; the first reason counts.
    left_out: Mapping[str, int] | None = field(default=None, metadata=OPTIONAL)
    #: Detections with each flag.
    flags: Mapping[str, int]
    #: Detections of stars of the Control Sample.
    control: int | None = field(default=None, metadata=OPTIONAL)
