# Sets up, runs and checks convscout. `make help` lists what there is to make.

VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
STUDY := quickstart
# Two tests at a time, wherever there is a core idle; each process computes with one thread (tests/conftest.py).
PYTEST := $(BIN)/pytest --numprocesses 2 --dist worksteal --durations 40 --durations-min 20

PIP_INSTALL := $(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt
# the same versions as torch and torchvision are pinned to, without what a GPU needs
CPU_BUILD := $(shell sed -n 's/^\(torch\|torchvision\)==\([0-9.]*\)$$/\1==\2+cpu/p' constraints.txt)

SUPPORTED := import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))
# The first that runs, because a version manager's shim may exist and still refuse.
PYTHON ?= $(shell for python in python3 python3.13 python3.12 python3.11; do \
	$$python -c '$(SUPPORTED)' 2>/dev/null && echo $$python && break; done)

.DEFAULT_GOAL := help
.PHONY: help setup search ui test slow soak fuzz check lint types imports format docs constraints clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## /{printf "make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(STAMP) ## make the virtual environment

search: $(STAMP) ## search digits for two minutes; again: go on with that study, or show what it came to
	@case "$$($(BIN)/convscout show $(STUDY) --json 2>/dev/null)" in \
		'') $(BIN)/convscout search --data digits --study $(STUDY) --time 2m ;; \
		*'"status": "finished"'*) $(BIN)/convscout show $(STUDY) ;; \
		*) $(BIN)/convscout resume $(STUDY) ;; \
	esac

ui: $(STAMP) ## browse the trials in the MLflow user interface
	$(BIN)/convscout ui

test: $(STAMP) ## set up, then everything that checks the code except the slow tests
	@$(MAKE) --no-print-directory check
	$(PYTEST) -m "not slow and not soak"

slow: $(STAMP) ## the tests that take more than some five seconds, some of them a minute
	$(PYTEST) -m slow

soak: $(STAMP) ## what takes hours: all of the cases that slow has some of, and faults at random
	CONVSCOUT_SOAK=1 $(PYTEST) -m soak

fuzz: $(STAMP) ## ask the REST API ten thousand things that its OpenAPI allows or forbids
	$(BIN)/python -m tests.support.fuzzing --cases 10000

check: lint types imports ## lint, types and imports, in the environment as it is

lint:
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types:
	$(BIN)/mypy

imports:
	$(BIN)/lint-imports --no-logo

format: ## sort imports and lay out the code
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: $(STAMP) ## write docs/knobs.md from the code
	$(BIN)/python docs/knobs.py

constraints: $(STAMP) ## pin the versions that are installed now
	$(BIN)/pip freeze --all --exclude-editable --exclude pip | grep -v '^-' | sed 's/+cpu$$//' > constraints.txt

clean: ## remove the virtual environment and the caches; studies stay
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis

$(STAMP): pyproject.toml constraints.txt
	@test -n "$(PYTHON)" && $(PYTHON) -c '$(SUPPORTED)' 2>/dev/null || { \
		echo "error: convscout needs Python 3.11, 3.12 or 3.13 $(if $(PYTHON),and $(PYTHON) is none,but none was found)" >&2; \
		echo "next: install one, or make $(MAKECMDGOALS) PYTHON=/path/to/python3.12" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
		echo "error: $(PYTHON) has no venv module, which Debian and Ubuntu pack apart" >&2; \
		echo "next: sudo apt-get install python3-venv" >&2; exit 1; }
	@test -x $(BIN)/pip || $(PYTHON) -m venv $(VENV)
	@command -v nvidia-smi >/dev/null || { $(PIP_INSTALL) $(CPU_BUILD) 2>/dev/null \
		&& echo "note: no NVIDIA GPU here, so the CPU build of torch was installed" \
		|| echo "note: no NVIDIA GPU here, but pip's index has no CPU build of torch; the ordinary one brings 3 GB of NVIDIA's libraries"; }
	$(PIP_INSTALL) --editable '.[dev]'
	@touch $@
