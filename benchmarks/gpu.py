"""python -m benchmarks.gpu [--minutes=8] [--data=FOLDER] [--peer=PYTHON]

Measures on one GPU, without a network, and writes gpu.json: a golden step held
against the CPU's, pieces of work beside sentence-transformers, and the
curriculum of configs/medquad.py with texts as long as the paper's. Each side is
a process of its own. What fails, or has no time left, is written down as that,
and the rest goes on. `benchmarks/gpu.sh` makes the environments.
"""

import argparse
import datetime
import importlib.metadata
import json
import os
import pathlib
import platform
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from typing import Any

import jax

from benchmarks import ours_gpu, run

RESULTS = pathlib.Path(__file__).with_name("gpu.json")
CACHE = "~/.cache/prod_jax/benchmarks/gpu"
REPO = pathlib.Path(__file__).parents[1]
PACKAGES = ("jax", "jax-cuda13-plugin", "nvidia-cudnn-cu13", "flax", "numpy")
PEERS = ("sentence-transformers", "torch", "transformers")
WORKS = ("distil", "encode", "rerank", "mine", "search")
# Relative, of loss and gradient norm.
APART = {"step": 1e-4, "step_bfloat16": 3e-2}
ON_CPU = {"JAX_PLATFORMS": "cpu"}
ON_GPU = {"JAX_PLATFORMS": "cuda"}
EXACT = {"JAX_DEFAULT_MATMUL_PRECISION": "highest"}  # no TF32
LONGEST = 90.0  # seconds of a side
LEAST = 10.0  # with fewer left nothing is begun


class Clock:
  """The time that is left.

  Args:
    seconds: in all.
  """

  def __init__(self, seconds: float):
    self._began, self._all = time.monotonic(), seconds

  def spent(self) -> float:
    """Seconds since it began."""
    return time.monotonic() - self._began

  def left(self) -> float:
    """Seconds that are left."""
    return self._all - self.spent()


class Sides:
  """Runs sides as processes, and says of each what it measured, or why not.

  Args:
    cache: what they read and leave.
    clock: of the whole script.
    peer: the interpreter that has sentence-transformers; "" is none.
  """

  def __init__(self, cache: pathlib.Path, clock: Clock, peer: str = ""):
    self._cache, self._clock, self._peer = cache, clock, peer

  def measure(
    self, name: str, environment: Mapping[str, str]
  ) -> dict[str, Any]:
    """What a side measured, or {"error": why it has not}."""
    is_peer = name.endswith("_peer")
    if is_peer and not self._peer:
      return {"error": "sentence-transformers is not there"}
    out = self._cache / "measured.json"
    out.unlink(missing_ok=True)
    error = self.call(
      [
        *(self._peer if is_peer else sys.executable, "-m"),
        "benchmarks.gpu_sides",
        *(f"--side={name}", f"--cache={self._cache}", f"--out={out}"),
      ],
      environment,
      LONGEST,
    )
    return {"error": error} if error else json.loads(out.read_text())

  def call(
    self,
    command: Sequence[str],
    environment: Mapping[str, str],
    longest: float,
  ) -> str:
    """Runs a command in the time that is left; why it failed, "" if not."""
    left = min(self._clock.left(), longest)
    if left < LEAST:
      return "no time was left"
    log = self._cache / "log.txt"
    with log.open("w", encoding="utf-8") as file:
      try:
        done = subprocess.run(
          command,
          stdout=file,
          stderr=file,
          cwd=REPO,
          env={**_inherited(), **environment},
          timeout=left,
        )
      except subprocess.TimeoutExpired:
        return f"took more than {left:.0f} s"
    if not done.returncode:
      return ""
    lines = log.read_text(encoding="utf-8").strip().splitlines()
    return lines[-1][:300] if lines else f"exit code {done.returncode}"


def _inherited() -> dict[str, str]:
  # Flags of the user's would be part of what is measured.
  kept = {k: v for k, v in os.environ.items() if k[:4] not in ("JAX_", "XLA_")}
  return {**kept, "HF_HUB_OFFLINE": "1", "PYTHONPATH": str(REPO)}


