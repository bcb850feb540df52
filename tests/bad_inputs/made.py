"""Good inputs, of which bad ones are made by a change."""

import functools
import json
import pathlib
import shutil
import tempfile
from collections.abc import Callable, Mapping

import jax
import numpy as np
import safetensors.numpy

from prod_jax import artefacts, config_file, main, stages, storage, strict
from prod_jax.batches.lists import Candidates, save_lists
from prod_jax.models import build, hf, transformer
from prod_jax.models.cross import Head
from prod_jax.models.transformer_config import TransformerConfig
from prod_jax.processes import Processes
from prod_jax.stages.run import PARAMS, Run
from tests.bad_inputs.row import OUTPUT
from tests.models.tiny import formula

EXPERIMENT = pathlib.Path(__file__).with_name("experiment.py")
_CHANGED = """\
import sys
sys.path.append({!r})
import experiment
def get_config(variant=""):
  c = experiment.get_config(variant)
  {}
  return c
"""
_WORDS = "[PAD] [UNK] [CLS] [SEP] [MASK] tea boats are old new the sea wind"
VOCABULARY = "\n".join([*_WORDS.split(), *"abcdefghijklmnop"]) + "\n"

# A file's content; None where there is none, a function makes it at its path.
Content = str | bytes | None | Callable[[pathlib.Path], object]
Files = Mapping[str, Content]

LAYOUT: Files = {
  "collection.tsv": "".join(f"d{i}\tt {i}\told tea {i}\n" for i in range(6)),
  "queries.train.tsv": "q1\ttea\nq2\tsea\n",
  "qrels.train.tsv": "q1\t0\td1\t1\nq2\t0\td2\t1\n",
  "queries.test.tsv": "q3\told sea\n",
  "qrels.test.tsv": "q3\t0\td3\t1\n",
}


def _object(name: str, **more: str) -> str:
  return json.dumps({"_id": name, **more}) + "\n"


HEADER = "query-id\tcorpus-id\tscore\n"
BEIR: Files = {
  "corpus.jsonl": "".join(
    _object(f"d{i}", title="t", text=f"old tea {i}") for i in range(6)
  ),
  "queries.jsonl": "".join(_object(f"q{i}", text="tea") for i in (1, 2, 3)),
  "qrels/train.tsv": f"{HEADER}q1\td1\t1\nq2\td2\t1\n",
  "qrels/test.tsv": f"{HEADER}q3\td3\t1\n",
}


def write(folder: pathlib.Path, files: Files) -> pathlib.Path:
  """Writes files into a folder; returns it."""
  folder.mkdir(parents=True, exist_ok=True)
  for name, content in files.items():
    if content is None:
      continue
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    if callable(content):
      content(path)
    else:
      data = content.encode() if isinstance(content, str) else content
      path.write_bytes(data)
  return folder


def folder(path: pathlib.Path) -> None:
  """A folder, where a file should be."""
  path.mkdir()


def loop(path: pathlib.Path) -> None:
  """A link to itself."""
  path.symlink_to(path.name)


def nowhere(path: pathlib.Path) -> None:
  """A link to nothing."""
  path.symlink_to("gone")


def line(
  folder: pathlib.Path,
  *more: str,
  variant: str = "",
  word: str = "run",
  change: str = "",
) -> list[str]:
  """A command of the experiment, on the good set where none is named.

  Args:
    folder: where its files are made.
    more: its further arguments.
    variant: of the experiment.
    word: the command.
    change: Python that changes the config `c`.
  """
  given = " ".join(more)
  words = folder / "words"
  if not words.exists():
    write(words, {"vocab.txt": VOCABULARY})
  config = EXPERIMENT
  if change:
    config = folder / "changed.py"
    config.write_text(_CHANGED.format(str(EXPERIMENT.parent), change))
  line = [word, f"--config={config}:{variant}"]
  line += [f"--workdir={folder / OUTPUT}"]
  if "data.tokenizer" not in given:
    line.append(f"--config.data.tokenizer={words}")
  if "data.path" not in given:
    path = write(folder / "set", LAYOUT)
    line.append(f"--config.data.path={path}")
  return [*line, *more]


SHAPE = TransformerConfig(
  vocab_size=len(VOCABULARY.split()),
  width=8,
  depth=1,
  heads=2,
  mlp_width=16,
  max_positions=40,
)


@functools.cache
def _kept() -> pathlib.Path:
  made = tempfile.TemporaryDirectory(prefix="bad_inputs-")
  _KEPT.append(made)
  return pathlib.Path(made.name)


_KEPT: list[tempfile.TemporaryDirectory] = []


