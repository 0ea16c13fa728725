"""Catalogues in any table that a description maps; `plugin` is what scrframe finds."""
