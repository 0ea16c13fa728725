"""The `reddening` block: the paper's defaults, auto, and what is refused."""

import jsonschema
import pytest
from pydantic import ValidationError

from scrframe.config.reddening import ReddeningSettings


def test_defaults_are_the_papers():
    settings = ReddeningSettings()
    assert (settings.order, settings.extinction_order, settings.field_slopes) == (2, 0, False)


@pytest.mark.parametrize("order", [0, 3, 5, "auto"])
@pytest.mark.parametrize("extinction_order", [0, 1, 2, "auto"])
def test_orders(order, extinction_order):
    given = {"order": order, "extinction_order": extinction_order}
    settings = ReddeningSettings.model_validate(given)
    assert settings.model_dump(include=set(given)) == given
    jsonschema.validate(given, ReddeningSettings.model_json_schema())


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
        ReddeningSettings.model_validate({key: value})
    if value != 2.0:  # a whole number, to JSON
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate({key: value}, ReddeningSettings.model_json_schema())


def test_slopes_want_constants_of_visits():
    with pytest.raises(ValidationError, match="needs visit_constants: true"):
        ReddeningSettings(field_slopes=True, visit_constants=False)
