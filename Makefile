.DEFAULT_GOAL := help
SHELL := /bin/bash
VENV ?= .venv
BIN := $(VENV)/bin

.PHONY: help demo test check bench fuzz fuzz-api conformance kills daemon-kills restarts parity chaos strikes attacks soak golden lock clean

help: ## Show these targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | sort | awk -F'\t' '{printf "  make %-12s %s\n", $$1, $$2}'

$(VENV)/.runtime: requirements.lock pyproject.toml tools/bootstrap
	@tools/bootstrap runtime $(VENV)

$(VENV)/.dev: requirements-dev.lock pyproject.toml tools/bootstrap
	@tools/bootstrap dev $(VENV)

demo: $(VENV)/.runtime ## Install what is needed, then show the main job on the embedded swarm
	@PATH="$(abspath $(BIN)):$$PATH" $(BIN)/python tools/demo.py

test: $(VENV)/.dev ## Install what is needed, then run all tests (real engines too, as root with dockerd)
	@tools/test $(BIN)/python

check: $(VENV)/.dev ## Lint, types and the import contracts
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(VENV)/.dev ## Measure, as ratios within one run (PART=load|plan|scheduler|start|replication|deploy|daemon|controller for one of them)
	@$(BIN)/python -m compileall -q reconciler
	@$(BIN)/python -m tests.benchmarks

FILES ?= 100000
fuzz: $(VENV)/.dev ## Load mutated stack files (FILES=100000, CORPUS=DIR of more seeds); fails on any surprise
	@$(BIN)/python -m tests.fuzz --files "$(FILES)" --corpus "$(CORPUS)"

REQUESTS ?= 10000
fuzz-api: $(VENV)/.dev ## Send mangled requests to a daemon (REQUESTS=10000, SEED=1); fails on any surprise
	@SEED="$(SEED)" $(BIN)/python -m tests.fuzz.api --requests "$(REQUESTS)"

conformance: $(VENV)/.dev ## Compare our Engine API with a real engine (PART=requests|docker-py for one of them)
	@$(BIN)/python -m tests.conformance --part "$(PART)"

KILLS ?= 100
kills: $(VENV)/.dev ## Kill applies at random moments on a real swarm (KILLS=100, SEED=N); fails on any trace
	@KILLS="$(KILLS)" SEED="$(SEED)" REQUIRE_ENGINES=1 $(BIN)/python -m pytest -q -s tests/e2e/test_kills.py

daemon-kills: $(VENV)/.dev ## Kill an embedded node's daemon at random moments (KILLS=100, SEED=N); fails on anything lost
	@KILLS="$(KILLS)" SEED="$(SEED)" $(BIN)/python -m pytest -q -s --timeout 0 tests/e2e/test_daemon_kills.py

RESTARTS ?= 12
restarts: $(VENV)/.dev ## End managers in the midst of applies (RESTARTS=12 of one manager and of three each, SEED=N)
	@RESTARTS="$(RESTARTS)" SEED="$(SEED)" REQUIRE_ENGINES=1 $(BIN)/python -m pytest -q -s \
		tests/e2e/test_restarts.py tests/e2e/thorough_restarts.py

parity: $(VENV)/.dev ## Compare with what real Docker did (CORPUS=DIR, CASES=FILE); fails on any difference
	@$(BIN)/python -m tests.parity --corpus "$(CORPUS)" --cases "$(CASES)"

TRIALS ?= 10
chaos: $(VENV)/.dev ## Break groups of replicated stores (TRIALS=10 of each fault, SEED=1, FAULT=part of its name, KIND=core)
	@TRIALS="$(TRIALS)" SEED="$(or $(SEED),1)" FAULT="$(FAULT)" KIND="$(or $(KIND),core)" WRITERS="$(or $(WRITERS),8)" \
		STEADY="$(or $(STEADY),0)" $(BIN)/python -m tests.chaos

strikes: $(VENV)/.dev ## Strike leading controllers in mid-apply (CLUSTER=embedded|engines, STRIKES=50 kills, PAUSES, CUTS, ALL, SEED=1)
	@CLUSTER="$(or $(CLUSTER),embedded)" KILLS="$(STRIKES)" PAUSES="$(PAUSES)" CUTS="$(CUTS)" ALL="$(ALL)" WEBHOOKS="$(WEBHOOKS)" \
		SEED="$(or $(SEED),1)" $(BIN)/python -m tests.chaos.controllers

attacks: $(VENV)/.dev ## Attack a running controller at full size (1 GB files, floods); fails on what is not refused or grows
	@$(BIN)/python -m tests.chaos.hostile

SEEDS ?= 10000
soak: $(VENV)/.dev ## Simulate the consensus core in virtual time (SEEDS=10000, FIRST_SEED=0)
	@SEEDS="$(SEEDS)" FIRST_SEED="$(or $(FIRST_SEED),0)" $(BIN)/python -m pytest -q -s --timeout 0 tests/simulation_raft

golden: $(VENV)/.dev ## Rewrite the golden plans; read the difference before you commit it
	@UPDATE_GOLDEN=1 $(BIN)/python -m pytest -q tests/golden

lock: $(VENV)/.dev ## Renew the lock files from pyproject.toml
	@tools/lock $(VENV)

clean: ## Remove what the other targets made
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache dist build
