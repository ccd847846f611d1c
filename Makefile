# make demo    the main job on real photographs, in its own virtual environment
# make test    every test        make check   format, lint, types
# make bench   speeds beside rivals               make gpu HOURS=2   all that waits for a GPU, resumable
# make clean   removes what the above made, the environment too

PYTHON ?= $(shell for p in python3 python3.14 python3.13 python3.12 python3.11; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
VENV ?= .venv
DEMO ?= demo
HOURS ?= 1
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --disable-pip-version-check -c constraints.txt

.PHONY: demo test check bench gpu clean

demo: $(VENV)/.demo
	$(BIN)/python examples/solar_cells.py $(DEMO)/cells
	$(BIN)/alexnet prepare $(DEMO)/cells $(DEMO)/prepared --holdout 0.1 --size 230
	$(BIN)/alexnet train demo --data $(DEMO)/prepared --run $(DEMO)/run
	$(BIN)/alexnet evaluate $(DEMO)/run --data $(DEMO)/prepared --split test
	$(BIN)/alexnet evaluate $(DEMO)/run --data $(DEMO)/prepared --split test --views ten
	$(BIN)/alexnet predict $(DEMO)/run $$(ls $(DEMO)/cells/test/*/*.png | awk 'NR % 131 == 1')
	@$(BIN)/python examples/solar_cells.py --published
	@echo 'The report, with curves, kernels and predictions: $(DEMO)/run/report.html'

test: $(VENV)/.dev
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -n auto --maxprocesses 8

check: $(VENV)/.dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

bench: $(VENV)/.dev
	$(BIN)/python benchmarks/step.py
	$(BIN)/python benchmarks/loader.py
	$(BIN)/python benchmarks/features.py
	$(BIN)/python benchmarks/neighbours.py
	$(BIN)/python benchmarks/serve.py

gpu: $(VENV)/.dev
	$(BIN)/python benchmarks/gpu.py --hours $(HOURS) --out results/gpu

clean:
	rm -rf $(VENV) $(DEMO) build dist *.egg-info .pytest_cache .ruff_cache .mypy_cache .hypothesis
	find alexnet tests benchmarks examples -name __pycache__ -prune -exec rm -rf {} +

# pip runs again only when what is asked of it has changed.
$(VENV)/.demo: $(BIN)/python pyproject.toml constraints.txt
	$(PIP) -e '.[demo]'
	@touch $@

$(VENV)/.dev: $(BIN)/python pyproject.toml constraints.txt
	$(PIP) -e '.[all,dev]'
	@touch $@

$(BIN)/python:
	@test -n "$(PYTHON)" || { echo 'Python 3.11 or newer was not found; install it, or name it: make PYTHON=/path/to/python3.11' >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
		echo '$(PYTHON) cannot make virtual environments; on Debian and Ubuntu: sudo apt install python3-venv' >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
