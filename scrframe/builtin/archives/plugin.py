"""The ways to fetch reference data that ship, as scrframe finds them."""

from __future__ import annotations

from collections.abc import Iterable

from scrframe.builtin.archives import datalink, hats, http_files, tap
from scrframe.plugin import Archive, hookimpl
from scrframe.plugin.archive import PRODUCTS
from scrframe.version import __version__

TAP = Archive(
    name="tap",
    summary="queries (ADQL) of a TAP service, by ranges of source_id or by identifiers",
    version=__version__,
    config=tap.TapConfig,
    plan=tap.plan,
    fetch=tap.fetch,
    products=PRODUCTS,
    address=tap.address,
)
DATALINK = Archive(
    name="datalink",
    summary="spectra in batches of identifiers, as Gaia's archive delivers them, in zips",
    version=__version__,
    config=datalink.DataLinkConfig,
    plan=datalink.plan,
    fetch=datalink.fetch,
    products=("spectra",),
    address=datalink.address,
)
HTTP_FILES = Archive(
    name="http_files",
    summary="files of a folder with checksums, such as Gaia's bulk folders, filtered on arrival",
    version=__version__,
    config=http_files.HttpFilesConfig,
    plan=http_files.plan,
    fetch=http_files.fetch,
    products=PRODUCTS,
    address=http_files.address,
)
HATS = Archive(
    name="hats",
    summary="HATS catalogues, local or at any fsspec address; needs scrframe[hats]",
    version=__version__,
    config=hats.HatsConfig,
    plan=hats.plan,
    fetch=hats.fetch,
    products=PRODUCTS,
    address=hats.address,
)


@hookimpl
def scrframe_archives() -> Iterable[Archive]:
    """Yield the ways."""
    yield from (TAP, DATALINK, HTTP_FILES, HATS)
