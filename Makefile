# Tongban: every command a user or CI needs. `make help` lists them.
SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
.DEFAULT_GOAL := help

.PHONY: help run stack demo sandbox-peer test faults check static measure docs texts bench lock clean

help: ## List the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /  make \1\t/' | expand -t 18

$(VENV)/run.stamp: requirements.lock
	@echo "Installing into $(VENV) (once; about a minute) …"
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV) || { echo "python3-venv is missing: apt-get install python3-venv"; exit 1; }
	@$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	@touch $@

$(VENV)/dev.stamp: requirements-dev.lock $(VENV)/run.stamp
	@echo "Installing the development tools …"
	@$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements-dev.lock
	@touch $@

var/kafka/libs/.stamp: deploy/kafka/pom.xml deploy/kafka/install.sh
	@bash deploy/kafka/install.sh

run: $(VENV)/run.stamp ## The whole platform in one process, with sample data, on http://127.0.0.1:8000
	@$(BIN)/python -m deploy.embedded $(if $(PORT),--port $(PORT))

stack: $(VENV)/run.stamp var/kafka/libs/.stamp ## The production topology as processes: PostgreSQL, Kafka, an API and a worker per service, gateway
	@$(BIN)/python -m deploy.stack $(if $(PORT),--port $(PORT)) $(if $(REPLICAS),--replicas $(REPLICAS))

demo: $(VENV)/run.stamp ## The whole story, step by step, on a running platform (TARGET=http://…), or on one of its own
	@$(BIN)/python -m deploy.demo $(if $(TARGET),--target $(TARGET))

sandbox-peer: $(VENV)/run.stamp ## A peer for trying the exchange of a running platform: key pair, account, peer (NAME=…, TARGET=http://…)
	@$(BIN)/python -m deploy.sandbox_peer $(if $(NAME),--name $(NAME)) $(if $(TARGET),--target $(TARGET))

test: $(VENV)/dev.stamp var/kafka/libs/.stamp ## All tests, on a real PostgreSQL and a real Kafka broker
	@$(BIN)/python -m pytest

faults: $(VENV)/dev.stamp var/kafka/libs/.stamp ## The fault tests at length: 200 random kills, the broker away for a minute (FAULT_SEED=… replays)
	@FAULT_ROUNDS=$${FAULT_ROUNDS:-200} FAULT_OUTAGE=$${FAULT_OUTAGE:-60} FAULT_CASES=$${FAULT_CASES:-1000} $(BIN)/python -m pytest -n 0 --no-cov -s tests/faults

check: static test ## Everything CI runs: format, lint, types, contracts, generated files, tests

static: $(VENV)/dev.stamp ## The static part of `make check`
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/basedpyright
	@$(BIN)/lint-imports
	@$(BIN)/python -m deploy.checks
	@$(BIN)/python -m deploy.docs --check

measure: $(VENV)/dev.stamp ## The figures of the code base beside what is to be reached (half a minute)
	@$(BIN)/python -m deploy.measure

docs: $(VENV)/dev.stamp ## Generate OpenAPI, AsyncAPI (docs/api) and docker-compose.yml again
	@$(BIN)/python -m deploy.docs
	@$(BIN)/python -m deploy.compose

texts: $(VENV)/dev.stamp ## List the texts that no native reader has approved yet
	@$(BIN)/python -m deploy.texts list-unreviewed

bench: $(VENV)/dev.stamp var/kafka/libs/.stamp ## Measure the rows of the targets against their baselines: all, or ROW=p01 (QUICK=1: seconds, figures decide nothing)
	@$(BIN)/python -m bench $(ROW) $(if $(QUICK),--quick)
	@$(BIN)/python -m bench.report

lock: ## Resolve the lock files again (needs uv)
	uv pip compile --quiet --generate-hashes --no-emit-index-url --no-header --no-strip-extras --universal --extra embedded pyproject.toml -o requirements.lock
	uv pip compile --quiet --generate-hashes --no-emit-index-url --no-header --no-strip-extras --universal --extra embedded --group dev -c requirements.lock pyproject.toml -o requirements-dev.lock

clean: ## Remove what was installed and generated here (data under var/ too)
	rm -rf $(VENV) var .pytest_cache .ruff_cache .import_linter_cache
