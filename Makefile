# Every target sets up what it needs, into .venv.
PYTHON ?= python3
VENV ?= .venv
# What is installed, as pip takes it; the image asks for less (deploy/docker/Dockerfile).
INSTALL ?= -e .[dev]
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.PHONY: install demo docs test test-faults soak bench lint types clean
.DEFAULT_GOAL := install

install: $(STAMP)

$(STAMP): pyproject.toml deploy/constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	    { echo "stemscale needs Python 3.11 or newer: make $(MAKECMDGOALS) PYTHON=python3.x"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c deploy/constraints.txt $(INSTALL)
	@touch $@

demo: install
	$(BIN)/stemscale demo demo

# Into docs/_build/html, from the start each time: what is not read again cannot warn. The notebook
# in it is run; it takes a minute.
docs: install
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c deploy/constraints.txt -e '.[docs]'
	$(BIN)/python -m sphinx -b html -E -W --keep-going -n --quiet docs docs/_build/html

test: install
	$(BIN)/python -m pytest

test-faults: install
	$(BIN)/python -m pytest tests/faults --long -v

# Runs under random faults, each compared with an undisturbed one
MINUTES ?= 30
soak: install
	$(BIN)/python tests/faults/soak.py --minutes $(MINUTES)

# All of them take hours; one: make bench BENCH=rerun
BENCH ?= *
bench: install
	@for file in tests/benchmarks/bench_$(BENCH).py; do \
	    echo "== $$file"; $(BIN)/python $$file || exit 1; \
	done

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports

types: install
	$(BIN)/mypy

clean:
	rm -rf $(VENV) demo build dist docs/_build *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
