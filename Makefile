# Tongban: every command a user or CI needs. `make help` lists them.
SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
.DEFAULT_GOAL := help
# `--port "8123"` where a value is given, and nothing where it is not.
option = $(if $(2),--$(1) "$(2)")

.PHONY: help run stack demo sandbox-peer test coverage faults check static measure docs texts containers kubernetes bench lock clean

help: ## List the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /  make \1\t/' | expand -t 22

# Any Python understands this check, also one that is too old for the code of the platform.
$(VENV)/run.stamp: requirements.lock
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
	  found=$$($(PYTHON) --version 2>&1 | tail -n 1); \
	  echo "通办需要 Python 3.11 或更新版本,而 $(PYTHON) 是:$$found。请指定另一个:make … PYTHON=python3.12" >&2; \
	  echo "Tongban needs Python 3.11 or newer, but $(PYTHON) is: $$found. Name another one: make … PYTHON=python3.12" >&2; \
	  exit 1; }
	@$(PYTHON) -m deploy.install

# They are only added to what is there, so that a platform that runs from it goes on.
$(VENV)/dev.stamp: requirements-dev.lock $(VENV)/run.stamp
	@echo "Installing the development tools …"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-dev.lock
	@touch $@

var/kafka/libs/.stamp: deploy/kafka/pom.xml deploy/kafka/install.sh
	@bash deploy/kafka/install.sh

var/monitoring/.stamp: deploy/monitoring/install.sh
	@bash deploy/monitoring/install.sh

run: $(VENV)/run.stamp ## The whole platform in one process, with sample data, on http://127.0.0.1:8000 (PORT=…, DATA=folder)
	@$(BIN)/python -m deploy.embedded $(call option,port,$(PORT)) $(call option,data,$(DATA))

stack: $(VENV)/run.stamp var/kafka/libs/.stamp ## The production topology as processes: PostgreSQL, Kafka, an API and a worker per service, gateway
	@$(BIN)/python -m deploy.stack $(call option,port,$(PORT)) $(call option,data,$(DATA)) $(call option,replicas,$(REPLICAS)) $(call option,brokers,$(BROKERS))

demo: $(VENV)/run.stamp ## A whole day, step by step, on a running platform (TARGET=http://…, ACCOUNTS=file), or on one of its own
	@$(BIN)/python -m deploy.demo $(call option,target,$(TARGET)) $(call option,accounts,$(ACCOUNTS)) $(call option,data,$(DATA))

sandbox-peer: $(VENV)/run.stamp ## A peer for trying the exchange of a running platform: key pair, account, peer (NAME=…, TARGET=http://…)
	@$(BIN)/python -m deploy.sandbox_peer $(call option,name,$(NAME)) $(call option,target,$(TARGET)) $(call option,data,$(DATA))

test: $(VENV)/dev.stamp var/kafka/libs/.stamp var/monitoring/.stamp ## All tests, on a real PostgreSQL and a real Kafka broker
	@$(BIN)/python -m pytest

# Apart from `make test`, because tracing doubles the time of every test.
coverage: $(VENV)/dev.stamp var/kafka/libs/.stamp var/monitoring/.stamp ## All tests, traced: at least 90 % of lines and branches must be covered
	@$(BIN)/python -m pytest --cov=services --cov=shared --cov=gateway --cov-branch --cov-report=term:skip-covered --cov-fail-under=90

faults: $(VENV)/dev.stamp var/kafka/libs/.stamp var/monitoring/.stamp ## The fault tests at length: 200 random kills, 15 of each fault of an operator, on three brokers (FAULT_SEED=… replays)
	@FAULT_ROUNDS=$${FAULT_ROUNDS:-200} FAULT_OUTAGE=$${FAULT_OUTAGE:-60} FAULT_CASES=$${FAULT_CASES:-1000} FAULT_SIDE_BY_SIDE=$${FAULT_SIDE_BY_SIDE:-60} FAULT_EACH=$${FAULT_EACH:-15} FAULT_BROKERS=$${FAULT_BROKERS:-3} $(BIN)/python -m pytest -n 0 -s tests/faults

check: static test ## Everything CI runs: format, lint, types, contracts, generated files, tests

static: $(VENV)/dev.stamp ## The static part of `make check`
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/basedpyright
	@$(BIN)/lint-imports
	@$(BIN)/python -m deploy.checks
	@$(BIN)/python -m deploy.docs --check
	@$(BIN)/python -m deploy.contracts
	@$(BIN)/python -m deploy.conformance
	@$(BIN)/python -m deploy.texts check

measure: $(VENV)/dev.stamp ## The figures of the code base beside what is to be reached (half a minute)
	@$(BIN)/python -m deploy.measure

docs: $(VENV)/dev.stamp ## Generate contracts, settings, alerts, runbook index, docker-compose.yml and the chart's values again
	@$(BIN)/python -m deploy.docs
	@$(BIN)/python -m deploy.compose
	@$(BIN)/python -m deploy.chart

containers: $(VENV)/dev.stamp var/kafka/libs/.stamp ## Build the image, start docker-compose.yml on a real engine, play the demo (root; some minutes)
	@$(BIN)/python -m deploy.containers

kubernetes: $(VENV)/dev.stamp ## Show the Helm chart to its linter, the schemas and a real API server (root; some minutes, builds one)
	@$(BIN)/python -m deploy.kubernetes

texts: $(VENV)/dev.stamp ## List the texts that no native reader has approved yet
	@$(BIN)/python -m deploy.texts list-unreviewed

bench: $(VENV)/dev.stamp var/kafka/libs/.stamp ## Measure the rows of the targets against their baselines: all, or ROW=p01 (QUICK=1: seconds, figures decide nothing)
	@$(BIN)/python -m bench $(ROW) $(if $(QUICK),--quick)
	@$(BIN)/python -m bench.report

# The image has everything but the embedded PostgreSQL, hence a lock file of its own.
lock: ## Resolve the lock files again (needs uv)
	uv pip compile --quiet --generate-hashes --no-emit-index-url --no-header --no-strip-extras --universal --extra embedded pyproject.toml -o requirements.lock
	uv pip compile --quiet --generate-hashes --no-emit-index-url --no-header --no-strip-extras --universal -c requirements.lock pyproject.toml -o requirements-runtime.lock
	uv pip compile --quiet --generate-hashes --no-emit-index-url --no-header --no-strip-extras --universal --extra embedded --group dev -c requirements.lock pyproject.toml -o requirements-dev.lock

clean: ## Remove what was installed and generated here (data under var/ too)
	rm -rf $(VENV) $(VENV).new $(VENV).old var .pytest_cache .ruff_cache .import_linter_cache
