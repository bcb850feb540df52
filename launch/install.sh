#!/usr/bin/env bash
# install.sh VENV: a Python environment for TPUs, from requirements.lock and
# the libtpu that setup.py names. TPU VMs, the container and SkyPilot use it.
# Does nothing where VENV was made from the same two files.
set -euo pipefail
venv=$(realpath -m "$1")
cd "$(dirname "${BASH_SOURCE[0]}")/.."

made_from=$(cat requirements.lock setup.py | sha256sum)
if [[ -e $venv/made_from && $(<"$venv/made_from") == "$made_from" ]]; then
  exit
fi

if python3 -c 'import ensurepip, sys; sys.exit(sys.version_info < (3, 11))'; then
  python3 -m venv --clear "$venv"
else # TPU VM images of Ubuntu 22.04 have Python 3.10.
  python3 -m pip install --quiet --user uv==0.13.8
  python3 -m uv venv --quiet --seed --clear --python 3.12 "$venv"
fi

install=("$venv/bin/python" -m pip install --quiet --no-deps)
"${install[@]}" -r requirements.lock
"${install[@]}" --no-build-isolation -e .
libtpu=$("$venv/bin/python" -c '
import importlib.metadata
for line in importlib.metadata.requires("prod_jax"):
  name, _, extra = line.partition(";")
  if "tpu" in extra:
    print(name)
')
"${install[@]}" "$libtpu"
echo "$made_from" >"$venv/made_from"
