# `make` lists the targets. Everything that is built lies in .cache, and nothing is rebuilt without need.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.NOTPARALLEL:
.DELETE_ON_ERROR:

PYTHON ?= python3
VENV := .cache/venv
RUNTIME := .cache/runtime
MODEL := .cache/tiny-model
BIN := $(VENV)/bin
export PYTHON
export DSR1_STATE_DIR ?= $(CURDIR)/.cache/state

.PHONY: help venv runtime model demo lint check docs test bench clean

help: ## This list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  %-9s %s\n", $$1, $$2 }' Makefile

venv: $(VENV)/.stamp ## The development environment, .cache/venv

$(VENV)/.stamp: pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	touch $@

runtime: ## Real vLLM (CPU) and Dynamo for tests and the demo, .cache/runtime (minutes, 2.8 GB, once)
	@bash tests/runtime/build.sh $(RUNTIME)

model: $(MODEL)/.stamp ## A random 3.6 MB model of DeepSeek-V3's architecture, .cache/tiny-model

$(MODEL)/.stamp: tests/runtime/make_model.py | runtime
	$(RUNTIME)/bin/python tests/runtime/make_model.py $(MODEL)
	touch $@

demo: venv model ## Launch the tiny recipe, ask it something, stop it
	@PATH="$(CURDIR)/$(BIN):$$PATH" bash tests/runtime/demo.sh $(RUNTIME) $(MODEL)

lint: venv
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --cache-dir .cache/import_linter

check: lint ## Linters, types, import contracts, unit tests: before every commit
	$(BIN)/pytest tests/unit -q -n 2 --timeout 60

docs: venv ## The site, .cache/site/index.html; a warning is an error
	NO_MKDOCS_2_WARNING=true $(BIN)/mkdocs build --quiet --strict

test: lint model docs ## Everything, from an empty .cache too
	$(BIN)/pytest tests -q --timeout 600 -n 2 --dist loadgroup

bench: venv model ## Measure, and print a table
	$(BIN)/python bench/run.py

clean: ## Remove what was built
	rm -rf .cache dist
