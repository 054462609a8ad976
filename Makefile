# Every target sets up the environment by itself: `make test` on a fresh clone is enough.
# VENV=path puts the environment elsewhere, PYTHON=python3.12 picks the interpreter,
# JOBS=n the number of test processes.

PYTHON ?= python3
VENV ?= .venv
JOBS ?= 2
BIN = $(VENV)/bin
BENCHMARKS = encode window_reading views memory near_duplicates kmer_baseline batch_size embed variants search step finetune allocation lengths strengths
READY = $(VENV)/.ready

export MPLBACKEND = Agg

.DEFAULT_GOAL := help
.PHONY: help setup demo test test-lowest check format bench gpu gpu-train gpu-evaluate clean

help:
	@echo "make setup         the environment in $(VENV) (the other targets call it)"
	@echo "make demo          genome -> pretrained model -> task -> predictions, one table, minutes"
	@echo "make test          all tests"
	@echo "make test-lowest   the same with the oldest versions that pyproject.toml admits (3 GB to download)"
	@echo "make check         format, lint, types, import order"
	@echo "make format        rewrite files in the project's format"
	@echo "make bench         speed and memory, each as a ratio against a limit"
	@echo "make gpu           GPU tests and GPU benchmarks, results in build/gpu.txt"
	@echo "make gpu-train     train the models to ship, nine minutes a call; goes on where it stopped"
	@echo "make gpu-evaluate  the full GUE table in pieces of nine minutes: MODELS='base=runs/base' DATA=folder"
	@echo "make clean         remove the environment, caches and what the demo wrote"

setup: $(READY)

$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "findna needs Python 3.11 or newer; '$(PYTHON)' is not. Try: make PYTHON=python3.12" >&2; \
	  exit 1; }
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || { \
	  $(PYTHON) -c 'import ensurepip' 2>/dev/null && $(PYTHON) -m venv $(VENV); } || { \
	  echo "no virtual environment could be made; on Debian and Ubuntu: apt install python3-venv" >&2; \
	  exit 1; }
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $@

demo: $(READY)
	$(BIN)/python examples/demo.py build/demo --overwrite

test: $(READY)
	$(BIN)/python -m pytest -q -n $(JOBS) --dist loadfile

test-lowest:
	$(PYTHON) -m venv $(VENV)-lowest
	$(PYTHON) tests/support/lowest.py > $(VENV)-lowest/constraints.txt
	$(VENV)-lowest/bin/python -m pip install --quiet --disable-pip-version-check \
	  -c $(VENV)-lowest/constraints.txt -e '.[all]' setuptools pytest pytest-xdist hypothesis
	$(VENV)-lowest/bin/python -m pytest -q -n $(JOBS) --dist loadfile -o filterwarnings=ignore

check: $(READY)
	$(BIN)/python -m ruff format --check .
	$(BIN)/python -m ruff check .
	$(BIN)/python -m mypy
	$(BIN)/python -m pytest -q tests/test_imports.py

format: $(READY)
	$(BIN)/python -m ruff format .
	$(BIN)/python -m ruff check --fix .

bench: $(READY)
	@set -e; for name in $(BENCHMARKS); do \
	  echo "== benchmarks/$$name.py"; $(BIN)/python benchmarks/$$name.py; done

# Named, so that what others import need not be there.
GPU_TESTS = $(shell grep -rl 'mark\.gpu' tests --include='test_*.py')

gpu: $(READY)
	@if $(BIN)/python -c 'import sys, torch; sys.exit(not torch.cuda.is_available())'; then \
	  mkdir -p build && set -o pipefail && { failed=0; \
	    $(BIN)/python -m pytest -q -m gpu -o filterwarnings=default $(GPU_TESTS) || failed=1; \
	    $(BIN)/python benchmarks/views.py --device cuda || failed=1; \
	    $(BIN)/python benchmarks/gpu.py -o build/gpu.json || failed=1; exit $$failed; } 2>&1 | tee build/gpu.txt; \
	else \
	  echo "make gpu: PyTorch sees no CUDA device here, so no GPU test and no GPU benchmark was run."; \
	fi

# Folder with the genomes and the suite's data.
DATA ?= ../shared/data

gpu-train: $(READY)
	@if $(BIN)/python -c 'import sys, torch; sys.exit(not torch.cuda.is_available())'; then \
	  $(BIN)/python benchmarks/train_models.py --data $(DATA) --budget 9m --device cuda; \
	else \
	  echo "make gpu-train: PyTorch sees no CUDA device here, so no model was trained."; \
	fi

# The models of the full table, NAME=FOLDER each.
TRAINED = $(patsubst %/model/config.json,%,$(wildcard runs/models/findna-human-*/model/config.json))
MODELS ?= $(foreach run,$(TRAINED),$(notdir $(run))=$(run))

gpu-evaluate: $(READY)
	@test -n "$(MODELS)" || { \
	  echo "no model to evaluate: make gpu-train first, or make gpu-evaluate MODELS='base=FOLDER'" >&2; \
	  exit 1; }
	$(BIN)/python benchmarks/gue.py full $(foreach m,$(MODELS),-m $(m)) --data $(DATA) \
	  --budget 9m --publish docs/results/gue

SHELL = /bin/bash

clean:
	rm -rf $(VENV) $(VENV)-lowest build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find src tests examples benchmarks -name __pycache__ -type d -prune -exec rm -rf {} +
