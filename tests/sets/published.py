"""Tiny sets in the exact forms of the published ones, in sentences of ours.

Each function writes its files into a folder.
"""

import gzip
import json
import pathlib
import tarfile

PASSAGES = {
  "0": "A kettle boils water for tea.",
  "1": "Rye bread keeps for a week in a cloth.",
  "2": "The ferry to the island leaves at noon.",
  "3": "Tea is dried leaf, steeped in hot water.",
  "4": "No boat sails in a storm.",
}


def write(path: pathlib.Path, text: str) -> pathlib.Path:
  data = text.encode()
  path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)
  return path


def table(*rows: tuple[str, ...]) -> str:
  return "".join("\t".join(row) + "\n" for row in rows)


def objects(rows: list[dict]) -> str:
  return "".join(json.dumps(row) + "\n" for row in rows)


def pack(archive: pathlib.Path, contents: dict[str, str]) -> None:
  """A tar.gz of files, which do not stay beside it."""
  with tarfile.open(archive, "w:gz") as packed:
    for name, text in contents.items():
      path = write(archive.with_name(pathlib.PurePath(name).name), text)
      packed.add(path, name)
      path.unlink()


def msmarco_passage(folder: pathlib.Path) -> None:
  pack(
    folder / "collection.tar.gz", {"collection.tsv": table(*PASSAGES.items())}
  )
  pack(
    folder / "queries.tar.gz",
    {
      "queries.train.tsv": table(
        ("10", "how is tea made"),
        ("11", "how to keep bread"),
        ("12", "unlabelled"),
      ),
      "queries.dev.tsv": table(
        ("20", "when does the ferry go"), ("21", "other")
      ),
      "queries.eval.tsv": table(("30", "hidden")),
    },
  )
  write(
    folder / "qrels.train.tsv",
    table(("10", "0", "3", "1"), ("11", "0", "1", "1")),
  )
  write(folder / "qrels.dev.small.tsv", table(("20", "0", "2", "1")))
  write(
    folder / "msmarco-test2019-queries.tsv.gz",
    table(
      ("40", "is tea healthy"), ("41", "boats in storms"), ("42", "unjudged")
    ),
  )
  write(
    folder / "2019qrels-pass.txt",
    "41 Q0 4 3\n41 Q0 2 1\n41 Q0 1 0\n40 Q0 0 0\n40 Q0 3 0\n",
  )
  write(
    folder / "qidpidtriples.train.full.2.tsv.gz",
    table(
      ("11", "1", "0"),
      ("11", "1", "4"),
      ("99", "1", "2"),
      ("10", "3", "2"),
      ("11", "1", "0"),
      ("11", "1", "2"),
      ("10", "3", "3"),
    ),
  )
  write(
    folder / "para.title.txt",
    table(("0", "Kettle"), ("1", "Bread"), ("2", "Ferry"), ("4", "")),
  )


def msmarco_document(folder: pathlib.Path) -> None:
  write(
    folder / "msmarco-docs.tsv.gz",
    table(
      ("D1", "http://a.example/", "Tea", PASSAGES["3"]),
      ("D2", "http://b.example/", "", ""),
      ("D30", "http://c.example/", "Bread", PASSAGES["1"]),
    ),
  )
  write(folder / "msmarco-doctrain-queries.tsv.gz", table(("1", "bread")))
  write(folder / "msmarco-doctrain-qrels.tsv.gz", "1 0 D30 1\n")
  write(
    folder / "msmarco-doctrain-top100.gz",
    "1 Q0 D2 1 -5.2 IndriQueryLikelihood\n"
    "1 Q0 D30 2 -5.3 IndriQueryLikelihood\n"
    "1 Q0 D1 3 -5.4 IndriQueryLikelihood\n",
  )
  write(folder / "msmarco-docdev-queries.tsv.gz", table(("2", "tea")))
  write(folder / "msmarco-docdev-qrels.tsv.gz", "2 0 D1 1\n")
  write(folder / "msmarco-test2020-queries.tsv.gz", table(("3", "leaf")))
  write(folder / "2020qrels-docs.txt", "3 0 D1 3\n3 0 D2 0\n")


def nq(folder: pathlib.Path) -> None:
  rows = [("id", "text", "title")]
  rows += [(str(int(n) + 1), f'"{t}"', "Home") for n, t in PASSAGES.items()]
  rows.append(("6", '"A ""quoted"" word and a tab-free line"', '"Sign ""A"""'))
  write(folder / "psgs_w100.tsv.gz", table(*rows))

  def contexts(*names: str) -> list[dict]:
    return [
      {"title": "t", "text": "x", "score": 1.0, "passage_id": name}
      for name in names
    ]

  train = [
    {
      "dataset": "nq_train_psgs_w100",
      "question": "what is tea",
      "answers": ["dried leaf", "a leaf"],
      "positive_ctxs": contexts("4", "1", "4"),
      "negative_ctxs": contexts("3"),
      "hard_negative_ctxs": contexts("2", "5", "2"),
    },
    {
      "question": "without a passage",
      "answers": ["none"],
      "positive_ctxs": [],
      "negative_ctxs": [],
      "hard_negative_ctxs": contexts("1"),
    },
    {
      "question": "when does the ferry leave",
      "answers": ["noon", "a week"],
      "positive_ctxs": contexts("3"),
      "negative_ctxs": [],
      "hard_negative_ctxs": [],
    },
  ]
  write(folder / "biencoder-nq-train.json.gz", json.dumps(train, indent=4))
  write(folder / "biencoder-nq-dev.json", json.dumps(train[:1]))
  write(
    folder / "nq-test.qa.csv",
    "how long does bread keep\t['a week', \"seven days\"]\n"
    'what does a sign say\t"[""it\'s \'A\'""]"\n',
  )


def beir(folder: pathlib.Path) -> None:
  rows = [
    {
      "_id": f"p-{n}",
      "title": "T" if n == "0" else "",
      "text": t,
      "metadata": {},
    }
    for n, t in PASSAGES.items()
  ]
  rows.append({"_id": "only-title", "title": "Just a title", "text": ""})
  write(folder / "corpus.jsonl", objects(rows))
  queries = [
    {"_id": "q1", "text": "tea"},
    {"_id": "q2", "text": "boats", "metadata": {"x": 1}},
  ]
  write(
    folder / "queries.jsonl", "".join(json.dumps(q) + "\n" for q in queries)
  )
  (folder / "qrels").mkdir()
  header = ("query-id", "corpus-id", "score")
  write(
    folder / "qrels" / "test.tsv",
    table(header, ("q1", "p-3", "2"), ("q1", "p-0", "1"), ("q2", "p-4", "0")),
  )
  write(folder / "qrels" / "train.tsv", table(header, ("q2", "p-4", "1")))
