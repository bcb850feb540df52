"""TFDS builder for MS MARCO passages, with the TREC Deep Learning tracks.

Reads the files as Microsoft and NIST publish them, each plain, with `.gz` at
the end, or in an archive of theirs:

  collection.tsv                    passage id TAB text
  queries.train.tsv, qrels.train.tsv                      split train
  queries.dev.small.tsv or queries.dev.tsv, qrels.dev.small.tsv     dev
  msmarco-test2019-queries.tsv, 2019qrels-pass.txt                  dl19
  msmarco-test2020-queries.tsv, 2020qrels-pass.txt                  dl20
  qidpidtriples.train.full.2.tsv    query id, positive, negative
  para.title.txt                    RocketQA's: passage id TAB title

A folder by hand needs the collection and one split. The grades of the tracks
are 1 to 3; 0 is kept nowhere, since it is what unjudged passages have. Texts
stay as published, with characters that were encoded twice (ir_datasets repairs
these).
"""

import functools
import pathlib

import tensorflow_datasets as tfds

from prod_jax.sets import download, files, formats
from prod_jax.sets.collection import Collection
from prod_jax.sets.datasets import layout, published
from prod_jax.sets.lines import OnError, Source
from prod_jax.sets.negatives import Found, PairFile

_MICROSOFT = "https://msmarco.z22.web.core.windows.net/msmarcoranking"
_NIST = "https://trec.nist.gov/data/deep"
# MD5s: ir_datasets, etc/downloads.json at 02a8f21c. They are held against what
# is downloaded; nothing was downloaded where this was written.
_REMOTES = tuple(
  download.Remote(url, md5)
  for url, md5 in (
    (
      f"{_MICROSOFT}/collectionandqueries.tar.gz",
      "31644046b18952c1386cd4564ba2ae69",
    ),
    (f"{_MICROSOFT}/qrels.train.tsv", "733fb9fe12d93e497f7289409316eccf"),
    (
      f"{_MICROSOFT}/msmarco-test2019-queries.tsv.gz",
      "eda71eccbe4d251af83150abe065368c",
    ),
    (
      f"{_MICROSOFT}/msmarco-test2020-queries.tsv.gz",
      "00a406fb0d14ed3752d70d1e4eb98600",
    ),
    (f"{_NIST}/2019qrels-pass.txt", "2f4be390198da108f6845c822e5ada14"),
    (f"{_NIST}/2020qrels-pass.txt", "0355ccee7509ac0463e8278186cdd8d1"),
  )
)
_TRIPLES = download.Remote(
  f"{_MICROSOFT}/qidpidtriples.train.full.2.tsv.gz",
  "219083e80a0a751c08b968c2f31a4e0b",
)
# RocketQA's corpus; nobody states a checksum of it.
_TITLES = download.Remote("https://rocketqa.bj.bcebos.com/corpus/marco.tar.gz")

_ARCHIVES = {
  "collection.tar.gz": ("collection.tsv",),
  "queries.tar.gz": ("queries.train.tsv", "queries.dev.tsv"),
  "collectionandqueries.tar.gz": (
    "collection.tsv",
    "queries.train.tsv",
    "queries.dev.small.tsv",
    "queries.dev.tsv",
    "qrels.train.tsv",
    "qrels.dev.small.tsv",
  ),
  "marco.tar.gz": ("para.title.txt",),
}
_SPLITS = {
  "train": files.Labels(("queries.train.tsv",), "qrels.train.tsv"),
  "dev": files.Labels(
    ("queries.dev.small.tsv", "queries.dev.tsv"), "qrels.dev.small.tsv"
  ),
  "dl19": files.Labels(("msmarco-test2019-queries.tsv",), "2019qrels-pass.txt"),
  "dl20": files.Labels(("msmarco-test2020-queries.tsv",), "2020qrels-pass.txt"),
}


class MsMarcoPassage(tfds.core.ShardBasedBuilder):
  """Passages (split `corpus`) and queries (train, dev, dl19, dl20)."""

  VERSION = tfds.core.Version("1.0.0")
  _info = layout.info
  _shard_iterators_per_split = layout.shard_iterators
  _download_and_prepare = layout.write


def source(
  path: str, downloads: download.Downloads, on_error: OnError, titles: str
) -> published.Source:
  """The set in a folder, or downloaded.

  Raises:
    DataError: a file is not there, or cannot be downloaded.
  """
  remotes = [*_REMOTES, _TITLES] if titles else _REMOTES
  folder = download.folder_of(path, downloads, remotes)
  texts = [files.require(folder, "collection.tsv", archives=_ARCHIVES)]
  if titles:
    texts.append(files.require(folder, "para.title.txt", archives=_ARCHIVES))
  labels = files.labelled(folder, _SPLITS, _ARCHIVES)
  judged = [source for pair in labels.values() for source in pair]
  return published.Source(
    name="msmarco_passage",
    builder=MsMarcoPassage,
    configs=published.configs(texts, judged, on_error + titles),
    passages=functools.partial(_passages, on_error, *texts),
    queries=functools.partial(formats.read_splits, labels, on_error),
    negatives={
      "train": functools.partial(
        _negatives, folder, None if path else _TRIPLES, on_error
      )
    },
    labels={split: judgements for split, (_, judgements) in labels.items()},
  )


def _passages(
  on_error: OnError, texts: Source, titles: Source | None = None
) -> Collection:
  parse = functools.partial(formats.parse_passage, width=2)
  return Collection(texts, parse, on_error, titles=titles)


def _negatives(
  folder: pathlib.Path, remote: download.Remote | None, on_error: OnError
) -> Found:
  if remote:
    download.fetch(remote, folder)
  triples = files.require(folder, formats.TRIPLES)
  file = PairFile(triples, width=3, query=0, passage=2, on_error=on_error)
  return Found(published.fingerprint([triples], on_error), file.pairs)
