# Campaign Workbench. A fresh machine needs Python 3.11 or newer and make; everything else goes into .venv.
#
#   make lab      set everything up and open JupyterLab on the DeepDriveMD notebook
#   make test     set everything up and pass the tests
#   make demo     the same campaign in the terminal
#   make chaos    the crash tests and the random tests, many more times
#   make bench    the benchmarks beside their peers (QUICK=1: small sizes; BENCH='--cases bag --rounds 3': a part)
#   make bench-predict   those of the predictor, an hour in all
#   make wheel    dist/*.whl with the widget bundle inside
#   make clean    remove everything that these targets made
#
# Stamp files in .make/ say what is installed, so that a second call costs nothing.

PYTHON ?= python3
VENV   ?= .venv
STAMPS ?= .make
JOBS   ?= 2
KILLS  ?= 200

BIN    := $(VENV)/bin
export PATH := $(abspath $(BIN)):$(PATH)
export PIP_DISABLE_PIP_VERSION_CHECK := 1

BUNDLE := $(shell find extensions -type f -not -path '*/node_modules/*' -not -path '*/lib/*' 2>/dev/null)
PIP    := $(BIN)/python -m pip install -qq --no-input --constraint constraints.txt

.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help lab test check pytest vitest demo chaos bench bench-predict wheel clean

help:
	@sed -n '3,9s/^# *//p' Makefile

$(STAMPS)/venv:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "Campaign Workbench needs Python 3.11 or newer; $(PYTHON) is $$($(PYTHON) -V 2>&1). Say make PYTHON=python3.12" >&2; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV) || { \
	  echo "No virtual environment could be made in $(VENV) (Debian: apt-get install python3-venv)" >&2; exit 1; }
	@mkdir -p $(STAMPS) && touch $@

$(STAMPS)/lab: $(STAMPS)/venv pyproject.toml constraints.txt hatch_build.py $(BUNDLE)
	@echo "Installing Campaign Workbench with JupyterLab, torch and OpenMM into $(VENV) (minutes the first time)"
	@$(PIP) --editable '.[ml,md]'
	@touch $@

$(STAMPS)/test: $(STAMPS)/lab
	@echo "Installing what the checks and tests need"
	@$(PIP) --editable '.[ml,md,test,dev]'
	@touch $@

lab: $(STAMPS)/lab
	$(BIN)/workbench lab notebooks/deepdrivemd.ipynb

test: check vitest pytest

check: $(STAMPS)/test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

vitest: $(STAMPS)/test
	@test -d extensions/node_modules || (cd extensions && npm ci --no-audit --no-fund --loglevel=error)
	cd extensions && npm run lint && npm test

pytest: $(STAMPS)/test
	$(BIN)/python -m pytest -n $(JOBS)

demo: $(STAMPS)/lab
	$(BIN)/workbench run 'deepdrivemd?quick=true'

chaos: $(STAMPS)/test
	WORKBENCH_KILLS=$(KILLS) WORKBENCH_CAMPAIGNS=20000 WORKBENCH_EXAMPLES=2000 HYPOTHESIS_PROFILE=nightly $(BIN)/python -m pytest -n $(JOBS) -m "chaos or hypothesis" --timeout 3600

bench-predict: $(STAMPS)/test
	@for name in model_table wfinstances summit forecast_speed forecast_delay whatif_speed forecast_bands auto_policy; do \
	  $(BIN)/python -m tests.benchmarks.$$name || exit 1; done

bench: $(STAMPS)/test
	$(BIN)/python -m tests.benchmarks.run $(if $(QUICK),--quick) $(BENCH)

wheel: $(STAMPS)/test
	$(BIN)/python -m pip wheel -qq --no-deps --wheel-dir dist .

clean:
	rm -rf $(VENV) $(STAMPS) .bench build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	rm -rf extensions/node_modules extensions/lib workbench/ui/static
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
