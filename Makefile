# Everything runs in .venv, which `make setup` (or any other target) creates from the locked, hashed requirements.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
SOURCES := src connector tests bench tools

.PHONY: setup demo serve check test test-long bench spec docs lock

setup: $(VENV)/.ready

$(VENV)/.ready: requirements/dev.txt pyproject.toml connector/pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --require-hashes -r requirements/dev.txt
	$(BIN)/pip install --quiet --no-deps --no-build-isolation -e . -e connector
	touch $@

check: setup
	$(BIN)/ruff format --check $(SOURCES)
	$(BIN)/ruff check $(SOURCES)
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo
	$(BIN)/bandit -q -r src connector/src -c pyproject.toml

test: setup
	$(BIN)/pytest -q -m "not long"

test-long: setup
	$(BIN)/pytest -q
