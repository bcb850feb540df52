"""all-mpnet-base-v2 embeds as sentence-transformers does, in a run."""

import json
import pathlib

import numpy as np
import pytest

from prod_jax import config_file, curriculum, main, packaged
from prod_jax.batches.special import Special
from prod_jax.processes import Processes
from prod_jax.retrieval import encode
from prod_jax.stages import files
from prod_jax.stages.run import Run

GOLDEN = json.loads(
  pathlib.Path(__file__).with_name("golden_mpnet.json").read_text()
)
# The last one is cut.
TEXTS = [*GOLDEN["first"], "how to sort a list " * 90]
CONFIG = """
import ml_collections

def get_config(variant=""):
  return ml_collections.ConfigDict(dict(
    seed=0,
    data=dict(
      name="folder", path={data!r}, tokenizer={folder!r}, query_length=384,
      passage_length=384,
    ),
    mesh=dict(),
    models=dict(mpnet=dict(kind="dual", weights={folder!r})),
    stages=dict(
      encode=dict(kind="encode", params="mpnet", splits=("test",)),
    ),
  ))
"""


@pytest.fixture(scope="module")
def folder():
  found = packaged.mpnet_target()
  if not (found / packaged.MODEL_WEIGHTS).is_file():
    pytest.skip(f"{found} is not there; make mpnet unpacks it")
  packaged.unpack_mpnet(found)  # looks whether it is what was published
  return found


@pytest.fixture(scope="module")
def run(folder, tmp_path_factory):
  """A run with the texts as queries and as passages, which are encoded."""
  place = tmp_path_factory.mktemp("mpnet")
  (place / "set").mkdir()
  for name, rows in {
    "collection.tsv": [f"p{i}\t{text}" for i, text in enumerate(TEXTS)],
    "queries.test.tsv": [f"q{i}\t{text}" for i, text in enumerate(TEXTS)],
    "qrels.test.tsv": [f"q{i}\tp{i}" for i in range(len(TEXTS))],
  }.items():
    (place / "set" / name).write_text("\n".join(rows) + "\n")
  places = {"folder": str(folder), "data": str(place / "set")}
  (place / "config.py").write_text(CONFIG.format(**places))
  config = config_file.load(str(place / "config.py"), [])
  made = Run(config, Processes(place / "work"), may_fetch=False)
  files.check(made)
  planned = curriculum.plan(main.build(made), made.processes)
  curriculum.run(planned, made.processes)
  return made


def embeddings(run):
  """Of the texts as queries, and as passages."""
  stage = run.folder("encode")
  queries = np.load(stage / "queries-test.npy")
  return queries, np.asarray(encode.open_shards(stage / "passages"))


def test_its_files_settle_what_the_config_leaves_open(run):
  model = run.settled("mpnet").model
  assert (model.pooling, model.similarity) == ("mean", "cosine")
  tokenizer = run.tokenizer_of("mpnet")
  assert tokenizer.special == Special((0,), (2, 2), (2,), pad=1, mask=30_526)
  assert run.model("mpnet").transformer.relative_buckets == 32


def test_golden(run):
  wanted = list(GOLDEN["first"].values())
  for found in embeddings(run):
    np.testing.assert_allclose(found[: len(wanted), :8], wanted, atol=1e-5)


def test_sentence_transformers_itself(run, folder):
  library = pytest.importorskip(
    "sentence_transformers", reason="needs sentence-transformers"
  )
  wanted = library.SentenceTransformer(str(folder), device="cpu").encode(TEXTS)
  for found in embeddings(run):
    np.testing.assert_allclose(found, wanted, atol=1e-5)
