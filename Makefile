# Everything is installed into .venv, with the versions of constraints.txt.
# PYTHON=/path/to/python3 chooses the interpreter, ARGS=... goes to the command, JOBS=... says
# how many tests run side by side.

PYTHON  ?=
ARGS    ?=
SEEDS   ?= 10
FIELDS  ?=
JOBS    ?= 2
VENV    := .venv
BIN     := $(VENV)/bin
PIP     := $(BIN)/python -m pip --disable-pip-version-check install -qq -c constraints.txt
NEEDS   := $(BIN)/python scripts/requirements.py
PLUGINS := $(patsubst %/pyproject.toml,%,$(wildcard plugins/*/pyproject.toml))
# Tests of a file stay together, as they share what is costly to make.
SIDE_BY_SIDE := -n $(JOBS) --dist loadfile --no-loadscope-reorder
INPUTS  := constraints.txt pyproject.toml $(PLUGINS:%=%/pyproject.toml)

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help setup setup-peer setup-docs calibrate test closure archive-test fuzz lint duplicates docs benchmark \
        benchmark-joint benchmark-report benchmark-survey paper wheels check-wheels release-check pins clean

help:  ## Show this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 18

setup: $(VENV)/.setup-done  ## Make .venv with scrframe, its plugins and the tools
	@:

calibrate: setup  ## Calibrate the VPHAS+ u band (ARGS="--data DIR --out DIR"; else a sample)
	$(BIN)/scrframe calibrate surveys/vphas_u.yaml $(ARGS)

test: setup  ## Run the tests, but for slow ones (ARGS="-k name")
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest $(SIDE_BY_SIDE) -m "not slow" $(ARGS)

closure: setup  ## Run the tests on injected truth, pooled over SEEDS surveys, and slow ones
	OMP_NUM_THREADS=1 SCRFRAME_CLOSURE_SEEDS=$(SEEDS) $(BIN)/python -m pytest $(SIDE_BY_SIDE) \
	    tests/closure tests/docs/test_code_blocks.py $(ARGS)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest $(SIDE_BY_SIDE) -m slow tests plugins \
	    --ignore=tests/closure $(ARGS)

archive-test: setup  ## Fetch from a real TAP server, which is installed and started here (root, Debian)
	OMP_NUM_THREADS=1 $(BIN)/python scripts/archive_test.py $(ARGS)

fuzz: setup  ## Read 20,000 mutated inputs of all kinds (ARGS="--mutations 500 --only table --seed 2")
	OMP_NUM_THREADS=1 $(BIN)/python tests/helpers/fuzzing.py $(ARGS)

lint: setup  ## Check style and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

duplicates: setup  ## Look for code that is written twice (two minutes)
	$(BIN)/pylint scrframe plugins/*/src

docs: setup-docs  ## Build the documentation into docs/_build
	$(BIN)/sphinx-build -W --keep-going -q -b html docs docs/_build $(ARGS)

benchmark: setup-peer  ## Run beside another script (PEER=path)
	@test -n "$(PEER)" || { echo "name the script to compare with: make benchmark PEER=path" >&2; exit 2; }
	$(BIN)/python scripts/benchmark.py --peer "$(PEER)" $(ARGS)

benchmark-joint: setup  ## Time the joint solution on drawn surveys (ARGS="--detections 3e6 30e6")
	$(BIN)/python scripts/benchmark_joint.py $(ARGS)

wheels: setup  ## Build wheels of scrframe and its plugins into dist
	rm -rf dist
	$(BIN)/python -m pip --disable-pip-version-check wheel -q --no-deps --no-build-isolation \
	    -w dist . $(PLUGINS:%=./%)

check-wheels: wheels  ## Install the wheels outside the checkout and use them there
	$(BIN)/python scripts/check_wheels.py dist/*.whl

release-check: setup  ## Check versions, and wheels of a clean clone with every Python that is there
	$(BIN)/python scripts/release_check.py $(ARGS)

benchmark-report: setup  ## Time the report of a run of 3 million detections (ARGS="RUN_DIR")
	$(BIN)/python scripts/benchmark_report.py $(ARGS)

benchmark-survey: setup  ## Calibrate surveys of 0.3 to 5 million detections (ARGS="--fields 4 --detections 2e3 6e3")
	$(BIN)/python scripts/benchmark_survey.py $(ARGS)

paper: setup  ## The numbers of the paper beside ours, at its size (FIELDS=table of centres, ARGS="--fields 40")
	$(BIN)/python scripts/paper.py $(if $(FIELDS),--centres "$(FIELDS)") $(ARGS)

pins: setup  ## Resolve constraints.txt anew (UPGRADE=1: newest versions)
	$(PIP) $$($(NEEDS) pins)
	$(BIN)/python scripts/make_pins.py $(if $(UPGRADE),--upgrade)

clean:  ## Remove .venv, caches and what was built; runs stay
	rm -rf $(VENV) docs/_build build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find scrframe plugins tests scripts -name __pycache__ -type d -prune -exec rm -rf {} +

setup-peer: $(VENV)/.peer-done  ## Add what the benchmark's peer and some tests use
	@:
setup-docs: $(VENV)/.docs-done  ## Add what builds the documentation
	@:

$(BIN)/python:
	@python=$$(sh scripts/find-python.sh $(PYTHON)) && \
	    echo "making $(VENV) with $$python" && "$$python" -m venv $(VENV)

# Build tools come first and from the same pins, so that nothing is fetched unpinned while
# packages are built. Not every platform has what cross-checks the reading of FITS.
$(VENV)/.setup-done: $(INPUTS) | $(BIN)/python
	@echo "installing scrframe and its dependencies"
	@$(PIP) $$($(NEEDS) build)
	@$(NEEDS) test lint > $(VENV)/tools.txt
	@$(PIP) --no-build-isolation -e . $(PLUGINS:%=-e %) -r $(VENV)/tools.txt
	@$(PIP) --only-binary :all: $$($(NEEDS) crosscheck) 2> $(VENV)/crosscheck.log || \
	    echo "fitsio is not available here: the reading of FITS is not cross-checked by it"
	@touch $@
	@echo "all is there: make calibrate runs a sample, . $(VENV)/bin/activate gives the command scrframe"

$(VENV)/.peer-done $(VENV)/.docs-done: $(VENV)/.%-done: $(VENV)/.setup-done
	@echo "installing the '$*' group"
	@$(NEEDS) $* > $(VENV)/$*.txt
	@$(PIP) --no-build-isolation -r $(VENV)/$*.txt
	@touch $@
