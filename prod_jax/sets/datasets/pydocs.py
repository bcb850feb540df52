"""TFDS builder of a retrieval set that every machine has: docstrings.

The query is the one-sentence summary of a docstring, the passage is the rest,
titled with the qualified name. The docstrings are those of the standard
library and a few packages. Their source is parsed and never imported. What is
found depends on the installed versions, so the configs are named after a
fingerprint of the source.

Left out are: modules and folders with `test` or `tests` as a word of their
name, names that begin with an underscore, definitions inside functions or
under `if` and `try`, summaries that are not one sentence of five words or
more, and rests of fewer than eight words.
"""

import ast
import collections
import functools
import gc
import hashlib
import importlib.util
import os
import pathlib
import re
import sys
import sysconfig
import time
import warnings
from collections.abc import Iterator
from typing import Any, NamedTuple

import tensorflow_datasets as tfds
from absl import logging

from prod_jax.sets.datasets import layout, published
from prod_jax.sets.records import DataError, Passage, Query

PACKAGES = ("numpy", "scipy", "jax", "optax", "flax")

# Of the modules; queries follow their module, and modules differ in size.
_TRAIN, _DEV = 0.75, 0.83

_LEAST_SUMMARY_WORDS = 5
_LEAST_TEXT_WORDS = 8
_SENTENCE_BREAK = re.compile(r"[.!?][\"')`]*\s+[^a-z]")
_DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)


class Pydocs(tfds.core.ShardBasedBuilder):
  """Passages (split `corpus`) and queries (train, dev, test)."""

  VERSION = tfds.core.Version("1.0.0")
  _info = layout.info
  _shard_iterators_per_split = layout.shard_iterators
  _download_and_prepare = layout.write


class Docs(NamedTuple):
  """All passages, and the queries by split."""

  passages: list[Passage]
  queries: dict[str, list[Query]]


class Pair(NamedTuple):
  """One docstring: its module, qualified name, summary and rest."""

  module: str
  name: str
  summary: str
  text: str


def source() -> published.Source:
  """The set of what is installed now."""
  fingerprint = _fingerprint()
  return published.Source(
    name="pydocs",
    builder=Pydocs,
    configs={kind: f"{kind}-{fingerprint}" for kind in ("passages", "queries")},
    passages=lambda: extract().passages,
    queries=lambda known: extract().queries,
  )


@functools.cache
def extract() -> Docs:
  """Parses everything, once for both configs: some ten seconds.

  Raises:
    DataError: a package is not installed.
  """
  logging.info("pydocs: parsing the docstrings of %s", ", ".join(PACKAGES))
  start = time.monotonic()
  # Syntax trees hold no cycles; searching them for some is a third of the time.
  collecting = gc.isenabled()
  gc.disable()
  try:
    pairs = [
      pair
      for module, path in _modules()
      for pair in module_pairs(module, path.read_bytes())
    ]
  finally:
    if collecting:
      gc.enable()
  docs = assemble(pairs)
  took = time.monotonic() - start
  logging.info("pydocs: %d passages in %.1f s", len(docs.passages), took)
  return docs


def module_pairs(module: str, source: bytes) -> list[Pair]:
  """Summary and rest of the usable docstrings of one module."""
  if b'"""' not in source and b"'''" not in source:
    return []  # parsing is the slow part
  try:
    with warnings.catch_warnings():
      warnings.simplefilter("ignore")  # of odd escapes in others' strings
      tree = ast.parse(source)
  except (SyntaxError, ValueError):
    return []  # templates and the like
  pairs = []
  for name, node in [(module, tree), *_definitions(module, tree)]:
    head, _, rest = (ast.get_docstring(node) or "").partition("\n\n")
    summary, text = " ".join(head.split()), " ".join(rest.split())
    if _is_sentence(summary) and len(text.split()) >= _LEAST_TEXT_WORDS:
      pairs.append(Pair(module, name, summary, text))
  return pairs


