"""The kinds of stage that make lists of passages, or say something of them.

A part of the vocabulary of `kinds`.
"""

import dataclasses
from typing import ClassVar, Literal

from prod_jax.ranges import (
  Count,
  Percentile,
  Real,
  Share,
  ShareBetween,
  Whole,
)

# Those of a split that have a labelled positive, those that have none, or both.
Queries = Literal["labelled", "unlabelled", "all"]


@dataclasses.dataclass(frozen=True)
class Mine:
  """Retrieve `depth` candidates for each query of `split`.

  Attributes:
    encoded: encode stage of the dual encoder that retrieves, or accept stage.
    depth: length of a list.
    queries: which queries of the split: those with labels, those without, or
      all. A list of a query without labels has no positive.
    limit: above 0, that many of these only, the same ones each time, before
      any list is left out: what a large teacher is to score costs by the query.
    negatives: above 0, a list keeps that many of its first passages that are
      not labelled, beside all that are; ranks stay those of the whole run.
    positive_from, positive_to: if the second is above 0, of queries with labels
      those alone have a list whose first positive is retrieved at these ranks,
      counted from 0. What a division by the same ranks would leave out is then
      not asked of a teacher.
    split: whose queries these are.
    index: kind of index to retrieve with.
    gate: as of `kinds.Train`.
    relevance: with "answers" a passage that contains an answer is a positive
      too, and the labelled one is the first in its list.
    block_queries: queries that are searched for and saved together; all vectors
      are read for each block.
  """

  kind: Literal["mine"]
  encoded: str
  depth: Count
  queries: Queries = "labelled"
  limit: Whole = 0
  negatives: Whole = 0
  positive_from: Whole = 0
  positive_to: Whole = 0
  split: str = "train"
  index: Literal["exact", "scann"] = "exact"
  relevance: Literal["labels", "answers"] = "labels"
  gate: str = ""
  block_queries: Count = 4096


@dataclasses.dataclass(frozen=True)
class Provided:
  """Lists that came with the data set: at most `negatives` of its own a query.

  Nothing was retrieved: the lists have labels, and neither ranks nor scores.
  Where a set has more negatives, they are drawn by the stage's seed.

  Attributes:
    negatives: at most so many a query.
    split: whose queries these are.
    grade_0: passages that were judged for the query and have no grade above 0
      are its negatives too.
  """

  kind: Literal["provided"]
  negatives: Count
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
    queries: which of them, as of `Mine`.
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
  queries: Queries = "labelled"
  candidates: str = ""
  missing: Literal["error", "drop"] = "error"
  positives: Literal["", "add"] = ""
  transform: Literal["", "logit"] = ""


@dataclasses.dataclass(frozen=True)
class Score:
  """Score the lists of `candidates`, each pair once.

  Attributes:
    params: train stage of a cross-encoder or a late-interaction model, or such
      a model as it is.
    candidates: mine, provided, imported, denoise or filter stage: its lists.
    gate: as of `kinds.Train`.
    batch_tokens: tokens a batch, padding included.
    block_queries: queries that are scored and saved together.
    ensemble: encode stage of a dual encoder; the scores are then the mean of
      its and the model's, and both teach as one.
  """

  kind: Literal["score"]
  params: str
  candidates: str
  ensemble: str = ""
  gate: str = ""
  batch_tokens: Count = 8192
  block_queries: Count = 256


@dataclasses.dataclass(frozen=True)
class Divide:
  """Keep the queries that the teacher gets right and the student wrong.

  Ranks are 0-based and of the first labelled positive; `rule` "marco" keeps
  student_from <= student <= student_to and teacher <= teacher_to, "nq" keeps
  teacher < student and teacher <= teacher_to. Where a query has no labels, the
  teacher's own first passage stands for the positive, if the softmax of its
  scores gives that at least `confidence`.

  Attributes:
    scores: score or imported stage: the teacher's.
    candidates: mine or imported stage with the student's whole lists.
    rule: "marco" or "nq", as above.
    student_from, student_to: ranks of the student that are kept.
    teacher_to: the teacher's last rank that counts as right.
    confidence: as above, of queries without labels.
    least: fewer queries left is an error.
  """

  kind: Literal["divide"]
  scores: str
  candidates: str
  rule: Literal["marco", "nq"] = "marco"
  student_from: Whole = 1
  student_to: Whole = 14
  teacher_to: Whole = 0
  confidence: Share = 0.0
  least: Count = 1


@dataclasses.dataclass(frozen=True)
class Denoise:
  """Find the unlabelled passages of lists that a teacher takes for positives.

  z are the teacher's scores, z_pos that of the list's best labelled passage.

  Attributes:
    candidates: mine, provided, imported, denoise or filter stage whose lists
      these are.
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
  margin: Real = 0.0
  percentile: Percentile = 0.0
  action: Literal["drop", "keep", "relabel"] = "drop"


@dataclasses.dataclass(frozen=True)
class Filter:
  """Take generated queries on only where a ranker finds what they were made of.

  A query that a generator made is kept where its own passage, or another one
  with the same title and text, is among the first `top` of its list. Other
  queries are kept as they are.

  Attributes:
    candidates: stage whose lists these are; they are of split train, and made
      of queries="unlabelled" or "all".
    scores: stage with a teacher's scores of them, which order the lists; ""
      leaves the order of the retriever.
    top: 1 is the first one alone.
    label: its own passage becomes the positive of a query that is kept; False
      leaves it without a label, for methods that need none.
  """

  kind: Literal["filter"]
  candidates: str
  scores: str = ""
  top: Count = 1
  label: bool = True
  split: ClassVar[str] = "train"


@dataclasses.dataclass(frozen=True)
class Compare:
  """Ask a pairwise model which of two candidates is better, once a pair.

  Attributes:
    params: train stage of a model of kind "pairwise", or such a model as it is.
    candidates: stage whose lists the pairs are of.
    scores: stage with the scores that rank them.
    depth: of that ranking, 0 for the whole list.
    window: pairs are at most this many ranks apart.
    pairs: drawn for a query, all where there are fewer.
    both_orders: asks with either passage first and takes the mean; without,
      the higher ranked one stands first, as in the official code.
    batch_tokens, block_queries: as of `Score`.
  """

  kind: Literal["compare"]
  params: str
  candidates: str
  scores: str
  pairs: Count
  depth: Whole = 0
  window: Count = 5
  both_orders: bool = False
  batch_tokens: Count = 8192
  block_queries: Count = 256


@dataclasses.dataclass(frozen=True)
class Darken:
  """Make dark examples from a list's passages and score them, once.

  Attributes:
    params: train stage of the cross-encoder that scores them, or such a model
      as it is.
    candidates: stage whose lists they are made from.
    strengthened: how many negatives of a query get a span of its positive.
    strengthen_rate: share of a negative that the span replaces.
    masked: how many copies of the positive get holes.
    mask_rate: share of the positive that is masked.
    batch_tokens, block_queries: as of `Score`.
  """

  kind: Literal["darken"]
  params: str
  candidates: str
  strengthened: Whole
  masked: Whole
  strengthen_rate: ShareBetween
  mask_rate: ShareBetween
  batch_tokens: Count = 8192
  block_queries: Count = 256
