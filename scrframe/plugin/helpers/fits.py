"""Reading FITS files, for plugins: what `scrframe.io.fits` offers."""

from scrframe.io.fits import *  # noqa: F403 - the same names
