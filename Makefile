# The one door.  `make` alone lists what there is.
PYTHON ?= python3.11
VENV   ?= .venv
BIN    := $(VENV)/bin

.DEFAULT_GOAL := help
.PHONY: help setup packages demo test check unit e2e test-vm bench fmt clean

help:            ## list the recipes
	@grep -E '^[a-z0-9-]+: .*##' $(MAKEFILE_LIST) | sed -E 's/: .*## /\t/' | expand -t 14

setup: $(VENV)/.installed ## create the virtual environment
$(VENV)/.installed: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install -q --disable-pip-version-check -e '.[test]'
	@$(BIN)/python -m compileall -q src  # the programs start faster, also where bytecode is not written
	@touch $@

packages:        ## install the Debian packages that tests and the demo need
	@scripts/install-packages

demo: setup      ## the main job, end to end: build, run, publish, pull
	@scripts/install-packages demo
	@PATH="$(abspath $(BIN)):$$PATH" scripts/demo

check: setup     ## format, lint, types
	$(BIN)/ruff format --check src tests bench
	$(BIN)/ruff check src tests bench
	$(BIN)/mypy

# A test that fails is run again, and the summary says "rerun": these tests kill processes at random moments on machines
# that others load.  A feature that is broken fails three times.
test: setup packages check ## everything CI runs
	$(BIN)/pytest --reruns 2 --reruns-delay 2

unit: setup      ## the tests that need no root
	$(BIN)/pytest tests/unit tests/house

e2e: setup packages ## the real docker CLI and docker-py against our socket
	$(BIN)/pytest tests/e2e

test-vm: setup packages ## the runtime under cgroup v2, in a virtual machine
	$(BIN)/pytest tests/vm

bench: setup packages ## side by side with dockerd
	$(BIN)/python -m bench

fmt: setup       ## format the sources
	$(BIN)/ruff format src tests bench
	$(BIN)/ruff check --fix src tests bench

clean:           ## remove what make made
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis build dist src/*.egg-info
