"""Readers of texts, labels, scores and lists."""

import functools
import gzip
import io
import json
import pathlib
import tarfile
from typing import Any

import numpy as np
import pyarrow
import pyarrow.parquet

from prod_jax import config
from prod_jax.export import texts
from prod_jax.retrieval import runs
from prod_jax.sets import (
  collection,
  copies,
  download,
  formats,
  generated,
  ids,
  lines,
  negatives,
  titles,
  unlabelled,
)
from prod_jax.sets.datasets import beir, folder, nq
from prod_jax.sets.foreign import layout, names, read
from tests.fuzz.reader import Reader

PASSAGES = ("d1", "d2", "d3")
QUERIES = ("q1", "q2")
TEXTS = {"d1": "one text", "d2": "two", "d3": "d3 café"}

COLLECTION = b"d1\tTitle\tone text\nd2\t\ttwo\nd3\tT\td3 caf\xc3\xa9\n"
CORPUS = b"".join(
  json.dumps({"_id": n, "title": "", "text": t}).encode() + b"\n"
  for n, t in TEXTS.items()
)
JSON_QUERIES = b'{"_id": "q1", "text": "what"}\n{"_id": 2, "text": "who"}\n'
TSV_QUERIES = b"q1\twhat is it\r\nq2\twho\n"
QRELS = b"q1 0 d1 1\nq1 0 d2 0\nq2 0 d3 2\n"
HEADED = b"query-id\tcorpus-id\tscore\nq1\td1\t1\n2\td2\t2\n"
DPR = json.dumps(
  [
    {
      "question": "who",
      "answers": ["one", "two"],
      "positive_ctxs": [{"passage_id": "d1"}],
      "hard_negative_ctxs": [{"passage_id": "d2"}, {"passage_id": "d3"}],
    }
  ]
).encode()
LISTS = (
  b'{"query_id": "q1", "passage_id": "d1", "score": 1.5, "label": 1}\n',
  b'{"query": "what", "pos": ["one text"], "neg": ["two"], '
  b'"pos_scores": [1], "neg_scores": [0.5]}\n',
  b'{"query_id": "q1", "positive_passages": [{"docid": "d1", "title": "", '
  b'"text": "one text"}], "negative_passages": []}\n',
  b'{"anchor": "who", "positive": "two", "negative_1": "d1", '
  b'"scores": [1, 2]}\n',
  b'{"qid": 1, "pos": [1], "neg": {"bm25": [2, 3]}}\n',
  b'{"query": "who", "docs": ["two", "x"], "labels": [1, 0]}\n',
)
COLUMNS = (
  b"q1 Q0 d1 1 12.5 bm25\nq1 Q0 d2 2 11 bm25\nq2 Q0 d3 1 -1e3 bm25\n",
  b"q1\td1\t1.5\nq2\td2\t2\n",
  b"query_id\tpassage_id\tscore\nq1\td1\t1.5\n",
  b"q1 d1\nq2 d3\n",
)


def all_of(found: collection.Collection, path: pathlib.Path) -> list[Any]:
  """The passages of a collection, by its shards."""
  index = collection.index(found, path.parent)
  return [passage for shard in index.shards for passage in shard()]


def known(*of: str) -> ids.RowOf:
  return ids.table(of)


def _collection(path: pathlib.Path) -> list[Any]:
  width = formats.passage_width(path)
  parse = functools.partial(formats.parse_passage, width=width)
  return all_of(collection.Collection(path, parse), path)


def _corpus(path: pathlib.Path) -> list[Any]:
  return all_of(beir.source(str(path.parent), "raise").passages(), path)


def _queries(path: pathlib.Path) -> Any:
  place = path.parent if path.suffix == ".jsonl" else path.parent.parent
  return beir.source(str(place), "raise").queries(known(*PASSAGES))


def _of_folder(path: pathlib.Path) -> Any:
  return folder.source(str(path.parent), "raise").queries(known(*PASSAGES))


def _bare(module: Any, path: pathlib.Path) -> Any:
  """Queries that nobody has labelled."""
  data = config.Data(name="folder", path=str(path.parent))
  source = module.with_file(folder.source(data.path, "raise"), data)
  return source.queries(known(*PASSAGES))


def _skipped(path: pathlib.Path) -> Any:
  """Faults are counted: nothing but the file as a whole can be one."""
  return formats.read_qrels(path, passages=PASSAGES, on_error="skip")


def _gzipped(path: pathlib.Path) -> list[tuple[int, str]]:
  """In blocks of what is unpacked, as a collection is read."""
  faults = lines.Faults(path, "raise")
  try:
    blocks = lines.blocks_of(lines.plain(path, path.parent), 1, path)
    return [x for block in blocks for x in lines.read_block(block, faults)]
  finally:
    lines.remove_unpacked(path.parent)


def _in_archive(path: pathlib.Path) -> list[tuple[str, str]]:
  return [*formats.read_queries(lines.Member(path, "queries.train.tsv"))]


def foreign(path: pathlib.Path) -> Any:
  """What is said of QUERIES and PASSAGES."""
  place = path.parent / "tables"
  place.mkdir(exist_ok=True)
  for kind, of in ((read.QUERIES, QUERIES), (read.PASSAGES, PASSAGES)):
    if not (place / f"ids-{kind}.npy").exists():
      said = [TEXTS.get(name, "what") for name in of]
      keys = np.array([copies.key(text) for text in said], np.uint64)
      names.save(place, kind, known(*of), (keys, keys))
  return read.read(layout.find(path, ""), place, "raise")


