"""What a stage keeps of numbers that are none, and says of them.

`prod_jax replay` looks at it again, see replay.py.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from prod_jax.batch import Batch, TeacherTexts
from prod_jax.retrieval import forward
from prod_jax.stages.run import Job
from prod_jax.train import kept

if TYPE_CHECKING:  # it brings all that a step needs
  from prod_jax.train.loop import NonFiniteError

_SAID = 8  # ids in a message; all are kept


def of_step(job: Job[Any], error: "NonFiniteError") -> kept.NotFinite:
  """Keeps the batch of a step; the error that says so."""
  record = {
    "stage": job.name,
    "step": error.step,
    "metrics": {name: str(value) for name, value in error.metrics.items()},
    **ids_of(job, error.batch),
  }
  to = kept.keep(job.folder, error.step, error.batch, record, job.run.processes)
  return kept.NotFinite(
    f"{error}. Its batch is kept in {job.run.processes.remote(to)}, with the "
    f"queries {_few(record['queries'])}. prod_jax replay "
    f"{job.run.processes.shared_folder} --stage={job.name} says where the "
    "first such number arises. The last checkpoint is from before this step; "
    "lower learning_rate, set clip, or look at these queries"
  )


def of_texts(job: Job[Any], error: forward.NonFiniteOutputs) -> kept.NotFinite:
  """Keeps the texts of a model that does not learn; the error that says so."""
  dataset = job.run.dataset
  split = error.split or getattr(job.stage, "split", "")
  if not split and "candidates" in job.inputs:
    split = job.source("candidates").split
  queries = [
    dataset.queries[split][row].id for row in error.of.get("query", ())
  ]
  passages = [dataset.passages.id(row) for row in error.of.get("passage", ())]
  number = job.run.processes.index
  record = {
    "stage": job.name,
    "step": number,
    "metrics": {},
    "queries": queries,
    "passages": passages,
  }
  texts = error.texts
  if isinstance(texts, tuple) and not hasattr(texts, "_fields"):
    texts = TeacherTexts(*texts)  # a query and a passage, each by itself
  # Each process has texts of its own: these are no parts of one batch.
  to = kept.keep(job.folder, number, texts, record, job.run.processes)
  pairs = [f"{q} with {p}" for q, p in zip(queries, passages, strict=False)]
  named = _few(pairs or queries or passages)
  return kept.NotFinite(
    f"stage {job.name}: {error}{named and f': {named}'}. It is "
    f"kept in {job.run.processes.remote(to)}. prod_jax replay "
    f"{job.run.processes.shared_folder} --stage={job.name} says where the "
    "first such number arises"
  )


def ids_of(job: Job[Any], batch: Batch) -> dict[str, Any]:
  """The queries of a batch, and of each the passages, None on padding."""
  dataset = job.run.dataset
  return {
    "queries": [dataset.queries["train"][row].id for row in batch.query_id_B],
    "passages": [
      [dataset.passages.id(row) if row >= 0 else None for row in line]
      for line in batch.passage_id_BN
    ],
  }


def _few(names: Sequence[str]) -> str:
  """Some names, and how many there are."""
  more = f" and {len(names) - _SAID} more" if len(names) > _SAID else ""
  return ", ".join(names[:_SAID]) + more
