"""What is made of a run: exports, vectors, lists, and searches."""

import pathlib
from collections.abc import Sequence

from tests.bad_inputs import made
from tests.bad_inputs.modules import pooled
from tests.bad_inputs.row import SKIPPED, Line, Row
from tests.bad_inputs.workdirs import (
  EMBED,
  EXPORT,
  LISTS,
  NPY,
  TEXTS,
  measured,
  record,
  work,
)

_TARGETS = [
  Row(
    "export to a file",
    work(*EXPORT[:-1], f"--to={{}}/{TEXTS}"),
    (TEXTS, "takes a folder"),
  ),
  Row(
    "export below a file",
    work(*EXPORT[:-1], f"--to={{}}/{TEXTS}/x"),
    (TEXTS,),
  ),
  Row(
    "export to a folder of something else",
    work(*EXPORT[:-1], "--to={}"),
    ("not empty", "--overwrite"),
  ),
  Row(
    "the same, with --overwrite",
    work(*EXPORT[:-1], "--to={}", "--overwrite"),
    ("is no export",),
  ),
  Row(
    "export to nothing",
    work(*EXPORT[:-1], "--to="),
    ("--to: it is empty",),
  ),
  Row("lists to nothing", work(*LISTS, "--to="), ("--to: it is empty",)),
  Row("vectors to nothing", work(*EMBED, "--to="), ("--to", "it is empty")),
  Row(
    "a type that nobody stores",
    work(*EXPORT, "--dtype=int4"),
    ("--dtype", "'int4'"),
  ),
  Row(
    "a loss that is NaN",
    work(*EXPORT, "--int8", "--most_loss=nan"),
    ("--most_loss",),
  ),
  Row(
    "a name that is none on a hub",
    work(*EXPORT, "--push=mine"),
    ("--push is 'mine'", "ORG/NAME"),
  ),
  Row(
    "vectors in .csv",
    work(*EMBED, "--to={out}/x.csv"),
    ("x.csv", ".parquet"),
  ),
  Row("vectors to a folder", work(*EMBED, "--to={}"), (".npy",)),
  Row(
    "vectors below a file",
    work(*EMBED, f"--to={{}}/{TEXTS}/x.npy"),
    (TEXTS,),
  ),
  Row(
    "vectors of a cross-encoder",
    work(*EMBED[:-1], "--stage=ce", NPY),
    ("ce trains a model of kind cross",),
  ),
  Row(
    "lists in .csv",
    work(*LISTS, "--to={out}/x.csv"),
    ("--to", "x.csv", ".jsonl"),
  ),
  Row("lists to a folder", work(*LISTS, "--to={}"), ("is a folder",)),
  Row(
    "lists to a file that is there",
    work(*LISTS, f"--to={{}}/{TEXTS}"),
    (TEXTS, "--overwrite"),
  ),
  Row(
    "lists below a file",
    work(*LISTS, f"--to={{}}/{TEXTS}/x.jsonl"),
    (TEXTS,),
  ),
  Row(
    "lists of a stage that has none",
    work(*LISTS[:-1], "--stage=encode", "--to={out}/x.jsonl"),
    ("encode is of kind encode", "no lists"),
  ),
  Row(
    "lists of a stage that is not there",
    work(*LISTS[:-1], "--stage=nix", "--to={out}/x.jsonl"),
    ("no stage 'nix'",),
  ),
  Row(
    "lists whose ids are cut",
    work(
      *LISTS,
      "--to={out}/x.jsonl",
      files={"03-mine/candidates/ids.npy": b"\x93"},
    ),
    ("ids.npy",),
  ),
  Row(
    "lists whose set is gone",
    work(
      *LISTS,
      "--to={out}/x.jsonl",
      files=record(lambda r: r["config"]["data"].update(path="/nowhere")),
    ),
    ("/nowhere",),
  ),
  Row(
    "lists whose set is another one by now",
    lambda folder: _of_another_set(folder),
    ("mine has read another state of the data set",),
  ),
  Row(
    "figures of a run to a place below a file",
    work("report", "{work}", f"--figures={{}}/{TEXTS}/x"),
    (TEXTS,),
  ),
]


