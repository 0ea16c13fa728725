"""Services of this machine that hold the simulated survey's Gaia, and roots to be filled."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import h5py
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from archive_services import Services, bulk_files, serving

import scrframe

GUEST = "{pause: 0, first_wait: 0, attempts: 4, timeout: 1, parallel: 2}"
#: Laid over the shipped services: the same ways, on this machine.
SERVICES = """
defaults: {{sources: local, spectra: local, extinctions: local}}
services:
  local:
    summary: services of the tests
    guest: {guest}
    dr3:
      sources:
        kind: tap
        tap: {{url: "{url}/tap", table: gaiadr3.gaia_source, where: "has_xp_continuous = 'True'",
              ids_by: upload, ranges_a_query: 25}}
      spectra: {{kind: datalink, datalink: {{url: "{url}/datalink", ids_a_request: 40}}}}
      extinctions:
        kind: tap
        tap: {{url: "{url}/tap", table: zgr23.stellar_params, ids_by: upload, ids_a_query: 400}}
  tables:
    guest: {guest}
    dr3:
      spectra:
        kind: tap
        tap: {{url: "{url}/tap", table: gaiadr3.xp_continuous_mean_spectrum, ids_by: ranges,
              ranges_a_query: 6, rows_a_query: 900, mode: async}}
      extinctions:
        kind: tap
        tap: {{url: "{url}/tap", table: zgr23.stellar_params, ids_by: list, ids_a_query: 300,
              mode: sync}}
  folders:
    guest: {guest}
    dr3:
      sources: {{kind: http_files, http_files: {{url: "{url}/files/", pattern: GaiaSource,
                only: has_xp_continuous}}}}
      spectra: {{kind: http_files, http_files: {{url: "{url}/files/", pattern: XpContinuous}}}}
      extinctions: {{kind: http_files, http_files: {{url: "{url}/files/", pattern: stellar_params,
                    columns: {{source_id: gdr3_source_id}}}}}}
"""


@pytest.fixture(scope="session")
def gaia(tiny_survey) -> dict[str, pa.Table]:
    """Return what the archives hold: the simulated products, and stars elsewhere on the sky."""
    data = tiny_survey.data
    tables = {
        "gaiadr3.gaia_source": pq.read_table(next((data / "gaia_source").glob("*.parquet"))),
        "gaiadr3.xp_continuous_mean_spectrum": pa.concat_tables(
            pq.read_table(path) for path in sorted((data / "gaia_xp").glob("*.parquet"))
        ),
    }
    with h5py.File(next((data / "zgr23").glob("*.h5"))) as file:
        columns = {"source_id": pa.array(file["gdr3_source_id"][:])}
        for name in ("stellar_params_est", "stellar_params_err"):
            columns[name] = pa.array(list(file[name][:]))
        columns["quality_flags"] = pa.array(file["quality_flags"][:].astype(np.int16))
    tables["zgr23.stellar_params"] = pa.table(columns)
    return tables


@pytest.fixture(scope="session")
def few(gaia) -> dict[str, pa.Table]:
    """Return every 25th star of what the archives hold."""
    stars = np.unique(gaia["gaiadr3.gaia_source"]["source_id"].to_numpy())[::25]
    return {
        name: table.filter(pa.array(np.isin(table["source_id"].to_numpy(), stars)))
        for name, table in gaia.items()
    }


@pytest.fixture
def every_star() -> bool:
    """Return whether the services have all stars; a test may say so."""
    return False


@pytest.fixture
def services(gaia, few, every_star, tiny_survey) -> Iterator[Services]:
    """Return services that are up."""
    gaia = gaia if every_star else few
    files = {
        **bulk_files(gaia["gaiadr3.gaia_source"], "GaiaSource", 3),
        **bulk_files(
            gaia["gaiadr3.xp_continuous_mean_spectrum"].slice(0, 60), "XpContinuousMeanSpectrum", 2
        ),
        "stellar_params_catalog_00.h5": next(
            (tiny_survey.data / "zgr23").glob("*.h5")
        ).read_bytes(),
    }
    spectra = gaia["gaiadr3.xp_continuous_mean_spectrum"]
    with serving(Services(gaia, files, spectra)) as served:
        yield served


@pytest.fixture
def bare_root(tiny_survey, services, tmp_path) -> Path:
    """Return a data root with catalogues, and the addresses of the services."""
    root = tmp_path / "root"
    shutil.copytree(tiny_survey.data / "catalogues", root / "catalogues")
    (root / "services.yaml").write_text(SERVICES.format(url=services.url, guest=GUEST))
    return root


@pytest.fixture
def fetched(bare_root, tiny_survey) -> Callable[..., list]:
    """Return a function that fetches into the root, as the command does."""
    from scrframe.fetch.run import Fetching, Order, fetch_data

    def run(**order) -> list:
        survey = scrframe.load_survey(tiny_survey.description, overrides=tiny_survey.changes)
        return fetch_data(Fetching(survey, Order(data=str(bare_root), **order)))

    return run
