# The two commands of a newcomer are `make demo` and `make test`; both install first if needed.
PYTHON ?= python3
BIN := .venv/bin
INSTALLED := .venv/.installed
REFEREE := .venv-referee/.installed
ADAPTERS := .venv-adapters/.installed

.PHONY: help install demo test lint types unit referee test-adapters smoke clean

help:
	@echo "make install   a .venv with grokscope and its tools (pip, pinned constraints)"
	@echo "make demo      trains modular addition from memorisation to generalisation and prints its report's path"
	@echo "make test      lint, types and tests"
	@echo "make referee   our measures against the field's own libraries, in a .venv-referee of their own"
	@echo "make test-adapters   callbacks and sinks against the real trainers and trackers, in a .venv-adapters of their own"
	@echo "make smoke     every experiment at smoke scale (one of the cells of a sweep), in one process"

install: $(INSTALLED)

$(INSTALLED): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "grokscope needs Python 3.11 or newer: call make with PYTHON=/path/to/python3.11"; exit 1; }
	$(PYTHON) -m venv .venv
	PIP_CONSTRAINT=constraints.txt $(BIN)/python -m pip install --quiet --disable-pip-version-check -e ".[dev]"
	@touch $@

demo: $(INSTALLED)
	$(BIN)/grokscope run nanda2023/modular-addition --scale cpu --seed 1

test: lint types unit

lint: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(INSTALLED)
	$(BIN)/basedpyright --warnings

unit: $(INSTALLED)
	$(BIN)/pytest -n 2

referee: $(REFEREE)
	OMP_NUM_THREADS=1 .venv-referee/bin/pytest -m referee tests/referee

$(REFEREE): pyproject.toml constraints.txt constraints-referee.txt
	$(PYTHON) -m venv .venv-referee
	PIP_CONSTRAINT="constraints.txt constraints-referee.txt" \
	  .venv-referee/bin/python -m pip install --quiet --disable-pip-version-check -e ".[referee]"
	@touch $@

test-adapters: $(ADAPTERS)
	OMP_NUM_THREADS=1 .venv-adapters/bin/pytest -m adapters tests/adapters

$(ADAPTERS): pyproject.toml constraints-adapters.txt
	$(PYTHON) -m venv .venv-adapters
	PIP_CONSTRAINT=constraints-adapters.txt \
	  .venv-adapters/bin/python -m pip install --quiet --disable-pip-version-check -e ".[adapters]"
	@touch $@

smoke: $(INSTALLED)
	$(BIN)/grokscope reproduce --scale smoke --seeds 1 --fresh --out .cache/smoke

clean:
	rm -rf .venv .venv-referee .venv-adapters .cache .pytest_cache .ruff_cache
