# make quickstart   the whole curriculum on real text, into runs/quickstart
# make test         the tests
# make lint         format and lint checks
# Each makes .venv first, from the versions in requirements.lock.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/ready

.PHONY: quickstart test lint format clean

$(READY): requirements.lock setup.py
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "prod_jax needs Python 3.11 or newer; try make PYTHON=python3.11"; \
	    exit 1; }
	$(PYTHON) -m venv --clear $(VENV)
	$(BIN)/pip install --quiet --no-deps -r requirements.lock
	$(BIN)/pip install --quiet --no-deps --no-build-isolation -e .
	touch $@

quickstart: $(READY)
	JAX_PLATFORMS=cpu $(BIN)/python -m prod_jax.main \
	  --config=configs/quickstart.py --workdir=runs/quickstart

test: $(READY)
	JAX_PLATFORMS=cpu $(BIN)/python -m pytest -n 2 --dist loadfile

lint: $(READY)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

format: $(READY)
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

clean:
	rm -rf $(VENV) runs build *.egg-info
