"""The vocabulary of a config, as frozen dataclasses.

What no field here names cannot be set. Numbers of an experiment stand in
`configs/`: the defaults below are neutral, or the same for everyone.
`config_file` fills these from a file and the command line.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any, Literal


@dataclasses.dataclass(frozen=True)
class Data:
  """A collection, its queries, and how they become tokens.

  Attributes:
    name: "pydocs", or "folder" for the MS MARCO layout under `path`.
    path: the folder; only for name "folder".
    on_error: "raise" at the first malformed line, or "skip" and count.
    max_queries: at most this many queries of a split, the same ones each time.
    max_passages: above 0, the labelled passages of those queries and others up
      to this many: a smaller haystack, whose figures are not the set's own.
    tokenizer: folder with tokenizer.json or vocab.txt; "packaged" for the one
      of the `quickstart` extra.
    title_join: text between title and passage, or "[SEP]" for that token.
    query_length: tokens of a query with [CLS] and [SEP].
    passage_length: the same of a passage.
    data_dir: where prepared data goes; "" is `data` under the workdir.
  """

  name: Literal["pydocs", "folder"] = "pydocs"
  path: str = ""
  on_error: Literal["raise", "skip"] = "raise"
  max_queries: Mapping[str, int] = dataclasses.field(default_factory=dict)
  max_passages: int = 0
  tokenizer: str = "packaged"
  title_join: str = ". "
  query_length: int = 32
  passage_length: int = 144
  data_dir: str = ""


@dataclasses.dataclass(frozen=True)
class Mesh:
  """Devices along each mesh axis; -1 takes what the others leave."""

  data: int = -1
  fsdp: int = 1
  tensor: int = 1


@dataclasses.dataclass(frozen=True)
class Model:
  """An encoder and where its first weights come from.

  Attributes:
    kind: "dual" or "cross".
    weights: "" draws random ones, "packaged" takes those of the `quickstart`
      extra, anything else is a folder with config.json and model.safetensors.
    layers: indices of the layers to keep; () keeps all.
    width, depth, heads, mlp_width: the shape, only where `weights` is "".
    pooling: "cls" or "mean".
    similarity: "dot" or "cosine", only for kind "dual".
    scale: what a cosine is multiplied by.
    tied: one tower for queries and passages, only for kind "dual".
    dropout: rate in hidden layers and attention.
    dtype: of the computation; masters are float32.
  """

  kind: Literal["dual", "cross"]
  weights: str = ""
  layers: tuple[int, ...] = ()
  width: int = 0
  depth: int = 0
  heads: int = 0
  mlp_width: int = 0
  pooling: Literal["cls", "mean"] = "cls"
  similarity: Literal["dot", "cosine"] = "dot"
  scale: float = 1.0
  tied: bool = True
  dropout: float = 0.1
  dtype: Literal["float32", "bfloat16"] = "float32"


@dataclasses.dataclass(frozen=True)
class Train:
  """Train `model` by `method`.

  Attributes:
    model: name under `models`.
    method: module under `prod_jax/methods`.
    settings: what that method asks for; checked against its `Settings`.
    init: train stage to start from; "" takes the model's own weights.
    candidates: mine stage to draw negatives from; "" draws them from the
      whole collection.
    queries: divide stage that says which queries to train on; "" is all.
    teacher: train stage of a frozen teacher, run inside the step.
    scores: score stage (a cross-encoder's scores) or encode stage (a dual
      encoder's embeddings) of the teacher: cached, nothing runs in the step.
    anchor: what the student scored as this stage began: a mine stage made
      with the same parameters gives it cached, "start" runs a frozen copy in
      the step, "" is none.
    negatives: how many a query gets besides its positive.
    sampling: "random", or "descend" for the first ones in ranked order.
    accumulation: micro-batches a step; batch_size counts all of them.
    clip: largest global norm of a gradient; 0 is no clipping.
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
  scores: str = ""
  anchor: str = ""
  negatives: int = 0
  sampling: Literal["random", "descend"] = "random"
  warmup_steps: int = 0
  weight_decay: float = 0.0
  clip: float = 0.0
  accumulation: int = 1
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

  `limit` above 0 takes that many queries only: what a large teacher is to
  score costs by the query.
  """

  kind: Literal["mine"]
  encoded: str
  depth: int
  limit: int = 0
  split: str = "train"
  index: Literal["exact", "scann"] = "exact"
  block_queries: int = 4096


@dataclasses.dataclass(frozen=True)
class Score:
  """Score the candidate lists of `candidates` with a cross-encoder, once."""

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
class Evaluate:
  """Retrieve for `split` and measure; a cross-encoder reranks another's run.

  Attributes:
    encoded: encode stage of the dual encoder that retrieves.
    rerank: train stage of a cross-encoder that reorders the first
      `rerank_depth` of that run; "" measures the dual encoder itself.
    depth: length of the run.
    relevant: lowest grade that counts as relevant in binary metrics.
    indexes: kinds of index to retrieve with; "exact" is always measured.
  """

  kind: Literal["evaluate"]
  encoded: str
  split: str = "test"
  rerank: str = ""
  rerank_depth: int = 10
  depth: int = 100
  relevant: int = 1
  indexes: tuple[Literal["exact", "scann"], ...] = ("exact", "scann")
  metrics: tuple[str, ...] = (
    "mrr@10",
    "ndcg@10",
    "map@100",
    "recall@100",
    "hit@100",
  )
  batch_tokens: int = 8192


Stage = Train | Encode | Mine | Score | Divide | Evaluate


@dataclasses.dataclass(frozen=True)
class Config:
  """A whole run; `stages` are run in the order in which they are written."""

  seed: int
  data: Data
  mesh: Mesh
  models: Mapping[str, Model]
  stages: Mapping[str, Stage]
