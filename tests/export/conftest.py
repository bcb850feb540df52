"""A small run with a model of each kind, for the tests of this room.

Its folders have spaces and letters of all kinds in their names.
"""

import pathlib
import shutil

import pytest

from tests import commands, once
from tests.main_test import write_folder

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
CONFIG = """
import ml_collections


def get_config(variant=""):
  shape = dict(width=16, depth=1, heads=2, mlp_width=32, dropout=0.0)
  train = dict(kind="train", steps=2, batch_size=8, learning_rate=1e-2)
  alone = dict(train, method="contrastive")
  return ml_collections.ConfigDict(dict(
    seed=7,
    data=dict(
      name="folder", path={path!r}, tokenizer={tokenizer!r},
      query_length=20, passage_length=24,
    ),
    mesh=dict(),
    models=dict(
      student=dict(
        shape, kind="dual", pooling="mean", similarity="cosine", scale=20.0
      ),
      towers=dict(shape, kind="dual", tied=False, pooling="cls"),
      ce=dict(shape, kind="cross", pooling="mean"),
      colbert=dict(shape, kind="late"),
    ),
    stages=ml_collections.ConfigDict(dict(
      warm=dict(alone, model="student"),
      towers=dict(alone, model="towers"),
      ce=dict(train, model="ce", method="ranking", negatives=1),
      colbert=dict(alone, model="colbert"),
      student=dict(
        train, model="student", method="prod", init="warm", teacher="ce",
        negatives=1, settings=dict(
          soft=0.9, hard=0.1, temperature=2.0, in_batch=False
        ),
      ),
      encode=dict(kind="encode", params="student", splits=("dev",)),
      evaluate=dict(kind="evaluate", encoded="encode", split="dev", depth=20,
        metrics=("mrr@10", "ndcg@10", "recall@10")),
    ), sort_keys=False),
  ))
"""


def write_vocabulary(folder: pathlib.Path) -> pathlib.Path:
  """A vocab.txt that can spell everything, and says little in one token."""
  letters = [chr(c) for c in range(33, 127) if not chr(c).isupper()]
  syllables = [f"{a}{b}" for a in "bcdfgklmnp" for b in ("ar", "el", "in")]
  words = [*SPECIAL, *letters, *(f"##{c}" for c in letters), *syllables]
  folder.mkdir()
  (folder / "vocab.txt").write_text("\n".join(words) + "\n")
  return folder


@pytest.fixture(scope="session")
def finished_run(tmp_path_factory) -> pathlib.Path:
  """The working folder of the run."""
  return once.folder(tmp_path_factory, "Läufe und 研究", finish) / "run"


def finish(root: pathlib.Path) -> None:
  """Runs the config in a folder."""
  config = root / "config.py"
  config.write_text(
    CONFIG.format(
      path=str(write_folder(root / "set")),
      tokenizer=str(write_vocabulary(root / "vocabulary")),
    )
  )
  done = commands.run(
    "prod_jax.main", f"--config={config}", f"--workdir={root}/run"
  )
  assert done.returncode == 0, done.stderr[-4000:]


@pytest.fixture
def workdir(finished_run, tmp_path) -> pathlib.Path:
  """A copy that a test may change."""
  return pathlib.Path(shutil.copytree(finished_run, tmp_path / "run"))
