# What people and the CI do with this repository. `make` alone lists it.
# Everything happens in .venv, which is made by itself and made anew when pyproject.toml changes.

.DEFAULT_GOAL := help
SHELL := /bin/sh

# Where it is set, as in some containers, every process would compile all modules anew, and pytest every test.
unexport PYTHONDONTWRITEBYTECODE

VENV := .venv
BIN := $(VENV)/bin
PY := $(BIN)/python
READY := $(VENV)/.ready

# The first Python that is new enough. 3.11 and 3.12 come first: there the embedded Redis has a ready binary.
PYTHON ?= $(shell for python in python3.11 python3.12 python3 python3.13 python3.14; do \
	if $$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then echo $$python; break; fi; done)

PIP := $(PY) -m pip install --quiet --disable-pip-version-check
DEVELOPMENT := --editable '.[test,lint]'

# More for pytest, such as `make test PYTEST_ARGS="-k lanes -x"`.
PYTEST_ARGS ?=

CPUS = $(shell $(PYTHON) -c 'import os; print(min(7, len(os.sched_getaffinity(0))))')

# Tests that run at once: most of them wait more than they compute. `make test JOBS=0` runs one after another.
JOBS ?= $(shell expr $(CPUS) \* 2)
AT_ONCE = --numprocesses $(JOBS) --dist loadfile --no-loadscope-reorder

.PHONY: help setup demo up test coverage test-fast test-long test-tools lint fix messages lock audit docs docs-check bench bench-compare bench-hosts scale torture trial model clean

help: ## list these targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-13s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(READY) ## make .venv with the bridge and all that its tests need

$(READY): pyproject.toml
	@if [ -z "$(PYTHON)" ]; then \
		echo "no Python 3.11 or newer was found; looked for python3.11, python3.12, python3, python3.13 and python3.14; install one or run make PYTHON=/path/to/python" >&2; \
		exit 2; \
	fi
	@echo "making $(VENV) with $(PYTHON)"
	@rm -rf $(VENV)
	@$(PYTHON) -m venv $(VENV) || { \
		echo "$(PYTHON) can't make a virtual environment; on Debian and Ubuntu install the package python3-venv" >&2; \
		exit 2; \
	}
	@# uv takes a sixth of pip's time; pip does it where an index is set for it alone, and where uv can't.
	@if ! $(PY) -m pip config list | grep -q '\.index-url=' && $(PIP) 'uv>=0.8,<1'; then \
		$(PY) -m uv pip install --quiet --python $(PY) $(DEVELOPMENT) || $(PIP) $(DEVELOPMENT); \
	else \
		$(PIP) $(DEVELOPMENT); \
	fi
	@touch $(READY)

demo: $(READY) ## start everything on this machine against a simulated Asaas and Clint
	@$(BIN)/bridge demo

up: $(READY) ## start everything on this machine for real (needs the settings of README.md)
	@$(BIN)/bridge up

test: $(READY) ## run the tests of the bridge
	$(PY) -m pytest --ignore tests/tools -m "not long" $(AT_ONCE) $(PYTEST_ARGS)

# Not part of test: watching every line makes the tests take half as long again.
coverage: $(READY) ## run the same tests with branch coverage and hold the floor of each package
	@rm -f .coverage .coverage.*
	$(PY) -m coverage run -m pytest --ignore tests/tools -m "not long" $(AT_ONCE) $(PYTEST_ARGS)
	@$(PY) -m coverage combine --quiet
	@$(PY) -m coverage json --quiet
	@$(PY) tests/coverage_floor.py .coverage.json

test-fast: $(READY) ## run the unit tests and those of the project and its documents
	$(PY) -m pytest -m "not slow" --numprocesses $(CPUS) --dist loadfile tests/unit $(wildcard tests/test_*.py) $(PYTEST_ARGS)

test-long: $(READY) ## run the longer forms: an operator's whole day in a browser, everything killed on PostgreSQL (minutes)
	BROWSER_SCREENS=1 $(PY) -m pytest -m long $(AT_ONCE) $(PYTEST_ARGS)

test-tools: $(READY) ## run the tests of the benches, the model, the judge, the lock file and the tests' own parts
	$(PY) -m pytest tests/tools $(AT_ONCE) $(PYTEST_ARGS)

lint: $(READY) ## check style, format, types and the generated parts of the documents
	$(PY) -m ruff check
	$(PY) -m ruff format --check
	$(PY) -m mypy --num-workers $(CPUS)
	@$(MAKE) --no-print-directory docs-check
	@$(PY) -m tests.catalogue check
	@$(PY) -m tests.lockfile check

lock: $(READY) ## write requirements.lock anew: newest versions that pyproject.toml allows, with hashes
	@$(PIP) 'uv>=0.8,<1'
	$(PY) -m tests.lockfile write

# Not part of lint: it asks an advisory service on the network for each package.
audit: $(READY) ## look for known vulnerabilities in what requirements.lock names
	@$(PIP) 'pip-audit>=2.9,<3'
	$(PY) -m pip_audit --requirement requirements.lock --no-deps --disable-pip --strict

fix: $(READY) ## fix what ruff can fix, and format
	$(PY) -m ruff check --fix
	$(PY) -m ruff format

messages: $(READY) ## extract the texts of the bridge into the Portuguese catalogue, and compile it
	$(PY) -m tests.catalogue update

# Files without a generated part are left as they are.
DOCUMENTS := .env.example $(wildcard *.md docs/*.md mappings/*.md)

docs: $(READY) ## write the generated parts of the documents anew
	$(PY) -m cogapp -r --verbosity=1 $(DOCUMENTS)

docs-check: $(READY) ## fail when a generated part of a document is not what the code says
	@$(PY) -m cogapp --check --check-fail-msg="run make docs" --diff --verbosity=0 $(DOCUMENTS)

bench: $(READY) ## measure answers and deliveries per second on this machine
	$(PY) -m tests.bench $(BENCH_ARGS)

bench-compare: $(READY) ## run the bench on REF=<revision> and on the work tree in turn, and say what changed
	@if [ -z "$(REF)" ]; then echo "make bench-compare needs a revision: make bench-compare REF=main" >&2; exit 2; fi
	$(PY) -m tests.bench.compare $(REF) $(BENCH_ARGS)

bench-hosts: $(READY) ## measure a bridge on several machines (network namespaces; needs root)
	$(PY) -m tests.bench.hosts $(BENCH_ARGS)

scale: $(READY) ## simulate the end of a month at 100,000 merchants, for docs/scale.md
	$(PY) -m tests.scale $(SCALE_ARGS)
	@$(MAKE) --no-print-directory docs

torture: $(READY) ## break the bridge in every way that docs/reliability.md lists, and judge it each time (minutes)
	$(PY) -m tests.torture $(TORTURE_ARGS)
	@$(MAKE) --no-print-directory docs

trial: $(READY) ## take 10,000 events of 3,000 charges through Clint's API in bad weather, on both databases (an hour)
	$(PY) -m tests.trial $(TRIAL_ARGS)
	@$(MAKE) --no-print-directory docs

model: $(READY) ## try the lane protocol in many orders, as a state machine on both databases (minutes)
	$(PY) -m tests.model $(MODEL_ARGS)

clean: ## remove .venv and everything that was generated
	rm -rf $(VENV) build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis .coverage .coverage.*
