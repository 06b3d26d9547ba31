.DEFAULT_GOAL := help
.PHONY: help run test lint bench certificate clean

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PYTEST_ARGS ?=

help: ## Say what each target does
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 13

run: $(VENV)/.run ## Set up and serve on HOST:PORT (127.0.0.1:5002)
	@exec $(BIN)/python -m backend

test: $(VENV)/.dev ## Set up and run the tests
	@sh tests/install_servers.sh
	$(BIN)/python -m pytest -n auto --dist loadgroup $(PYTEST_ARGS)

lint: $(VENV)/.dev ## Check style and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: $(VENV)/.dev ## Measure what Sluice adds to a WebUI's own time, and what jobs cost
	$(BIN)/python -m bench.overhead
	$(BIN)/python -m bench.routing
	$(BIN)/python -m bench.watchers
	$(BIN)/python -m bench.job_queue

certificate: ## Make a self-signed certificate for a first try of nginx (NAMES="host ...")
	@deploy/nginx/self-signed.sh deploy/nginx/tls $(NAMES)

clean: ## Remove the environment and caches (never the data)
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis

$(VENV)/bin/python:
	@command -v $(PYTHON) >/dev/null || { echo "Sluice needs Python 3.11 or newer; set PYTHON=/path/to/python3" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "Sluice needs Python 3.11 or newer, not $$($(PYTHON) --version); set PYTHON=python3.12, say" >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV) || { echo "python3-venv is missing: apt-get install python3-venv" >&2; rm -rf $(VENV); exit 1; }

$(VENV)/.run: $(VENV)/bin/python requirements.txt
	@echo "Installing what Sluice needs into $(VENV) (once, about a minute)"
	@$(BIN)/pip install --quiet --disable-pip-version-check -r requirements.txt
	@touch $@

$(VENV)/.dev: $(VENV)/bin/python requirements.txt requirements-dev.txt
	@$(BIN)/pip install --quiet --disable-pip-version-check -r requirements-dev.txt
	@touch $@ $(VENV)/.run
