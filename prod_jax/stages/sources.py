"""What a stage may read of earlier ones: its roles, one row each.

A role is a key of a stage's config that names an earlier stage. A row of
`ROLES` says which kinds of stage it takes and, where a train stage learns from
what that stage has made, how a batch comes to hold it: `load` reads it in a
run, and `shape` stands in for it in a plan, which has no data.
"""

from collections.abc import Callable, Collection, Mapping
from typing import Any, NamedTuple

import numpy as np

from prod_jax import arrays, kinds, strict
from prod_jax.batch import Batch
from prod_jax.batches.assemble import Embeddings
from prod_jax.batches.lists import Candidates, Compared, Dark, load_lists
from prod_jax.retrieval import encode
from prod_jax.stages import folders, tokenizer
from prod_jax.stages.run import Job, Run

START = "start"  # the anchor that is a frozen copy of the first parameters
MODEL = "model"  # in place of a kind of stage: a model with its own weights


class Extent(NamedTuple):
  """How much of everything a plan pretends to have."""

  queries: int
  columns: int  # of a list
  passages: int  # of the collection


class Source(NamedTuple):
  """What a train stage takes from a stage in one of its roles.

  Attributes:
    adds: the field of `Examples` that it becomes. A field of `Batch` instead
      takes an array [Q, C] that is aligned with the lists, and holds the drawn
      columns of it.
    load: (job, role) to its content; large tables stay on disk.
    shape: (job, role, extent) to arrays of the same shapes.
  """

  adds: str
  load: Callable[[Job[kinds.Train], str], Any]
  shape: Callable[[Job[kinds.Train], str, Extent], Any]


def _load_lists(job: Job[kinds.Train], role: str) -> Candidates:
  return load_lists(Candidates, job.inputs[role] / "candidates")


def _shape_lists(
  job: Job[kinds.Train], role: str, extent: Extent
) -> Candidates:
  shape = (extent.queries, extent.columns)
  column = np.broadcast_to(np.arange(extent.columns, dtype=np.int32), shape)
  return Candidates(
    query=np.arange(extent.queries, dtype=np.int32),
    ids=column,
    label=column == 0,
    rank=column,
    score=-column.astype(np.float32),
  )


def _load_mined(job: Job[kinds.Train], role: str) -> np.ndarray:
  return _load_lists(job, role).score


def _load_scores(job: Job[kinds.Train], role: str) -> np.ndarray:
  return _read(job.inputs[role] / "scores.npy")


def _shape_scores(
  job: Job[kinds.Train], role: str, extent: Extent
) -> np.ndarray:
  return _shape_lists(job, role, extent).score


def _load_embeddings(job: Job[kinds.Train], role: str) -> Embeddings:
  folder = job.inputs[role]
  return Embeddings(
    query=_read(folder / "queries-train.npy"),
    passage=encode.open_shards(folder / "passages"),
  )


def _shape_embeddings(
  job: Job[kinds.Train], role: str, extent: Extent
) -> Embeddings:
  width = job.model_of(role).width
  return Embeddings(
    query=np.zeros((extent.queries, width), np.float32),
    passage=np.zeros((extent.passages, width), np.float32),
  )


def _load_compared(job: Job[kinds.Train], role: str) -> Compared:
  return load_lists(Compared, job.inputs[role] / "compared")


def _shape_compared(
  job: Job[kinds.Train], role: str, extent: Extent
) -> Compared:
  pairs = np.zeros((extent.queries, job.source(role).pairs), np.int32)
  return Compared(pairs, pairs + 1, pairs.astype(np.float32))


def _load_dark(job: Job[kinds.Train], role: str) -> Dark:
  return load_lists(Dark, job.inputs[role] / "dark")


def _shape_dark(job: Job[kinds.Train], role: str, extent: Extent) -> Dark:
  darken = job.source(role)
  shape = (extent.queries, darken.strengthened + darken.masked)
  length = job.run.config.data.passage_length - _around(job, darken.params)
  return Dark(np.zeros((*shape, length), np.int32), np.zeros(shape, np.float32))


def _around(job: Job[kinds.Train], params: str) -> int:
  """Special tokens around a text of a model; a plan may lack its tokenizer."""
  name = job.run.model_name(params)
  _, source = tokenizer.source_of(job.run.config, name)
  if not tokenizer.is_here(source):
    return 2  # BERT's, and almost everyone's
  return job.run.tokenizer_of(name).special.around


def _read(path: Any) -> np.ndarray:
  return arrays.read(path, mapped=True)


