.DEFAULT_GOAL := help
PYTHON ?= python3
BIN := .venv/bin
# Tests wait about as long as they compute: three processes for each core, up to twelve.
WORKERS ?= $(shell $(PYTHON) -c 'import os; print(min(12, 3 * (os.cpu_count() or 2)))')
COMPILE := $(BIN)/uv pip compile --quiet pyproject.toml --universal --python-version 3.11 --generate-hashes --no-header --no-emit-index-url --no-annotate
# The image works with a PostgreSQL of its own host: everything but `embedded`.
IMAGE_EXTRAS := channels charts cluster ton totp tracing
PIP := $(BIN)/python -m pip install -q --disable-pip-version-check
# Without bytecode each worker and each process of a test would compile everything again.
TESTS := PYTHONDONTWRITEBYTECODE= $(BIN)/python -m pytest -n $(WORKERS) --dist worksteal

.PHONY: help install run demo test soak lint audit check-deploy bench bench-quick simulate chaos lock

help: ## what each target does
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' | column -t -s "$$(printf '\t')"

install: .venv/.installed ## build .venv from the lock

run: .venv/.installed ## supervise the checkers of config.yaml
	$(BIN)/dozor run

demo: .venv/.installed ## a made-up marketplace with injected faults: the whole story in forty seconds
	$(BIN)/dozor demo

test: .venv/.installed-dev ## the whole suite, against a real PostgreSQL
	$(TESTS)

soak: .venv/.installed-dev ## the suite with its long campaigns, more random cases and every process a new interpreter
	DOZOR_SOAK=1 DOZOR_FRESH=1 $(TESTS)

lint: .venv/.installed-dev ## ruff, mypy, import-linter
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# An existing .venv is judged as it is: a changed lock or pyproject.toml must not rebuild it in the middle of work.
audit: $(if $(wildcard .venv/.installed-dev),,.venv/.installed-dev) .audit/.installed ## licences and known vulnerabilities of what the lock installs
	$(BIN)/python -m tests.house.audit .audit/bin/pip-audit

# Apart from .venv: what it needs is no part of the lock.
.audit/.installed:
	@$(PYTHON) -m venv --clear .audit
	@.audit/bin/python -m pip install -q --disable-pip-version-check 'pip-audit>=2.7,<3'
	@touch $@

check-deploy: .audit-deploy/.installed ## deploy/ against the schemas of Kubernetes and Compose
	.audit-deploy/bin/python tests/house/deployments.py .audit-deploy/docker_compose-*.whl

.audit-deploy/.installed:
	@$(PYTHON) -m venv --clear .audit-deploy
	@.audit-deploy/bin/python -m pip install -q --disable-pip-version-check 'kubernetes-validate>=1.31' jsonschema pyyaml
	@.audit-deploy/bin/python -m pip download -q --disable-pip-version-check --no-deps -d .audit-deploy 'docker-compose==1.29.2'
	@touch $@

bench: .venv/.installed-bench ## the benchmarks, each beside its peers: benchmarks/RESULTS.md, half an hour
	$(BIN)/python -m benchmarks

bench-quick: .venv/.installed-bench ## the benchmarks with small sizes, in a few minutes
	$(BIN)/python -m benchmarks --quick

simulate: .venv/.installed-dev ## a year of a hundred tasks under a virtual clock, faults injected
	$(BIN)/python -m tests.simulation.play

chaos: .venv/.installed-dev ## three replicas behind pgbouncers under 200 faults, half an hour
	DOZOR_FRESH=1 $(BIN)/python -m tests.cluster.chaos

# Required by axe-playwright-python, whose axe.min.js alone is used: a browser driver of 50 MB.
UNUSED := $(foreach name,playwright pyee greenlet,--no-emit-package $(name))

lock: .venv/.installed-dev ## renew the lock files
	$(BIN)/python -m pip install -q uv
	$(COMPILE) --all-extras --group build -o requirements.lock
	$(COMPILE) --all-extras --group build --group dev $(UNUSED) -c requirements.lock -o requirements-dev.lock
	$(COMPILE) --all-extras --group build --group dev --group bench $(UNUSED) -c requirements-dev.lock -o requirements-bench.lock
	$(COMPILE) $(IMAGE_EXTRAS:%=--extra %) --group build -c requirements.lock -o deploy/requirements.lock

.venv/.installed: requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	    { echo "Dozor needs Python 3.11 or newer, this is $$($(PYTHON) --version): make PYTHON=python3.12 …"; exit 1; }
	@echo "Building .venv from requirements.lock: about a minute, once"
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || $(PYTHON) -m venv --clear .venv
	@$(PIP) --require-hashes -r requirements.lock
	@$(PIP) --no-deps --no-build-isolation -e .
	@touch $@
	@echo "Built. The command is $(BIN)/dozor"

.venv/.installed-dev: requirements-dev.lock .venv/.installed
	@echo "Adding the tools for tests and checks from requirements-dev.lock, once"
	@$(PIP) --require-hashes --no-deps -r requirements-dev.lock
	@touch $@

.venv/.installed-bench: requirements-bench.lock .venv/.installed-dev
	@echo "Adding what the benchmarks compare with from requirements-bench.lock, once"
	@$(PIP) --require-hashes --no-deps -r requirements-bench.lock
	@touch $@