def _of_another_set(folder: pathlib.Path) -> list[str]:
  """Lists of rows of a set that has changed, and has a fault by now."""
  path = made.write(folder / "set", made.LAYOUT | {"collection.tsv": "d1\n"})
  other = record(lambda r: r["config"]["data"].update(path=str(path)))
  return work(*LISTS, "--to={out}/x.jsonl", files=other)(folder)


def _embed(
  content: made.Content, name: str = "mine.tsv", more: Sequence[str] = ()
) -> Line:
  """A file of texts to be embedded."""

  def line(folder: pathlib.Path) -> list[str]:
    made.write(folder, {name: content})
    words = work("embed", f"{{}}/{name}", *EMBED[2:], NPY, *more)
    return words(folder)

  return line


_TEXT_FILES = [
  Row("texts that are not there", _embed(None), ("mine.tsv",)),
  Row("a folder as texts", _embed(made.folder), ("mine.tsv",)),
  Row("an empty file of texts", _embed(""), ("mine.tsv", "id TAB text")),
  Row("texts of one column", _embed("tea\n"), ("mine.tsv",)),
  Row("texts of four columns", _embed("a\tb\tc\td\n"), ("mine.tsv",)),
  Row("an empty text", _embed("a\ttea\nb\t \n"), ("mine.tsv:2", "no text")),
  Row(
    "an empty text that may be left out",
    _embed("a\ttea\nb\t \n", more=["--on_error=skip"]),
    ("skipped 1 lines: 1 empty text", "1 vectors"),
    SKIPPED,
  ),
  Row("texts in latin-1", _embed(b"a\tth\xe9\n"), ("mine.tsv",)),
  Row("objects that are none", _embed("x\n", "mine.jsonl"), ("mine.jsonl:1",)),
  Row(
    "objects without text",
    _embed('{"_id": "a"}\n', "mine.jsonl"),
    ("mine.jsonl:1", "text"),
  ),
  Row(
    "half of a surrogate pair",
    _embed('{"_id": "a", "text": "\\ud800"}\n', "mine.jsonl"),
    ("mine.jsonl:1", "surrogate"),
  ),
  Row(
    "a title that is a list",
    _embed('{"_id": "a", "text": "b", "title": [1]}\n', "mine.jsonl"),
    ("mine.jsonl:1", "title"),
  ),
]


def _evaluate(files: made.Files) -> Line:
  """A folder of sentence-transformers with other files, as it is."""

  def line(folder: pathlib.Path) -> list[str]:
    return [
      "evaluate",
      str(made.encoder(folder / "model", pooled() | files)),
      f"--config.data.path={made.write(folder / 'set', made.LAYOUT)}",
      f"--cache_dir={folder / 'cache'}",
    ]

  return line


