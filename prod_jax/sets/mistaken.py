"""What a folder was perhaps meant as, where a file that is read is not there.

A set in another form than the config says, one a folder further down, or a
split under a name that others have for it. Each is the end of an error's line.
"""

import pathlib
from collections.abc import Sequence

from prod_jax.sets import files, lines

# The files by which each form of a set is known, as `data.name` calls it.
_FORMS = {
  "beir": ("corpus.jsonl",),
  "folder": ("collection.tsv",),
  "msmarco_document": ("msmarco-docs.tsv",),
  "msmarco_passage": (
    "collection.tsv",
    "collection.tar.gz",
    "collectionandqueries.tar.gz",
  ),
  "nq": ("psgs_w100.tsv",),
}
_PACKED = (".zst", ".bz2", ".xz", ".zip", ".lz4", ".tar.gz")
_BARE = "eval"  # of which MS MARCO has the queries alone
_SPLITS = {
  "train": ("training",),
  "dev": ("validation", "valid", "val", "development", "dev.small", _BARE),
  "test": ("testing", _BARE),
}
_LABELS = ("qrels.{}.tsv", "qrels/{}.tsv")
_STEMS = ("queries.{}.tsv", *_LABELS)


def other_form(path: str, name: str) -> str:
  """That a folder is a set of another form, has one inside, or is elsewhere.

  Args:
    path: of the folder; there may be none.
    name: as which it is read.
  """
  folder, own = pathlib.Path(path), _FORMS.get(name, ())
  if path and not (folder.exists() or folder.is_absolute()):
    return f"; it was looked for in {pathlib.Path.cwd()}"
  if not (path and folder.is_dir()) or _has(folder, own):
    return ""
  for form, marks in _FORMS.items():
    if file := _has(folder, marks):
      return f"; it has {file}, which config.data.name={form} reads"
  for below in sorted(of for of in folder.iterdir() if of.is_dir()):
    if _has(below, own):
      return f"; there is one in {below}, for config.data.path"
  return ""


def other_name(folder: pathlib.Path, *splits: str) -> str:
  """That files of a split are there under another name of it."""
  named: dict[str, str] = {}  # each file as one split, the first
  for split in splits:
    for stem in _STEMS:
      if file := _named_otherwise(folder, split, stem):
        packed = ".gz" if file.endswith(".gz") else ""
        named.setdefault(file, f"{stem.format(split)}{packed}")
  return "".join(
    f"; {file} is not read, name it {name}" for file, name in named.items()
  )


def packed(folder: pathlib.Path, name: str) -> str:
  """That a file is there packed in a way that is not read."""
  found = [name + x for x in _PACKED if (folder / (name + x)).exists()]
  return f"; {found[0]} is not read, unpack it" if found else ""


def _has(folder: pathlib.Path, marks: Sequence[str]) -> str:
  """The first of some files that a folder has, "" for none."""
  return next((mark for mark in marks if files.locate(folder, mark)), "")


def _named_otherwise(folder: pathlib.Path, split: str, stem: str) -> str:
  for other in _SPLITS.get(split, ()):
    labels = [name.format(other) for name in _LABELS]
    found = files.locate(folder, stem.format(other))
    if found and (other != _BARE or _has(folder, labels)):
      return str(lines.on_disk(found).relative_to(folder))
  return ""
