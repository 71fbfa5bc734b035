# Every target works alone on a fresh machine: it installs what it needs and starts what it needs.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-builtin-rules

VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
TOPOLOGY ?= topologies/overlay.yaml

.PHONY: help setup system run test verify nightly vm-system box test-vm bench clean

help: ## Show the targets
	@awk -F':.*## ' '/^[a-z-]+:.*## / {printf "  %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

system: ## Install the programs that the harness calls, where they are missing (apt)
	@bash ci/system.sh

$(STAMP): pyproject.toml constraints.txt
	@bash ci/venv.sh $(VENV)
	@touch $@

setup: system $(STAMP) ## Programs, and the harness with its tools in .venv

run: setup ## Bring a real Swarm up, check topologies/overlay.yaml across hosts, report, take it down
	$(BIN)/harness run $(TOPOLOGY)

test: setup vm-system ## All tests: verify, then real clusters and two machines (within 60 minutes cold)
	@bash ci/test.sh $(BIN)

verify: $(STAMP) ## Lint, types, floors and unit tests; runs everything, then reports
	@bash ci/verify.sh $(BIN)

nightly: setup ## Long histories, every fault on every store, long scenarios, repeated accidents
	HARNESS_HISTORIES=20000 $(BIN)/pytest tests/unit -q -k "brute or simulated"
	$(BIN)/pytest tests/cluster -m "cluster and nightly and not vm" -q --durations=0
	for round in 1 2 3; do $(BIN)/pytest tests/cluster -m "cluster and not nightly and not vm" -q; done

vm-system: ## Install what provider vagrant calls, where it is missing (apt, some 250 MB)
	@bash ci/system.sh vm

box: setup vm-system ## Build the box of guests into the cache, where it is not there (then `vagrant up` works too)
	@$(BIN)/python -c 'from harness.providers import box; print(box.ensure(print).folder)'

test-vm: setup vm-system ## All that needs virtual machines
	$(BIN)/pytest tests/cluster -m vm -q --durations=0

bench: setup ## Measure, side by side in one run, and write the table into README.md
	$(BIN)/python -m tests.bench --write README.md

clean: ## Remove clusters, the engine of the harness, the virtual environment and build output
	@if [ -x $(BIN)/harness ]; then $(BIN)/harness down --all; fi
	rm -rf $(VENV) build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
