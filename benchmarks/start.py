"""From the start of a process to its first training step.

`python -m prod_jax.main` with the config below: one stage, one step of six
layers. Data and tokens are there. Cold, nothing is compiled; warm, the
compilation cache is that of the run before. The clock stops when the metrics
of the step are on the disk.
"""

import os
import pathlib
import re
import shutil
import subprocess
import sys
import time
from typing import Any

from ml_collections import ConfigDict

from benchmarks import side, texts

FOLDER = "run-start"
COMPILED = "compiled"
STEP = "first"
_KEPT = ("data", "tokens", COMPILED)
_WAIT = 0.02
# What JAX says with JAX_LOG_COMPILES.
_TOOK = {
  "trace": re.compile(r"Finished tracing .* in ([\d.e-]+) sec"),
  "lower": re.compile(r"Finished jaxpr to MLIR .* in ([\d.e-]+) sec"),
  "compile": re.compile(r"Finished XLA compilation of .* in ([\d.e-]+) sec"),
}


def get_config() -> ConfigDict:
  """One step of the packaged encoder, learning from labels."""
  config = ConfigDict(sort_keys=False)
  config.seed = texts.SEED
  config.data = dict(
    name="folder",
    path="",
    query_length=texts.QUERY_LENGTH,
    passage_length=texts.PASSAGE_LENGTH,
  )
  config.mesh = dict(data=-1, fsdp=1, tensor=1)
  config.models = dict(
    dual=dict(
      kind="dual",
      weights="packaged",
      pooling="mean",
      similarity="cosine",
      scale=side.SCALE,
      dropout=0.0,
    )
  )
  stage = dict(
    kind="train",
    model="dual",
    method="contrastive",
    batch_size=8,
    steps=1,
    learning_rate=side.RATE,
    log_every=1,
  )
  config.stages = ConfigDict({STEP: stage}, sort_keys=False)
  return config


def cold(cache: pathlib.Path) -> dict[str, Any]:
  """Nothing is compiled yet."""
  if not (cache / FOLDER / "tokens").exists():
    _first_step(cache)  # prepares the data
  shutil.rmtree(cache / FOLDER / COMPILED, ignore_errors=True)
  return _first_step(cache)


def warm(cache: pathlib.Path) -> dict[str, Any]:
  """The same run has been there before."""
  return _first_step(cache)


def imports(cache: pathlib.Path) -> dict[str, Any]:
  """The same process, which ends behind its imports."""
  del cache
  command = [
    sys.executable,
    "-c",
    "import prod_jax.main, prod_jax.stages.train",
  ]
  return {
    "seconds": side.seconds_of(
      lambda: subprocess.run(command, check=True, env=_environment())
    )
  }


def _environment(**more: str) -> dict[str, str]:
  """This one, where modules are kept as bytecode, as Python does by itself."""
  unwanted = "PYTHONDONTWRITEBYTECODE"
  kept = {name: x for name, x in os.environ.items() if name != unwanted}
  return {**kept, **more}


def _first_step(cache: pathlib.Path) -> dict[str, Any]:
  workdir = cache / FOLDER
  workdir.mkdir(exist_ok=True)
  for path in workdir.iterdir():
    if path.name not in _KEPT:
      shutil.rmtree(path) if path.is_dir() else path.unlink()
  command = [
    sys.executable,
    "-m",
    "prod_jax.main",
    f"--config={__file__}",
    f"--config.data.path={cache / 'few'}",
    f"--workdir={workdir}",
  ]
  log = cache / "start.log"
  with open(log, "w", encoding="utf-8") as file:
    began = time.perf_counter()
    process = subprocess.Popen(
      command,
      stdout=file,
      stderr=file,
      env=_environment(
        JAX_LOG_COMPILES="1",
        JAX_COMPILATION_CACHE_DIR=str(workdir / COMPILED),
      ),
    )
    while not _stepped(workdir) and process.poll() is None:
      time.sleep(_WAIT)
    seconds = time.perf_counter() - began
    if process.wait():
      raise RuntimeError(f"the run has failed, see {log}")
  said = log.read_text(encoding="utf-8")
  parts = {
    name: sum(map(float, pattern.findall(said))) / seconds
    for name, pattern in _TOOK.items()
  }
  return {
    "seconds": seconds,
    "profile": {**parts, "rest": 1 - sum(parts.values())},
  }


def _stepped(workdir: pathlib.Path) -> bool:
  return any(p.stat().st_size for p in workdir.glob("*/metrics.jsonl"))


SIDES = {"cold": cold, "warm": warm, "imports": imports}

if __name__ == "__main__":
  side.main("start", SIDES)
