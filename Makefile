# One command per intent; `make` lists them. `make run` and `make test` do all their own set-up.

VENV ?= .venv
BIN := $(VENV)/bin

# The first Python that fits: that of the environment there is, else 3.11 or 3.12 from the PATH. PYTHON=... chooses one.
PYTHON ?= $(shell for python in $(BIN)/python python3.11 python3.12 python3; do \
	$$python -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 13))' 2>/dev/null && echo $$python && break; done)
PRINT_VERSION := import sys; print("%d.%d" % sys.version_info[:2])
PYTHON_VERSION := $(shell $(PYTHON) -c '$(PRINT_VERSION)' 2>/dev/null)
INSTALLED := $(VENV)/installed-$(PYTHON_VERSION)
PIP := $(BIN)/python -m pip --quiet --disable-pip-version-check

PACKAGES := broker cli config flows operators services sinks
MISSING_FOR_KAFKA := $(strip $(foreach program,java mvn,$(if $(shell command -v $(program)),,$(program))))

.DEFAULT_GOAL := help
.SUFFIXES:
.PHONY: help setup run test test-fast check format kafka kafka-install kafka-stop bench chaos docs k8s lock wheel clean

help: ## Show this list
	@sed -n 's/^\([a-z0-9-]*\):[^#]*## \(.*\)/\1|\2/p' $(MAKEFILE_LIST) | while IFS='|' read -r target text; do \
		printf 'make %-12s %s\n' "$$target" "$$text"; done

setup: $(INSTALLED) ## Make the virtual environment from the lock; leaves .venv/bin/orderflow

$(INSTALLED): requirements-dev.lock pyproject.toml
	@test -n "$(PYTHON_VERSION)" || { echo "Python 3.11 or 3.12 is needed, and none is on the PATH" >&2; exit 1; }
	@test "$$($(BIN)/python -c '$(PRINT_VERSION)' 2>/dev/null)" = "$(PYTHON_VERSION)" || { \
		echo "making $(VENV) with Python $(PYTHON_VERSION) ..." >&2; rm -rf $(VENV); $(PYTHON) -m venv $(VENV); }
	@$(PIP) install --require-hashes --requirement requirements-dev.lock
	@$(PIP) install --no-build-isolation --no-deps --editable .
	@touch $@

run: setup ## Run the whole pipeline on the embedded log, with a simulated venue and a live table
	@$(BIN)/orderflow demo

test: setup kafka-install ## Run every test, on a real Kafka too if Java and Maven are there
	@$(BIN)/python -m pytest

test-fast: setup ## Run the tests that need no broker and kill no processes
	@$(BIN)/python -m pytest -m 'not kafka and not kills'

check: setup ## Lint, formatting, types and layers, in seconds
	@$(BIN)/ruff check --quiet .
	@$(BIN)/ruff format --check --quiet . || { echo "not formatted; run: make format" >&2; exit 1; }
	@$(BIN)/mypy --no-error-summary
	@layers=$$($(BIN)/lint-imports --no-logo) || { echo "$$layers" >&2; exit 1; }
	@echo "check: lint, formatting, types and layers are in order"

format: setup ## Format the code and mend what the linter can mend
	@$(BIN)/ruff format --quiet .
	@$(BIN)/ruff check --fix --quiet .

kafka: setup ## Start a one-node Kafka broker for development and print its address
	@$(BIN)/python -m broker.server start

kafka-stop: setup ## Stop that broker
	@$(BIN)/python -m broker.server stop

kafka-install: setup ## Fetch that broker with Maven, if Maven and Java are there
ifeq ($(MISSING_FOR_KAFKA),)
	@$(BIN)/python -c 'from pathlib import Path; from broker.server.server import ensure_installed; ensure_installed(Path(".tools/kafka").resolve())'
else
	@echo "$(MISSING_FOR_KAFKA) not found: every test that needs a real Kafka is skipped; in CI they fail instead" >&2
endif

bench: setup kafka-install ## Compare with Kafka Streams on a real broker; ARGS=restart, keys, batches, profile, "compare --quick"
	@$(BIN)/python -m bench $(ARGS)

chaos: setup kafka-install ## Kill flows at random, hundreds of times, and compare with the truth
	@$(BIN)/python -m tests.chaos$(if $(MISSING_FOR_KAFKA), --log embedded)

docs: setup ## Write docs/configuration.md from the declarations of the options
	@$(BIN)/orderflow config reference > docs/configuration.md.new
	@mv docs/configuration.md.new docs/configuration.md

k8s: ## Print the Kubernetes manifests; OVERLAY=two-workers prints that overlay
	@target=$(if $(OVERLAY),k8s/overlays/$(OVERLAY),k8s/base); \
	if command -v kubectl >/dev/null; then kubectl kustomize "$$target"; \
	elif command -v kustomize >/dev/null; then kustomize build "$$target"; \
	else echo "neither kubectl nor kustomize found; the manifests are in k8s/base, and make test validates them" >&2; fi

lock: ## Renew the locks from pyproject.toml (needs uv); UPGRADE=1 takes the newest versions
	@PATH="$(BIN):$$PATH"; options="--universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --quiet $(if $(UPGRADE),--upgrade)"; \
	uv pip compile pyproject.toml $$options --extra dev --output-file requirements-dev.lock && \
	uv pip compile pyproject.toml $$options --constraint requirements-dev.lock --output-file requirements.lock

wheel: setup ## Build the wheel that the container image installs, into dist/
	@$(BIN)/python -m hatchling build --target wheel

clean: ## Remove all that make, tests and local runs have made, data of the embedded log included
	@test ! -x $(BIN)/python || $(BIN)/python -m broker.server stop 2>/dev/null || true
	@rm -rf $(VENV) .tools .orderflow dist bench/results bench/peers/kafka-streams/target .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
	@find $(PACKAGES) bench tests -name __pycache__ -type d -exec rm -rf {} + 2>/dev/null || true
