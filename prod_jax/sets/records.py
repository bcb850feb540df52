"""What a retrieval set is made of, as text.

Holds the records and the error that speaks of them. Reading them from files
is formats.py, keeping them on disk is datasets/, tokens are batches/tokens.py.
"""

from typing import NamedTuple

from prod_jax.strict import Refused

SEP = "[SEP]"  # a `title_join` that is a token of each tokenizer, and no text


class DataError(Refused):
  """Data that cannot be used: says where it is, what is wrong, what to do."""


class Passage(NamedTuple):
  """A text of the collection.

  Attributes:
    id: name of the passage, without white space; unique in the collection.
    title: may be empty.
    text: never empty.
  """

  id: str
  title: str
  text: str


class Query(NamedTuple):
  """A question with its labelled passages.

  Attributes:
    id: name of the query, without white space; unique in its split.
    text: never empty.
    positives: (passage id, grade) with grade > 0, in the order of the qrels;
      none where nobody labelled it.
    answers: short texts of which a relevant passage contains one; most sets
      have none.
    missing: the same as `positives`, of passages that the collection lacks:
      nobody can find them, and they count as missed.
  """

  id: str
  text: str
  positives: tuple[tuple[str, int], ...]
  answers: tuple[str, ...] = ()
  missing: tuple[tuple[str, int], ...] = ()


def joined(title: str, text: str, title_join: str) -> str:
  """A passage as one text, which is how an encoder reads it.

  Where the tokenizer's separator stands between the two, a space stands for it:
  no text is that token for everybody.
  """
  if not title:
    return text
  return f"{title}{' ' if title_join == SEP else title_join}{text}"
