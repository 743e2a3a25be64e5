# Everything that the course can do, one word each. `make` alone lists the words.
# Needs Python 3.11 to 3.13 and nothing else: PYTHON=python3.12 make book picks another one.
PYTHON ?= python3
VENV := .venv
REFERENCE := .venv-reference
ALL := .venv-all
BIN := $(VENV)/bin
CONSTRAINTS := -c constraints.txt
# One thread a process: the checks run two processes beside each other.
ONE_THREAD := OMP_NUM_THREADS=1 TF_NUM_INTRAOP_THREADS=1 TF_NUM_INTEROP_THREADS=1
QUIET := TF_CPP_MIN_LOG_LEVEL=3
NOTEBOOKS := $(sort $(wildcard notebooks/[0-9]*.ipynb))
NEEDY = $(shell grep -l '"needs": \[$$' $(NOTEBOOKS))
PYTEST := $(QUIET) $(ONE_THREAD) $(BIN)/python -m pytest

.DEFAULT_GOAL := help
.PHONY: help book lab test test-reference lint unit notebooks site strict-book claims measure measure-backends stamp mutants kills benchmarks \
	constraints clean

help:  ## list these words
	@sed -n 's/^\([a-z-]*\):.*## /  make \1\t/p' $(MAKEFILE_LIST) | expand -t 26

book: $(VENV)/ready  ## build the site into _build/html
	$(BIN)/jupyter-book build .
	@echo; echo "The site is built: open $(CURDIR)/_build/html/index.html"

lab: $(VENV)/ready  ## start JupyterLab in the notebooks folder
	cd notebooks && ../$(BIN)/jupyter lab

test: lint unit notebooks site  ## the whole check: style, types, units, every notebook, the site in a browser
	@echo "== make test: all checks passed"

lint: $(VENV)/ready  ## style, types and docstrings
	@echo "== style (ruff), types (mypy)"
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

unit: $(VENV)/ready  ## the package, its doctests and the project's own files
	@echo "== unit tests and doctests"
	$(PYTEST) -n 2 -m "not notebook and not browser and not reference"

notebooks: $(VENV)/ready  ## every notebook: nbval, lint, budgets, another seed, definitions, solutions
	@echo "== notebooks: the stored outputs hold (nbval)"
	COURSE_SCALE=laptop COURSE_SEED=0 $(PYTEST) -n 2 --dist loadscope --nbval-lax --nbval-current-env \
		--nbval-cell-timeout 120 $(NOTEBOOKS)
	@echo "== notebooks: another seed, definitions, solutions"
	$(PYTEST) -n 2 -m "notebook and not timed" tests/notebooks
	@echo "== notebooks: time and memory, one chapter at a time"
	$(PYTEST) -m timed tests/notebooks

strict-book: $(VENV)/ready  ## build the site with every warning an error
	@echo "== the book, warnings as errors"
	$(BIN)/jupyter-book build . -W -n --keep-going

site: strict-book  ## the built site in a headless browser
	@echo "== the site in a browser"
	$(PYTEST) -m browser tests/book

test-reference: $(REFERENCE)/ready  ## compare with PyTorch, JAX and optax, in an environment of their own
	@echo "== peers: torch, jax, optax, keras on their backends"
	$(QUIET) $(ONE_THREAD) $(REFERENCE)/bin/python -m pytest -n 2 --dist loadfile -m reference tests/reference

claims: $(VENV)/ready  ## re-run every chapter under several seeds and table the margins (SEEDS="0 1 2", NB=...)
	@mkdir -p _build
	$(QUIET) $(ONE_THREAD) $(BIN)/python tests/notebooks/claims.py --seeds $(or $(SEEDS),0 1 2 3 4) \
		--output _build/claims.md $(or $(NB),$(NOTEBOOKS))

measure: $(VENV)/ready  ## run chapters on a quiet machine, store outputs and the measured header (NB=notebooks/... for one)
	$(BIN)/python tests/notebooks/measure.py $(or $(NB),$(filter-out $(NEEDY),$(NOTEBOOKS)))

measure-backends: $(ALL)/ready  ## the same for chapters whose outputs need the peers (course.needs)
	$(ALL)/bin/python tests/notebooks/measure.py $(or $(NB),$(NEEDY))

stamp: $(VENV)/ready  ## write the course's address (_config.yml) into every chapter's first cell
	$(BIN)/python tests/notebooks/stamp.py $(NOTEBOOKS)

mutants: $(VENV)/ready  ## break each rule once: the tests must notice
	$(ONE_THREAD) $(BIN)/python tests/mutants

kills: $(VENV)/ready  ## kill training runs fifty times at any moment: they must end with the weights of a run never stopped
	$(QUIET) $(ONE_THREAD) $(BIN)/python tests/training/kills.py --kills 50

benchmarks: $(REFERENCE)/ready  ## speed against Keras, torch and others; the tables that book/results.md shows (ONLY="vision bert")
	@mkdir -p _build benchmarks/results
	@for name in $(or $(ONLY),$(basename $(notdir $(wildcard benchmarks/[a-z]*.py)))); do echo "== $$name"; \
		$(QUIET) $(REFERENCE)/bin/python benchmarks/$$name.py > _build/$$name.md && mv _build/$$name.md benchmarks/results/ \
		|| exit 1; done

constraints: $(VENV)/ready $(REFERENCE)/ready  ## write constraints.txt from what is installed
	@{ sed -n '/^#/p' constraints.txt; \
	{ $(BIN)/pip freeze --exclude-editable; $(REFERENCE)/bin/pip freeze --exclude-editable; } \
	| grep == | sed 's/+cpu//' | awk -F== '!seen[tolower($$1)]++' | sort -f; } > constraints.new
	@mv constraints.new constraints.txt

clean:  ## remove what was built, not the environments
	rm -rf _build .pytest_cache .mypy_cache .ruff_cache .hypothesis

$(VENV)/ready: pyproject.toml constraints.txt
	@echo "== installing the course into $(VENV)"
	$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13) and "The course needs Python 3.11 to 3.13; this is " + sys.version.split()[0] + ". Try: make PYTHON=python3.12 " )'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -q --disable-pip-version-check $(CONSTRAINTS) -e '.[dev]'
	@touch $@

# torch alone first: here its CPU build is at hand for Python 3.11, and another package's need would fetch CUDA.
$(REFERENCE)/ready: pyproject.toml constraints.txt
	@echo "== installing the peers into $(REFERENCE)"
	$(PYTHON) -m venv $(REFERENCE)
	$(REFERENCE)/bin/python -m pip install -q --disable-pip-version-check $(CONSTRAINTS) torch
	$(REFERENCE)/bin/python -m pip install -q --disable-pip-version-check $(CONSTRAINTS) -e '.[reference]' \
		pytest pytest-xdist hypothesis scipy
	@touch $@

# What chapters show where it is installed: the course with all three of Keras' backends.
$(ALL)/ready: pyproject.toml constraints.txt
	@echo "== installing the course and the peers into $(ALL)"
	$(PYTHON) -m venv $(ALL)
	$(ALL)/bin/python -m pip install -q --disable-pip-version-check $(CONSTRAINTS) torch
	$(ALL)/bin/python -m pip install -q --disable-pip-version-check $(CONSTRAINTS) -e '.[dev,reference]'
	@touch $@
