"""Whether a passage contains an answer, as DPR decides it.

A text is normalised to NFD, cut into tokens and lower-cased. A token is a run
of letters, digits and marks, or one other character that is neither a
separator nor a control character. A passage contains an answer where its text,
without the title, has the answer's tokens side by side. So accents and
punctuation must agree, and a part of a word is no match.
"""

import functools
import unicodedata
from collections.abc import Sequence

import numpy as np
import regex

from prod_jax import progress
from prod_jax.sets.records import Passage, Query

_METRIC = regex.compile(r"(hit|mrr)(?:@([1-9][0-9]*))?")
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
  lists = progress.shown(
    zip(marks, rows, answers, strict=True),
    "answers in passages",
    "lists",
    len(rows),
    only_long=True,
    leave=False,
  )
  for line, found, wanted in lists:
    tokenised = [_answer_tokens(answer) for answer in wanted]
    for column in np.flatnonzero(found >= 0):
      text = tokens(passages[int(found[column])].text)
      line[column] = _contains(text, tokenised)
  return marks


def check_metrics(metrics: Sequence[str]) -> None:
  """Raises ValueError for metrics that answers cannot decide.

  Those need the number of passages that contain an answer, which nobody knows
  of a whole collection.
  """
  for metric in metrics:
    if not _METRIC.fullmatch(metric):
      raise ValueError(
        f"metric {metric!r} needs labels; by answers there are hit and mrr, "
        "alone or with a cut-off, as in hit@20"
      )


def evaluate(
  rows: np.ndarray,
  queries: Sequence[Query],
  passages: Sequence[Passage],
  metrics: Sequence[str],
) -> dict[str, dict[str, float]]:
  """Measures lists by whether an answer is found, for every query.

  What is printed as R@k for NQ is hit@k here; mrr is 1 / rank of the first
  passage with an answer.

  Args:
    rows: [Q, K], of the passages in ranked order, -1 on padding.
    queries: with answers.
    passages: the collection.
    metrics: as `check_metrics` takes them.

  Returns:
    metric to query id to value.
  """
  marks = mark(rows, [query.answers for query in queries], passages)
  values = {}
  for metric in metrics:
    kind, cutoff = _METRIC.fullmatch(metric).groups()
    found = marks[:, : int(cutoff) if cutoff else None]
    by_query = found.any(axis=1).astype(float)
    if kind == "mrr":
      by_query /= 1 + found.argmax(axis=1)
    values[metric] = {
      query.id: float(value)
      for query, value in zip(queries, by_query, strict=True)
    }
  return values


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
