# Everything runs in .venv, which `make setup` (or any other target) creates from the locked, hashed requirements.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
SOURCES := src connector tests bench tools
SHELL := /bin/bash

.PHONY: setup system demo serve check test test-long bench spec docs lock

setup: $(VENV)/.ready

$(VENV)/.ready: requirements/dev.txt pyproject.toml connector/pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --require-hashes -r requirements/dev.txt
	$(BIN)/pip install --quiet --no-deps --no-build-isolation -e . -e connector
	touch $@

demo: setup
	$(BIN)/altcredit demo

serve: setup
	$(BIN)/altcredit serve

check: setup
	$(BIN)/ruff format --check $(SOURCES)
	$(BIN)/ruff check $(SOURCES)
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo
	$(BIN)/bandit -q -lll -r src connector/src -c pyproject.toml
	$(BIN)/python -m tools.breaking spec/altscore.openapi.json <($(BIN)/altcredit openapi)
	$(BIN)/python -m tools.breaking spec/guard.openapi.json <($(BIN)/altcredit openapi --product guard)
	$(BIN)/python -m tools.breaking spec/admin.openapi.json <($(BIN)/altcredit openapi --product admin)
	$(BIN)/python -m tools.breaking spec/events.json <($(BIN)/python -m tools.event_schemas)

# A browser for the pages, another shell for the auditors, what the identity providers that are not ours run on, a
# hardware module in software, and what the files of deploy/ are tried with.
system:
	for one in chromium:chromium busybox:busybox node:nodejs npm:npm php:php-cli softhsm2-util:softhsm2 \
		nginx:nginx-light systemd-analyze:systemd; do \
		command -v $${one%%:*} >/dev/null || missing="$$missing $${one##*:}"; done; \
	php -m 2>/dev/null | grep -qx dom || missing="$$missing php-xml"; \
	php -m 2>/dev/null | grep -qx mbstring || missing="$$missing php-mbstring"; \
	test -z "$$missing" || { apt-get update -qq && apt-get install -y -qq --no-install-recommends $$missing; }

test: setup system
	$(BIN)/pytest -q -n 2 --dist loadfile -m "not long"

test-long: setup system
	$(BIN)/pytest -q -n 2 --dist loadfile

bench: setup
	command -v wrk >/dev/null || apt-get install --yes wrk
	$(BIN)/python -m bench

spec: setup
	$(BIN)/altcredit openapi > spec/altscore.openapi.json
	$(BIN)/altcredit openapi --product guard > spec/guard.openapi.json
	$(BIN)/altcredit openapi --product admin > spec/admin.openapi.json
	$(BIN)/python -m tools.event_schemas > spec/events.json

docs: setup
	$(BIN)/python -m tools.settings_table > docs/settings.md
	$(BIN)/python -m tools.command_pages > docs/commands.md
	$(BIN)/python -m tools.feature_table > docs/features.md
	$(BIN)/python -m tools.sandbox_table > docs/sandbox.md

# Resolve the requirements anew: the newest versions that pyproject.toml allows, with their hashes and no addresses.
lock: setup
	$(BIN)/pip install --quiet uv
	$(BIN)/uv pip compile --universal --generate-hashes --no-annotate --no-header --python-version 3.11 --upgrade -q pyproject.toml -o requirements/base.txt
	$(BIN)/uv pip compile --universal --generate-hashes --no-annotate --no-header --python-version 3.11 --upgrade -q pyproject.toml --extra pkcs11 --group dev --group bench -o requirements/dev.txt
	$(BIN)/uv pip compile --universal --generate-hashes --no-annotate --no-header --python-version 3.11 -q --group build -c requirements/dev.txt -o requirements/build.txt
