"""What goes out comes in again: the same encoder, weights, prompts, scores."""

import json

import jax
import numpy as np
import pytest

from prod_jax import strict
from prod_jax.export import finished, folder, vectors
from prod_jax.retrieval import rerank
from prod_jax.sets.records import Passage
from tests.export import made


@pytest.fixture
def exported(tmp_path):
  """A function that exports a model, and reads it in as another run does."""

  def export(model, part=0, **again):
    run = made.run_of(tmp_path / "run", {"model": model})
    made.finish(run)
    trained = finished.open_stage(tmp_path / "run", "model_learns")
    chosen = folder.parts(trained)[part]
    folder.write(tmp_path / "out", trained, chosen)
    section = {"kind": model["kind"], "weights": str(tmp_path / "out"), **again}
    return trained, made.run_of(tmp_path / "again", {"model": section})

  return export


def scores_of(trained, encoder, params):
  """Logits of all pairs of the words."""
  store = vectors.store_of(
    trained, [Passage("", "", text) for text in made.WORDS], "query"
  )
  frozen = trained.frozen()
  frozen = type(frozen)(
    model=encoder,
    copies=frozen.copies._replace(params=[params]),
    special=frozen.special,
    data=frozen.data,
    batch_tokens=frozen.batch_tokens,
  )
  rows = np.arange(len(made.WORDS))
  lists = np.tile(rows, (len(rows), 1))
  return rerank.score_lists(frozen, store, store, rows, lists)


def test_a_dual_encoder_with_dense_layer_and_prompts(tmp_path, exported):
  weights = str(made.embedder(tmp_path / "weights"))
  trained, again = exported(
    dict(kind="dual", weights=weights, scale=20.0), scale=20.0
  )
  assert again.model("model") == trained.encoder
  assert again.settled("model").model.prompts == trained.model.prompts
  assert trained.prompts == {"query": "tea ", "passage": "old "}
  jax.tree.map(
    np.testing.assert_array_equal,
    again.first_params("model", 0),
    trained.params,
  )
  assert again.tokenizer_of("model").fingerprint == (
    trained.tokenizer.fingerprint
  )


@pytest.mark.parametrize(("part", "name"), [(0, "query"), (1, "passage")])
def test_each_of_two_towers(tmp_path, exported, part, name):
  weights = str(made.embedder(tmp_path / "weights"))
  trained, again = exported(
    dict(kind="dual", weights=weights, tied=False), part
  )
  found = again.first_params("model", 0)
  jax.tree.map(
    np.testing.assert_array_equal,
    found,
    {"encoder": trained.params[name], "dense": trained.params["dense"]},
  )


@pytest.mark.parametrize("labels", [0, 1, 2])
def test_a_cross_encoder_scores_as_before(tmp_path, exported, labels):
  """A linear head, and that of a classifier with so many labels."""
  model = dict(kind="cross", difference=labels == 2)
  if labels:
    model["weights"] = str(made.classifier(tmp_path / "weights", labels))
  else:
    model |= dict(width=8, depth=2, heads=2, mlp_width=16, pooling="mean")
  trained, again = exported(model)
  params = again.first_params("model", 0)
  found = scores_of(trained, again.model("model"), params)
  own = scores_of(trained, trained.encoder, trained.params)
  np.testing.assert_array_equal(found, own)
  # As it was trained, with all its labels.
  before = trained.run.trained_params(trained.run.folder("model_learns"))
  expected = scores_of(trained, trained.run.model("model"), before)
  np.testing.assert_allclose(found, expected, atol=1e-6)
  assert again.model("model").head.labels == 1
  library = pytest.importorskip(
    "sentence_transformers", reason="needs torch, which is not in the lock"
  )
  theirs = library.CrossEncoder(str(tmp_path / "out"), device="cpu")
  pairs = [(a, b) for a in made.WORDS for b in made.WORDS]
  np.testing.assert_allclose(found.ravel(), theirs.predict(pairs), atol=1e-5)


def test_modules_that_give_other_scores_are_refused(tmp_path, exported):
  model = dict(kind="cross", width=8, depth=2, heads=2, mlp_width=16)
  _, again = exported(model)
  layer = tmp_path / "out" / "2_Dense" / "config.json"
  said = json.loads(layer.read_text())
  for entry, message in (
    ({"out_features": 3}, "the layer gives 3 scores"),
    ({"activation_function": made.TANH}, "with the activation 'tanh'"),
    ({"module_output_name": "sentence_embedding"}, "gives scores"),
  ):
    layer.write_text(json.dumps(said | entry))
    with pytest.raises(strict.ConfigError, match=message):
      again.settled("model")
  layer.write_text(json.dumps(said))
  path = tmp_path / "out" / "modules.json"
  listed = json.loads(path.read_text())
  more = listed[-1] | {"type": "sentence_transformers.models.LogitScore"}
  path.write_text(json.dumps([*listed, more]))
  with pytest.raises(strict.ConfigError, match=r"Dense, LogitScore; of a cros"):
    again.settled("model")


def test_a_dual_encoder_is_no_cross_encoder(exported):
  model = dict(kind="cross", width=8, depth=2, heads=2, mlp_width=16)
  _, again = exported(model)
  weights = again.model_config("model").weights
  dual = made.run_of(again.workdir, {"m": dict(kind="dual", weights=weights)})
  with pytest.raises(strict.ConfigError, match="module_output_name is 'scores"):
    dual.settled("m")


@pytest.mark.parametrize(
  ("labels", "difference", "message"),
  [
    (2, False, r"2 labels; set config\.models\.m\.difference=True"),
    (1, True, r"1 labels; leave out config\.models\.m\.difference=True"),
    (0, True, r"0 labels; leave out config\.models\.m\.difference=True"),
    (3, True, r"m\.weights: .* 3 labels; a score takes one, or two"),
  ],
)
def test_labels_are_as_the_config_says(tmp_path, labels, difference, message):
  model = dict(kind="cross", difference=difference)
  source = tmp_path / "weights"
  if labels in (1, 2):
    made.classifier(source, labels)
  elif labels == 0:
    made.embedder(source)
  else:
    made.classifier(source, 2)
    made.more_labels(source)
  model["weights"] = str(source)
  with pytest.raises(strict.ConfigError, match=message):
    made.run_of(tmp_path / "run", {"m": model}).settled("m")
