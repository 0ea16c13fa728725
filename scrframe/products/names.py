"""Names of the files of a run, and of what is laid beside them."""

from __future__ import annotations

#: A directory that holds this file is a Monte Carlo.
MONTECARLO = "montecarlo.json"
#: A directory that holds this file is a cross-check.
CROSSCHECK = "crosscheck.json"
VISITS = "crosscheck.ecsv"
