.DEFAULT_GOAL := help
.PHONY: help run test lint bench bench-smoke certificate clean

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
	$(BIN)/python -m pytest -n auto --dist loadfile --no-loadscope-reorder $(PYTEST_ARGS)

lint: $(VENV)/.dev ## Check style and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: $(VENV)/.bench .venv-litellm/.done .venv-torch/.done ## Measure beside what people would use instead; about 20 minutes
	@sh tests/install_servers.sh wrk
	@$(BIN)/python -m bench; held=$$?; $(BIN)/python -m bench.publish docs/performance.md; exit $$held

bench-smoke: $(VENV)/.dev ## Count what a request costs: none of it may grow
	@sh tests/install_servers.sh
	$(BIN)/python -m bench.smoke

certificate: ## Make a self-signed certificate for a first try of nginx (NAMES="host ...")
	@deploy/nginx/self-signed.sh deploy/nginx/tls $(NAMES)

clean: ## Remove the environment and caches (never the data)
	rm -rf $(VENV) .venv-* .mypy_cache .ruff_cache .pytest_cache .hypothesis

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

$(VENV)/.bench: $(VENV)/.dev requirements-bench.txt
	@$(BIN)/pip install --quiet --disable-pip-version-check -r requirements-bench.txt
	@touch $@

# The rivals that need more than we do, each in an environment of its own; without, they are left out.
.venv-%/.done: bench/rivals/requirements-%.txt
	@echo "Installing $* to measure beside it (once, some minutes)"
	@{ $(PYTHON) -m venv .venv-$* && touch $@ \
		&& .venv-$*/bin/pip install --quiet --disable-pip-version-check --only-binary :all: -r $<; } \
		|| { echo "It cannot be installed and is left out" >&2; rm -rf .venv-$*; }
