"""TREC runs to be measured."""

import gzip
import pathlib

from tests.bad_inputs import made
from tests.bad_inputs.row import OUTPUT, SKIPPED, Line, Row

_RUN = "q3 Q0 d3 1 2.0 me\n"


def _run(content: made.Content, *more: str, name: str = "my.trec") -> Line:
  """A TREC run, measured on the good set."""

  def line(folder: pathlib.Path) -> list[str]:
    made.write(folder, {name: content})
    words = ["evaluate", str(folder / name), *more]
    if "--config.data.path" not in " ".join(more):
      path = made.write(folder / "set", made.LAYOUT)
      words.append(f"--config.data.path={path}")
    return [*words, f"--cache_dir={folder / 'cache'}"]

  return line


ROWS = [
  Row("a run that is not there", _run(None), ("my.trec", "not there")),
  Row("a folder as run", _run(made.folder), ("my.trec", "not there")),
  Row("an empty run", _run(""), ("my.trec", "no line")),
  Row("a run of empty lines", _run("\n \n"), ("my.trec", "no line")),
  Row("a run of five columns", _run("q3 Q0 d3 1 2.0\n"), ("my.trec:1", "5")),
  Row("a run of tabs and a title", _run("q\td\n"), ("my.trec:1", "2 columns")),
  Row("a score of NaN", _run(_RUN.replace("2.0", "nan")), ("my.trec:1", "nan")),
  Row("a score that is a word", _run(_RUN.replace("2.0", "x")), ("my.trec:1",)),
  Row("a passage twice", _run(_RUN * 2), ("my.trec:2", "occurs again")),
  Row(
    "queries of another split",
    _run(_RUN.replace("q3", "q1")),
    ("my.trec", "none of its 1 queries", "--split"),
  ),
  Row(
    "an unknown passage",
    _run(_RUN.replace("d3", "d77")),
    ("my.trec", "d77", "another collection"),
  ),
  Row("a run in latin-1", _run(_RUN.encode() + b"\xe9"), ("my.trec", "UTF-8")),
  Row(
    "a run that gzip has packed",
    _run(gzip.compress(_RUN.encode())),
    ("my.trec", "compressed by gzip"),
  ),
  Row(
    "a run with some queries of another split",
    _run(_RUN + _RUN.replace("q3", "q9")),
    ("1 of its 2 queries, such as q9, are not in",),
    SKIPPED,
  ),
  Row(
    "a set that is not there",
    _run(_RUN, "--config.data.path=nowhere"),
    ("nowhere", "expected a folder"),
  ),
  Row(
    "a file as cache",
    lambda folder: [
      *_run(_RUN)(made.write(folder, {OUTPUT: "x"}))[:-1],
      f"--cache_dir={folder / OUTPUT}/x",
    ],
    (f"{OUTPUT}/x is no folder",),
  ),
]