_LISTS = Source("candidates", _load_lists, _shape_lists)
_SCORES = Source("list_scores_BN", _load_scores, _shape_scores)
_ANY_LISTS = dict.fromkeys(
  ("mine", "provided", "imported", "denoise", "filter")
)
_ANY_SCORES = dict.fromkeys(("score", "imported", "denoise", "filter"))
_ENCODED = {"encode": None, "accept": None}

# Kind of stage → role → kind of stage in it → what a batch gets of it, None
# where that is nothing, or parameters or rows that the stage reads by itself.
# Where MODEL is a kind, the role may name a model of the config instead.
ROLES: Mapping[str, Mapping[str, Mapping[str, Source | None]]] = {
  "train": {
    "init": {"train": None, "accept": None},
    "gate": {"gate": None},
    "candidates": dict.fromkeys(_ANY_LISTS, _LISTS),
    "queries": {"divide": None},
    "teacher": {"train": None, MODEL: None},
    "scores": {
      **dict.fromkeys(_ANY_SCORES, _SCORES),
      "encode": Source("embeddings", _load_embeddings, _shape_embeddings),
    },
    "second": dict.fromkeys(_ANY_SCORES, _SCORES),
    "anchor": dict.fromkeys(
      ("mine", "denoise", "filter"),
      Source("anchor_BN", _load_mined, _shape_scores),
    ),
    "pairs": {"compare": Source("compared", _load_compared, _shape_compared)},
    "dark": {"darken": Source("dark_examples", _load_dark, _shape_dark)},
    "clusters": {"cluster": None},
  },
  "encode": {"params": {"train": None, MODEL: None}},
  "mine": {"encoded": _ENCODED, "gate": {"gate": None}},
  "provided": {},
  "imported": {"candidates": _ANY_LISTS},
  "score": {
    "params": {"train": None, MODEL: None},
    "candidates": _ANY_LISTS,
    "ensemble": _ENCODED,
    "gate": {"gate": None},
  },
  "divide": {
    "scores": dict.fromkeys(("score", "imported", "filter")),
    "candidates": dict.fromkeys(("mine", "imported", "filter")),
  },
  "filter": {"candidates": _ANY_LISTS, "scores": _ANY_SCORES},
  "denoise": {"candidates": _ANY_LISTS, "scores": _ANY_SCORES},
  "compare": {
    "params": {"train": None, MODEL: None},
    "candidates": _ANY_LISTS,
    "scores": _ANY_SCORES,
  },
  "darken": {
    "params": {"train": None, MODEL: None},
    "candidates": _ANY_LISTS,
  },
  "cluster": {"encoded": _ENCODED},
  "gate": {
    "encoded": _ENCODED,
    "teacher": {"train": None, "encode": None, MODEL: None},
    "ensemble": _ENCODED,
  },
  "accept": {
    "encoded": {"encode": None},
    "before": _ENCODED,
    "base": {"encode": None},
  },
  "evaluate": {
    "encoded": _ENCODED,
    "rerank": {"train": None, MODEL: None},
    "ensemble": _ENCODED,
  },
}


def reads(
  stage: kinds.Stage, stages: Collection[str], models: Collection[str]
) -> dict[str, str]:
  """The names of the stages that a stage reads, by role.

  Args:
    stage: whose roles they are.
    stages: names of those of the run; one that is a model too is the stage.
    models: names of the models of the run.
  """
  named = {role: getattr(stage, role) for role in ROLES[stage.kind]}
  own = _own(stage, stages, models)
  # START is no stage: what is read of it is the stage's own beginning.
  return {
    k: v
    for k, v in named.items()
    if v and (k, v) != ("anchor", START) and k not in own
  }


def judge(run: Run, name: str) -> str:
  """Whose scores a stage has left.

  A train stage's, those of a model as it is, or of a file, which is named by
  the stage that read it. Of an ensemble both are named.
  """
  stage = run.stage(name)
  if isinstance(stage, kinds.Denoise | kinds.Filter):
    return judge(run, stage.scores)
  if isinstance(stage, kinds.Score) and stage.ensemble:
    return f"{stage.params}+{stage.ensemble}"
  return str(getattr(stage, "params", name))


def own_models(job: Job[kinds.Stage]) -> dict[str, str]:
  """The models that a stage takes with their own weights, by role."""
  return _own(job.stage, job.run.config.stages, job.run.config.models)


def _own(
  stage: kinds.Stage, stages: Collection[str], models: Collection[str]
) -> dict[str, str]:
  named = {
    role: getattr(stage, role)
    for role, rows in ROLES[stage.kind].items()
    if MODEL in rows
  }
  return {k: v for k, v in named.items() if v in models and v not in stages}


