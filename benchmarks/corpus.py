"""A quarter of a million real passages, and their embeddings, made once.

Texts are the strings in triple quotes of all installed Python packages, most
of them docstrings, cut every 32 words; what stands twice is taken once. A
query is one such cut, and its positive the one before it. Embeddings are those
of two layers of the packaged encoder: other vectors than a trained student's,
with the neighbours of real text.

    python -m benchmarks.corpus --cache=FOLDER
"""

import argparse
import pathlib
import re
import shutil
import sysconfig
from collections.abc import Iterator

import numpy as np

from benchmarks import texts

PASSAGES, QUERIES = 250_000, 8_192
NAME = f"corpus-{PASSAGES}"
WORDS, LEAST = 32, 8
LAYERS = (0, 5)
_STRING = re.compile(r'"""(.*?)"""', re.DOTALL)


def vectors(cache: pathlib.Path, of: str) -> pathlib.Path:
  """File of the embeddings of "passages" or "queries", float32 [rows, D]."""
  return cache / NAME / f"{of}.npy"


def prepare(cache: pathlib.Path) -> None:
  """Writes the folder and embeds it, unless that is done."""
  from benchmarks import ours

  if vectors(cache, "queries").exists():
    return
  passages, queries = chosen(list(dict.fromkeys(cuts())))
  texts.write(cache / NAME, passages, queries)
  run = ours.run_of(cache, NAME, layers=LAYERS)
  encoded = ours.encode_all(run, ours.write_params(run))
  for of, matrix in zip(
    ("passages", "queries"), ours.vectors(encoded), strict=True
  ):
    np.save(vectors(cache, of), matrix)


def cuts(words_each: int = WORDS) -> Iterator[str]:
  """All texts, of so many words, in the order of files."""
  for key in ("stdlib", "purelib"):
    for path in sorted(pathlib.Path(sysconfig.get_path(key)).rglob("*.py")):
      source = path.read_text(errors="ignore")
      for text in _STRING.findall(source):
        words = text.split()
        for i in range(0, len(words), words_each):
          if len(words[i : i + words_each]) >= LEAST:
            yield " ".join(words[i : i + words_each])


def chosen(
  found: list[str],
) -> tuple[dict[str, str], list[tuple[str, str, list[str]]]]:
  """Passages, and queries as (id, text, positives), by a seed.

  Raises:
    ValueError: there are too few texts.
  """
  if len(found) < PASSAGES + QUERIES:
    raise ValueError(
      f"the installed packages hold {len(found)} texts, and the benchmark "
      f"takes {PASSAGES + QUERIES}; lower PASSAGES in benchmarks/corpus.py"
    )
  found = found[: PASSAGES + QUERIES]
  rng = np.random.default_rng(texts.SEED)
  # Not two in a row: the one before a query is a passage.
  at = 2 * np.sort(rng.permutation(len(found) // 2)[:QUERIES]) + 1
  is_query = np.zeros(len(found), bool)
  is_query[at] = True
  passages = {f"p{i}": found[i] for i in np.flatnonzero(~is_query)}
  return passages, [(f"q{i}", found[i], [f"p{i - 1}"]) for i in at]


def main() -> None:
  """The command."""
  parser = argparse.ArgumentParser()
  parser.add_argument("--cache", type=pathlib.Path, required=True)
  args = parser.parse_args()
  prepare(args.cache)
  shutil.rmtree(args.cache / f"run-{NAME}" / "mined", ignore_errors=True)


if __name__ == "__main__":
  main()
