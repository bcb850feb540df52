"""A ColBERT folder as a model that scores, reranks and teaches as it is."""

import json

import numpy as np
import pytest

from prod_jax import config_file, curriculum, main, strict
from prod_jax.models.late import LateInteraction
from prod_jax.processes import Processes
from prod_jax.stages import files
from prod_jax.stages.run import Run
from tests.main_test import write_folder
from tests.models.colbert_test import KERNEL, encoder, stanford, vocabulary

CONFIG = """
import ml_collections

def get_config(variant=""):
  return ml_collections.ConfigDict(dict(
    seed=0,
    data=dict(
      name="folder", path="set", tokenizer="plain", query_length=12,
      passage_length=18,
    ),
    mesh=dict(),
    models=dict(
      de=dict(kind="dual", weights="plain"),
      colbert=dict(kind="late", weights="colbert"),
    ),
    stages=ml_collections.ConfigDict(dict(
      encode=dict(kind="encode", params="de", splits=("train", "test")),
      mine=dict(kind="mine", encoded="encode", depth=6),
      score=dict(kind="score", params="colbert", candidates="mine"),
      rerank=dict(
        kind="evaluate", encoded="encode", rerank="colbert", depth=10,
      ),
      distil=dict(
        kind="train", model="colbert", method="prod", steps=1, batch_size=8,
        learning_rate=1e-3, candidates="mine", negatives=2, scores="score",
        settings=dict(in_batch=False, temperature=1.0, hard=0.5, soft=0.5),
      ),
    ), sort_keys=False),
  ))
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
  monkeypatch.chdir(tmp_path)
  # The tokenizer knows no word of them: they differ in how many these are.
  collection = write_folder(tmp_path / "set") / "collection.tsv"
  lines = collection.read_text().splitlines()
  shorter = (x.rsplit(" ", i % 11)[0] for i, x in enumerate(lines))
  collection.write_text("\n".join(shorter) + "\n")
  vocabulary(encoder(tmp_path / "plain"))
  vocabulary(stanford(tmp_path / "colbert", doc_maxlen=18))
  (tmp_path / "config.py").write_text(CONFIG)
  return tmp_path


def run_of(folder, *overrides):
  config = config_file.load(str(folder / "config.py"), overrides)
  return Run(config, Processes(folder / "work"), may_fetch=False)


def check(folder, *overrides):
  run = run_of(folder, *overrides)
  files.check(run)
  main.check(run)


def test_the_folder_makes_the_model(folder):
  run = run_of(folder)
  model = run.model("colbert")
  assert isinstance(model, LateInteraction)
  assert (model.projection, model.mask_id, model.hide_masks) == (3, 4, True)
  assert model.skip_ids == (7, 8, 9)  # its vocabulary has these three
  params = run.first_params("colbert", 0)
  np.testing.assert_array_equal(params["projection"]["kernel"], KERNEL.T)


@pytest.mark.parametrize(
  ("override", "message"),
  [
    ("models.colbert.projection=4", "projection is 4, and the folder .* 3"),
    ("data.query_length=10", r"fill queries up to 12 .*; set query_length=12"),
    ("data.passage_length=20", r"colbert.* as it is: texts have 20 tokens"),
    ("models.colbert.weights=plain", None),
    ("models.de.projection=3", "projection is a key of kind late"),
  ],
)
def test_what_does_not_go_together(folder, override, message):
  check(folder)
  if message is None:  # an encoder alone is a model too
    check(folder, override)
    message = "has no projection to 3; train it first"
    override = f"{override} models.colbert.projection=3"
  with pytest.raises(strict.ConfigError, match=message):
    check(folder, *override.split())


def test_it_scores_reranks_and_learns_as_it_is(folder):
  run = run_of(folder)
  curriculum.run(curriculum.plan(main.build(run), run.processes), run.processes)
  tokens = run.tokens_of("colbert")
  # Each text begins with its marker, which is one token.
  for store, marker in ((tokens.queries["test"], 5), (tokens.passages, 6)):
    texts = store.slices(np.arange(3))
    assert (texts.ids[texts.start] == marker).all()
  rows = json.loads((folder / "work" / "results.json").read_text())
  assert {row["model_stage"] for row in rows} == {"colbert"}
  loss = (folder / "work" / "04-distil" / "metrics.jsonl").read_text()
  assert np.isfinite(json.loads(loss.splitlines()[-1])["loss"])


def test_a_model_is_made_anew_where_the_metadata_has_changed(folder):
  before = run_of(folder).model_fingerprint("colbert")
  path = folder / "colbert" / "artifact.metadata"
  path.write_text(json.dumps(json.loads(path.read_text()) | {"name": "b"}))
  assert run_of(folder).model_fingerprint("colbert") != before


@pytest.mark.parametrize("cased", [False, True])
def test_a_folder_that_lower_cases_wants_a_tokenizer_that_does(folder, cased):
  limits = {"max_seq_length": 20, "do_lower_case": True}
  plain = folder / "plain"
  (plain / "sentence_bert_config.json").write_text(json.dumps(limits))
  listed = [
    {"type": "sentence_transformers.models.Transformer", "path": ""},
    {"type": "sentence_transformers.models.Pooling", "path": "1_Pooling"},
  ]
  (plain / "modules.json").write_text(json.dumps(listed))
  (plain / "1_Pooling").mkdir()
  (plain / "1_Pooling" / "config.json").write_text('{"pooling_mode": "mean"}')
  if not cased:
    check(folder)
    return
  settings = {"do_lower_case": False, "tokenizer_class": "BertTokenizer"}
  (plain / "tokenizer_config.json").write_text(json.dumps(settings))
  with pytest.raises(
    strict.ConfigError, match=r"says do_lower_case, and .* tells A from a"
  ):
    check(folder)
