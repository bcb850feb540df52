"""A folder's training queries in two: for teachers, and for their students.

    python -m benchmarks.study_split DIR TO --students=1024

writes `TO/teachers` and `TO/students`, both in the MS MARCO layout of DIR, with
its passages and its dev and test queries. Of the training queries a draw of so
many goes to the students, with their labels; all others teach the teachers. So
a study's teachers come, as most people's do, from labels that their students
never see. DIR may be the word pydocs: the docstrings of what is installed,
which every machine has.
"""

import argparse
import pathlib
import random
import shutil
import tempfile
from collections.abc import Iterable, Sequence

from prod_jax.sets import files
from prod_jax.sets.datasets import pydocs

_SEED = 42
_QUERIES, _QRELS = "queries.train.tsv", "qrels.train.tsv"
_SHARED = (
  "collection.tsv",
  *(
    f"{what}.{split}.tsv"
    for what in ("queries", "qrels")
    for split in ("dev", "test")
  ),
)


def split(folder: pathlib.Path, to: pathlib.Path, students: int) -> None:
  """Writes both folders.

  Args:
    folder: in the MS MARCO layout.
    to: where the two are made; there before, they are an error.
    students: training queries of the students' folder.
  """
  lines = _lines(folder / _QUERIES)
  if not 0 < students < len(lines):
    raise ValueError(f"--students={students}: of {len(lines)} queries in all")
  drawn = set(random.Random(_SEED).sample(range(len(lines)), students))
  judged = _lines(folder / _QRELS)
  for name, taken in ("students", True), ("teachers", False):
    made = to / name
    made.mkdir(parents=True)
    queries = [x for i, x in enumerate(lines) if (i in drawn) == taken]
    ids = {line.split("\t", 1)[0] for line in queries}
    (made / _QUERIES).write_text("".join(queries), encoding="utf-8")
    kept = (line for line in judged if line.split()[0] in ids)
    (made / _QRELS).write_text("".join(kept), encoding="utf-8")
    for shared in _SHARED:
      source = files.require(folder, shared)
      assert isinstance(source, pathlib.Path)  # in no archive
      shutil.copyfile(source, made / source.name)


def _lines(path: pathlib.Path) -> list[str]:
  """The lines of a file with their ends; other separators are in a text."""
  with path.open(encoding="utf-8", newline="\n") as file:
    return [*file]


def _write_pydocs(folder: pathlib.Path) -> None:
  """The set of that name, in the layout of a folder."""
  docs = pydocs.extract()
  _write(
    folder / "collection.tsv",
    ((x.id, x.title, x.text) for x in docs.passages),
  )
  for name, queries in docs.queries.items():
    _write(folder / f"queries.{name}.tsv", ((x.id, x.text) for x in queries))
    _write(
      folder / f"qrels.{name}.tsv",
      (
        (query.id, "0", passage, str(grade))
        for query in queries
        for passage, grade in query.positives
      ),
    )


def _write(path: pathlib.Path, rows: Iterable[Sequence[str]]) -> None:
  lines = ("\t".join(row) + "\n" for row in rows)
  path.write_text("".join(lines), encoding="utf-8")


def main() -> None:
  """Splits the folder that the command line names."""
  parser = argparse.ArgumentParser(description=__doc__)
  parser.add_argument("folder", metavar="DIR|pydocs")
  parser.add_argument("to", type=pathlib.Path)
  parser.add_argument("--students", type=int, required=True)
  asked = parser.parse_args()
  with tempfile.TemporaryDirectory() as made:
    folder = pathlib.Path(made if asked.folder == "pydocs" else asked.folder)
    if asked.folder == "pydocs":
      _write_pydocs(folder)
    split(folder, asked.to, asked.students)


if __name__ == "__main__":
  main()
