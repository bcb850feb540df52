"""The kinds of stage that a config can name, as frozen dataclasses.

Each has a module of its name in `stages/`. Numbers of an experiment stand in
`configs/`: the defaults below are neutral, or the same for everyone.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any, Literal

from prod_jax.list_kinds import (
  Compare,
  Darken,
  Denoise,
  Divide,
  Filter,
  Imported,
  Mine,
  Provided,
  Queries,
  Score,
)
from prod_jax.ranges import Count, NotNegative, Share, ShareAbove0, Whole

__all__ = [
  "Accept",
  "Cluster",
  "Compare",
  "Darken",
  "Denoise",
  "Divide",
  "Encode",
  "Evaluate",
  "Filter",
  "Gate",
  "Imported",
  "Mine",
  "Provided",
  "Queries",
  "Score",
  "Stage",
  "Train",
]


@dataclasses.dataclass(frozen=True)
class Train:
  """Train `model` by `method`.

  Attributes:
    model: name under `models`.
    method: module under `prod_jax/methods`, or the dotted name of another one.
    steps: how many; 0 keeps the first parameters as they are.
    batch_size: queries a step, of all devices together.
    learning_rate: of AdamW, at its highest.
    settings: what that method asks for; checked against its `Settings`.
    init: train stage to start from; "" takes the model's own weights.
    candidates: mine, provided, imported, denoise or filter stage to draw
      negatives from; "" draws them from the whole collection.
    queries: divide stage that says which queries to train on; "" is all.
    teacher: train stage of a frozen teacher, run inside the step.
    gate: gate stage that says whether its teacher teaches at all; skipped where
      not. Of stages of kind mine and score the same.
    joint: that teacher goes on learning together with the model, for methods
      that say how.
    scores: score stage (a cross-encoder's scores) or encode stage (a dual
      encoder's embeddings) of the teacher, or a denoise or filter stage with
      its lists: cached, nothing runs in the step.
    second: score stage of a second teacher beside `teacher` or an encode
      stage's embeddings.
    pairs: compare stage: a pairwise teacher's preferences within the lists.
    dark: darken stage: passages made from those of the lists.
    clusters: cluster stage; the queries of a batch are all of one cluster.
    anchor: what the student scored as this stage began: a mine stage made
      with the same parameters gives it cached, "start" runs a frozen copy in
      the step, "" is none.
    widths: the loss is the sum of those over the first w coordinates of the
      student's vectors, for each w; () is the whole vector. For kind dual.
    negatives: how many a query gets besides its positive; "groups" brings its
      own number.
    sampling: how they are drawn from the lists, see `batches.draws`: "random";
      "descend" for the first ones in ranked order; "simans"; "balanced" and
      "groups" by the teacher's cached scores.
    sampling_settings: what that way of drawing asks for.
    warmup_steps: over which the rate rises to that; it falls to 0 at the end.
    weight_decay: of AdamW.
    accumulation: micro-batches a step, over which losses are averaged;
      batch_size counts all of them.
    chunks: parts in which a (micro-)batch is embedded, each computed again in
      the backward pass (gradient caching): memory is that of one part, the
      gradient that of the whole, in-batch passages included.
    clip: largest global norm of a gradient; 0 is no clipping. A gradient is
      that of the whole batch. PROD's code and LEAD's get 1 / W of it on W
      devices where they gather passages, so that their clip of 2 acts as one
      of 2 W: to clip as they did on 8, set 16 in stages with in_batch=True.
    checkpoint_every: steps between two checkpoints.
    log_every: steps between two lines of metrics.jsonl.
  """

  kind: Literal["train"]
  model: str
  method: str
  steps: Whole
  batch_size: Count
  learning_rate: Share
  settings: Mapping[str, Any] = dataclasses.field(default_factory=dict)
  init: str = ""
  candidates: str = ""
  queries: str = ""
  teacher: str = ""
  joint: bool = False
  scores: str = ""
  second: str = ""
  anchor: str = ""
  pairs: str = ""
  dark: str = ""
  clusters: str = ""
  widths: tuple[Count, ...] = ()
  negatives: Whole = 0
  sampling: Literal["random", "descend", "simans", "balanced", "groups"] = (
    "random"
  )
  sampling_settings: Mapping[str, Any] = dataclasses.field(default_factory=dict)
  warmup_steps: Whole = 0
  weight_decay: NotNegative = 0.0
  clip: NotNegative = 0.0
  accumulation: Count = 1
  chunks: Count = 1
  gate: str = ""
  checkpoint_every: Count = 1000
  log_every: Count = 10


@dataclasses.dataclass(frozen=True)
class Encode:
  """Embed the collection and the queries with the dual encoder of `params`.

  Attributes:
    params: train stage of a dual encoder, or a model as it is.
    splits: whose queries are embedded; train, dev or test is left out where it
      has no files and no stage reads it.
    batch_tokens: tokens a batch, padding included.
    shard_rows: passages of a file of vectors.
  """

  kind: Literal["encode"]
  params: str
  splits: tuple[str, ...] = ("train", "dev", "test")
  batch_tokens: Count = 8192
  shard_rows: Count = 100_000


@dataclasses.dataclass(frozen=True)
class Cluster:
  """Sort the training queries into clusters of near embeddings, by k-means.

  Attributes:
    encoded: encode stage with split "train".
    clusters: how many.
    iterations: of k-means.
  """

  kind: Literal["cluster"]
  encoded: str
  clusters: Count
  iterations: Count = 20


@dataclasses.dataclass(frozen=True)
class Gate:
  """Ask on held-out queries whether a teacher has anything to teach.

  Student and teacher order the same passages, the first `depth` that the
  student retrieves. The gate is passed where the teacher's mean of `metric` is
  higher, with p of the paired randomisation test below `level`. A stage whose
  `gate` was not passed is skipped, as is what reads a skipped stage.

  Attributes:
    encoded: encode stage of the student.
    teacher: train stage, or model as it is, of kind cross or late; or the
      encode stage of a dual encoder.
    ensemble: as of `Score`, with a teacher that is no encode stage.
    depth: passages of a query that both put in order.
    split: of the held-out queries.
    metric: by which they are compared; one that hangs on the order.
    level: p below which the teacher's lead counts.
    batch_tokens: as of `Encode`.
  """

  kind: Literal["gate"]
  encoded: str
  teacher: str
  depth: Count
  split: str = "dev"
  metric: str = "mrr@10"
  level: ShareAbove0 = 0.05
  batch_tokens: Count = 8192
  ensemble: str = ""


@dataclasses.dataclass(frozen=True)
class Accept:
  """Take a student on only if held-out queries do not suffer.

  A stage that names this one reads the student of `encoded` where its mean of
  `metric` is at most `tolerance` below that of `before` and of `base`; else, or
  where `encoded` was skipped, that of `before`.

  Attributes:
    encoded: encode stage of the student that may go on.
    before: encode stage of where it began, or the accept stage before this.
    base: encode stage of the model that nobody trained; "" is none.
    split: of the held-out queries.
    metric: by which students are compared.
    depth: of the ranking that is measured.
    tolerance: how much worse a student may be and still go on.
  """

  kind: Literal["accept"]
  encoded: str
  before: str
  base: str = ""
  split: str = "dev"
  metric: str = "mrr@10"
  depth: Count = 100
  tolerance: NotNegative = 0.0


@dataclasses.dataclass(frozen=True)
class Evaluate:
  """Retrieve for `split` and measure; a cross-encoder reranks another's run.

  Attributes:
    encoded: encode stage of the dual encoder that retrieves.
    split: whose queries are measured.
    rerank: train stage of a cross-encoder, or a late-interaction model, that
      reorders the first `rerank_depth` of that run; "" measures the dual
      encoder itself.
    rerank_depth: passages of a query that are put in another order, `depth` at
      most.
    ensemble: as of `Score`, with `rerank`.
    depth: length of the run.
    relevance: "answers" counts a passage that contains an answer, and takes
      the metrics hit and mrr only.
    relevant: lowest grade that counts as relevant in binary metrics.
    indexes: kinds of index to retrieve with; "exact" is always measured.
    widths: measures the first w coordinates of all vectors too, for each w,
      with exact search.
    metrics: what is measured, `name@cut`: mrr, ndcg, map, recall or hit.
    batch_tokens: as of `Encode`, where something is reranked.
  """

  kind: Literal["evaluate"]
  encoded: str
  split: str = "test"
  rerank: str = ""
  ensemble: str = ""
  rerank_depth: Count = 10
  depth: Count = 100
  relevance: Literal["labels", "answers"] = "labels"
  relevant: Count = 1
  indexes: tuple[Literal["exact", "scann"], ...] = ("exact", "scann")
  widths: tuple[Count, ...] = ()
  metrics: tuple[str, ...] = (
    "mrr@10",
    "ndcg@10",
    "map@100",
    "recall@100",
    "hit@100",
  )
  batch_tokens: Count = 8192


Stage = (
  Train
  | Encode
  | Mine
  | Provided
  | Imported
  | Score
  | Divide
  | Filter
  | Denoise
  | Compare
  | Darken
  | Cluster
  | Gate
  | Accept
  | Evaluate
)
