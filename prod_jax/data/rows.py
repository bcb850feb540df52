"""Token ids to the rows of a batch: special tokens, cuts, padding.

Every row is [CLS] and then one, two or three texts, each with a [SEP] behind
it, all in segment 1. Token type 0 is the first text, type 1 the others.
"""

from collections.abc import Sequence

import numpy as np

from prod_jax import config
from prod_jax.batch import Tokens
from prod_jax.data.tokens import Special

Rows = Sequence[np.ndarray]


def single(rows: Rows, length: int, special: Special) -> Tokens:
  """[CLS] ids [SEP] and padding; long ids are cut so that [SEP] stays.

  Args:
    rows: n arrays of content ids.
    length: L, 2 or more.
    special: ids of the special tokens.

  Returns:
    Tokens [n, L], all of segment 1 and type 0.
  """
  if length < 2:
    raise ValueError(f"length is {length}; [CLS] and [SEP] alone take 2")
  return _join([rows], [_cut(rows, length - 2)], length, special)


def pair(
  query_rows: Rows,
  passage_rows: Rows,
  query_length: int,
  length: int,
  special: Special,
) -> Tokens:
  """[CLS] query [SEP] passage [SEP] and padding.

  Args:
    query_rows: n arrays of content ids.
    passage_rows: n more.
    query_length: most tokens of the query with [CLS] and [SEP], 2 or more.
    length: L, more than `query_length`; the passage is cut to fit.
    special: ids of the special tokens.

  Returns:
    Tokens [n, L], all of segment 1; type 1 from the passage to its [SEP].
  """
  if not 2 <= query_length < length:
    raise ValueError(
      f"query_length is {query_length}, length is {length}; they need "
      "2 <= query_length < length"
    )
  query = _cut(query_rows, query_length - 2)
  passage = np.minimum(_cut(passage_rows, length), length - query - 3)
  return _join([query_rows, passage_rows], [query, passage], length, special)


def triple(
  query_rows: Rows,
  first_rows: Rows,
  second_rows: Rows,
  query_length: int,
  passage_length: int,
  length: int,
  special: Special,
) -> Tokens:
  """[CLS] query [SEP] first [SEP] second [SEP] and padding.

  BERT knows two token types: both passages are of type 1, and their positions
  and the [SEP] between tell them apart.

  Args:
    query_rows, first_rows, second_rows: n arrays of content ids each.
    query_length: most tokens of the query with [CLS] and [SEP], 2 or more.
    passage_length: most tokens of a passage with [CLS], which it has not got
      here, and [SEP], 2 or more.
    length: L, enough for the longest row after these cuts.
    special: ids of the special tokens.

  Returns:
    Tokens [n, L], all of segment 1.
  """
  if min(query_length, passage_length) < 2:
    raise ValueError(
      f"query_length is {query_length}, passage_length is {passage_length}; "
      "they need 2 or more"
    )
  texts = [query_rows, first_rows, second_rows]
  kept = [_cut(query_rows, query_length - 2)]
  kept += [_cut(rows, passage_length - 2) for rows in texts[1:]]
  longest = int(sum(kept).max(initial=0)) + len(texts) + 1
  if longest > length:
    raise ValueError(f"length is {length}, and a row has {longest} tokens")
  return _join(texts, kept, length, special)


def pair_length(lengths: config.Data) -> int:
  """Tokens of a query and a passage in one row, as in the official code."""
  return lengths.query_length + lengths.passage_length


def triple_length(lengths: config.Data) -> int:
  """Tokens of a query and two passages in one row."""
  return lengths.query_length + 2 * (lengths.passage_length - 1)


def single_tokens(content: np.ndarray, length: int) -> np.ndarray:
  """Tokens of the texts of `single` that have so many content ids."""
  return np.minimum(content + 2, length)


def pair_tokens(
  query: np.ndarray, passage: np.ndarray, query_length: int, length: int
) -> np.ndarray:
  """The same of `pair`."""
  return np.minimum(single_tokens(query, query_length) + passage + 1, length)


def triple_tokens(
  query: np.ndarray,
  first: np.ndarray,
  second: np.ndarray,
  query_length: int,
  passage_length: int,
) -> np.ndarray:
  """The same of `triple`."""
  passages = (np.minimum(n + 1, passage_length - 1) for n in (first, second))
  return single_tokens(query, query_length) + sum(passages)


def _cut(rows: Rows, most: int) -> np.ndarray:
  """How many ids of each row are kept, int64 [n]."""
  return np.array([min(len(row), most) for row in rows], np.int64)


def _join(
  texts: Sequence[Rows],
  kept: Sequence[np.ndarray],
  length: int,
  special: Special,
) -> Tokens:
  """Rows of the first `kept[k]` ids of texts k, one behind the other."""
  # [SEP] k stands behind [CLS], k other [SEP] and the texts up to k.
  ends = np.cumsum(kept, axis=0) + np.arange(1, len(texts) + 1)[:, None]
  line = np.arange(ends.shape[1])
  position = np.arange(length, dtype=np.int32)
  content = (position >= 1) & (position < ends[-1][:, None])
  content[line, ends[:-1]] = False
  ids = np.full(content.shape, special.pad, np.int32)
  ids[:, 0] = special.cls
  ids[line, ends] = special.sep
  each = zip(*texts, strict=True)
  parts = [
    row[:size]
    for rows, sizes in zip(each, np.transpose(kept), strict=True)
    for row, size in zip(rows, sizes, strict=True)
  ]
  ids[content] = np.concatenate([np.zeros(0, np.int32), *parts])
  last = ends[-1][:, None]
  return Tokens(
    ids=ids,
    segment=(position <= last).astype(np.int32),
    position=np.broadcast_to(position, ids.shape).copy(),
    type=((position > ends[0][:, None]) & (position <= last)).astype(np.int32),
  )
