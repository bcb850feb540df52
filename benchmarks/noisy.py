"""A corpus of any size: real texts, repeated with noise.

Texts are those of corpus.py, a little longer, so that most fill 64 tokens. From
the second time on, one word of eight is another word of the texts. A smaller
corpus is the beginning of a larger one, and both have the same queries: the
first words of passages among the first ten thousand, some of them others.
"""

import itertools
import pathlib
from collections.abc import Iterator, Sequence

import numpy as np

from benchmarks import corpus, texts

WORDS, LEAST = 44, 24  # of a passage
TEXTS = 100_000  # that are repeated, at most
QUERIES, AMONG, QUERY_WORDS = 512, 10_000, 12
_EACH = 8  # words of which one is another


def write(folder: pathlib.Path, rows: int, found: Sequence[str]) -> None:
  """Writes a folder in the MS MARCO layout, unless it is there.

  Args:
    folder: of the files.
    rows: passages.
    found: the texts.
  """
  labels = folder / "qrels.train.tsv"
  if labels.exists():
    return
  folder.mkdir(parents=True, exist_ok=True)
  rng = np.random.default_rng(texts.SEED)
  asked = np.sort(rng.permutation(min(AMONG, rows))[:QUERIES]).tolist()
  queries = dict.fromkeys(asked, "")
  with (folder / "collection.tsv").open("w", encoding="utf-8") as file:
    for row, text in enumerate(itertools.islice(passages(found), rows)):
      file.write(f"p{row}\t{text}\n")
      if row in queries:
        words = text.split(" ")[:QUERY_WORDS]
        queries[row] = " ".join(noisy(words, rng.integers(0, 2**32, 2), words))
  (folder / "queries.train.tsv").write_text(
    "".join(f"q{row}\t{text}\n" for row, text in queries.items()),
    encoding="utf-8",
  )
  labels.write_text("".join(f"q{row} 0 p{row} 1\n" for row in queries))


def real() -> list[str]:
  """The texts, each once."""
  long = (x for x in corpus.cuts(WORDS) if x.count(" ") >= LEAST)
  return list(itertools.islice(dict.fromkeys(long), TEXTS))


def passages(found: Sequence[str]) -> Iterator[str]:
  """Texts without end, noisy from the second time on."""
  yield from found
  words = list(itertools.chain.from_iterable(x.split(" ") for x in found[:999]))
  rng = np.random.default_rng(texts.SEED)
  while True:
    drawn = rng.integers(0, 2**32, (len(found), WORDS // _EACH + 1))
    for text, numbers in zip(found, drawn, strict=True):
      yield " ".join(noisy(text.split(" "), numbers, words))


def noisy(
  own: Sequence[str], numbers: np.ndarray, words: Sequence[str]
) -> list[str]:
  """Words, of each eight of which one is drawn anew by a number."""
  changed = list(own)
  for i, number in enumerate(numbers.tolist()):
    if (at := i * _EACH + number % _EACH) < len(changed):
      changed[at] = words[number // _EACH % len(words)]
  return changed
