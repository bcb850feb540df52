"""Working folders that runs have left, damaged or not theirs."""

import json
import pathlib
from collections.abc import Callable

from prod_jax import forecast, storage
from prod_jax.stages.run import PARAMS
from tests.bad_inputs import made
from tests.bad_inputs.row import OUTPUT, SKIPPED, Line, Row

CURRICULUM = storage.CURRICULUM
_STUDENT = "00-student"
_WEIGHTS = f"{_STUDENT}/{PARAMS}"
TEXTS = "texts.tsv"
_DONE = f"{_STUDENT}/{storage.DONE}"
_SAID = '{"hash": "student"}'


def work(
  *words: str, files: Callable[[], made.Files] | made.Files | None = None
) -> Line:
  """A line in which {work} is a finished run with other files, {out} a place
  for what is made, and {} the row's folder.
  """

  def line(folder: pathlib.Path) -> list[str]:
    others = files() if callable(files) else files
    work = made.finished(folder / "work", others)
    made.write(folder, {TEXTS: "a\told tea\n"})
    places = {"work": work, "out": folder / OUTPUT}
    return [word.format(folder, **places) for word in words]

  return line


def record(change: Callable[[dict], object]) -> Callable[[], made.Files]:
  """A curriculum.json that is changed."""

  return lambda: {CURRICULUM: made.record(change)}


def measured(by_query: str) -> made.Files:
  """Figures of the student, and these by query."""
  row = {
    "stage": "evaluate",
    "model_stage": "student",
    "dataset": "set",
    "split": "test",
    "metric": "mrr@10",
    "value": 0.5,
    "queries": 1,
    "index": "exact",
    "index_recall": 1.0,
    "width": None,
  }
  return {
    storage.RESULTS: json.dumps([row]),
    "02-evaluate/by_query.json": by_query,
  }


def flipped() -> bytes:
  """The student's weights, of which a bit is another one."""
  content = bytearray(made.left())
  content[-3] ^= 0x40
  return bytes(content)


EXPORT = ("export", "--workdir={work}", "--stage=student", "--to={out}")
EMBED = ("embed", f"{{}}/{TEXTS}", "--workdir={work}", "--stage=student")
LISTS = ("lists", "--workdir={work}", "--stage=mine")
NPY = "--to={out}/x.npy"


def _export(files: Callable[[], made.Files] | made.Files, *more: str) -> Line:
  return work(*EXPORT, *more, files=files)


def _of_all(content: made.Content, *says: str, what: str) -> list[Row]:
  """A damaged curriculum.json, for each command that reads it."""
  files = {CURRICULUM: content}
  lines = {
    "status": ("status", "{work}"),
    "report": ("report", "{work}"),
    "export": EXPORT,
    "lists": (*LISTS, "--to={out}/x.jsonl"),
    "evaluate": ("evaluate", "{work}", "--cache_dir={}/cache"),
    "search": ("search", "{work}", "--query=tea", "--cache_dir={}/cache"),
  }
  return [
    Row(f"{word}: {what}", work(*line, files=files), says or (CURRICULUM,))
    for word, line in lines.items()
  ]


