"""The vocabulary of a config, as frozen dataclasses.

What no field here names, or in `kinds` for a stage or in `model_kinds` for a
model, cannot be set. Numbers of an experiment stand in `configs/`: the defaults
below are neutral, or the same for everyone. `config_file` fills these from a
file and the command line.
"""

import dataclasses
from collections.abc import Mapping
from typing import Literal

from prod_jax import kinds, model_kinds
from prod_jax.ranges import Along, Count, Seed, Whole


@dataclasses.dataclass(frozen=True)
class Data:
  """A collection, its queries, and how they become tokens.

  Attributes:
    name: which set, one builder each in `sets/datasets`; "folder" is the MS
      MARCO layout and "beir" BEIR's, both of any set.
    path: the folder of "folder" and "beir"; of the others but "pydocs" a folder
      with their files as published, where "" downloads them to `data_dir`.
    titles: "rocketqa" adds that project's page titles to "msmarco_passage".
    max_characters: above 0, of a passage of "msmarco_document".
    on_error: "raise" at the first malformed line, or "skip" and count.
    max_queries: at most this many queries of a split, the same ones each time.
    labelled: above 0, so many of the train queries keep their labels, the same
      ones each time; the others are as those without any, which a file
      `queries.unlabelled.tsv` brings.
    own_documents: "leave_out" takes the passage whose id is the query's own out
      of mined lists, drawn negatives and all rankings, "keep" does not; "" is
      the former in BEIR's arguana and quora, whose queries are passages.
    max_passages: above 0, the labelled passages of those queries and others up
      to this many: a smaller haystack, whose figures are not the set's own.
    tokenizer: of models that have none of their own, nor weights with one: a
      folder with tokenizer.json or vocab.txt, or "packaged" for the one of the
      `quickstart` extra.
    title_join: text between title and passage, or "[SEP]" for what a tokenizer
      puts between two texts.
    query_length: tokens of a query with special ones, as [CLS] and [SEP].
    passage_length: the same of a passage.
    packed: several texts share a row, so that little is padding; False pads
      each to the length above, as models of kind "late" always do.
    row_length: tokens of a packed row; 0 takes the length with which a batch
      costs least. Longer rows hold less padding, and attention costs more.
    data_dir: where prepared data goes; "" is `data` under the workdir.
  """

  name: Literal[
    "pydocs", "folder", "msmarco_passage", "msmarco_document", "nq", "beir"
  ] = "pydocs"
  path: str = ""
  titles: Literal["", "rocketqa"] = ""
  max_characters: Whole = 0
  on_error: Literal["raise", "skip"] = "raise"
  max_queries: Mapping[str, Count] = dataclasses.field(default_factory=dict)
  labelled: Whole = 0
  own_documents: Literal["", "keep", "leave_out"] = ""
  max_passages: Whole = 0
  tokenizer: str = "packaged"
  title_join: str = ". "
  query_length: Count = 32
  passage_length: Count = 144
  packed: bool = True
  row_length: Whole = 0
  data_dir: str = ""


@dataclasses.dataclass(frozen=True)
class Mesh:
  """Devices along each mesh axis; -1 takes what the others leave.

  Attributes:
    data: parts of a batch.
    fsdp: parts of parameters and optimizer state, and of a batch too.
    tensor: parts of heads and MLPs.
  """

  data: Along = -1
  fsdp: Along = 1
  tensor: Along = 1


@dataclasses.dataclass(frozen=True)
class Config:
  """A whole run; `stages` are run in the order in which they are written.

  Attributes:
    trackers: where metrics are shown besides, each with an extra of its name;
      no result depends on them.
  """

  seed: Seed
  data: Data
  mesh: Mesh
  models: Mapping[str, model_kinds.Model]
  stages: Mapping[str, kinds.Stage]
  trackers: tuple[Literal["tensorboard", "wandb"], ...] = ()
