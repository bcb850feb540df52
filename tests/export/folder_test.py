"""The folder that others load: its files, and equal numbers where they can."""

import json

import numpy as np
import pytest
import safetensors.numpy

from prod_jax.export import finished, folder, vectors
from prod_jax.retrieval import encode, rerank
from prod_jax.sets.records import Passage

FILES = {
  "config.json",
  "config_sentence_transformers.json",
  "model.safetensors",
  "modules.json",
  "sentence_bert_config.json",
  "tokenizer.json",
  "tokenizer_config.json",
  "vocab.txt",
}
QUERIES = 8


@pytest.fixture(scope="session")
def exported(finished_run, tmp_path_factory):
  """A function that exports a stage, once."""
  made = {}

  def export(stage):
    if stage not in made:
      trained = finished.open_stage(finished_run, stage)
      to = tmp_path_factory.mktemp(stage)
      for part in folder.parts(trained):
        folder.write(to / part.name, trained, part)
      made[stage] = (trained, to)
    return made[stage]

  return export


def ours(trained, tower):
  """Our vectors of the dev queries, or of as many passages."""
  tokens = trained.run.tokens_of(trained.stage.model)
  store = tokens.queries["dev"] if tower == "query" else tokens.passages
  return encode.embedder(trained.frozen(), tower, store)(0, QUERIES)


def texts_of(trained, tower):
  """The same as text."""
  dataset = trained.run.dataset
  if tower == "query":
    return [query.text for query in dataset.queries["dev"]]
  rows = [dataset.passages[i] for i in range(QUERIES)]
  return [f"{row.title}. {row.text}" for row in rows]


def read(path):
  return json.loads(path.read_text())


def test_files_of_a_dual_encoder(exported):
  trained, to = exported("student")
  assert {p.name for p in to.iterdir() if p.is_file()} == FILES
  assert [m["type"].rsplit(".")[-1] for m in read(to / "modules.json")] == [
    "Transformer",
    "Pooling",
    "Normalize",
  ]
  pooling = read(to / "1_Pooling/config.json")
  assert pooling["word_embedding_dimension"] == 16
  assert [k for k, v in pooling.items() if v is True] == [
    "pooling_mode_mean_tokens",
    "include_prompt",
  ]
  settings = read(to / "config_sentence_transformers.json")
  assert settings["similarity_fn_name"] == "cosine"
  assert read(to / "sentence_bert_config.json")["max_seq_length"] == 24
  assert read(to / "tokenizer_config.json")["model_max_length"] == 24
  tensors = safetensors.numpy.load_file(to / "model.safetensors")
  word = tensors["embeddings.word_embeddings.weight"]
  np.testing.assert_array_equal(
    word, trained.params["encoder"]["word"]["embedding"]
  )


def test_two_towers_are_two_folders(exported):
  _, to = exported("towers")
  assert sorted(p.name for p in to.iterdir()) == ["passage", "query"]
  weights = [
    safetensors.numpy.load_file(to / name / "model.safetensors")
    for name in ("query", "passage")
  ]
  key = "encoder.layer.0.output.dense.weight"
  assert np.abs(weights[0][key] - weights[1][key]).max() > 0
  # A dot product has no Normalize.
  assert len(read(to / "query/modules.json")) == 2
  pooling = read(to / "query/1_Pooling/config.json")
  assert pooling["pooling_mode_cls_token"]


def test_a_cross_encoder_ends_in_its_logit(exported):
  trained, to = exported("ce")
  dense = safetensors.numpy.load_file(to / "2_Dense/model.safetensors")
  head = trained.params["head"]
  np.testing.assert_array_equal(dense["linear.weight"].T, head["kernel"])
  np.testing.assert_array_equal(dense["linear.bias"], head["bias"])
  assert read(to / "sentence_bert_config.json")["max_seq_length"] == 44
  assert read(to / "config.json")["id2label"] == {"0": "LABEL_0"}


@pytest.mark.parametrize(
  ("stage", "tower"),
  [("student", "query"), ("towers", "query"), ("towers", "passage")],
)
def test_sentence_transformers_gives_our_vectors(exported, stage, tower):
  library = pytest.importorskip(
    "sentence_transformers", reason="needs torch, which is not in the lock"
  )
  trained, to = exported(stage)
  folder_of = to if trained.model.tied else to / tower
  model = library.SentenceTransformer(str(folder_of), device="cpu")
  data = trained.run.config.data
  model.max_seq_length = (
    data.query_length if tower == "query" else data.passage_length
  )
  theirs = model.encode(texts_of(trained, tower))
  scale = trained.model.scale if tower == "query" else 1.0
  np.testing.assert_allclose(ours(trained, tower) / scale, theirs, atol=1e-5)


def test_sentence_transformers_ranks_as_we_do(exported):
  library = pytest.importorskip(
    "sentence_transformers", reason="needs torch, which is not in the lock"
  )
  trained, to = exported("student")
  model = library.SentenceTransformer(str(to), device="cpu")
  passages = model.encode(texts_of(trained, "passage"))
  model.max_seq_length = trained.run.config.data.query_length
  queries = model.encode(texts_of(trained, "query"))
  theirs = np.argsort(-model.similarity(queries, passages).numpy(), axis=1)
  own = ours(trained, "query") @ ours(trained, "passage").T
  np.testing.assert_array_equal(np.argsort(-own, axis=1), theirs)


def test_auto_model_gives_our_last_layer(exported):
  torch = pytest.importorskip("torch", reason="it is not in the lock")
  import transformers

  trained, to = exported("towers")
  tokenizer = transformers.AutoTokenizer.from_pretrained(to / "query")
  model = transformers.AutoModel.from_pretrained(to / "query").eval()
  batch = tokenizer(
    texts_of(trained, "query"),
    padding=True,
    truncation=True,
    max_length=trained.run.config.data.query_length,
    return_tensors="pt",
  )
  with torch.no_grad():
    theirs = model(**batch).last_hidden_state[:, 0].numpy()
  np.testing.assert_allclose(ours(trained, "query"), theirs, atol=1e-5)


def test_cross_encoder_gives_our_logits(exported):
  library = pytest.importorskip(
    "sentence_transformers", reason="needs torch, which is not in the lock"
  )
  trained, to = exported("ce")
  # Short ones: of two long texts we cut each, and they cut the pair.
  pairs = [
    (query, passage[:20])
    for query, passage in zip(
      texts_of(trained, "query"), texts_of(trained, "passage"), strict=True
    )
  ]
  queries, passages = (
    vectors.store_of(trained, [Passage("", "", text) for text in side], "query")
    for side in zip(*pairs, strict=True)
  )
  rows = np.arange(QUERIES)
  own = rerank.score_lists(
    trained.frozen(), queries, passages, rows, rows[:, None]
  )[:, 0]
  model = library.CrossEncoder(str(to), device="cpu")
  np.testing.assert_allclose(own, model.predict(pairs), atol=1e-5)
