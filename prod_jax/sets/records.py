"""What a retrieval set is made of, as text.

Holds the records and the error that speaks of them. Reading them from files
is formats.py, keeping them on disk is datasets/, tokens are batches/tokens.py.
"""

from typing import NamedTuple


class DataError(ValueError):
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
  """

  id: str
  text: str
  positives: tuple[tuple[str, int], ...]
  answers: tuple[str, ...] = ()
