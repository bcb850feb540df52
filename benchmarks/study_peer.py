"""sentence-transformers in a study: the same student, lists, scores and steps.

    python -m benchmarks.study_peer WORKDIR --loss=kl --draw=1

trains what the stage `start` has made on the lists and with the scores of the
stage `ce_DRAW`, by DistillKLDivLoss or MarginMSELoss, and leaves a TREC run in
`WORKDIR/peer/st_kl_1`, which `benchmarks.study collect` takes for one more arm.
Batch size, steps, rate and clipping are read off the same stage. In the
environment of `make bench`.
"""

import argparse
import importlib.metadata
import json
import pathlib
import tempfile
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np
import torch
from datasets import Dataset
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer import losses
from sentence_transformers.util import pairwise_dot_score

from benchmarks import peer, study_figures
from prod_jax import kinds, origin, storage
from prod_jax.batches import draws
from prod_jax.batches.lists import Candidates, load_lists
from prod_jax.export import finished, task, whole
from prod_jax.retrieval import runs
from prod_jax.sets import records
from prod_jax.stages.run import Run

LOSSES = {"kl": losses.DistillKLDivLoss, "margin": losses.MarginMSELoss}
_DEPTH = 100
_PACKAGES = ("sentence-transformers", "transformers", "torch")


def main() -> None:
  """Trains and ranks."""
  parser = argparse.ArgumentParser(description=__doc__)
  parser.add_argument("workdir", type=pathlib.Path)
  parser.add_argument("--loss", choices=LOSSES, required=True)
  parser.add_argument("--draw", type=int, required=True)
  asked = parser.parse_args()
  run = finished.open_run(storage.open_path(str(asked.workdir)))
  model = _student(asked.workdir)
  scale = run.config.models["student"].scale
  loss = LOSSES[asked.loss](
    model, similarity_fct=lambda q, p: scale * pairwise_dot_score(q, p)
  )
  stage = run.stage(f"ce_{asked.draw}")
  _train(model, loss, _rows(run, model, stage, asked.draw), stage)
  folder = asked.workdir / study_figures.PEER / f"st_{asked.loss}_{asked.draw}"
  folder.mkdir(parents=True, exist_ok=True)
  (folder / study_figures.ORIGIN).write_text(json.dumps(_origin()))
  _, measured = task.open_finished(str(asked.workdir))
  _rank(run, model, measured.split, folder / "run.trec")


def _origin() -> dict[str, Any]:
  """What this was made with."""
  own = {name: importlib.metadata.version(name) for name in _PACKAGES}
  found = origin.here(jax.devices())
  return {**found, "versions": {**found["versions"], **own}}


def _student(workdir: pathlib.Path) -> SentenceTransformer:
  """What `start` has made, as anyone would load it."""
  with tempfile.TemporaryDirectory() as made:
    folder = pathlib.Path(made) / "start"
    trained = finished.open_stage(storage.open_path(str(workdir)), "start")
    whole.export(trained, whole.Options(folder, whole.card.Where("start")))
    return SentenceTransformer(str(folder), device="cpu")


def _texts(run: Run) -> list[str]:
  join = run.config.data.title_join
  return [records.joined(p.title, p.text, join) for p in run.dataset.passages]


def _cut(
  run: Run, model: SentenceTransformer, queries: Sequence[records.Query]
) -> list[str]:
  """Texts of queries, as long as the run reads them.

  The peer has one length for all texts, which is that of a passage.
  """
  found = [query.text for query in queries]
  places = model.tokenizer(
    found,
    add_special_tokens=False,
    truncation=True,
    max_length=run.config.data.query_length - 2,  # beside [CLS] and [SEP]
    return_offsets_mapping=True,
  )["offset_mapping"]
  return [
    text[: place[-1][1]] if place else text
    for text, place in zip(found, places, strict=True)
  ]


def _rows(
  run: Run, model: SentenceTransformer, stage: kinds.Train, draw: int
) -> Dataset:
  """A row for each query of each batch, drawn as the stage draws."""
  lists = load_lists(Candidates, run.folder(stage.candidates) / "candidates")
  scores = np.load(run.folder(stage.scores) / "scores.npy")
  rng = np.random.default_rng(draw)
  count = stage.steps * stage.batch_size
  epochs = -(-count // len(lists.query))
  order = np.concatenate(
    [rng.permutation(len(lists.query)) for _ in range(epochs)]
  )[:count]
  columns = draws.Random()(
    draws.lists_of(lists, order, scores, None), stage.negatives, rng
  )
  texts = _texts(run)
  queries = _cut(run, model, run.dataset.queries["train"])
  made: dict[str, Sequence[Any]] = {
    "query": [queries[row] for row in lists.query[order]]
  }
  ids = np.take_along_axis(lists.ids[order], columns, axis=1)
  for number, column in enumerate(ids.T):
    made[f"passage_{number}"] = [texts[row] for row in column]
  taken = np.take_along_axis(scores[order], columns, axis=1)
  return Dataset.from_dict({**made, "label": taken.tolist()})


def _train(
  model: SentenceTransformer, loss: Any, rows: Dataset, stage: kinds.Train
) -> None:
  with tempfile.TemporaryDirectory() as made:
    peer.quiet_trainer(
      model,
      loss,
      rows,
      pathlib.Path(made),
      per_device_train_batch_size=stage.batch_size,
      max_steps=stage.steps,
      learning_rate=stage.learning_rate,
      warmup_steps=stage.warmup_steps,
      weight_decay=stage.weight_decay,
      max_grad_norm=stage.clip,
    ).train()


def _rank(
  run: Run, model: SentenceTransformer, split: str, to: pathlib.Path
) -> None:
  """The first passages of each query of a split, by exact search."""
  queries = run.dataset.queries[split]
  passages = model.encode(_texts(run), normalize_embeddings=True)
  asked = model.encode(_cut(run, model, queries), normalize_embeddings=True)
  scores, ids = torch.topk(torch.tensor(asked @ passages.T), _DEPTH)
  runs.write_run(
    to,
    [query.id for query in queries],
    ids.numpy().astype(np.int32),
    scores.numpy(),
    tag="sentence-transformers",
    name_of=run.dataset.passages.id,
  )


if __name__ == "__main__":
  main()
