"""The kinds of stage that a config can name, as frozen dataclasses.

Each has a module of its name in `stages/`. Numbers of an experiment stand in
`configs/`: the defaults below are neutral, or the same for everyone.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any, Literal


@dataclasses.dataclass(frozen=True)
class Train:
  """Train `model` by `method`.

  Attributes:
    model: name under `models`.
    method: module under `prod_jax/methods`, or the dotted name of another one.
    settings: what that method asks for; checked against its `Settings`.
    init: train stage to start from; "" takes the model's own weights.
    candidates: mine, provided, imported or denoise stage to draw negatives
      from; "" draws them from the whole collection.
    queries: divide stage that says which queries to train on; "" is all.
    teacher: train stage of a frozen teacher, run inside the step.
    joint: that teacher goes on learning together with the model, for methods
      that say how.
    scores: score stage (a cross-encoder's scores) or encode stage (a dual
      encoder's embeddings) of the teacher, or a denoise stage with its lists:
      cached, nothing runs in the step.
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
    accumulation: micro-batches a step; batch_size counts all of them.
    chunks: parts in which a (micro-)batch is embedded, each computed again in
      the backward pass (gradient caching): memory is that of one part, the
      gradient that of the whole, in-batch passages included.
    clip: largest global norm of a gradient; 0 is no clipping. A gradient is
      that of the whole batch. PROD's code and LEAD's get 1 / W of it on W
      devices where they gather passages, so that their clip of 2 acts as one
      of 2 W: to clip as they did on 8, set 16 in stages with in_batch=True.
    checkpoint_every: steps between two checkpoints.
  """

  kind: Literal["train"]
  model: str
  method: str
  steps: int
  batch_size: int
  learning_rate: float
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
  widths: tuple[int, ...] = ()
  negatives: int = 0
  sampling: Literal["random", "descend", "simans", "balanced", "groups"] = (
    "random"
  )
  sampling_settings: Mapping[str, Any] = dataclasses.field(default_factory=dict)
  warmup_steps: int = 0
  weight_decay: float = 0.0
  clip: float = 0.0
  accumulation: int = 1
  chunks: int = 1
  checkpoint_every: int = 1000
  log_every: int = 10


@dataclasses.dataclass(frozen=True)
class Encode:
  """Embed the collection and the queries with the dual encoder of `params`."""

  kind: Literal["encode"]
  params: str
  splits: tuple[str, ...] = ("train", "dev", "test")
  batch_tokens: int = 8192
  shard_rows: int = 100_000


@dataclasses.dataclass(frozen=True)
class Mine:
  """Retrieve `depth` candidates for each query of `split`.

  Attributes:
    limit: above 0, that many queries only: what a large teacher is to score
      costs by the query.
    negatives: above 0, a list keeps that many of its first passages that are
      not labelled, beside all that are; ranks stay those of the whole run.
    relevance: with "answers" a passage that contains an answer is a positive
      too, and the labelled one is the first in its list.
    block_queries: queries that are searched for and saved together; all vectors
      are read for each block.
  """

  kind: Literal["mine"]
  encoded: str
  depth: int
  limit: int = 0
  negatives: int = 0
  split: str = "train"
  index: Literal["exact", "scann"] = "exact"
  relevance: Literal["labels", "answers"] = "labels"
  block_queries: int = 4096


@dataclasses.dataclass(frozen=True)
class Provided:
  """Lists that came with the data set: at most `negatives` of its own a query.

  Nothing was retrieved: the lists have labels, and neither ranks nor scores.
  Where a set has more negatives, they are drawn by the stage's seed.

  Attributes:
    grade_0: passages that were judged for the query and have no grade above 0
      are its negatives too.
  """

  kind: Literal["provided"]
  negatives: int
  split: str = "train"
  grade_0: bool = False


@dataclasses.dataclass(frozen=True)
class Imported:
  """A teacher's scores, or lists, from a file of the user's.

  Attributes:
    path: of the file; with `.gz` at the end it is unpacked.
    format: "run" (TREC's), "tsv" (query id, passage id, score), "json" (a JSON
      object a line: such a triple, or a query with its positives and negatives)
      or "parquet" (the same as columns); "" finds it out.
    split: whose queries these are.
    candidates: stage whose lists are scored by the file; "" makes lists of what
      the file has.
    missing: what becomes of a passage of a list without a score where scores
      are learnt from: "error", or "drop" takes it out of its list.
    positives: "add" labels what the file calls a positive and the set does not;
      "" leaves it out of the lists.
    transform: "logit" undoes a sigmoid, for scores that are probabilities.
  """

  kind: Literal["imported"]
  path: str
  format: Literal["", "run", "tsv", "json", "parquet"] = ""
  split: str = "train"
  candidates: str = ""
  missing: Literal["error", "drop"] = "error"
  positives: Literal["", "add"] = ""
  transform: Literal["", "logit"] = ""


@dataclasses.dataclass(frozen=True)
class Score:
  """Score the lists of `candidates`, each pair once.

  `params` is a train stage of a cross-encoder or a late-interaction model.
  """

  kind: Literal["score"]
  params: str
  candidates: str
  batch_tokens: int = 8192
  block_queries: int = 256


@dataclasses.dataclass(frozen=True)
class Divide:
  """Keep the queries that the teacher gets right and the student wrong.

  Ranks are 0-based and of the first labelled positive; `rule` "marco" keeps
  student_from <= student <= student_to and teacher <= teacher_to, "nq" keeps
  teacher < student and teacher <= teacher_to. Fewer than `least` queries left
  is an error.
  """

  kind: Literal["divide"]
  scores: str
  candidates: str
  rule: Literal["marco", "nq"] = "marco"
  student_from: int = 1
  student_to: int = 14
  teacher_to: int = 0
  least: int = 1


@dataclasses.dataclass(frozen=True)
class Denoise:
  """Find the unlabelled passages of lists that a teacher takes for positives.

  z are the teacher's scores, z_pos that of the list's best labelled passage.

  Attributes:
    candidates: mine, provided, imported or denoise stage whose lists these are.
    scores: stage with a teacher's scores of them.
    split: whose queries these are.
    rule: an unlabelled passage is taken for a positive where, by "absolute",
      z > z_pos - margin; by "relative", z > margin * z_pos, for scores that
      are above 0 (probabilities, cosines); by "percentile", z > the percentile
      of all lists' z_pos, which judges lists without a label too.
    margin: of "absolute" and "relative".
    percentile: of "percentile", within 0 and 100.
    action: "drop" takes such passages out of the lists, "relabel" makes them
      positives, "keep" leaves the lists as they are; all are counted and
      written down.
  """

  kind: Literal["denoise"]
  candidates: str
  scores: str
  split: str = "train"
  rule: Literal["absolute", "relative", "percentile"] = "absolute"
  margin: float = 0.0
  percentile: float = 0.0
  action: Literal["drop", "keep", "relabel"] = "drop"


@dataclasses.dataclass(frozen=True)
class Compare:
  """Ask a pairwise model which of two candidates is better, once a pair.

  Attributes:
    params: train stage of a model of kind "pairwise".
    candidates: mine stage whose lists the pairs are of.
    scores: score stage that ranks them.
    depth: of that ranking, 0 for the whole list.
    window: pairs are at most this many ranks apart.
    pairs: drawn for a query, all where there are fewer.
    both_orders: asks with either passage first and takes the mean; without,
      the higher ranked one stands first, as in the official code.
  """

  kind: Literal["compare"]
  params: str
  candidates: str
  scores: str
  pairs: int
  depth: int = 0
  window: int = 5
  both_orders: bool = False
  batch_tokens: int = 8192
  block_queries: int = 256


@dataclasses.dataclass(frozen=True)
class Darken:
  """Make dark examples from a list's passages and score them, once.

  Attributes:
    params: train stage of the cross-encoder that scores them.
    candidates: mine stage whose lists they are made from.
    strengthened: how many negatives of a query get a span of its positive.
    strengthen_rate: share of a negative that the span replaces.
    masked: how many copies of the positive get holes.
    mask_rate: share of the positive that is masked.
  """

  kind: Literal["darken"]
  params: str
  candidates: str
  strengthened: int
  masked: int
  strengthen_rate: float
  mask_rate: float
  batch_tokens: int = 8192
  block_queries: int = 256


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
  clusters: int
  iterations: int = 20


@dataclasses.dataclass(frozen=True)
class Evaluate:
  """Retrieve for `split` and measure; a cross-encoder reranks another's run.

  Attributes:
    encoded: encode stage of the dual encoder that retrieves.
    rerank: train stage of a cross-encoder, or a late-interaction model, that
      reorders the first `rerank_depth` of that run; "" measures the dual
      encoder itself.
    depth: length of the run.
    relevance: "answers" counts a passage that contains an answer, and takes
      the metrics hit and mrr only.
    relevant: lowest grade that counts as relevant in binary metrics.
    indexes: kinds of index to retrieve with; "exact" is always measured.
    widths: measures the first w coordinates of all vectors too, for each w,
      with exact search.
  """

  kind: Literal["evaluate"]
  encoded: str
  split: str = "test"
  rerank: str = ""
  rerank_depth: int = 10
  depth: int = 100
  relevance: Literal["labels", "answers"] = "labels"
  relevant: int = 1
  indexes: tuple[Literal["exact", "scann"], ...] = ("exact", "scann")
  widths: tuple[int, ...] = ()
  metrics: tuple[str, ...] = (
    "mrr@10",
    "ndcg@10",
    "map@100",
    "recall@100",
    "hit@100",
  )
  batch_tokens: int = 8192


Stage = (
  Train
  | Encode
  | Mine
  | Provided
  | Imported
  | Score
  | Divide
  | Denoise
  | Compare
  | Darken
  | Cluster
  | Evaluate
)
