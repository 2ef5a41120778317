# What people and CI run. Every target sets up what it needs; all paths are relative, so that the folder's name may hold
# a blank. `make help` lists the targets.

# The first interpreter that is new enough and works; `make PYTHON=… TARGET` names another.
PYTHON ?= $(shell for name in python3.12 python3.13 python3.11 python3 python; do \
	"$$name" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' >/dev/null 2>&1 \
	&& { echo "$$name"; exit; }; done; echo python3)
RUN := .venv/bin/python
# Arguments for pytest: make test ARGS="-k lease"; -n0 tests in one process, for a debugger.
ARGS ?=
SQL_FOLDERS := $(wildcard migrations_sql/sqlserver migrations_sql/postgresql)
TEMPLATES := $(wildcard templates derive/templates)

.DEFAULT_GOAL := help
.PHONY: help setup environment demo check check-lint check-units test test-contract test-ollama coverage chaos mutants bench profile bench-admin screenshots lint format sql docs docs-site requirements

help: ## List the targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/\1\t\2/p' Makefile | expand -t 16

setup: ## Make .venv with everything that runs and tests, pinned with hashes
	@"$(PYTHON)" .ci/prepare_venv.py requirements-dev.txt

# Only what runs: what a person who tries the demo waits for.
environment:
	@"$(PYTHON)" .ci/prepare_venv.py requirements.txt

demo: environment ## Watch sample questions go through queue, model and lake, and open the admin
	@$(RUN) manage.py demo

# Measured beside other work: 120 s of processor time for the tests and 5 s for the rest, with mypy's cache warm.
# Two at once: the types take about as long as the tests. Kept for `make lint` and `make test`: the scripts and the
# migrations, and what starts a database or programs.
check: setup ## Look at form, layers, types and unit tests: before each commit
	@$(MAKE) --no-print-directory --jobs 2 check-units check-lint

check-units: export PYTHONDONTWRITEBYTECODE =
check-units:
	$(RUN) -m pytest -q tests/unit tests/proofs -m "not slow and not database" -n 2 $(ARGS)

check-lint:
	$(RUN) -m ruff format --check --quiet
	$(RUN) -m ruff check --quiet
	.venv/bin/lint-imports
	$(RUN) -m mypy
	$(if $(TEMPLATES),$(RUN) -m djlint --quiet --lint --check $(TEMPLATES))

# Compiled modules are kept, whatever the environment says: some three hundred processes import the same ones.
test: export PYTHONDONTWRITEBYTECODE =
test: setup ## Run every test on the embedded PostgreSQL, or on DATABASE_URL
	$(RUN) -m pytest -m "not bench" -n auto --dist loadfile --no-loadscope-reorder $(ARGS)

# Slower by half: every line says that it was reached. Started processes are not counted.
coverage: setup ## Run every test, and show which lines and branches they reach (var/coverage)
	$(RUN) -m pytest -m "not bench" -n auto --dist loadfile --no-loadscope-reorder --cov --cov-report term:skip-covered \
		--cov-report html:var/coverage $(ARGS)

test-contract: setup ## Run the queue's promises and the admin's queries, on the engine that DATABASE_URL names
	$(RUN) -m pytest tests/contract tests/admin $(ARGS)

# How long chaos reigns, over how many workers, from which seed (empty: a new one, which is printed).
SECONDS ?= 180
WORKERS ?= 4
SEED ?=
chaos: setup ## Let everything go wrong at once, then judge every promise; SECONDS, WORKERS, SEED
	$(RUN) -m tests.chaos --seconds $(SECONDS) --workers $(WORKERS) $(if $(SEED),--seed $(SEED)) $(ARGS)

# The program to test on instead of the pinned one: make test-ollama OLLAMA=/usr/local/bin/ollama
OLLAMA ?=
test-ollama: setup ## Run client and worker on a real Ollama, built by Go from its module: minutes the first time
	$(if $(OLLAMA),,@$(RUN) -m tests.real_servers.build_ollama)
	OLLAMA_PROGRAM="$(or $(OLLAMA),var/ollama/bin/ollama)" $(RUN) -m pytest -n0 tests/real_servers $(ARGS)

mutants: setup ## Put small faults into the code, one at a time, and list those the tests miss; ARGS="backoff usp_claim"
	$(RUN) -m tests.mutants $(ARGS)

bench: setup ## Measure speed and memory, as a table and as JSON
	$(RUN) -m tests.bench $(ARGS)

profile: setup ## Show what a job costs a worker's processor, step by step, and draw a flame graph
	$(RUN) -m tests.profile

bench-admin: setup ## Measure the admin's pages and actions on a million jobs, as a table and as JSON
	$(RUN) -m tests.bench admin $(ARGS)

screenshots: setup ## Take the README's pictures anew, in a world of their own
	$(RUN) -m tests.screenshots

lint: setup ## Run all that CI lints
	$(RUN) -m ruff format --check
	$(RUN) -m ruff check
	$(RUN) -m mypy
	.venv/bin/lint-imports
	$(if $(TEMPLATES),$(RUN) -m djlint --quiet --lint --check $(TEMPLATES))
	$(foreach folder,$(SQL_FOLDERS),$(RUN) -m sqlfluff lint $(folder) &&) true
	$(if $(TSQL_CHECK),find migrations_sql/sqlserver -name '*.sql' -exec "$(TSQL_CHECK)" {} +)
	$(RUN) manage.py makemigrations --check --dry-run
	$(BUILD_SITE)

# A warning is an error: a link that leads nowhere, a page that is in no list.
BUILD_SITE := $(RUN) -m sphinx --fail-on-warning --nitpicky --quiet --builder html --conf-dir docs . var/site

docs-site: setup ## Build the documentation as a searchable site in var/site, and check its links
	$(BUILD_SITE)
	@echo "open var/site/docs/index.html"

docs: setup ## Write what is generated in docs/ anew, from the code and a migrated test database
	DATABASE_URL= WRITE_REFERENCE=1 $(RUN) -m pytest -q tests/unit/test_reference.py tests/unit/test_docs.py

sql: setup ## Render the procedures that have a template in migrations_sql/templates
	$(RUN) -m tests.rendered_sql

format: setup ## Put the code into the form that lint wants
	$(RUN) -m ruff check --fix
	$(RUN) -m ruff format
	$(if $(TEMPLATES),-$(RUN) -m djlint --quiet --reformat $(TEMPLATES))

COMPILE := $(RUN) -m uv pip compile pyproject.toml --quiet --universal --python-version 3.11 --generate-hashes \
	--no-emit-index-url --no-header --annotation-style line

requirements: setup ## Compile requirements*.txt from pyproject.toml; UPGRADE=--upgrade takes newer versions
	$(COMPILE) $(UPGRADE) --output-file requirements.txt
	$(COMPILE) $(UPGRADE) --group dev --constraint requirements.txt --output-file requirements-dev.txt