@functools.cache
def _encoder() -> pathlib.Path:
  """A folder with an encoder and its tokenizer."""
  folder = write(_kept() / "encoder", {"vocab.txt": VOCABULARY})
  hf.save(folder, formula(transformer.shapes(SHAPE)), SHAPE)
  return folder


@functools.cache
def classifier_folder() -> pathlib.Path:
  """A folder with a sequence classifier of one label."""
  folder = write(_kept() / "classifier", {"vocab.txt": VOCABULARY})
  head = Head("cls", hidden="tanh")
  shapes = jax.eval_shape(lambda: head.init(SHAPE, jax.random.key(0)))
  encoder = formula(transformer.shapes(SHAPE))
  hf.save(folder, encoder, SHAPE, head=(head, formula(shapes)))
  return folder


def encoder(to: pathlib.Path, files: Files | None = None) -> pathlib.Path:
  """A copy of an encoder's folder, with other files in it."""
  return _copy(_encoder(), to, files or {})


def classifier(to: pathlib.Path, files: Files | None = None) -> pathlib.Path:
  """The same of a sequence classifier."""
  return _copy(classifier_folder(), to, files or {})


def _copy(source: pathlib.Path, to: pathlib.Path, files: Files) -> pathlib.Path:
  shutil.copytree(source, to)
  for name in files:
    (to / name).unlink(missing_ok=True)
  return write(to, files)


def settings(**changed: object) -> str:
  """The config.json of the encoder, with other values."""
  said = json.loads((_encoder() / "config.json").read_text())
  return json.dumps(said | changed)


def tensors(
  change: Callable[[dict[str, np.ndarray]], object],
  source: Callable[[], pathlib.Path] = _encoder,
) -> bytes:
  """The encoder's weights, changed."""
  found = safetensors.numpy.load_file(source() / hf.WEIGHTS)
  change(found)
  return safetensors.numpy.save(found, metadata={"format": "pt"})


def weights() -> bytes:
  """The encoder's weights as they are."""
  return (_encoder() / hf.WEIGHTS).read_bytes()


@functools.cache
def _finished() -> pathlib.Path:
  """What a run of the experiment has left, with weights that are a formula."""
  folder = _kept() / "finished"
  folder.mkdir()
  words = [w.removeprefix("--config.") for w in line(folder)[3:]]
  config = config_file.load(f"{EXPERIMENT}:cross", words)
  run = Run(config, Processes(folder / OUTPUT), may_fetch=False)
  rows = []
  for stage in main.build(run):
    stage.folder.mkdir(parents=True)
    job = stages.job_of(run, stage.name)
    if stage.kind == "train":
      params = formula(build.shapes_of(run.model(job.stage.model)))
      hf.save_params(stage.folder / PARAMS, params)
    elif stage.kind == "mine":
      save_lists(_LISTS, stage.folder / "candidates")
    fingerprint = stage.fingerprint()
    done = {
      "hash": stage.name,
      "fingerprint": fingerprint,
      "summary": {},
      "files": artefacts.record(stage.folder, but=()),
    }
    storage.write_text(stage.folder / storage.DONE, json.dumps(done))
    rows.append(
      {
        "name": stage.name,
        "kind": stage.kind,
        "dir": stage.folder.name,
        "hash": stage.name,
        "status": "done",
        "seconds": 1.0,
        "inputs": stage.inputs,
        **stage.record,
      }
    )
  record = {"config": strict.plain(config), "dataset": "set", "stages": rows}
  storage.write_text(run.workdir / storage.CURRICULUM, json.dumps(record))
  return run.workdir


_LISTS = Candidates(
  query=np.arange(2, dtype=np.int32),
  ids=np.array([[1, 3, 4], [2, 4, 5]], np.int32),
  label=np.array([[True, False, False]] * 2),
  rank=np.array([[0, 1, 2]] * 2, np.int32),
  score=np.array([[3.0, 2.0, 1.0]] * 2, np.float32),
)


def finished(to: pathlib.Path, files: Files | None = None) -> pathlib.Path:
  """A copy of a finished run's working folder, with other files in it."""
  return _copy(_finished(), to, files or {})


def record(change: Callable[[dict], object]) -> str:
  """The curriculum.json of the finished run, changed."""
  found = json.loads((_finished() / storage.CURRICULUM).read_text())
  change(found)
  return json.dumps(found)


def left(stage: str = "00-student") -> bytes:
  """The weights that a train stage of it has left."""
  return (_finished() / stage / PARAMS).read_bytes()


@functools.cache
def other_words() -> pathlib.Path:
  """A tokenizer of other words."""
  vocabulary = VOCABULARY.replace("tea", "coffee")
  return write(_kept() / "other", {"vocab.txt": vocabulary})
