# One target per thing you would type. `make demo` and `make test` work on a fresh clone.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt

.PHONY: demo test lint bench soak clients wheel clean

demo: $(VENV)/installed
	@$(BIN)/redraft demo

test: $(VENV)/installed-dev
	OMP_NUM_THREADS=1 $(BIN)/pytest -n auto

lint: $(VENV)/installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright

bench: $(VENV)/installed-dev
	$(BIN)/redraft bench

soak: $(VENV)/installed
	$(BIN)/python scripts/soak

clients: $(VENV)/installed-dev
	scripts/clients/run

wheel: $(VENV)/installed-dev
	rm -rf dist
	$(BIN)/python -m build --wheel --no-isolation

# torch first and alone: the constraints file picks the CPU build, and what follows then finds it installed.
$(VENV)/installed: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(PIP) torch
	$(PIP) -e .
	touch $@

$(VENV)/installed-dev: $(VENV)/installed
	$(PIP) -e '.[dev,train,native]'
	touch $@

clean:
	rm -rf $(VENV) dist build
