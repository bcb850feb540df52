"""Whether a passage contains an answer, as DPR's evaluation decides it.

Texts are decomposed (NFD), cut into runs of letters, digits and marks and into
single other signs, and lower-cased; an answer is contained where its tokens
stand in a row. Titles are not looked at. (The evaluation of DPR, arXiv
2004.04906, which PROD's code for Natural Questions shares.)
"""

import functools
import re
import sys
import unicodedata
from collections.abc import Callable, Sequence

import numpy as np

_BETWEEN = "\0"  # a control sign, which is in no token


def contained(text: str, answers: Sequence[str]) -> bool:
  """Whether any of the answers is in the text; one without tokens is not."""
  joined = _joined(text)
  tokens = map(_joined, answers)
  return any(answer in joined for answer in tokens if answer != _BETWEEN)


def labels(
  ids_QK: np.ndarray,
  answers: Sequence[Sequence[str]],
  text_of: Callable[[int], str],
) -> np.ndarray:
  """Which retrieved passages contain an answer of their query.

  Args:
    ids_QK: rows of the collection, -1 on padding.
    answers: of each query.
    text_of: a passage's text by its row.

  Returns:
    bool [Q, K].
  """
  return np.array(
    [
      [row >= 0 and contained(text_of(int(row)), known) for row in line]
      for line, known in zip(ids_QK, answers, strict=True)
    ],
    bool,
  ).reshape(ids_QK.shape)


def _joined(text: str) -> str:
  """The tokens of a text with a sign before and behind each."""
  decomposed = unicodedata.normalize("NFD", text)
  tokens = (token.lower() for token in _token().findall(decomposed))
  return _BETWEEN + "".join(f"{token}{_BETWEEN}" for token in tokens)


@functools.cache
def _token() -> re.Pattern[str]:
  """Runs of letters, digits and marks; else a sign that is no space."""
  return re.compile(f"[{_class('LNM')}]+|[^{_class('ZC')}]")


def _class(kinds: str) -> str:
  """The inside of a character class: all signs of these Unicode kinds."""
  of_kind = np.array(
    [
      unicodedata.category(chr(i))[0] in kinds
      for i in range(sys.maxunicode + 1)
    ]
  )
  edges = np.flatnonzero(np.diff(of_kind, prepend=False, append=False))
  return "".join(
    f"{re.escape(chr(first))}-{re.escape(chr(end - 1))}"
    for first, end in edges.reshape(-1, 2)
  )