def _titles(path: pathlib.Path) -> list[str]:
  found = titles.locate(path, known(*PASSAGES), path.parent, "raise")
  try:
    return [title for title, _ in zip(found.read(0), PASSAGES, strict=False)]
  finally:
    found.places.unlink()


def _pairs(path: pathlib.Path) -> Any:
  tables = []
  for kind, of in (("queries", QUERIES), ("corpus", PASSAGES)):
    if not (path.parent / f"ids-{kind}.npy").exists():
      ids.save(known(*of), path.parent, kind)
    tables.append((path.parent, kind))
  file = negatives.PairFile(path, 4, 0, 2, more=True, grade=3)
  return [*file.pairs(negatives.Tables(*tables), path.parent)]


def _parquet(rows: list[dict[str, Any]], **more: Any) -> bytes:
  file = io.BytesIO()
  pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), file, **more)
  return file.getvalue()


def archive(*members: tuple[str, bytes], mode: Any = "w:gz") -> bytes:
  """A tar with these files."""
  out = io.BytesIO()
  with tarfile.open(fileobj=out, mode=mode) as tar:
    for name, content in members:
      entry = tarfile.TarInfo(name)
      entry.size = len(content)
      tar.addfile(entry, io.BytesIO(content))
  return out.getvalue()


_ROW = {"query_id": "q1", "passage_id": "d1", "score": 0.5, "label": 1}
FOLDER = {
  "collection.tsv": COLLECTION,
  "queries.dev.tsv": TSV_QUERIES,
  "qrels.dev.tsv": QRELS,
}
_BEIR = {
  "corpus.jsonl": CORPUS,
  "queries.jsonl": JSON_QUERIES,
  "qrels/test.tsv": HEADED,
}

READERS = (
  Reader(
    "collection.tsv",
    "collection.tsv",
    _collection,
    (COLLECTION, b"d1\tone text\nd2\ttwo\n"),
  ),
  Reader("corpus.jsonl", "corpus.jsonl", _corpus, (CORPUS,), _BEIR),
  Reader(
    "queries.jsonl",
    "queries.jsonl",
    _queries,
    (JSON_QUERIES,),
    _BEIR,
    # Or the labels beside it, of queries that are not there.
    named="/",
  ),
  Reader("BEIR's qrels", "qrels/test.tsv", _queries, (HEADED,), _BEIR),
  Reader(
    "queries.tsv",
    "queries.dev.tsv",
    _of_folder,
    (TSV_QUERIES,),
    FOLDER,
    named="/",
  ),
  Reader(
    "qrels.tsv",
    "qrels.dev.tsv",
    _of_folder,
    (QRELS, b"q1 d1\n"),
    FOLDER,
    named="/",
  ),
  Reader("qrels, skipped", "qrels.tsv", _skipped, (QRELS,)),
  Reader(
    "queries.unlabelled.jsonl",
    "queries.unlabelled.jsonl",
    functools.partial(_bare, unlabelled),
    (JSON_QUERIES.replace(b"q1", b"u1"),),
    FOLDER,
  ),
  Reader(
    "queries.generated.jsonl",
    "queries.generated.jsonl",
    functools.partial(_bare, generated),
    (
      b'{"query": "made", "doc_id": "d1"}\n',
      b'{"id": "d2", "predicted_queries": ["a", "b"]}\n',
      b'{"_id": "g1", "text": "made", "pids": ["d1", "d3"]}\n',
    ),
    FOLDER,
  ),
  Reader("queries.tsv.gz", "q.tsv.gz", _gzipped, (gzip.compress(TSV_QUERIES),)),
  Reader(
    "a file in a tar",
    "queries.tar.gz",
    _in_archive,
    (
      archive(("queries.train.tsv", TSV_QUERIES)),
      archive(("./a/queries.train.tsv", TSV_QUERIES), mode="w"),
    ),
  ),
  Reader("scores and lists", "lists.txt", foreign, (*COLUMNS, *LISTS)),
  Reader(
    "scores in parquet",
    "lists.parquet",
    foreign,
    (
      _parquet([_ROW, {**_ROW, "passage_id": "d2"}], compression="none"),
      _parquet([{"query": "what", "pos": ["two"], "neg": ["one text"]}]),
    ),
  ),
  Reader("titles", "titles.tsv", _titles, (b"d1\tOne\nd3\tThree\n",)),
  Reader("pairs", "negatives.tsv", _pairs, (b"q1 0 d2 0\nq2 0 d1 -1 x\n",)),
  Reader(
    "DPR's questions",
    "train.json",
    lambda path: [*nq.read_examples(path, "raise")],
    (DPR,),
  ),
  Reader(
    "DPR's answers",
    "test.csv",
    lambda path: [*nq.read_test(path, "raise")],
    (b"who is it\t['one', \"two\"]\n",),
  ),
  Reader(
    "a run",
    "a.run",
    runs.read_run,
    (COLUMNS[0],),
  ),
  Reader(
    "figures by query",
    runs.BY_QUERY,
    lambda path: runs.read_values(path.parent),
    (b'{"mrr@10": {"q1": 0.5, "q2": 1}}',),
  ),
  Reader(
    "texts to embed, JSON",
    "texts.jsonl",
    lambda path: [*texts.read(path, lines.Faults(path, "raise"))],
    (CORPUS,),
  ),
  Reader(
    "texts to embed",
    "texts.tsv",
    lambda path: [*texts.read(path, lines.Faults(path, "raise"))],
    (COLLECTION,),
  ),
  Reader(
    "a download's record",
    "file.gz.json",
    lambda path: download.recorded(path.with_suffix("")),
    (b'{"url": "https://x", "size": 3, "changed": 1, "sha256": "ab"}',),
    {"file.gz": b"abc"},
  ),
)
