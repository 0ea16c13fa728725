"""Whoever meets a null test that failed is told what may be behind it."""

from __future__ import annotations

import re

from scrframe.checks.remedies import REMEDIES
from scrframe.config.survey import DEFAULT_CANDIDATES


def test_the_terms_they_name_are_tried():
    named = re.findall(
        r"(?<=candidate )`(\w+)`|(?<=or )`(\w+)`(?= stand)", " ".join(REMEDIES.values())
    )
    tried = {each["name"] for each in DEFAULT_CANDIDATES}
    found = {name for both in named for name in both if name}
    assert {"law_field", "r_v", "sky"} <= found <= tried
