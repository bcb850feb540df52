"""Some texts of a data set that stand for all of it, where steps are measured.

No list is there before the stages have run: drawn passages take the place of
those that would be found. Texts are as long as they are.
"""

from typing import Any, NamedTuple

import numpy as np

from prod_jax import kinds
from prod_jax.batches.assemble import Examples, Reader
from prod_jax.batches.store import TokenStore, store_of
from prod_jax.plan import batches
from prod_jax.sets.dataset import Dataset
from prod_jax.stages import examples, sources
from prod_jax.stages.run import Job, Run

QUERIES, PASSAGES = 1024, 2048  # at most


class Split(NamedTuple):
  """How many queries a split has, and how many of them have a label."""

  queries: int
  labelled: int


class Sample(NamedTuple):
  """Rows of a data set.

  Attributes:
    split: train, or the one of the most queries where that is not there.
    queries: of it, with labels where any has.
    passages: a positive of each of these, and others from all over the set.
    positives: of each query, where in `passages` its own stands.
    total: how many passages the set has.
    splits: by name.
  """

  split: str
  queries: np.ndarray
  passages: np.ndarray
  positives: np.ndarray
  total: int
  splits: dict[str, Split]


def of(dataset: Dataset) -> Sample:
  """Rows that lie at even distances."""
  positives = {split: dataset.positive_rows(split) for split in dataset.queries}
  sizes = {split: len(found) for split, found in positives.items()}
  split = "train" if "train" in sizes else max(sizes, key=sizes.__getitem__)
  of_split = positives[split]
  labelled = [row for row, found in enumerate(of_split) if found]
  queries = _spread(np.array(labelled or range(len(of_split))), QUERIES)
  others = _spread(np.arange(len(dataset.passages)), PASSAGES)
  own = [
    of_split[row][0] if of_split[row] else int(others[number % len(others)])
    for number, row in enumerate(queries)
  ]
  passages = list(dict.fromkeys([*own, *others.tolist()]))
  place = {row: number for number, row in enumerate(passages)}
  return Sample(
    split=split,
    queries=queries,
    passages=np.array(passages),
    positives=np.array([place[row] for row in own]),
    total=len(dataset.passages),
    splits={
      split: Split(len(found), sum(map(bool, found)))
      for split, found in positives.items()
    },
  )


def texts(run: Run, model: str, sample: Sample) -> dict[str, Any]:
  """What `Reader` has of a model's tokens, of the sample alone."""
  tokens = run.tokens_of(model)
  return {
    "queries": _part(tokens.queries[sample.split], sample.queries),
    "passages": _part(tokens.passages, sample.passages),
    "special": tokens.special,
  }


def learnt_from(job: Job[kinds.Train], sample: Sample) -> Examples:
  """What a train stage would learn from, were its sample all there is."""
  count, columns = len(sample.queries), batches.most_columns(job)
  extent = sources.Extent(count, columns, len(sample.passages))
  read = sources.shaped(job, extent)
  if "candidates" in read:
    drawn = np.random.default_rng(0).integers(
      len(sample.passages), size=(count, columns), dtype=np.int32
    )
    drawn[:, 0] = sample.positives
    read["candidates"] = read["candidates"]._replace(ids=drawn)
  of_student, of_teacher = examples.carried(job)
  teacher = None
  if of_teacher is not None:
    name = job.model_name("teacher")
    teacher = Reader(**texts(job.run, name, sample), **of_teacher)
  return Examples(
    **texts(job.run, job.stage.model, sample),
    positives=[(int(row),) for row in sample.positives],
    rows=np.arange(count),
    data=job.run.config.data,
    negatives=job.stage.negatives,
    sampling=examples.sampling_of(job),
    teacher=teacher,
    **of_student,
    **read,
  )


def _spread(rows: np.ndarray, limit: int) -> np.ndarray:
  return rows[:: -(-len(rows) // limit)]


def _part(store: TokenStore, rows: np.ndarray) -> TokenStore:
  return store_of([store[row] for row in rows])