_AS_IT_IS = [
  Row(
    "evaluate: SentencePiece as the only tokenizer",
    _evaluate({"vocab.txt": None, "spiece.model": b"\n"}),
    ("spiece.model", "save_pretrained"),
  ),
  Row(
    "evaluate: more tokens than embeddings",
    _evaluate({"vocab.txt": f"{made.VOCABULARY}more\n"}),
    ("29 rows", "30 tokens", "put the one there"),
  ),
  Row(
    "evaluate: a tokenizer that tells letters apart, and is not to",
    _evaluate(
      {
        "vocab.txt": made.VOCABULARY.replace("\np\n", "\nA\n"),
        "tokenizer_config.json": '{"do_lower_case": false}',
        "sentence_bert_config.json": '{"do_lower_case": true}',
      }
    ),
    ("do_lower_case", "tokenizer"),
  ),
  Row(
    "evaluate: texts without room for special tokens",
    _evaluate({"sentence_bert_config.json": '{"max_seq_length": 1}'}),
    ("config.data.query_length is 1", "take 2"),
  ),
  Row(
    "evaluate: another family",
    _evaluate({"config.json": '{"model_type": "gpt2"}', "vocab.txt": None}),
    ("config.json", "'gpt2', a family that is not read"),
  ),
]
_METRICS = "00-student/metrics.jsonl"
_REPORT = [
  Row(
    "report: lines of steps that are none",
    work(
      "report",
      "{work}",
      "--figures={out}",
      files={_METRICS: '{"step": 1}\n{"step": "a", "loss": []}\n3\n{"st'},
    ),
    ("figures are in",),
    SKIPPED,
  ),
  Row(
    "report: figures by query that are cut",
    work("report", "{work}", files=measured("{")),
    ("by_query.json", "cannot be read"),
  ),
  Row(
    "evaluate: a run that has measured nothing",
    work("evaluate", "{work}", "--cache_dir={}/cache"),
    ("has measured nothing",),
  ),
  Row(
    "evaluate: a stage's run that is gone",
    work("evaluate", "{work}", "--cache_dir={}/cache", files=measured("{}")),
    ("run.trec",),
  ),
  Row(
    "evaluate: a stage that is not there",
    work("evaluate", "{work}:nix", "--cache_dir={}/cache"),
    (":nix", "no stage"),
  ),
  Row(
    "evaluate: an encoder that nobody says how to pool",
    lambda folder: [
      "evaluate",
      str(made.encoder(folder / "model")),
      f"--config.data.path={made.write(folder / 'set', made.LAYOUT)}",
      f"--cache_dir={folder / 'cache'}",
    ],
    ("model", "modules.json"),
  ),
  Row(
    "status: a file",
    work("status", f"{{}}/{TEXTS}"),
    (TEXTS, "is a file, where the working folder of a run is wanted"),
  ),
]
_SEARCH = [
  Row(
    "vectors that are gone",
    work("search", "{work}", "--query=a", "--cache_dir={}/cache"),
    ("'encode' has not ended", "manifest.json"),
  ),
  Row("no hit", work("search", "{work}", "--hits=0"), ("--hits",)),
  Row(
    "a query beside --serve",
    work("search", "{work}", "--serve", "--query=a"),
    ("--query is answered without --serve",),
  ),
  Row("a port below 0", work("search", "{work}", "--port=-1"), ("--port",)),
  Row(
    "a stage of no run",
    work("search", "nobody/nix", "--stage=student", "--cache_dir={}/c"),
    ("--stage is of a run",),
  ),
  Row(
    "search: a stage that is not there",
    work(
      "search", "{work}", "--stage=nix", "--query=a", "--cache_dir={}/cache"
    ),
    ("nix",),
  ),
  Row(
    "a file as cache",
    work(
      "search",
      "{work}:student",
      "--query=a",
      f"--cache_dir={{}}/{TEXTS}",
    ),
    (TEXTS, "no folder"),
  ),
]
_CONVERT = [
  Row(
    "convert: a folder that is not there",
    work("convert", "{}/nix", "--to={out}"),
    ("nix is no folder",),
  ),
  Row(
    "convert: nothing that is pickled",
    work("convert", "{work}", "--to={out}"),
    ("no pickled weights",),
  ),
  Row(
    "convert: a place that is taken",
    work("convert", "{work}", "--to={}"),
    ("--to is",),
  ),
  Row(
    "convert: an index that is cut",
    work(
      "convert",
      "{work}",
      "--to={out}",
      files={"pytorch_model.bin.index.json": "{"},
    ),
    ("pytorch_model.bin.index.json",),
  ),
]

ROWS = [*_TARGETS, *_TEXT_FILES, *_AS_IT_IS, *_REPORT, *_SEARCH, *_CONVERT]
