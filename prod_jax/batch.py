"""What a batch is made of, and the letters that name its axes.

Every array in the project is named, or annotated, with these letters:

  B  queries in the batch        Q  queries of a split
  N  candidates of one query     C  columns of a stored candidate list
  P  passages in the batch       M  labelled positives of one query
  L  tokens                      H  attention heads
  D  width                       K  cut-off of a ranking
  A  generated passages          J  pairs of passages of one query
  R  rows of tokens              S  texts of a row, at most
  G  groups of a batch's queries, which share rows

`q_BD` is a matrix of B query embeddings of width D. Einsum strings use the
same letters. This module holds only containers: no arithmetic, no jax, so
that batches/ can fill them with numpy arrays, and the rooms that use devices
can trace through them.
"""

from typing import Any, NamedTuple

Array = Any  # np.ndarray where batches are made, jax.Array inside a step


class Tokens(NamedTuple):
  """Rows of token ids, all int32 `[..., L]`.

  Attributes:
    ids: vocabulary ids; the content of padding does not matter.
    segment: 0 on padding, 1, 2, … for the texts that share a row. Tokens
      attend only within their own segment. A token of segment -s attends to
      segment s, and nothing attends to it.
    position: index into the position table, restarting in each segment.
    type: BERT's token type, 0 for a single text or a query, 1 for the passage
      of a pair.
  """

  ids: Array
  segment: Array
  position: Array
  type: Array


class Packed(NamedTuple):
  """Texts that share rows, so that little of a batch is padding.

  The texts of B queries stand in G groups, B / G queries in each. As a batch
  is made, there is a group for each device, micro-batch and chunk, in the order
  of `batches.packing.Grouping`; cut down to the chunk that is read, there is
  one for each device, and group g holds the g-th run of B / G queries.

  Which tokens a text has follows from where it stands, so that a batch is
  little more than its ids; `models.texts` makes Tokens of it on the device.

  Attributes:
    ids: int32 [G, R, L], vocabulary ids.
    start_GRS, length_GRS: int32, where in its row the text of segment s + 1
      begins, and how many tokens it has; 0 where there is none. S is the most
      texts that a row may hold.
    first_length_GRS: int32, the tokens of its first part, which are of type 0.
    place: int32 [B, ...], number r * S + s of each text in its query's group.
  """

  ids: Array
  start_GRS: Array
  length_GRS: Array
  first_length_GRS: Array
  place: Array


Texts = Tokens | Packed  # one text a row, or several
Field = Any  # an array or Texts; None in a batch whose step does not read it


class TeacherTexts(NamedTuple):
  """The texts that a teacher in the step reads, in its own tokens.

  Attributes:
    query, passage, pair, triple: as those of `Batch`; None where it reads none.
  """

  query: Field = None
  passage: Field = None
  pair: Field = None
  triple: Field = None


class Batch(NamedTuple):
  """B queries with N candidates each; column 0 is the labelled positive.

  A query without labels has no positive: column 0 is a candidate as the others.

  A field that a step has no use for is None, and is then no part of the
  compiled program. `P = B * N` where all passages serve all queries.

  Texts are Tokens of these shapes or, with the leading axes of these, Packed.

  Attributes:
    query: Tokens [B, Lq].
    passage: Tokens [B, N, Lp], for dual encoders.
    pair: Tokens [B, N, Lq + Lp], for cross-encoders.
    where_BN: bool, False on columns that stand for no passage.
    query_id_B: int32, row in the query table.
    passage_id_BN: int32, row in the collection, -1 where `where_BN` is False.
    positive_id_BM: int32, every labelled positive of the query, and passages
      that say the same under other ids, -1 padded; all -1 where it has none.
    list_scores_BN: float32, a teacher's cached scores of the query's own list:
      of the only teacher, or of the second one beside cached embeddings.
    anchor_BN: float32, cached scores of the student as the stage began.
    teacher_query_BD: float32, cached teacher embeddings of the queries.
    teacher_passage_BND: float32, cached teacher embeddings of the passages.
    ranking_group_BN: int32, the group of the teacher's ranking that a column
      was drawn from, see `batches.draws.RankingGroups`.
    triple: Tokens [B, J, 2, Lt], the positive and another candidate behind the
      query: [:, :, 0] names the positive first, [:, :, 1] the other one. For
      pairwise cross-encoders.
    where_BJ: bool, False on triples of which a passage is missing.
    first_BJ, second_BJ: int32, columns of two candidates, -1 on padding.
    prefer_BJ: float32, the pairwise teacher's probability that the first is
      the better one.
    dark: Tokens [B, A, Lp], generated passages.
    dark_scores_BA: float32, the teacher's scores of them.
    where_BA: bool, False where fewer were generated.
    teacher: what a teacher in the step reads, where it has another tokenizer or
      other prompts than the student; else it reads the student's texts.
  """

  query: Texts
  passage: Field
  pair: Field
  where_BN: Array
  query_id_B: Array
  passage_id_BN: Array
  positive_id_BM: Array
  list_scores_BN: Field = None
  anchor_BN: Field = None
  teacher_query_BD: Field = None
  teacher_passage_BND: Field = None
  ranking_group_BN: Field = None
  triple: Field = None
  where_BJ: Field = None
  first_BJ: Field = None
  second_BJ: Field = None
  prefer_BJ: Field = None
  dark: Field = None
  dark_scores_BA: Field = None
  where_BA: Field = None
  teacher: TeacherTexts | None = None

  def of_teacher(self) -> "Batch":
    """The batch as a teacher in the step reads it."""
    if self.teacher is None:
      return self
    return self._replace(**self.teacher._asdict())
