"""prod_jax as the benchmarks on a GPU use it: runs, sizes, models for the peer.

Imports nothing of what is measured before it is asked to: the peer's sides read
the sizes in an environment without JAX.
"""

import dataclasses
import json
import pathlib
from typing import Any, NamedTuple

from benchmarks import distil, texts

SIZES = "gpu-sizes.json"
DUAL, CROSS = "gpu-dual", "gpu-cross"  # folders of models, for the peer


class Sizes(NamedTuple):
  """Of encoders and of work.

  Attributes:
    width, depth, heads, mlp_width: of both encoders.
    batch: queries of a training step, with `distil.CANDIDATES` passages each.
    steps: of training, measured.
    passages: that are encoded; the texts there are, again and again.
    pairs: that are scored.
    corpus, queries: vectors that are searched, and for which.
    batch_tokens: of a batch of encoding and scoring.
  """

  width: int = 768
  depth: int = 12
  heads: int = 12
  mlp_width: int = 3072
  batch: int = 64
  steps: int = 20
  passages: int = 32_768
  pairs: int = 8_192
  corpus: int = 250_000
  queries: int = 1_024
  batch_tokens: int = 65_536


def prepare(cache: pathlib.Path, data: str, sizes: Sizes) -> None:
  """Writes all that sides read, on a CPU."""
  from benchmarks import ours
  from prod_jax.models import hf

  cache.mkdir(parents=True, exist_ok=True)
  (cache / SIZES).write_text(json.dumps(sizes._asdict()))
  if not (cache / "texts" / texts.LISTS).exists():
    texts.prepare(cache, data)
  ours.prepare(cache)
  run = run_of(cache)
  run.tokens_of("dual")
  tokenizer = ours.tokenizer_files()
  model, params = run.model("dual"), run.first_params("dual", 0)
  to = cache / DUAL
  hf.save(to, params["encoder"], model.transformer, tokenizer_files=tokenizer)
  model, params = run.model("cross"), run.first_params("cross", 0)
  hf.save(
    cache / CROSS,
    params["encoder"],
    model.transformer,
    head=(model.head, params["head"]),
    tokenizer_files=tokenizer,
  )


def sizes_of(cache: pathlib.Path) -> Sizes:
  """What `prepare` was told."""
  return Sizes(**json.loads((cache / SIZES).read_text()))


def run_of(cache: pathlib.Path) -> Any:
  """The run of the benchmarks, with encoders and batches for a GPU."""
  from benchmarks import ours
  from prod_jax import kinds

  sizes = sizes_of(cache)
  run = ours.run_of(cache, batch=sizes.batch, candidates=distil.CANDIDATES)
  names = ("width", "depth", "heads", "mlp_width")
  shape: dict[str, Any] = {k: getattr(sizes, k) for k in names}
  shape |= {"dtype": "bfloat16", "weights": "", "layers": ()}
  stages = {
    name: dataclasses.replace(stage, batch_tokens=sizes.batch_tokens)
    if isinstance(stage, kinds.Encode)
    else stage
    for name, stage in run.config.stages.items()
  }
  models = {
    name: dataclasses.replace(model, **shape)
    for name, model in run.config.models.items()
  }
  return _changed(run, models=models, stages=stages)


def golden_run(cache: pathlib.Path, dtype: Any) -> Any:
  """The run of the benchmarks as it is on a CPU, but for its precision."""
  from benchmarks import ours

  run = ours.run_of(cache, batch=distil.BATCH, candidates=distil.CANDIDATES)
  models = {
    name: dataclasses.replace(model, dtype=dtype)
    for name, model in run.config.models.items()
  }
  return _changed(run, models=models)


def _changed(run: Any, **fields: Any) -> Any:
  from prod_jax.stages.run import Run

  return Run(dataclasses.replace(run.config, **fields), run.processes)


def measured_stages(workdir: pathlib.Path) -> list[dict[str, Any]]:
  """A line of each train stage, or model as it is, that was measured."""
  from prod_jax import storage
  from prod_jax.report import record

  if not (workdir / storage.RESULTS).exists():
    return []
  left = record.load(workdir)
  return [
    {
      "stage": name,
      "mrr@10": measured.values["mrr@10"],
      "seconds": left.stages[name].seconds if name in left.stages else 0.0,
    }
    for name, measured in left.measured.items()
  ]