_FOLDERS = [
  *(
    Row(f"{words[0]}: a folder without a run", work(*words), says)
    for words, says in (
      (("status", "{}/nix"), ("nix", "no run has been here")),
      (("report", "{}/nix"), ("nix", CURRICULUM)),
      (("search", "{}/nix", "--query=a", "--cache_dir={}/c"), ("no set",)),
      (("embed", "{}/texts.tsv", "--workdir={}", "--stage=a", NPY), ("run",)),
      (("export", "--workdir={}", "--stage=a", "--to={out}"), (CURRICULUM,)),
    )
  ),
  *(
    Row(
      f"{words[0]}: a file of a run",
      work(*words),
      ("is a file", "it lies in that of a run", "/work"),
    )
    for words in (
      ("status", "{work}/" + _WEIGHTS),
      ("report", "{work}/" + CURRICULUM),
      ("export", "--workdir={work}/" + CURRICULUM, "--stage=a", "--to={out}"),
    )
  ),
  *_of_all("", what="an empty curriculum.json"),
  *_of_all('{"stages": [', what="a curriculum.json that is cut"),
  *_of_all("[]", what="a curriculum.json of a list"),
  *_of_all("{}", what="a curriculum.json of nothing"),
  *_of_all(
    '{"config": 3, "stages": 4}', what="a curriculum.json of other things"
  ),
  *_of_all("\0" * 64, what="a curriculum.json of NUL bytes"),
  Row(
    "report: one run twice",
    work("report", "{work}", "{work}"),
    ("a run is named twice",),
  ),
  *(
    Row(
      f"{word}: a forecast of {what}",
      work(word, "{work}", files={forecast.FILE: content}),
      (forecast.FILE, "is not as it was written, and does not count"),
      SKIPPED,
    )
    for word in ("status", "report")
    for what, content in (
      ("nothing", "{}"),
      ("other things", '{"machine": "m", "config": {}, "stages": 4}'),
    )
  ),
  Row(
    "a run of another version",
    _export(record(lambda r: r["config"]["data"].update(new=3))),
    (CURRICULUM, "'new'"),
  ),
  Row(
    "a run whose stages have other keys",
    _export(record(lambda r: r["stages"][0].pop("dir"))),
    (CURRICULUM, "stages"),
  ),
  Row(
    "a run whose figures are cut",
    _export(lambda: {storage.RESULTS: '[{"stage"'}),
    (storage.RESULTS,),
  ),
]
_STAGES = [
  Row(
    "a stage that is not there",
    work("export", "--workdir={work}", "--stage=nix", "--to={out}"),
    ("'nix' is no stage", "student"),
  ),
  Row(
    "a stage that trains nothing",
    work("export", "--workdir={work}", "--stage=mine", "--to={out}"),
    ("'mine' is of kind mine",),
  ),
  Row(
    "a stage that has not ended",
    _export({_DONE: None}),
    ("'student' has not ended",),
  ),
  Row(
    "a stage whose DONE.json is cut",
    _export({_DONE: "{"}),
    ("DONE.json",),
  ),
  Row(
    "a stage whose weights are gone",
    _export({_WEIGHTS: None}),
    (_WEIGHTS, "no whole"),
  ),
  Row(
    "weights that are cut",
    _export(lambda: {_WEIGHTS: made.left()[:-9]}),
    (_WEIGHTS, "bytes, not"),
  ),
  *(
    Row(
      f"{words[0]}: weights of which a bit has flipped",
      work(*words, files=lambda: {_WEIGHTS: flipped()}),
      (_WEIGHTS, "has changed", "start the run again"),
    )
    for words in (EXPORT, (*EMBED, NPY))
  ),
  Row(
    "weights of a run that wrote no sizes down, cut",
    _export(lambda: {_WEIGHTS: made.left()[:-9], _DONE: _SAID}),
    (_WEIGHTS, "cut, damaged"),
  ),
  *(
    Row(
      f"lists of a stage that notes {what} as its set",
      work(
        *LISTS, "--to={out}/x.jsonl", files={f"03-mine/{storage.DONE}": done}
      ),
      ("mine has read another state of the data set",),
    )
    for what, done in (
      ("a list", '{"hash": "mine", "fingerprint": {"dataset": [1]}}'),
      ("an object", '{"hash": "mine", "origin": {"data_fingerprint": {}}}'),
    )
  ),
  Row(
    "weights of another kind of model",
    _export(lambda: {_WEIGHTS: made.left("04-ce"), _DONE: _SAID}),
    (_WEIGHTS, "another model"),
  ),
  Row(
    "weights of another architecture",
    _export(lambda: {_WEIGHTS: made.weights(), _DONE: _SAID}),
    (_WEIGHTS, "another model"),
  ),
  Row(
    "a tokenizer that is gone",
    _export(record(lambda r: r["config"]["data"].update(tokenizer="/nowhere"))),
    ("config.data.tokenizer", "/nowhere"),
  ),
  Row(
    "another tokenizer than then",
    _export(
      record(
        lambda r: r["config"]["data"].update(tokenizer=str(made.other_words()))
      )
    ),
    ("'student' was trained with the tokenizer", "has changed"),
  ),
  Row(
    "a note of no tokenizer at all",
    _export({_DONE: '{"hash": "student", "fingerprint": {"tokenizers": []}}'}),
    ("'student' was trained with", "has changed"),
  ),
]


def _checkpoint(folder: pathlib.Path) -> list[str]:
  """A checkpoint of another architecture, of the same stage."""
  from tests.bad_inputs.row import run

  words = made.line(folder)
  said = run([*words, "--dry_run", "--json"])
  student = json.loads(said.stdout)[0]
  own = folder / OUTPUT / student["dir"]
  started = json.dumps({"hash": student["hash"], "id": "x"})
  made.write(own, {"STARTED.json": started, "checkpoints/1/state/x": "x"})
  return words


_CHECKPOINTS = [
  Row(
    "checkpoints of something else",
    _checkpoint,
    ("no checkpoint in", "can be read", "delete that folder"),
    long=True,
  ),
]
ROWS = [*_FOLDERS, *_STAGES, *_CHECKPOINTS]
