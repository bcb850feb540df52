"""What a folder was perhaps meant as, where a file that is read is not there.

A set in another form than the config says, one a folder further down, or a
split under a name that others have for it. Each is the end of an error's line.
"""

import pathlib
from collections.abc import Iterator

from prod_jax.sets import files

# The file by which each form of a set is known, as `data.name` calls it.
_FORMS = {
  "beir": "corpus.jsonl",
  "folder": "collection.tsv",
  "msmarco_document": "msmarco-docs.tsv",
  "msmarco_passage": "collectionandqueries.tar.gz",
  "nq": "psgs_w100.tsv",
}
_SPLITS = {
  "train": ("training",),
  "dev": ("validation", "valid", "val", "development", "dev.small", "eval"),
  "test": ("testing", "eval"),
}
_STEMS = ("queries.{}.tsv", "qrels.{}.tsv", "qrels/{}.tsv")


def other_form(path: str, name: str) -> str:
  """That a folder is a set of another form, has one inside, or is elsewhere.

  Args:
    path: of the folder; there may be none.
    name: as which it is read.
  """
  folder, own = pathlib.Path(path), _FORMS.get(name)
  if path and not (folder.exists() or folder.is_absolute()):
    return f"; it was looked for in {pathlib.Path.cwd()}"
  if not (path and folder.is_dir()) or (own and files.locate(folder, own)):
    return ""
  for form, file in _FORMS.items():
    if files.locate(folder, file):
      return f"; it has {file}, which --config.data.name={form} reads"
  for below in sorted(of for of in folder.iterdir() if of.is_dir()):
    if own and files.locate(below, own):
      return f"; there is one in {below}, for --config.data.path"
  return ""


def other_name(folder: pathlib.Path, *splits: str) -> str:
  """That files of a split are there under another name of it."""
  found = [
    f"{file} is not read, name it {stem.format(split)}"
    for split in splits
    for stem in _STEMS
    for file in _named_otherwise(folder, split, stem)
  ]
  return "".join(f"; {one}" for one in dict.fromkeys(found))


def _named_otherwise(
  folder: pathlib.Path, split: str, stem: str
) -> Iterator[str]:
  for other in _SPLITS.get(split, ()):
    if files.locate(folder, stem.format(other)):
      yield stem.format(other)
      return
