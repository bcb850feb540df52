#!/usr/bin/env bash
# install.sh VENV: a Python environment for TPUs and buckets, from
# requirements.lock and the extras tpu and gcs of setup.py. TPU VMs, the
# container and SkyPilot use it.
# Does nothing where VENV was made from the same two files.
set -euo pipefail
venv=$(realpath -m "$1")
cd "$(dirname "${BASH_SOURCE[0]}")/.."

made_from=$(cat requirements.lock setup.py | sha256sum)
if [[ -e $venv/made_from && $(<"$venv/made_from") == "$made_from" ]]; then
  exit
fi

if python3 -c 'import ensurepip, sys
sys.exit(not (3, 11) <= sys.version_info < (3, 14))'; then
  python3 -m venv --clear "$venv"
else # TPU VM images of Ubuntu 22.04 have Python 3.10.
  python3 -m pip install --quiet --user uv==0.13.8
  python3 -m uv venv --quiet --seed --clear --python 3.12 "$venv"
fi

install=("$venv/bin/python" -m pip install --quiet)
"${install[@]}" --no-deps --require-hashes -r requirements.lock
# What the extras need besides is not in the lock, and has no digests there.
"${install[@]}" --no-build-isolation -e ".[tpu,gcs]" \
  -c <(sed -n 's|^\([^ #].*==.*[^ \\]\).*|\1|p' requirements.lock)
echo "$made_from" >"$venv/made_from"
