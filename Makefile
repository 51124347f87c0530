# Everything a newcomer needs. `make` alone lists the targets.

SHELL := /bin/bash
.DEFAULT_GOAL := help
WORKLOAD ?= ticket_triage
# Airflow starts three times slower without bytecode
unexport PYTHONDONTWRITEBYTECODE

RUN := .venv/bin/python -m

.PHONY: help
help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' Makefile

.PHONY: install
install: .venv/.installed ## Set up .venv with the pinned packages and the command .venv/bin/offpeak

.venv/.installed: requirements.lock pyproject.toml .ci/install $(wildcard include/offpeak/compiled/*.[ch])
	@.ci/install
	@touch $@

.PHONY: demo
demo: install ## Run WORKLOAD (ticket_triage) for two nights on a real Airflow and the emulator, in about three minutes
	@exec $(RUN) offpeak.demo run $(WORKLOAD)

.PHONY: demo-all
demo-all: install ## The same for every workload, one after the other, in about ten minutes
	@exec $(RUN) offpeak.demo run --all

.PHONY: up
up: install ## Keep Airflow up with the DAGs until Ctrl-C; asks real providers if .env or the environment names one
	@if [ -f .env ]; then set -a; . ./.env; set +a; fi; exec $(RUN) offpeak.demo up

.PHONY: test
test: install ## Run all tests; those that need Postgres or a browser are skipped where there is none
	@.ci/system-packages
	$(RUN) pytest -n 4 --dist loadfile --no-loadscope-reorder $(TESTS)

.PHONY: test-slow
test-slow: install ## The tests that make test leaves out, in about 40 minutes (the whole chaos matrix is make chaos)
	@.ci/system-packages
	$(RUN) pytest -m slow -n 2 --dist loadfile --no-loadscope-reorder $(TESTS)

.PHONY: resilience
resilience: install ## Take parts of a real Airflow away in the middle of runs, in about 10 minutes
	@.ci/system-packages
	$(RUN) pytest -m slow tests/e2e/test_resilience.py

.PHONY: on-time
on-time: install ## Warn, escalate and lose the scheduler across a due time on a real Airflow, in about 5 minutes
	@.ci/system-packages
	$(RUN) pytest -m slow tests/e2e/test_on_time.py

.PHONY: workloads
workloads: install ## The four workloads at the full size of the data sets on a real Airflow, in about 15 minutes (DATA, PARTS)
	$(RUN) tests.full $(PARTS) $(if $(DATA),--data $(DATA))

.PHONY: chaos
chaos: install ## Kill runs at every boundary and resume them: the whole matrix and 500 random schedules (SEED=1)
	@.ci/system-packages
	$(RUN) pytest tests/chaos -n auto --maxprocesses 4 --chaos-full --chaos-seed $(or $(SEED),1) \
		--chaos-report /tmp/offpeak-chaos.txt

.PHONY: nights
nights: install ## Live through a simulated year under four policies into docs/nights.md, in about 3 minutes (SEED=1)
	$(RUN) tests.nights --nights $(or $(NIGHTS),3000) --seed $(or $(SEED),1)

.PHONY: check
check: install ## Check format, lint, types and docker-compose.yml
	$(RUN) ruff format --check .
	$(RUN) ruff check .
	$(RUN) mypy
	.venv/bin/check-jsonschema --builtin-schema vendor.compose-spec docker-compose.yml

.PHONY: format
format: install ## Format the code and mend what the linter can
	$(RUN) ruff check --fix-only .
	$(RUN) ruff format .

.PHONY: lock
lock: install ## Resolve the packages anew into requirements.lock
	.venv/bin/uv pip compile --universal --python-version 3.11 --extra dev --generate-hashes \
		--no-emit-index-url --no-annotate --upgrade pyproject.toml -o requirements.lock

.PHONY: clean
clean: ## Remove what the demo, the tests and the tools left (not .venv; not .up and offpeak-store, which may hold paid answers)
	rm -rf .demo build .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -path ./.venv -prune -o -path ./.up -prune -o -name __pycache__ -type d -exec rm -rf {} +

.PHONY: bench
bench: install ## Measure Offpeak beside other ways into docs/performance.md (SIZE, REPEAT, ONLY)
	$(RUN) tests.bench $(if $(SIZE),--size $(SIZE)) $(if $(REPEAT),--repeat $(REPEAT)) $(if $(ONLY),--only $(ONLY))
