# `make app` opens the app; `make test` runs every test. Both first make the environment in .venv.
#
#   PYTHON=python3.12    the Python (3.11 or later) that .venv is made from; default: the first one found
#   PIP_ARGS='...'       handed to pip. On Linux the usual torch brings several GB of CUDA packages, which an NVIDIA card
#                        needs and nothing else does. Without such a card give pip the index of CPU builds that PyTorch's
#                        own installation page names: make app PIP_ARGS='--extra-index-url ADDRESS'
#   ARGS='...'           handed to the command of `app`, `train`, `verify`, `bench` (sweeps) and to pytest: make test ARGS='-k patch'
#   CHROMIUM=/path       the browser of the browser tests; default: chromium or Chrome as found
#
# Nothing is installed twice: a stamp in .venv is younger than the requirements file it stands for.

SHELL := /bin/sh
.SUFFIXES:
.DEFAULT_GOAL := help

VENV ?= .venv
PYTHON ?=
PIP_ARGS ?=
ARGS ?=
BIN := $(VENV)/bin
# In a terminal pip shows how far it is; elsewhere it says only what goes wrong.
QUIET := $(shell test -t 2 || echo -qq)
PIP := $(BIN)/python -m pip install --disable-pip-version-check $(QUIET) $(PIP_ARGS)
CHROMIUM ?= $(firstword $(wildcard /usr/bin/chromium) $(shell for name in chromium chromium-browser google-chrome \
	google-chrome-stable; do command -v "$$name"; done; true))

.PHONY: help venv app test check fmt train verify bench clean

help:
	@echo 'make app     open the app in a browser     make test    all tests'
	@echo 'make venv    only make the environment     make check   format, lint, types'
	@echo 'make fmt     format, mend what ruff can    make bench   the benchmarks'
	@echo 'make verify  evaluate the ivy models       make train   train the ivy models from nothing'
	@echo 'make clean   remove .venv and the caches of the tools (never cache/, which holds finished runs)'

venv: $(VENV)/.stamp-test

app: $(VENV)/.stamp-app
	$(BIN)/python -m ui $(ARGS)

check: $(VENV)/.stamp-test
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

fmt: $(VENV)/.stamp-test
	$(BIN)/ruff check --fix-only .
	$(BIN)/ruff format .

# Two files of tests at a time, each on one thread (threads of both on the same cores would wait for each other);
# `make test ARGS='-n 0 ...'` runs them one by one.
WORKERS := -n 2 --dist loadfile

# The one place that decides about the browser tests: run, left out in so many words, or an error in CI.
test: $(VENV)/.stamp-test
ifneq ($(CHROMIUM),)
	CHROMIUM='$(CHROMIUM)' OMP_NUM_THREADS=1 $(BIN)/python -m pytest $(WORKERS) $(ARGS)
else ifneq ($(CI),)
	@echo 'make test: no Chromium found, and CI never leaves the browser tests out. Install chromium, or set CHROMIUM.' >&2
	@exit 1
else
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest $(WORKERS) -m 'not browser' $(ARGS)
	@echo 'LEFT OUT: the browser tests, because no Chromium was found. Install chromium, or set CHROMIUM=/path/to/it.'
endif

train: $(VENV)/.stamp-train
	$(BIN)/python -m ivy train $(ARGS)

verify: $(VENV)/.stamp-app
	$(BIN)/python -m ivy verify $(ARGS)

bench: $(VENV)/.stamp-app
	$(BIN)/python -m benchmarks $(ARGS)
	$(BIN)/python -m benchmarks.behaviour
	$(BIN)/python -m benchmarks.geometry

clean:
	rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -not -path './.git/*' -prune -exec rm -rf {} +

# The environment, in steps.

$(VENV)/.stamp-made:
	@for python in $(or $(PYTHON),python3 python3.14 python3.13 python3.12 python3.11 python); do \
		if "$$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then \
			echo "Making $(VENV) with $$("$$python" --version) ($$python)"; \
			"$$python" -m venv $(VENV) && touch $@; exit; \
		fi; \
	done; \
	echo 'make: no Python 3.11 or later found ($(or $(PYTHON),python3)). Install one, or name it: make PYTHON=/path/to/python3.' >&2; \
	exit 1

$(VENV)/.stamp-app: requirements.txt constraints.txt $(VENV)/.stamp-made
	@if [ "$$(uname -s)" = Linux ] && [ -z "$(PIP_ARGS)$$PIP_EXTRA_INDEX_URL$$PIP_INDEX_URL$$PIP_FIND_LINKS" ] && \
		! command -v nvidia-smi >/dev/null 2>&1; then \
		echo 'No NVIDIA card found: the CPU build of torch would do and saves several GB; see PIP_ARGS in the Makefile.'; \
	fi
	@echo 'Installing requirements.txt (once; one to a few minutes)'
	$(PIP) -r requirements.txt
	@touch $@

$(VENV)/.stamp-test: requirements-test.txt requirements-train.txt $(VENV)/.stamp-app
	$(PIP) -r requirements-test.txt -r requirements-train.txt
	@touch $@

$(VENV)/.stamp-train: requirements-train.txt $(VENV)/.stamp-app
	$(PIP) -r requirements-train.txt
	@touch $@
