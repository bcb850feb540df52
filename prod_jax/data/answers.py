"""Whether a passage contains an answer, as DPR decides it.

A text is normalised to NFD, cut into tokens and lower-cased. A token is a run
of letters, digits and marks, or one other character that is neither a
separator nor a control character. A passage contains an answer where its text,
without the title, has the answer's tokens side by side. So accents and
punctuation must agree, and a part of a word is no match.

Which passages are asked about is the callers'.
"""

import functools
import unicodedata
from collections.abc import Sequence

import numpy as np
import regex

from prod_jax.data.records import Passage

_TOKEN = regex.compile(r"[\p{L}\p{N}\p{M}]+|[^\p{Z}\p{C}]")


def tokens(text: str) -> tuple[str, ...]:
  """The tokens of a text.

  >>> tokens("J. Ono's café")
  ('j', '.', 'ono', "'", 's', 'café')
  """
  return tuple(
    match.lower()
    for match in _TOKEN.findall(unicodedata.normalize("NFD", text))
  )


def contains(text: str, answers: Sequence[str]) -> bool:
  """Whether a text has one of the answers in it."""
  return _contains(tokens(text), [_answer_tokens(a) for a in answers])


def mark(
  rows: np.ndarray,
  answers: Sequence[Sequence[str]],
  passages: Sequence[Passage],
) -> np.ndarray:
  """Marks the passages of lists that contain an answer.

  Args:
    rows: [Q, K], of the passages, -1 on padding.
    answers: of each query.
    passages: the collection.

  Returns:
    bool [Q, K].
  """
  marks = np.zeros(rows.shape, bool)
  for line, found, wanted in zip(marks, rows, answers, strict=True):
    tokenised = [_answer_tokens(answer) for answer in wanted]
    for column in np.flatnonzero(found >= 0):
      text = tokens(passages[int(found[column])].text)
      line[column] = _contains(text, tokenised)
  return marks


def hits(marks: np.ndarray, cut: int | None) -> np.ndarray:
  """Whether any of the first passages of each list is marked, float [Q].

  Its mean is DPR's retrieval accuracy at `cut`, which the PROD paper's tables
  call R@k.
  """
  return marks[:, :cut].any(axis=1).astype(np.float64)


@functools.lru_cache(1 << 16)
def _answer_tokens(answer: str) -> tuple[str, ...]:
  return tokens(answer)


def _contains(
  text: tuple[str, ...], answers: Sequence[tuple[str, ...]]
) -> bool:
  return any(
    answer == text[start : start + len(answer)]
    for answer in answers
    if answer
    for start in _places(text, answer[0])
  )


def _places(text: tuple[str, ...], token: str) -> list[int]:
  return [i for i, other in enumerate(text) if other == token]
