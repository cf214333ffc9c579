# Plugside's front door. Every target sets up what it needs; a fresh machine needs Python 3.11, make and a
# package index. An interpreter of your own: make test PYTHON=/path/to/python3.12

PYTHON ?= $(shell for python in python3.13 python3.12 python3.11 python3; do \
	$$python -c 'import sys; sys.exit(sys.version_info < (3, 11) or sys.maxsize < 2**32)' 2>/dev/null \
	&& echo $$python && break; done)
# Where none is new enough, the bootstrap still runs in what there is, to say so in one sentence.
INTERPRETER = $(or $(PYTHON),$(shell command -v python3 || command -v python),$(error \
	Plugside needs Python 3.11 or newer, 64-bit: install one, or name one: make PYTHON=/path/to/python3.11))
BIN := .venv/bin
ARGS ?=
SEED ?= 1
# As many workers as there are processors, at most 4: the end-to-end tests start processes of their own. A file
# stays on one worker: what it has started, its tests share. (loadgroup has no effect with pytest 9.2: xdist 3.8
# writes a name that pytest no longer reads.)
WORKERS ?= --numprocesses=logical --maxprocesses=4 --dist=loadfile
# One resolution for all: requirements-dev.txt first, the others bound to it. No file names an index.
COMPILE = $(BIN)/uv pip compile --quiet --universal --generate-hashes --no-emit-index-url \
	--custom-compile-command "make requirements" $(ARGS) pyproject.toml

.DEFAULT_GOAL := help
.PHONY: help demo test web wheel check bench sim sim-night soak fuzz setup requirements clean .venv
MAKEFLAGS += --no-print-directory

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## /  make \1\t/p' Makefile | expand -t 22

demo: web ## cloud, edge and two simulated chargers on this machine, until Ctrl-C
	@$(BIN)/plugside-edge demo $(ARGS)

web: .venv ## build the app, if it has changed
	@$(BIN)/python -m tests.tools.webapp

wheel: web ## the wheel, with the built app inside, into dist/
	@$(BIN)/python -m hatchling build -t wheel

test: setup web ## every test; some of them: make test ARGS="tests/core -k meter"
	@$(BIN)/python -m pytest $(WORKERS) $(ARGS)

check: .venv ## format, lint, types (Python and TypeScript), import contracts
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports
	@$(BIN)/python -m tests.tools.webapp --check

bench: .venv ## the measured budgets, side by side with their floors
	@$(BIN)/python -m tests.bench $(ARGS)

sim: .venv ## live one seeded history of the simulated world: make sim SEED=7; many: ARGS="--seeds 1000"
	@$(BIN)/python -m tests.sim --seed $(SEED) $(ARGS)

soak: setup ## 200 kills of box and cloud while chargers charge; nothing lost, nothing doubled
	@$(BIN)/python -m tests.e2e.soak $(ARGS)

sim-night: .venv ## 50,000 histories on every processor (under an hour on two)
	@$(BIN)/python -m tests.sim --seeds 50000 --workers 0 $(ARGS)

fuzz: .venv ## look for bytes from a charger that break a law, guided by coverage: ARGS="--seconds 600"
	@$(BIN)/python -m tests.fuzz $(ARGS)

setup: .venv ## .venv, and what the tests need from the system and from npm
	@$(BIN)/python -m tests.needs

requirements: .venv ## write requirements*.txt from pyproject.toml (newest versions: ARGS=--upgrade)
	@$(COMPILE) --all-extras --group dev --output-file requirements-dev.txt
	@$(COMPILE) --constraint requirements-dev.txt --output-file requirements.txt
	@$(COMPILE) --constraint requirements-dev.txt --extra edge --output-file requirements-edge.txt
	@$(COMPILE) --constraint requirements-dev.txt --extra cloud --output-file requirements-cloud.txt

clean: ## remove everything that these targets made
	@rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache \
		tests/e2e/clients/node_modules common/web/node_modules common/web/dist build dist
	@find common edge cloud tests -name __pycache__ -prune -exec rm -rf {} +

# Not a file whose age make could tell: the bootstrap knows by its stamp whether there is work.
.venv:
	@$(INTERPRETER) tests/tools/bootstrap.py
