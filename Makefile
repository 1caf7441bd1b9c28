# Every target sets up what it needs, into .venv.
PYTHON ?= python3
VENV ?= .venv
# What is installed, as pip takes it; the image asks for less (deploy/docker/Dockerfile).
INSTALL ?= -e .[dev]
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.PHONY: install demo front-picture docs test coverage test-faults soak mutate bench lint types clean
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

# The picture of README.md, anew: 1.5 minutes on two cores. The filter has seen neither this specimen
# nor this microscope; the seed was chosen for a view with many kinds of lines.
front-picture: install
	rm -rf front
	$(BIN)/stemscale simulate front/microscope --fovs 1 --seed 5
	$(BIN)/stemscale ingest front/run.zarr --manifest front/microscope/fovs.csv
	$(BIN)/stemscale calibrate front/run.zarr
	$(BIN)/stemscale process front/run.zarr --filter dcfi
	$(BIN)/stemscale process front/run.zarr --filter standard
	$(BIN)/stemscale summarize front/run.zarr --truth front/microscope/truth.zarr
	$(BIN)/stemscale report front/run.zarr --picture docs/before-after.png

# Into docs/_build/html, from the start each time: what is not read again cannot warn. The notebook
# in it is run; it takes a minute.
docs: install
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c deploy/constraints.txt -e '.[docs]'
	$(BIN)/python -m sphinx -b html -E -W --keep-going -n --quiet docs docs/_build/html

test: install
	$(BIN)/python -m pytest

# Which lines and branches the tests run, in worker processes too; less than 90 % is an error. What is
# left out stands in pyproject.toml.
coverage: install
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c deploy/constraints.txt 'coverage>=7.10'
	rm -rf .coverage
	$(BIN)/coverage run -m pytest
	$(BIN)/coverage combine --quiet
	$(BIN)/coverage report

test-faults: install
	$(BIN)/python -m pytest tests/faults --long -v

# Runs under random faults, each compared with an undisturbed one
MINUTES ?= 30
soak: install
	$(BIN)/python tests/faults/soak.py --minutes $(MINUTES)

# Changes one thing of a room at a time, and tells which changes no test notices: hours for a room.
# A module: make mutate ROOM=quality.psnr; then .venv/bin/mutmut show NAME shows a change.
ROOM ?= quality
mutate: install
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c deploy/constraints.txt 'mutmut>=3.8'
	$(BIN)/mutmut run --max-children 1 'stemscale.$(ROOM).*'
	$(BIN)/mutmut results

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
	rm -rf $(VENV) .coverage demo front mutants build dist docs/_build *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