def parity(sides: Sides) -> dict[str, Any]:
  """Loss and gradient norm of a step on both, in both precisions."""
  found: dict[str, Any] = {}
  for name, apart in APART.items():
    cpu = sides.measure(name, ON_CPU)
    gpu = sides.measure(name, {**ON_GPU, **EXACT})
    found[name] = _held(cpu, gpu, apart)
  return found


def _held(
  cpu: Mapping[str, Any], gpu: Mapping[str, Any], apart: float
) -> dict[str, Any]:
  for one in (cpu, gpu):
    if "error" in one:
      return {"error": one["error"]}
  found = {"cpu": cpu["values"], "gpu": gpu["values"]}
  worst = max(
    abs(a - b) / abs(b) for a, b in zip(found["gpu"], found["cpu"], strict=True)
  )
  if not worst <= apart:
    found["error"] = f"{worst:.1e} apart, where {apart:.0e} is allowed"
  return {**found, "apart": worst}


def curriculum(
  sides: Sides, workdir: pathlib.Path, data: str, clock: Clock
) -> dict[str, Any]:
  """The whole of configs/medquad.py:gpu, as far as the time goes."""
  source = f"data.path={data}" if data else "data.name=pydocs"
  began = clock.spent()
  error = sides.call(
    [
      *(sys.executable, "-m", "prod_jax.main", f"--workdir={workdir}"),
      f"--config=configs/medquad.py:gpu,{source}",
    ],
    ON_GPU,
    clock.left() - LEAST,
  )
  found = {"data": data or "pydocs", "seconds": clock.spent() - began}
  found["stages"] = ours_gpu.measured_stages(workdir)
  return {**found, "error": error} if error else found


def card() -> dict[str, Any]:
  """What the GPU says of itself."""
  query = "name,memory.total,driver_version,compute_cap"
  done = subprocess.run(
    ["nvidia-smi", f"--query-gpu={query}", "--format=csv,noheader"],
    capture_output=True,
    text=True,
    check=True,
  )
  values = done.stdout.splitlines()[0].split(", ")
  keys = "name", "memory", "driver", "capability"
  return dict(zip(keys, values, strict=True))


def versions(peer: str) -> dict[str, str]:
  """Of what is measured."""
  found = {"python": platform.python_version()}
  found |= {name: importlib.metadata.version(name) for name in PACKAGES}
  if not peer:
    return found
  say = (
    "import importlib.metadata as m, json, sys; "
    "print(json.dumps({n: m.version(n) for n in sys.argv[1:]}))"
  )
  done = subprocess.run(
    [peer, "-c", say, *PEERS], capture_output=True, text=True, check=True
  )
  return found | json.loads(done.stdout)


def measured(
  cache: pathlib.Path, data: str, sizes: ours_gpu.Sizes, sides: Sides
) -> dict[str, Any]:
  """Everything but the curriculum."""
  ours_gpu.prepare(cache, data, sizes)
  found = {
    "sizes": sizes._asdict(),
    "parity": parity(sides),
    "works": {"peak": {"ours": sides.measure("peak", ON_GPU)}},
  }
  for work in WORKS:
    found["works"][work] = {
      side: sides.measure(f"{work}_{side}", ON_GPU) for side in ("ours", "peer")
    }
  return found


def main() -> None:
  """The command."""
  parser = argparse.ArgumentParser()
  parser.add_argument("--minutes", type=float, default=8.0)
  parser.add_argument("--data", default="", help="folder in MS MARCO layout")
  parser.add_argument("--peer", default="", help="Python with its packages")
  parser.add_argument("--cache", default=CACHE)
  args = parser.parse_args()
  clock = Clock(60 * args.minutes)
  about = {"device": card(), "versions": versions(args.peer)}
  # This process prepares, and leaves the card to those that it starts.
  jax.config.update("jax_platforms", "cpu")
  cache = pathlib.Path(args.cache).expanduser()
  data = str(pathlib.Path(args.data).resolve()) if args.data else ""
  sides = Sides(cache, clock, args.peer)
  found = measured(cache, data, ours_gpu.Sizes(), sides)
  found["curriculum"] = curriculum(sides, cache / "curriculum", data, clock)
  about |= {
    "day": datetime.date.today().isoformat(),
    "commit": run.commit(),
    "seconds": clock.spent(),
  }
  RESULTS.write_text(json.dumps({**about, **found}, indent=1) + "\n")


if __name__ == "__main__":
  main()
