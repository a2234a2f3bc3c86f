# Every target but help makes .venv first; a second run finds it ready. PYTHON=python3.12 chooses the interpreter.
SHELL := /bin/sh
MAKEFLAGS += --no-print-directory
PYTHON ?= python3
RUN := .venv/bin/python
JOBS ?= 2

.DEFAULT_GOAL := help
.PHONY: help venv demo test check bench generated clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' Makefile

venv: ## the virtual environment .venv
	@command -v "$(PYTHON)" >/dev/null 2>&1 || { \
	  echo "There is no interpreter named $(PYTHON). Install Python 3.11 or newer, or name one: PYTHON=python3.12 make ..." >&2; \
	  exit 1; }
	@"$(PYTHON)" tools/setup_venv.py

demo: venv ## build a rule, then train a small network with three of them
	@$(RUN) examples/demo.py

test: venv ## the whole test suite
	@$(RUN) -m pytest -n $(JOBS)

check: venv ## format, lint, strict types and the fast tests
	@$(RUN) -m ruff format --check .
	@$(RUN) -m ruff check .
	@$(RUN) -m basedpyright
	@$(RUN) -m pytest -n $(JOBS) -q -m "not slow"

bench: venv ## the measurements in benchmarks/
	@$(RUN) benchmarks/run.py

generated: venv ## write generated/ and docs/rules/ anew from specs/
	@$(RUN) tools/regenerate.py
	@$(RUN) tools/rule_pages.py

clean: ## remove .venv, build outputs and caches
	@rm -rf .venv build dist optgen_out .pytest_cache .ruff_cache .hypothesis
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
