"""The texts that both sides read: folders in the MS MARCO layout, made once.

`texts` holds all, `few` a part that is mined from the beginning. Passages are
cut at a whole word so that they have at most 142 word pieces, and queries with
more than 30 are left out: then prod_jax, which cuts a query and a passage each
by itself, and its peers, which cut the longer of the two, read the same. Lists
of candidates are drawn by a seed, and so are the teacher's scores: what they
are decides nothing about speed.

    python -m benchmarks.texts --cache=FOLDER [--data=FOLDER]
"""

import argparse
import json
import pathlib
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

QUERY_LENGTH, PASSAGE_LENGTH = 32, 144  # tokens, [CLS] and [SEP] counted
CANDIDATES = 16
QUERIES = 2048
MINED_QUERIES, MINED_PASSAGES = 384, 768  # of the folder `few`
SEED = 42
LISTS = "lists.json"


class Texts(NamedTuple):
  """What `prepare` wrote.

  Attributes:
    passages: text by passage id.
    queries: text by query id.
    lists: by query id, passage ids with a positive first, and scores of them.
  """

  passages: dict[str, str]
  queries: dict[str, str]
  lists: dict[str, tuple[list[str], list[float]]]

  def sample(self, number: int) -> list[str]:
    """Some passages, the same ones each time."""
    texts = list(self.passages.values())
    chosen = np.random.default_rng(SEED).permutation(len(texts))[:number]
    return [texts[i] for i in chosen]

  def pairs(self, queries: int, candidates: int) -> list[tuple[str, str]]:
    """The first lists as pairs of texts."""
    return [
      (self.queries[name], self.passages[passage])
      for name in list(self.lists)[:queries]
      for passage in self.lists[name][0][:candidates]
    ]


def read(folder: pathlib.Path) -> Texts:
  """All of them, in memory; needs none of the measured packages."""
  lists = json.loads((folder / LISTS).read_text())
  return Texts(
    passages=_table(folder / "collection.tsv"),
    queries=_table(folder / "queries.train.tsv"),
    lists={name: (ids, scores) for name, ids, scores in lists},
  )


def passages(folder: pathlib.Path) -> list[str]:
  """The collection's texts, by row."""
  return list(_table(folder / "collection.tsv").values())


def pairs(folder: pathlib.Path) -> list[tuple[str, str]]:
  """Each query with each of its positives, as texts."""
  found = _table(folder / "collection.tsv")
  queries = _table(folder / "queries.train.tsv")
  lines = (folder / "qrels.train.tsv").read_text().split("\n")[:-1]
  labels = [line.split(" ") for line in lines]
  return [(queries[name], found[row]) for name, _, row, _ in labels]


def prepare(cache: pathlib.Path, data: str) -> None:
  """Writes the folder of pydocs, or of a folder in the MS MARCO layout."""
  from prod_jax import config, packaged
  from prod_jax.batches import tokens
  from prod_jax.sets import dataset

  place = config.Data(name="folder" if data else "pydocs", path=data)
  found = dataset.locate(place, str(cache / "prepared")).open()
  tokenizer = tokens.load_tokenizer(packaged.model_folder())
  titled = [
    f"{p.title}. {p.text}" if p.title else p.text for p in found.passages
  ]
  # The first of equal texts stands for all: mine_hard_negatives merges them.
  first: dict[str, str] = {}
  stands_for = {
    p.id: first.setdefault(cut(text, tokenizer, PASSAGE_LENGTH - 2), p.id)
    for p, text in zip(found.passages, titled, strict=True)
  }
  split = {" ".join(q.text.split()): q for q in found.queries["train"]}
  sizes = [len(ids) for ids in tokenizer.encode(list(split))]
  kept = [
    (
      q.id,
      text,
      list(dict.fromkeys(stands_for[name] for name, _ in q.positives)),
    )
    for (text, q), size in zip(split.items(), sizes, strict=True)
    if 0 < size <= QUERY_LENGTH - 2 and q.positives
  ]
  passages = {name: text for text, name in first.items()}
  write(cache / "texts", passages, kept[:QUERIES])
  write_lists(cache / "texts", passages, kept[:QUERIES])
  few = kept[:MINED_QUERIES]
  theirs = [name for _, _, names in few for name in names]
  wanted = list(dict.fromkeys([*theirs, *passages]))[:MINED_PASSAGES]
  write(cache / "few", {name: passages[name] for name in wanted}, few)


def cut(text: str, tokenizer, most: int) -> str:
  """The first words of a text that have at most so many word pieces."""
  words = " ".join(text.split()).split(" ")
  if len(tokenizer.encode([text])[0]) <= most:
    return " ".join(words)
  sizes = np.cumsum([len(ids) for ids in tokenizer.encode(words)])
  return " ".join(words[: max(int((sizes <= most).sum()), 1)])


def write(
  folder: pathlib.Path,
  passages: dict[str, str],
  queries: Sequence[tuple[str, str, list[str]]],
) -> None:
  """Writes passages, and queries as (id, text, positives)."""
  folder.mkdir(parents=True, exist_ok=True)
  (folder / "collection.tsv").write_text(
    "".join(f"{name}\t{text}\n" for name, text in passages.items())
  )
  (folder / "queries.train.tsv").write_text(
    "".join(f"{name}\t{text}\n" for name, text, _ in queries)
  )
  (folder / "qrels.train.tsv").write_text(
    "".join(
      f"{query} 0 {name} 1\n" for query, _, names in queries for name in names
    )
  )


def write_lists(
  folder: pathlib.Path,
  passages: dict[str, str],
  queries: Sequence[tuple[str, str, list[str]]],
) -> None:
  """Lists of a positive and random passages, with scores."""
  rng = np.random.default_rng(SEED)
  names = list(passages)
  lists = []
  for query, _, positives in queries:
    drawn = [names[i] for i in rng.integers(len(names), size=2 * CANDIDATES)]
    others = [n for n in dict.fromkeys(drawn) if n not in positives]
    ids = [positives[0], *others[: CANDIDATES - 1]]
    scores = np.sort(rng.normal(0.0, 3.0, len(ids)))[::-1]
    lists.append((query, ids, scores.round(4).tolist()))
  (folder / LISTS).write_text(json.dumps(lists))


def _table(path: pathlib.Path) -> dict[str, str]:
  return dict(line.split("\t") for line in path.read_text().split("\n")[:-1])


def main() -> None:
  """The command."""
  parser = argparse.ArgumentParser()
  parser.add_argument("--cache", type=pathlib.Path, required=True)
  parser.add_argument("--data", default="")
  args = parser.parse_args()
  prepare(args.cache, args.data)


if __name__ == "__main__":
  main()
