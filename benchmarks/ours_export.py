"""prod_jax's export as the benchmarks use it: a student's folder and graphs."""

import pathlib
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from benchmarks import corpus, ours
from prod_jax.export import folder, runtime
from prod_jax.export.finished import Trained
from prod_jax.models import hf
from prod_jax.report import record
from prod_jax.stages.run import PARAMS


def write(cache: pathlib.Path, to: pathlib.Path) -> None:
  """Writes what an export with --onnx and --int8 has of a student's model."""
  run = ours.run_of(cache, layers=corpus.LAYERS)
  left = record.Run(run.workdir, "", {}, {}, {}, "", ())
  trained = Trained(run, "student", left)
  stage = run.folder("student")
  stage.mkdir(parents=True, exist_ok=True)
  hf.save_params(stage / PARAMS, run.first_params("dual", 0))
  (part,) = folder.parts(trained)
  folder.write(to, trained, part)
  runtime.write(to, trained, part)
  runtime.quantise(to)


def tokens(cache: pathlib.Path, found: Sequence[str]) -> dict[str, Any]:
  """Ids of all texts with special tokens, and where each text begins."""
  run = ours.run_of(cache, layers=corpus.LAYERS)
  special = run.tokenizer_of("dual").special
  store = ours.store_of(run, found, run.workdir / "export")
  rows = [
    np.array([*special.prefix, *store[i], *special.suffix], np.int64)
    for i in range(len(store))
  ]
  return {
    "ids": np.concatenate(rows),
    "offsets": np.cumsum([0, *map(len, rows)]),
  }


def embedder(
  cache: pathlib.Path, found: Sequence[str]
) -> Callable[[], np.ndarray]:
  """What embeds the texts, whose tokens are in a store."""
  run = ours.run_of(cache, layers=corpus.LAYERS)
  store = ours.store_of(run, found, run.workdir / "export")
  return ours.embedder(ours.dual(run), store)
