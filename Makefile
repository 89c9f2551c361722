# Everything sets up .venv by itself when needed. PYTHON chooses the interpreter (3.11 or newer).
PYTHON ?= python3
BIN := .venv/bin
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.DEFAULT_GOAL := help
.PHONY: help demo test test-fast lint format docs bench drill release-check clean

help:  ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "make %-13s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: .venv/.installed  ## train the bundled lyrics end to end and print some
	@$(BIN)/versemill demo

test: lint  ## lint, types, architecture and all tests
	$(BIN)/python -m pytest -n 4 --dist worksteal

test-fast: .venv/.installed-dev  ## ruff and the tests that need neither servers nor training
	$(BIN)/ruff check --quiet .
	$(BIN)/python -m pytest -n 2 --dist worksteal -m "not slow and not gpu" tests/toolkit tests/plugins

lint: .venv/.installed-dev  ## style, types and architecture only
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: .venv/.installed-dev  ## put the code into house style
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: .venv/.installed-dev  ## the pages that are made from docstrings: docs/plugins/, docs/errors.md
	$(BIN)/python scripts/plugin_reference.py
	$(BIN)/python scripts/error_reference.py

bench: .venv/.installed-dev  ## the side-by-side measurements of benchmarks/
	$(BIN)/python -m benchmarks

MINUTES ?= 1
SEED ?= 7
drill: .venv/.installed-dev  ## trouble at random: MINUTES=1 SEED=7 [STACK=sqlite|servers]
	@cd tests && PYTHONPATH=.:support ../$(BIN)/python -P -m drill --minutes $(MINUTES) --seed $(SEED) $(STACK:%=--stack %)

release-check: .venv/.installed-release  ## whether wheel and sdist can be built, installed and used
	$(BIN)/python scripts/release_check.py

clean:  ## remove the environment and caches
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .import_linter_cache dist

.venv/.installed: pyproject.toml constraints.txt scripts/set-up.sh
	PYTHON="$(PYTHON)" sh scripts/set-up.sh '.[plot]'
	@touch $@

.venv/.installed-dev: pyproject.toml constraints.txt scripts/set-up.sh
	PYTHON="$(PYTHON)" sh scripts/set-up.sh '.[dev]'
	@touch .venv/.installed $@

.venv/.installed-release: pyproject.toml constraints.txt scripts/set-up.sh
	PYTHON="$(PYTHON)" sh scripts/set-up.sh '.[release]'
	@touch .venv/.installed .venv/.installed-dev $@
