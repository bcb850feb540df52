"""TFDS builder for MS MARCO documents, with the TREC Deep Learning tracks.

Reads the files as Microsoft and NIST publish them, each plain or with `.gz`:

  msmarco-docs.tsv                document id TAB url TAB title TAB body
  msmarco-doctrain-queries.tsv, msmarco-doctrain-qrels.tsv       split train
  msmarco-docdev-queries.tsv, msmarco-docdev-qrels.tsv           dev
  msmarco-test2019-queries.tsv, 2019qrels-docs.txt               dl19
  msmarco-test2020-queries.tsv, 2020qrels-docs.txt               dl20
  msmarco-doctrain-top100         a TREC run, negatives of train

A folder by hand needs the documents and one split. A passage has no title: its
text is url, title and body joined by "<sep>", as literal text, and cut to a
number of characters, as in PROD's code.
"""

import functools
import pathlib

import tensorflow_datasets as tfds

from prod_jax.sets import download, files, formats
from prod_jax.sets.collection import Collection
from prod_jax.sets.datasets import layout, published
from prod_jax.sets.lines import Faults, OnError, Source
from prod_jax.sets.negatives import Found, PairFile
from prod_jax.sets.records import Passage

SEPARATOR = "<sep>"

_MICROSOFT = "https://msmarco.z22.web.core.windows.net/msmarcoranking"
_NIST = "https://trec.nist.gov/data/deep"
# MD5s: ir_datasets, etc/downloads.json at 02a8f21c; of the documents, which it
# reads in another form: Anserini, docs on MS MARCO documents. They are held
# against what is downloaded; nothing was downloaded where this was written.
_REMOTES = tuple(
  download.Remote(url, md5)
  for url, md5 in (
    (f"{_MICROSOFT}/msmarco-docs.tsv.gz", "103b19e21ad324d8a5f1ab562425c0b4"),
    (
      f"{_MICROSOFT}/msmarco-doctrain-queries.tsv.gz",
      "4086d31a9cf2d7b69c4932609058111d",
    ),
    (
      f"{_MICROSOFT}/msmarco-doctrain-qrels.tsv.gz",
      "9d1609e240113b0504fd2e61cb36d924",
    ),
    (
      f"{_MICROSOFT}/msmarco-docdev-queries.tsv.gz",
      "ac20593d71b9c32ab2633230f9cdf10d",
    ),
    (
      f"{_MICROSOFT}/msmarco-docdev-qrels.tsv.gz",
      "5eeafaeb4960979a62e7fed93273254e",
    ),
    (
      f"{_MICROSOFT}/msmarco-test2019-queries.tsv.gz",
      "eda71eccbe4d251af83150abe065368c",
    ),
    (
      f"{_MICROSOFT}/msmarco-test2020-queries.tsv.gz",
      "00a406fb0d14ed3752d70d1e4eb98600",
    ),
    (f"{_NIST}/2019qrels-docs.txt", "d7ef53b995ef7e01676ea85d7ec01dda"),
    (f"{_NIST}/2020qrels-docs.txt", "e10f3545583b124a4ed5e7992293e15a"),
  )
)
_TOP_100 = download.Remote(
  f"{_MICROSOFT}/msmarco-doctrain-top100.gz",
  "be32fa12eb71e93014c84775d7465976",
)

_SPLITS = {
  "train": files.Labels(
    ("msmarco-doctrain-queries.tsv",), "msmarco-doctrain-qrels.tsv"
  ),
  "dev": files.Labels(
    ("msmarco-docdev-queries.tsv",), "msmarco-docdev-qrels.tsv"
  ),
  "dl19": files.Labels(("msmarco-test2019-queries.tsv",), "2019qrels-docs.txt"),
  "dl20": files.Labels(("msmarco-test2020-queries.tsv",), "2020qrels-docs.txt"),
}
# A document is twenty times as long as a passage.
_SHARD_LINES = 10_000


class MsMarcoDocument(tfds.core.ShardBasedBuilder):
  """Documents (split `corpus`) and queries (train, dev, dl19, dl20)."""

  VERSION = tfds.core.Version("1.0.0")
  _info = layout.info
  _shard_iterators_per_split = layout.shard_iterators
  _download_and_prepare = layout.write


def source(
  path: str,
  downloads: download.Downloads,
  on_error: OnError,
  max_characters: int,
) -> published.Source:
  """The set in a folder, or downloaded.

  Args:
    path: the folder; "" downloads.
    downloads: where they go.
    on_error: what to do with malformed lines.
    max_characters: above 0, to keep of a document.

  Raises:
    DataError: a file is not there, or cannot be downloaded.
  """
  folder = download.folder_of(path, downloads, _REMOTES)
  texts = files.require(folder, "msmarco-docs.tsv")
  labels = files.labelled(folder, _SPLITS)
  judged = [source for pair in labels.values() for source in pair]
  return published.Source(
    name="msmarco_document",
    builder=MsMarcoDocument,
    configs=published.configs([texts], judged, f"{on_error}{max_characters}"),
    passages=functools.partial(_passages, texts, on_error, max_characters),
    queries=functools.partial(formats.read_splits, labels, on_error),
    negatives={
      "train": functools.partial(
        _negatives, folder, None if path else _TOP_100, on_error
      )
    },
    labels={split: judgements for split, (_, judgements) in labels.items()},
  )


def _passages(
  texts: Source, on_error: OnError, max_characters: int
) -> Collection:
  parse = functools.partial(_parse, max_characters=max_characters)
  return Collection(texts, parse, on_error, shard_lines=_SHARD_LINES)


def _parse(
  number: int, line: str, faults: Faults, *, max_characters: int
) -> Passage | None:
  name, *parts = line.split("\t")
  if len(parts) != 3:
    wanted = "document id TAB url TAB title TAB body"
    faults.columns(number, len(parts) + 1, wanted)
    return None
  there = any(part.strip() for part in parts)
  text = (
    SEPARATOR.join(parts)[: max_characters or None].strip() if there else ""
  )
  if faults.in_text(number, name, text):
    return None
  return Passage(name, "", text)


def _negatives(
  folder: pathlib.Path, remote: download.Remote | None, on_error: OnError
) -> Found:
  if remote:
    download.fetch(remote, folder)
  run = files.require(folder, "msmarco-doctrain-top100")
  file = PairFile(run, width=6, query=0, passage=2, on_error=on_error)
  return Found(published.fingerprint([run], on_error), file.pairs)