def check_own(job: Job[kinds.Stage]) -> None:
  """Raises ConfigError where a model has no weights of its own to be taken."""
  for role, name in own_models(job).items():
    check_model(job.run, name, f"{job.where}.{role} is {name!r}")


def check_model(run: Run, name: str, where: str) -> None:
  """Raises ConfigError where a model cannot be taken as it is.

  Args:
    run: whose config has it.
    name: of the model.
    where: what names it, for the message.
  """
  settled, model = run.settled(name), run.model_config(name)
  if settled.encoder is None:
    raise strict.ConfigError(
      f"{where}, a model without weights; name a train stage, or set "
      f"config.models.{name}.weights"
    )
  if tokenizer.has_none(run.config, name):
    raise strict.ConfigError(
      f"{where} as it is, and {settled.encoder} has no tokenizer; put its "
      f"tokenizer.json there, or set config.models.{name}.tokenizer"
    )
  if model.kind in ("cross", "pairwise") and settled.head is None:
    raise strict.ConfigError(
      f"{where}, and {settled.encoder} has an encoder without the head of a "
      f"model of kind {model.kind}; train it first, or name a folder that "
      "AutoModelForSequenceClassification reads"
    )
  projects = getattr(settled.model, "projection", 0)
  if projects and not (settled.late and settled.late.projection):
    raise strict.ConfigError(
      f"{where}, and {settled.encoder} has no projection to {projects}; "
      "train it first, or name a ColBERT folder"
    )
  if long := folders.too_long(settled, run.config.data):
    raise strict.ConfigError(
      f"{where} as it is: {long}; lower config.data.query_length or "
      "passage_length"
    )


def check_kinds(job: Job[kinds.Stage]) -> None:
  """Raises ConfigError where a role has a stage of a kind that is not its."""
  for role in job.inputs:
    name, allowed = getattr(job.stage, role), ROLES[job.stage.kind][role]
    kind = job.source(role).kind
    if kind not in allowed:
      raise strict.ConfigError(
        f"{job.where}.{role} is {name!r}, a stage of kind {kind}; it takes one "
        f"of kind {' or '.join(allowed)}"
      )
    if kind == "filter" and role in ("scores", "second"):
      _check_has_scores(job, role, name)


def _check_has_scores(job: Job[kinds.Stage], role: str, name: str) -> None:
  if not job.source(role).scores:
    raise strict.ConfigError(
      f"{job.where}.{role} is {name!r}, which goes by the retriever's order "
      f"and has no scores; set config.stages.{name}.scores, or let a score "
      "stage score its lists"
    )


def queries_of(job: Job[Any]) -> kinds.Queries:
  """Whether the lists that a job reads are of queries with labels.

  A stage on the way may have labelled some.
  """
  stage, labels = job.source("candidates"), False
  while True:
    labels |= getattr(stage, "action", "") == "relabel"
    labels |= getattr(stage, "positives", "") == "add"
    labels |= getattr(stage, "label", False)
    # What is made of lists has the queries of these.
    if not (name := getattr(stage, "candidates", "")):
      break
    stage = job.run.stage(name)
  found: kinds.Queries = getattr(stage, "queries", "labelled")
  return "all" if labels and found == "unlabelled" else found


def loaded(job: Job[kinds.Train]) -> dict[str, Any]:
  """What other stages have made, by field of `Examples`."""
  return _fields({s.adds: s.load(job, role) for role, s in _of(job).items()})


def shaped(job: Job[kinds.Train], extent: Extent) -> dict[str, Any]:
  """Arrays of the shapes of what other stages would have made, the same."""
  return _fields(
    {s.adds: s.shape(job, role, extent) for role, s in _of(job).items()}
  )


def of_lists(job: Job[kinds.Train]) -> list[str]:
  """The roles whose stages made something of lists, which are no lists."""
  return [
    role
    for role, source in _of(job).items()
    if source is not _LISTS and hasattr(job.source(role), "candidates")
  ]


def beside_teacher(stage: kinds.Train) -> frozenset[str]:
  """The roles that a method learns from besides labels and its teacher."""
  taught = {
    role
    for role, rows in ROLES["train"].items()
    if getattr(stage, role) and any(rows.values())
  }
  return frozenset(taught - {"candidates", "scores"})


def _of(job: Job[kinds.Train]) -> dict[str, Source]:
  """What is read of which role."""
  found = {
    role: ROLES["train"][role][job.source(role).kind] for role in job.inputs
  }
  return {role: source for role, source in found.items() if source}


def _fields(made: Mapping[str, Any]) -> dict[str, Any]:
  by_list = {k: v for k, v in made.items() if k in Batch._fields}
  rest = {k: v for k, v in made.items() if k not in by_list}
  return {**rest, "by_list": by_list}
