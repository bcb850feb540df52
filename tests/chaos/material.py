"""What the small curriculum reads: a set, a vocabulary, and a user's scores.

Everything is drawn from fixed seeds, so that two folders of it are the same.
"""

import json
import pathlib

import numpy as np

_PASSAGES = 64
_SPLITS = {"train": range(32), "test": range(32, 44), "dev": range(44, 52)}
_GENERATED = range(52, 60)
_SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")


def write(folder: pathlib.Path) -> None:
  """Writes it all into a folder that is not there yet."""
  rng = np.random.default_rng(0)
  words = [f"{a}{b}" for a in "bcdfgklmnp" for b in ("ar", "el", "in", "ot")]
  texts = [" ".join(rng.choice(words, 10)) for _ in range(_PASSAGES)]
  folder.mkdir(parents=True)
  vocabulary = [*_SPECIAL, "title", *map(str, range(10)), *words]
  vocabulary += [f"##{number}" for number in range(10)]
  tokenizer = folder / "tokenizer"
  tokenizer.mkdir()
  (tokenizer / "vocab.txt").write_text("\n".join(vocabulary) + "\n")
  rows = [f"p{i}\ttitle {i}\t{text}\n" for i, text in enumerate(texts)]
  (folder / "collection.tsv").write_text("".join(rows))
  for split, numbers in _SPLITS.items():
    queries = [f"q{i}\t{texts[i][:20]}\n" for i in numbers]
    (folder / f"queries.{split}.tsv").write_text("".join(queries))
    labels = [f"q{i}\t0\tp{i}\t1\n" for i in numbers]
    (folder / f"qrels.{split}.tsv").write_text("".join(labels))
  generated = [
    {"query": texts[i][20:40], "doc_id": f"p{i}"} for i in _GENERATED
  ]
  (folder / "queries.generated.jsonl").write_text(
    "".join(json.dumps(line) + "\n" for line in generated)
  )
  train = _SPLITS["train"]
  negatives = [f"q{i}\tp{(i + j) % _PASSAGES}\n" for i in train for j in (3, 7)]
  (folder / "negatives.train.tsv").write_text("".join(negatives))
  scores = [
    f"q{i}\tp{j}\t{((7 * i + 3 * j) % 11 + 1) / 16}\n"
    for i in train
    for j in range(_PASSAGES)
  ]
  (folder / "scores.tsv").write_text("".join(scores))
