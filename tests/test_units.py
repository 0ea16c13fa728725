"""Quantities as text."""

import pickle

import pytest
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from scrframe.units import parse_quantity, quantity


class Sizes(BaseModel):
    model_config = ConfigDict(validate_default=True)

    radius: quantity("arcsec") = Field("1 arcsec")
    shift: quantity("mag", positive=False) = Field("0 mag")


@pytest.mark.parametrize(
    ("text", "unit", "value"),
    [
        ("1 arcsec", "arcsec", 1.0),
        ("1arcsec", "arcsec", 1.0),
        ("0.5 arcmin", "arcsec", 30.0),
        ("1e-3 deg", "arcsec", 3.6),
        ("0.5 mmag", "mag", 0.0005),
        ("256 pix", "pix", 256.0),
        ("-3 mas / yr", "mas / yr", -3.0),
        ("2 h", "d", 1 / 12),
    ],
)
def test_text_converts(text, unit, value):
    assert parse_quantity(text, unit) == pytest.approx(value, rel=1e-15)


@pytest.mark.parametrize(
    ("value", "says"),
    [
        ("1 deg", 'has unit "deg"; expected mag'),
        ("1", "has no unit; expected mag, for example '1 mag'"),
        (1, "has no unit; expected mag"),
        (1.5, "has no unit; expected mag"),
        (True, "is not a quantity"),
        (None, "is not a quantity"),
        ([1], "is not a quantity"),
        ("", "is not a quantity"),
        ("wide", '"wide", which is not a quantity'),
        ("1 wide", 'has unit "wide", which is unknown; expected mag'),
        ("1 __import__('os')", "which is unknown"),
        ("nan mag", "which is not a quantity"),
        ("1:30 mag", "which is unknown"),
        ("1 2 mag", "which is not a quantity"),
        ("mag", "which is not a quantity"),
    ],
)
def test_what_is_no_quantity(value, says):
    with pytest.raises(ValueError, match=r"^(has|is) ") as caught:
        parse_quantity(value, "mag")
    assert says in str(caught.value)


def test_fields_hold_plain_numbers_and_write_text():
    sizes = Sizes(radius="0.5 arcmin")
    assert sizes.radius == 30.0
    assert sizes.shift == 0.0
    assert sizes.model_dump() == {"radius": "30.0 arcsec", "shift": "0.0 mag"}
    assert Sizes(**sizes.model_dump()) == sizes
    assert pickle.loads(pickle.dumps(sizes)) == sizes


@pytest.mark.parametrize(
    "text", ["0 arcsec", "-1 arcsec", "nan arcsec", "inf arcsec", "1 mag", 1.0]
)
def test_fields_refuse(text):
    with pytest.raises(ValidationError):
        Sizes(radius=text)


def test_the_schema_is_text():
    radius = Sizes.model_json_schema()["properties"]["radius"]
    assert radius["type"] == "string"
    assert radius["default"] == "1 arcsec"
