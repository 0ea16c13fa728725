"""Values that any reader of JSON takes."""

import json
from dataclasses import dataclass

import numpy as np

from scrframe.products.files import from_json, to_json


def test_values_are_only_those_of_json():
    value = {"a": np.float32(0.5), "b": np.arange(2), "c": (1, np.inf), 3: np.bool_(True)}
    plain = to_json(value)
    assert plain == {"a": 0.5, "b": [0, 1], "c": [1, None], "3": True}
    assert json.loads(json.dumps(plain, allow_nan=False)) == plain
    assert [type(to_json(one)) for one in (np.float32(1), np.int64(2), np.bool_(0))] == [
        float,
        int,
        bool,
    ]
    assert to_json(np.float64("nan")) is None and to_json(None) is None


@dataclass(frozen=True)
class Part:
    mag: float
    name: str | None


@dataclass(frozen=True)
class Whole:
    parts: tuple[Part, ...]
    count: dict[str, int]


def test_dataclasses_come_back():
    whole = Whole((Part(1.5, "a"), Part(2.0, None)), {"stars": 3})
    assert from_json(Whole, json.loads(json.dumps(to_json(whole)))) == whole
    assert np.isnan(from_json(Part, to_json(Part(np.inf, ""))).mag)
