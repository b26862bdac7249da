# Every target sets up what it needs in a local virtual environment (.venv); nothing is installed outside this folder.

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin

.DEFAULT_GOAL := help

.PHONY: help
help: ## Show this list
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 18

.PHONY: demo
demo: $(VENV)/.runtime ## A contract asks, a node answers, a lie is refuted on chain
	@$(BIN)/oracle-node demo

.PHONY: test
test: $(VENV)/.dev ## The test suite, without the slow ones
	$(BIN)/python -m pytest -q

.PHONY: test-slow
test-slow: $(VENV)/.dev ## The whole test suite
	$(BIN)/python -m pytest -q -m "slow or not slow"

.PHONY: llm
llm: $(VENV)/.llm ## llama.cpp for language models (it is compiled: ten minutes, once); `make test` then tests them too

.PHONY: lint
lint: $(VENV)/.dev ## Style and format of the Python code
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

.PHONY: format
format: $(VENV)/.dev ## Format the Python code and mend what ruff can
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

.PHONY: typecheck
typecheck: $(VENV)/.dev ## mypy --strict
	$(BIN)/mypy

.PHONY: contracts
contracts: $(VENV)/.dev contracts/node_modules ## Compile the contracts into the artifacts that the package ships
	$(BIN)/python scripts/build_contracts.py

.PHONY: contracts-check
contracts-check: $(VENV)/.dev contracts/node_modules ## Are the shipped artifacts those of the sources?
	$(BIN)/python scripts/build_contracts.py --check

.PHONY: contracts-test
contracts-test: contracts/node_modules ## Format and test the contracts
	cd contracts && $(FORGE) fmt --check && $(FORGE) test

.PHONY: bench
bench: $(VENV)/.runtime ## Speed and gas beside their baselines
	@$(BIN)/oracle-node bench exact
	@$(BIN)/oracle-node bench commit
	@$(BIN)/oracle-node bench dispute

.PHONY: clean
clean: ## Remove the virtual environment, caches and build outputs
	rm -rf $(VENV) build dist .mypy_cache .pytest_cache .ruff_cache .hypothesis contracts/out contracts/cache contracts/node_modules
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

FORGE := ./node_modules/@foundry-rs/forge-linux-amd64/bin/forge

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.runtime: pyproject.toml $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable .
	@touch $@

$(VENV)/.dev: pyproject.toml $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@touch $@ $(VENV)/.runtime

$(VENV)/.llm: pyproject.toml $(VENV)/.dev
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev,llm]'
	@touch $@

contracts/node_modules: contracts/package-lock.json
	cd contracts && npm ci --no-audit --no-fund
	@touch $@
