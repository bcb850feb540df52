"""A small run with a student at two stages and two teachers, to search with."""

import pathlib
import queue
import shutil
import threading

import pytest

from prod_jax.serving import opened
from tests import commands, once
from tests.export.conftest import write_vocabulary
from tests.main_test import write_folder

# What a collection may hold, and what a query of it may be.
EVIL = "<script>window.hurt = 1</script>\"' onload=hurt() &lt;"
IMAGE = "<img src=x onerror='window.hurt = 1'>"
RIGHT_TO_LEFT = "\u202eשלום עולם"  # noqa: RUF001
CONFIG = """
import ml_collections


def get_config(variant=""):
  shape = dict(width=16, depth=2, heads=2, mlp_width=32, dropout=0.0)
  train = dict(kind="train", steps=2, batch_size=8, learning_rate=1e-2)
  alone = dict(train, method="contrastive")
  dual = dict(shape, kind="dual", pooling="mean", similarity="cosine", scale=20)
  encode = dict(kind="encode", splits=("dev", "test"))
  return ml_collections.ConfigDict(dict(
    seed=7,
    data=dict(
      name="folder", path={path!r}, tokenizer={tokenizer!r},
      query_length=20, passage_length=24,
    ),
    mesh=dict(),
    models=dict(
      student=dict(dual), big=dict(dual),
      ce=dict(shape, kind="cross", pooling="mean"),
      colbert=dict(shape, kind="late"),
    ),
    stages=ml_collections.ConfigDict(dict(
      warm=dict(alone, model="student"),
      encode_warm=dict(encode, params="warm"),
      teacher=dict(alone, model="big"),
      encode_teacher=dict(encode, params="teacher"),
      ce=dict(train, model="ce", method="ranking", negatives=1),
      late=dict(alone, model="colbert"),
      student=dict(
        train, model="student", method="prod", init="warm", teacher="ce",
        negatives=1, settings=dict(
          soft=0.9, hard=0.1, temperature=2.0, in_batch=False
        ),
      ),
      encode=dict(encode, params="student"),
      evaluate=dict(kind="evaluate", encoded="encode", split="test", depth=20,
        metrics=("mrr@10", "ndcg@10", "recall@10")),
      accept=dict(kind="accept", encoded="encode", before="encode_warm",
        depth=20, tolerance=1.0),
      later=dict(alone, model="student", init="student"),
    ), sort_keys=False),
  ))
"""


def write_set(folder: pathlib.Path) -> pathlib.Path:
  """A set with texts that mean harm, and queries that find them relevant."""
  write_folder(folder)
  with (folder / "collection.tsv").open("a", encoding="utf-8") as file:
    file.write(f"evil\t{EVIL}\t{IMAGE} garel {EVIL}\n")
    file.write(f"rtl\t{RIGHT_TO_LEFT}\t{RIGHT_TO_LEFT} garel \x1b[31mred\n")
  with (folder / "queries.test.tsv").open("a", encoding="utf-8") as file:
    file.write(f"q_evil\t{IMAGE} garel\n")
  with (folder / "qrels.test.tsv").open("a", encoding="utf-8") as file:
    file.write("q_evil\t0\tevil\t2\nq_evil\t0\trtl\t1\n")
  return folder


@pytest.fixture(scope="session")
def searched_run(tmp_path_factory) -> pathlib.Path:
  """The working folder of the run."""
  return once.folder(tmp_path_factory, "Suche und 研究", finish) / "run"


def finish(root: pathlib.Path) -> None:
  """Runs the config in a folder."""
  config = root / "config.py"
  config.write_text(
    CONFIG.format(
      path=str(write_set(root / "set")),
      tokenizer=str(write_vocabulary(root / "vocabulary")),
    )
  )
  done = commands.run(
    "prod_jax.main", f"--config={config}", f"--workdir={root}/run"
  )
  assert done.returncode == 0, done.stderr[-4000:]


@pytest.fixture(scope="session")
def cache(tmp_path_factory) -> pathlib.Path:
  return tmp_path_factory.mktemp("cache") / "für 研究"


@pytest.fixture(scope="session")
def library(searched_run, cache):
  """The run, as `prod_jax search` opens it."""
  return opened.open_library([str(searched_run)], [], cache)


@pytest.fixture
def workdir(searched_run, tmp_path) -> pathlib.Path:
  """A copy that a test may change."""
  return pathlib.Path(shutil.copytree(searched_run, tmp_path / "run"))


@pytest.fixture(scope="session")
def served(library) -> str:
  """The address of a server of the run, which ends with this process."""
  server = pytest.importorskip("prod_jax.serving.server")
  address: queue.Queue[str] = queue.Queue()
  threading.Thread(
    target=server.serve,
    args=(library, "127.0.0.1", 0, address.put),
    daemon=True,
  ).start()
  return address.get(timeout=60)
