"""The `reddening` block: the paper's defaults, auto, and what is refused."""

import jsonschema
import pytest
from pydantic import TypeAdapter, ValidationError

from scrframe.errors import ConfigError
from scrframe.tables.settings import ReddeningSettings

BLOCK = TypeAdapter(ReddeningSettings)


def test_defaults_are_the_papers():
    settings = ReddeningSettings()
    assert (settings.order, settings.extinction_order, settings.field_slopes) == (2, 0, False)


@pytest.mark.parametrize("order", [0, 3, 5, "auto"])
@pytest.mark.parametrize("extinction_order", [0, 1, 2, "auto"])
def test_orders(order, extinction_order):
    given = {"order": order, "extinction_order": extinction_order}
    settings = BLOCK.validate_python(given)
    assert BLOCK.dump_python(settings, include=set(given)) == given
    jsonschema.validate(given, BLOCK.json_schema())


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("order", 6, "is 6; expected a whole number from 0 to 5, or auto"),
        ("order", -1, "is -1; expected"),
        ("order", True, "is True; expected"),
        ("order", 2.0, r"is 2\.0; expected"),
        ("order", "best", 'is "best"; expected a whole number from 0 to 5, or auto'),
        ("extinction_order", 3, "is 3; expected a whole number from 0 to 2, or auto"),
    ],
)
def test_other_orders_are_refused(key, value, message):
    with pytest.raises(ValidationError, match=message):
        BLOCK.validate_python({key: value})
    if value != 2.0:  # a whole number, to JSON
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate({key: value}, BLOCK.json_schema())


def test_slopes_want_constants_of_visits(load, minimal):
    text = minimal + "reddening: {field_slopes: true, visit_constants: false}\n"
    message = "reddening has field_slopes: true, which needs visit_constants: true"
    with pytest.raises(ConfigError, match=message):
        load(text)