def assemble(pairs: list[Pair]) -> Docs:
  """Merges what is written twice, and divides the rest without a leak.

  The same text is one passage under the first of its names, public modules
  before private ones. The same summary is one query with several positives.
  A query goes where its module goes; where summaries or texts tie modules of
  different splits together, all that they tie goes to train. So no query text
  and no positive is in two splits.
  """
  pairs = sorted(pairs, key=lambda p: ("._" in p.name, p.name, p.text))
  passages: dict[str, Passage] = {}
  taken: set[str] = set()
  tied = _Ties()
  by_summary = collections.defaultdict(list)
  for pair in pairs:
    if pair.text not in passages:
      name = _unique(pair.name, taken)
      passages[pair.text] = Passage(name, pair.name, pair.text)
    by_summary[pair.summary.casefold()].append(pair)
    tied.join(("summary", pair.summary.casefold()), ("text", pair.text))
  splits = collections.defaultdict(set)
  for pair in pairs:
    splits[tied.root(("text", pair.text))].add(_split_of(pair.module))
  queries: dict[str, list[Query]] = {"train": [], "dev": [], "test": []}
  for same in by_summary.values():
    name = _unique(f"q:{same[0].name}", taken)
    texts = dict.fromkeys(pair.text for pair in same)
    positives = tuple((passages[text].id, 1) for text in texts)
    found = splits[tied.root(("text", same[0].text))]
    split = next(iter(found)) if len(found) == 1 else "train"
    queries[split].append(Query(name, same[0].summary, positives))
  return Docs(list(passages.values()), queries)


class _Ties:
  """Disjoint sets of things that have to stay together."""

  def __init__(self) -> None:
    self._parent: dict[Any, Any] = {}

  def root(self, thing: Any) -> Any:
    while (above := self._parent.setdefault(thing, thing)) != thing:
      thing = above
    return thing

  def join(self, one: Any, other: Any) -> None:
    self._parent[self.root(one)] = self.root(other)


def _split_of(module: str) -> str:
  digest = hashlib.sha256(module.encode()).digest()
  share = int.from_bytes(digest[:8], "big") / 2**64
  return "train" if share < _TRAIN else "dev" if share < _DEV else "test"


def _unique(name: str, taken: set[str]) -> str:
  """The name, numbered when it is taken: a property has it twice."""
  chosen, number = name, 1
  while chosen in taken:
    number += 1
    chosen = f"{name}#{number}"
  taken.add(chosen)
  return chosen


def _is_sentence(summary: str) -> bool:
  return (
    summary.endswith(".")
    and not _SENTENCE_BREAK.search(summary)
    and len(summary.split()) >= _LEAST_SUMMARY_WORDS
  )


def _definitions(prefix: str, node: Any) -> Iterator[tuple[str, Any]]:
  for child in node.body:
    if isinstance(child, _DEFINITIONS) and not child.name.startswith("_"):
      name = f"{prefix}.{child.name}"
      yield name, child
      if isinstance(child, ast.ClassDef):
        yield from _definitions(name, child)


def _modules() -> Iterator[tuple[str, pathlib.Path]]:
  """Yields (qualified module name, file), in an order of their own."""
  yield from _walk("", pathlib.Path(sysconfig.get_path("stdlib")))
  for package in PACKAGES:
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
      raise DataError(
        f"package {package}, a source of pydocs, is not installed; install "
        "the extra: pip install 'prod_jax[quickstart]'"
      )
    yield from _walk(package, pathlib.Path(spec.submodule_search_locations[0]))


def _walk(
  prefix: str, folder: pathlib.Path
) -> Iterator[tuple[str, pathlib.Path]]:
  # site-packages and lib-dynload are no identifiers and drop out with that.
  def wanted(name: str) -> bool:
    return name.isidentifier() and not {"test", "tests"} & set(name.split("_"))

  for root, folders, files in os.walk(folder):
    folders[:] = sorted(filter(wanted, folders))
    parts = pathlib.Path(root).relative_to(folder).parts
    for file in sorted(files):
      stem, extension = os.path.splitext(file)
      if extension == ".py" and wanted(stem):
        own = () if stem == "__init__" else (stem,)
        name = ".".join(filter(None, (prefix, *parts, *own)))
        yield name, pathlib.Path(root, file)


def _fingerprint() -> str:
  """Changes with the interpreter and with any byte of the source."""
  digest = hashlib.sha256(sys.version.encode())
  for module, path in _modules():
    digest.update(f"\n{module} ".encode())
    digest.update(hashlib.sha256(path.read_bytes()).digest())
  return digest.hexdigest()[:16]
