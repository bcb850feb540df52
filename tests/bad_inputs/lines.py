"""Command lines, and the places that they name."""

import pathlib

from tests.bad_inputs import made
from tests.bad_inputs.row import OUTPUT, Line, Row


def _words(*words: str) -> Line:
  """A line as it is."""
  return lambda folder: words


def _run(*more: str) -> Line:
  return lambda folder: made.line(folder, *more)


def _in(*words: str) -> Line:
  """A line in which {} is the row's folder, {work} a finished run."""

  def line(folder: pathlib.Path) -> list[str]:
    work = ""
    if any("{work}" in word for word in words):
      work = str(made.finished(folder / "work"))
    return [word.format(folder, work=work) for word in words]

  return line


def _place(content: made.Content, below: str = "") -> Line:
  """A working folder that cannot be one."""

  def line(folder: pathlib.Path) -> list[str]:
    made.write(folder, {OUTPUT: content})
    words = made.line(folder)
    return [f"{w}{below}" if w.startswith("--workdir") else w for w in words]

  return line


def _plan(*more: str) -> Line:
  """A plan of the experiment."""
  return lambda folder: [
    word
    for word in made.line(folder, *more, word="plan")
    if not word.startswith("--workdir")
  ]


_FLAGS = [
  Row("no flag", _words("run"), ("--config", "--workdir", "missing")),
  Row("no working folder", _words("run", "--config=a.py"), ("--workdir",)),
  Row("an unknown flag", _run("--wokdir=x"), ("did you mean --workdir?",)),
  Row("a word too many", _run("more"), ("unknown arguments: more",)),
  Row("a flag without its value", _words("run", "--config"), ("--config",)),
  Row("an unknown stage", _run("--stages=nix"), ("--stages", "'nix'")),
  Row(
    "a stage whose input has not run",
    _run("--stages=encode"),
    ("encode", "student", "--stages"),
  ),
  Row("--json alone", _run("--json"), ("--json is of --dry_run",)),
  Row("processes that are a word", _run("--processes=two"), ("--processes",)),
  Row("processes alone", _run("--processes=2"), ("needs all three",)),
  Row(
    "a process beyond their number",
    _run("--coordinator=localhost:1", "--processes=2", "--process_id=2"),
    ("--process_id",),
  ),
  Row(
    "an override of a command without a config",
    _words("status", "x", "--config.seed=1"),
    ("no config to override",),
  ),
  Row("an unknown shell", _words("completion", "tcsh"), ("'tcsh'",)),
]
_PLACES = [
  Row(
    "an empty working folder",
    lambda folder: [
      "--workdir=" if w.startswith("--workdir") else w
      for w in made.line(folder)
    ],
    ("--workdir: it is empty",),
  ),
  Row("a file as working folder", _place("x"), (OUTPUT,)),
  Row("a working folder below a file", _place("x", "/deeper"), (OUTPUT,)),
  Row(
    "a working folder that is a link to itself", _place(made.loop), (OUTPUT,)
  ),
  Row(
    "a working folder with too long a name",
    _place(None, "/" + "x" * 300),
    ("too long a name",),
  ),
  Row(
    "prepared data below a file",
    _run("--config.data.data_dir=/dev/null/x"),
    ("/dev/null/x",),
  ),
  Row(
    "a bucket of no known scheme",
    lambda folder: [
      "--workdir=nix://bucket/x" if w.startswith("--workdir") else w
      for w in made.line(folder)
    ],
    ("nix://bucket/x",),
  ),
]
_PLAN = [
  Row(
    "plan: a split that the set has not",
    lambda folder: made.line(
      folder,
      word="plan",
      change="c.stages.encode.splits = ('train', 'test', 'dev')\n"
      "  c.stages.evaluate.split = 'dev'",
    ),
    ("config.stages.encode.splits", "'dev'"),
  ),
  Row(
    "a slice that nobody makes",
    _plan(
      "--topology=v9:2x4",
    ),
    ("v9:2x4", "v5e"),
  ),
  Row(
    "a slice of no shape",
    _plan(
      "--topology=v5e",
    ),
    ("v5e",),
  ),
  Row(
    "a slice with an axis of 0",
    _plan(
      "--topology=v5e:0x4",
    ),
    ("v5e:0x4",),
  ),
  Row(
    "no slice",
    _plan(
      "--topology=",
    ),
    ("--topology",),
  ),
  Row(
    "one mean length of two",
    _plan(
      "--topology=v5e:2x4",
      "--query_tokens=3",
    ),
    ("--query_tokens and --passage_tokens",),
  ),
  Row(
    "a negative number of passages",
    _plan(
      "--topology=v5e:2x4",
      "--passages=-1",
    ),
    ("--passages",),
  ),
  Row(
    "a batch for a negative number of chips",
    _plan(
      "--topology=v5e:2x4",
      "--passages=6",
      "--queries=2",
      "--scale_batch=-1",
    ),
    ("--scale_batch",),
  ),
]


def _misnamed(folder: pathlib.Path) -> list[str]:
  """A measurement on a split that the set has under another name."""
  more = {"queries.val.tsv": "q3\tsea\n", "qrels.val.tsv": "q3\td3\n"}
  path = made.write(folder / "set", made.LAYOUT | more)
  data = [f"--config.data.path={path}", f"--cache_dir={folder / 'cache'}"]
  return ["evaluate", "bm25", "--split=dev", *data]


_EVALUATE = [
  Row(
    "a split under another name",
    _misnamed,
    ("--split", "it has train, test; queries.val.tsv is not read, name it"),
  ),
  Row("no system", _words("evaluate"), ("SYSTEM",)),
  Row("no set", _words("evaluate", "bm25"), ("no set is named",)),
  Row(
    "a key of another section",
    _words("evaluate", "bm25", "--config.seed=1"),
    ("--config.seed=1", "config.data"),
  ),
  Row(
    "an unknown key",
    _words("evaluate", "bm25", "--config.data.pth=x"),
    ("did you mean config.data.path",),
  ),
  Row(
    "an unknown metric",
    _words("evaluate", "bm25", "--metrics=f1"),
    ("--metrics", "'f1'"),
  ),
  Row("no metric", _words("evaluate", "bm25", "--metrics="), ("--metrics",)),
  Row(
    "a metric that looks too far",
    _words("evaluate", "bm25", "--metrics=ndcg@200"),
    ("--depth is 100", "ndcg@200"),
  ),
  Row("a depth of 0", _words("evaluate", "bm25", "--depth=0"), ("--depth",)),
  Row(
    "a grade of 0", _words("evaluate", "bm25", "--relevant=0"), ("--relevant",)
  ),
  Row(
    "one system to compare",
    _words("evaluate", "bm25", "--compare"),
    ("--compare takes two",),
  ),
  Row(
    "two systems of one name",
    _words("evaluate", "bm25", "bm25"),
    ("two systems are called 'bm25'",),
  ),
  Row(
    "a first system that is none",
    _words("evaluate", "bm25", "--first=nix"),
    ("--first", "'nix'"),
  ),
  Row(
    "a file of values that ends in .csv",
    _words("evaluate", "bm25", "--per_query=x.csv"),
    ("--per_query", "'x.csv'"),
  ),
  Row(
    "a run that ends in .txt",
    _words("evaluate", "bm25", "--run=x.txt"),
    ("--run", "'x.txt'"),
  ),
  Row(
    "a system that is nothing",
    _in("evaluate", "{}/nix", "--cache_dir={}/cache", "--config.data.path={}"),
    ("expected a file collection.tsv",),
  ),
]
ROWS = [*_FLAGS, *_PLACES, *_PLAN, *_EVALUATE]
