# Everything one does here. `make run` and `make test` need Python 3.11+, pip and make, nothing else.

PYTHON ?= python3
VENV   := .venv
PY     := $(VENV)/bin/python
PIP    := $(PY) -m pip --disable-pip-version-check
PINNED := install --constraint constraints.txt --no-build-isolation

.DEFAULT_GOAL := help
.PHONY: help install run demo test check prove bench lock clean servers
.DELETE_ON_ERROR:

help: ## say what each target does
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

install: $(VENV)/.assets ## set up .venv with all that serve and demo need: torch, models, images

run: install ## start the server, play the demo day on it, keep serving until interrupted
	@$(PY) scripts/run.py

demo: install ## play the demo day against a throw-away server
	@$(VENV)/bin/hounsfield demo

test: $(VENV)/.assets servers ## every check that CI runs, the real servers included
	@$(MAKE) --no-print-directory check
	@$(PY) scripts/longest.py
	$(PY) -m pytest --numprocesses 2 --dist loadfile

check: $(VENV)/.test ## format, lint, types, import contracts: fast
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/ruff check .
	$(VENV)/bin/mypy
	$(VENV)/bin/lint-imports --config pyproject.toml

prove: $(VENV)/.assets servers ## the same suites at full size; writes docs/proof.md
	$(PY) scripts/prove.py

bench: $(VENV)/.test ## measure; prints a table and writes JSON
	$(PY) -m benchmarks
	$(PY) -m benchmarks.smart
	$(PY) -m benchmarks.audit
	$(PY) -m benchmarks.stores --sizes 20 100 --creates 1000

lock: $(VENV)/.test ## pin what pyproject.toml asks for in constraints.txt; UPGRADE=1 takes the newest
	$(PY) scripts/lock.py $(if $(UPGRADE),--upgrade)

clean: ## remove what set-up and runs made here; hounsfield-data stays
	rm -rf $(VENV) .cache .data .servers .mypy_cache .ruff_cache .pytest_cache .import_linter_cache \
	  .hypothesis build dist *.egg-info

# --- set-up, in steps that are each done once -------------------------------------------------------

$(PY):
	@bash scripts/make_venv.sh $(PYTHON) $(VENV)

$(VENV)/.base: pyproject.toml constraints.txt | $(PY)
	@echo "== installing the server and its libraries (torch is the largest)"
	@$(PIP) $(PINNED) hatchling
	@$(PIP) $(PINNED) --editable '.[ai,dicom,mongo]'
	@touch $@

$(VENV)/.test: $(VENV)/.base
	@echo "== installing the test tools"
	@$(PIP) $(PINNED) --editable '.[ai,dicom,mongo,test]'
	@touch $@

$(VENV)/.assets: $(VENV)/.base $(wildcard scripts/fetch_*.py scripts/downloads.py)
	@for script in $(wildcard scripts/fetch_*.py); do \
	  echo "== $$script"; $(PY) $$script || exit 1; done
	@touch $@

servers: $(VENV)/.test
	@bash scripts/servers.sh
	@$(PY) scripts/mongod.py
	@$(PY) scripts/npm_packages.py
