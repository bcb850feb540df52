"""Models that come as folders: what is taken from them, and used as it is."""

import json
import pathlib
import shutil

import jax
import numpy as np
import pytest
import safetensors.numpy

from prod_jax import config_file, curriculum, main, strict
from prod_jax.models import hf, hub, transformer
from prod_jax.models.cross import CrossEncoder, Head
from prod_jax.models.transformer_config import TransformerConfig
from prod_jax.processes import Processes
from prod_jax.retrieval import encode
from prod_jax.stages import files, folders
from prod_jax.stages.run import Run
from tests import commands
from tests.batches.special_test import NAMES, bert, save
from tests.main_test import write_folder
from tests.models.sentence_transformers_test import TANH, modules, write

CONFIG = """
import ml_collections

SHAPE = dict(width=8, depth=1, heads=2, mlp_width=16, dropout=0.0)

def get_config(variant=""):
  return ml_collections.ConfigDict(dict(
    seed=0,
    data=dict(
      name="folder", path="set", tokenizer="dense", query_length=12,
      passage_length=16,
    ),
    mesh=dict(),
    models=dict(
      de=dict(kind="dual", weights="dense"),
      ce=dict(kind="cross", weights="classifier"),
      student=dict(kind="dual", **SHAPE),
    ),
    stages=ml_collections.ConfigDict(dict(
      encode=dict(kind="encode", params="de", splits=("train", "test")),
      mine=dict(kind="mine", encoded="encode", depth=6),
      evaluate=dict(kind="evaluate", encoded="encode", indexes=("exact",)),
      score=dict(kind="score", params="ce", candidates="mine"),
      rerank=dict(kind="evaluate", encoded="encode", rerank="ce", depth=10),
      distil=dict(
        kind="train", model="student", method="prod", steps=1, batch_size=8,
        learning_rate=1e-3, candidates="mine", negatives=2, teacher="ce",
        settings=dict(in_batch=False, temperature=1.0, hard=0.5, soft=0.5),
      ),
    ), sort_keys=False),
  ))
"""
HEAD = Head("cls", hidden="tanh")


def encoder_of(vocab_size: int) -> TransformerConfig:
  return TransformerConfig(
    vocab_size=vocab_size,
    width=8,
    depth=2,
    heads=2,
    mlp_width=16,
    max_positions=40,
  )


@pytest.fixture
def folder(tmp_path, monkeypatch) -> pathlib.Path:
  """A set, and beside it an embedder with a dense layer and a classifier."""
  monkeypatch.chdir(tmp_path)
  write_folder(tmp_path / "set")
  for name in ("dense", "classifier"):
    save(tmp_path / name, bert())
  shape = encoder_of(bert().get_vocab_size())
  params = transformer.init(shape, jax.random.key(0))
  hf.save("dense", params, shape)
  model = CrossEncoder(shape, "cls", HEAD)
  params = model.init(jax.random.key(1))
  hf.save("classifier", params["encoder"], shape, head=(HEAD, params["head"]))
  write(
    tmp_path / "dense",
    modules("Pooling", "Dense", "Normalize"),
    **{
      "1_Pooling__config": {"pooling_mode": "mean"},
      "2_Dense__config": {"out_features": 4, "activation_function": TANH},
      "config_sentence_transformers": {"prompts": {"query": "tea "}},
      "sentence_bert_config": {"max_seq_length": 20},
    },
  )
  kernel = np.random.default_rng(0).normal(size=(4, 8)).astype(np.float32)
  hf.save_params(
    tmp_path / "dense" / "2_Dense" / "model.safetensors",
    {"linear.weight": kernel, "linear.bias": np.ones(4, np.float32)},
  )
  (tmp_path / "config.py").write_text(CONFIG)
  return tmp_path


def run_of(folder, *overrides: str) -> Run:
  config = config_file.load(str(folder / "config.py"), overrides)
  return Run(config, Processes(folder / "work"), may_fetch=False)


def check(folder, *overrides: str) -> None:
  """All that is looked at before the first stage."""
  run = run_of(folder, *overrides)
  files.check(run)
  main.check(run)


def test_what_the_folder_says_is_the_model(folder):
  run = run_of(folder)
  model, classifier = run.model("de"), run.model("ce")
  assert (model.pooling, model.similarity, model.width) == ("mean", "cosine", 4)
  assert run.settled("de").model.prompts == {"query": "tea "}
  assert classifier.head == HEAD
  params = run.first_params("de", 0)
  assert params.keys() == {"encoder", "dense"}
  assert params["dense"]["0"]["kernel"].shape == (8, 4)
  head = run.first_params("ce", 0)["head"]
  assert head["dense"]["kernel"].any() and head.keys() >= {"kernel", "bias"}


@pytest.mark.parametrize(
  ("override", "message"),
  [
    ("models.de.pooling=cls", "de.pooling is 'cls', and the folder .* 'mean'"),
    ("models.de.similarity=dot", "de.similarity is 'dot', and the .* 'cosine'"),
    ("models.ce.pooling=mean", "ce.pooling is 'mean', and the folder .* 'cls'"),
    ("data.passage_length=24", "encode.params is 'de' as it is: texts have 24"),
    ("stages.encode.params=student", "'student', a model without weights"),
    ("stages.encode.params=ce", "which is a model of kind cross"),
    ("stages.encode.params=nobody", "no stage before it; .* a model with wei"),
    ("stages.mine.encoded=de", "no stage before it; those are: encode$"),
    (
      "stages.distil.warmup_steps=2",
      "warmup_steps is 2, more than steps=1; set both, such as --config.stages."
      "distil.steps=1 --config.stages.distil.warmup_steps=0$",
    ),
    ("models.ce.weights=dense", "an encoder without the head of a model"),
    ("models.de.weights=nowhere", "no such folder; it takes a folder"),
    ("models.de.weights=no-such/model", "no model that was fetched from a hub"),
  ],
)
def test_a_contradiction_or_a_lack_is_named_before_the_first_stage(
  folder, override, message
):
  check(folder)
  with pytest.raises(strict.ConfigError, match=message):
    check(folder, override)


def test_what_a_folder_leaves_open_the_config_says(folder):
  override = "models.de.prompts={'passage': 'leaf '}"
  model = run_of(folder, override).settled("de").model
  assert model.prompts == {"query": "tea ", "passage": "leaf "}
  override = "models.de.prompts={'query': '', 'passage': 'leaf '}"
  model = run_of(folder, override).settled("de").model
  assert model.prompts == {"passage": "leaf "}
  # As sentence-transformers 2 has saved models that compare by dots.
  modules = folder / "dense" / "modules.json"
  kept = json.loads(modules.read_text())[:-1]
  modules.write_text(json.dumps(kept))
  for override, similarity in (
    ("models.de.similarity=", "cosine"),
    ("models.de.similarity=dot", "dot"),
  ):
    assert run_of(folder, override).settled("de").model.similarity == similarity


def test_weights_that_do_not_fit_are_named_before_the_first_stage(folder):
  described = json.loads((folder / "classifier" / "config.json").read_text())
  described["num_hidden_layers"] = 3
  (folder / "classifier" / "config.json").write_text(json.dumps(described))
  with pytest.raises(
    strict.ConfigError, match=r"models.ce.weights: .*layer.2.* is missing"
  ):
    check(folder)


def change(path, **said):
  path.write_text(json.dumps(json.loads(path.read_text()) | said))


@pytest.mark.parametrize(
  "key", ["embedding_dimension", "word_embedding_dimension"]
)
def test_a_pooling_of_another_width_is_named(folder, key):
  path = folder / "dense" / "1_Pooling" / "config.json"
  change(path, **{key: 8})
  check(folder)
  change(path, **{key: 384})
  with pytest.raises(
    strict.ConfigError,
    match=rf"de\.weights: .*config\.json: {key} is 384, and .* have 8 coord",
  ):
    check(folder)


@pytest.mark.parametrize(
  ("name", "model"), [("dense", "de"), ("classifier", "ce")]
)
def test_padding_of_another_id_is_named(folder, name, model, caplog):
  path = folder / name / "config.json"
  pad = run_of(folder).tokenizer_of(model).special.pad
  change(path, pad_token_id=pad)
  check(folder)
  assert not caplog.records
  change(path, pad_token_id=7)
  check(folder)
  said = caplog.messages[-1]
  assert f"models.{model}.weights: " in said
  assert (
    f"says pad_token_id 7, and the model's tokenizer pads with {pad}" in said
  )


def test_a_folder_without_a_tokenizer_takes_that_of_the_data(folder, caplog):
  """Where it is trained; as it is, it has to have its own."""
  save(folder / "words", bert())
  (folder / "dense" / "tokenizer.json").unlink()
  datas = "data.tokenizer=words"
  with pytest.raises(
    strict.ConfigError,
    match=r"encode.params is 'de' as it is, and dense has no tokenizer; put",
  ):
    check(folder, datas)
  check(folder, datas, "models.de.tokenizer=words")
  with caplog.at_level("INFO", logger="absl"):
    files.check(run_of(folder, datas))
  said = [x for x in caplog.messages if "without a tokenizer" in x]
  assert said == [
    "config.models.de.weights is 'dense', a folder without a tokenizer: that "
    "of config.data.tokenizer is taken, 'words'"
  ]
  with pytest.raises(
    strict.ConfigError,
    match=(
      r"config\.models\.de\.weights is 'dense', a folder without a tokenizer: "
      r"that of config\.data\.tokenizer was taken, 'packaged', whose 30,522 "
      r"tokens are more than its 18 embeddings; set config\.models\.de\.token"
    ),
  ):
    files.check(run_of(folder, "data.tokenizer=packaged"))


@pytest.mark.parametrize(
  "name", ["sentencepiece.bpe.model", "vocab.json", "merges.txt"]
)
def test_a_tokenizer_of_another_kind_is_not_passed_over(folder, name):
  save(folder / "words", bert())
  (folder / "classifier" / "tokenizer.json").unlink()
  (folder / "classifier" / name).write_bytes(b"x")
  message = rf"ce.weights: classifier holds .* {name}, which .*save_pretrained"
  with pytest.raises(strict.ConfigError, match=message):
    check(folder)
  check(folder, "models.ce.tokenizer=words")


def test_weights_that_are_no_numbers_are_named(folder):
  run = run_of(folder)
  shape = run.model("de").transformer
  params = run.first_params("de", 0)["encoder"]
  broken = np.array(params["layer_1"]["mlp"]["up"]["kernel"])
  broken[0, 0] = np.nan
  params["layer_1"]["mlp"]["up"]["kernel"] = broken
  hf.save("dense", params, shape)
  with pytest.raises(
    strict.ConfigError, match=r"layer\.1\.intermediate.* holds NaN"
  ):
    run_of(folder).first_params("de", 0)
  check(folder)  # reads headers alone, as a dry run does
  with pytest.raises(
    strict.ConfigError, match=r"models\.de\.weights: .*layer\.1\..* holds NaN"
  ):
    files.check_numbers(run_of(folder))


def test_numbers_are_looked_at_before_the_first_stage(folder):
  """By the command, and not by its dry run."""
  path = folder / "classifier" / "model.safetensors"
  tensors = dict(safetensors.numpy.load_file(path))
  name = next(n for n in tensors if n.endswith("word_embeddings.weight"))
  tensors[name][0, 0] = np.inf
  safetensors.numpy.save_file(tensors, path, metadata={"format": "pt"})
  command = ["prod_jax.main", "--config=config.py", "--workdir=work"]
  dry, run = (
    commands.run(*command, *more, cwd=pathlib.Path.cwd())
    for more in (["--dry_run"], [])
  )
  assert dry.returncode == 0, dry.stderr
  assert run.returncode == 2
  assert "config.models.ce.weights: " in run.stderr
  assert "word_embeddings.weight holds NaN or infinite" in run.stderr
  assert not [*folder.glob("work/*-encode")]


def test_a_classifier_whose_tokenizer_gives_no_types_has_seen_one(folder):
  """As what transformers 5 writes of a tokenizer of no class of its own."""

  def types() -> np.ndarray:
    encoder = run_of(folder).first_params("ce", 0)["encoder"]
    return encoder["type"]["embedding"]

  before, hashes = types(), {}
  assert not np.array_equal(before[0], before[1])
  for said, seen in (
    ({"tokenizer_class": "TokenizersBackend"}, [0, 0]),
    ({"model_input_names": ["input_ids", "attention_mask"]}, [0, 0]),
    ({"model_input_names": ["input_ids", "token_type_ids"]}, [0, 1]),
  ):
    save(folder / "classifier", bert(), **NAMES["bert"], **said)
    np.testing.assert_array_equal(types(), before[seen])
    made = json.dumps(run_of(folder).model_fingerprint("ce"))
    hashes.setdefault(made, []).append(seen)
  # What is scored anew where the file says something else of that.
  assert [*hashes.values()] == [[[0, 0], [0, 0]], [[0, 1]]]


def test_models_as_they_are_embed_score_rerank_and_teach(folder):
  run = run_of(folder)
  curriculum.run(curriculum.plan(main.build(run), run.processes), run.processes)
  stage = folder / "work" / "00-encode"
  vectors = np.asarray(encode.open_shards(stage / "passages"))
  assert vectors.shape == (120, 4)
  np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, rtol=1e-5)
  rows = json.loads((folder / "work" / "results.json").read_text())
  assert {row["model_stage"] for row in rows} == {"de", "ce"}
  loss = (folder / "work" / "05-distil" / "metrics.jsonl").read_text()
  assert np.isfinite(json.loads(loss.splitlines()[-1])["loss"])


def test_a_stage_is_made_anew_where_the_model_has_changed(folder):
  hashes = [p.hash for p in main.look(run_of(folder))]
  described = json.loads((folder / "dense" / "modules.json").read_text())
  write(
    folder / "dense",
    [(d["type"], d["path"]) for d in described[:-1]],
  )
  again = [p.hash for p in main.look(run_of(folder))]
  changed = [a != b for a, b in zip(hashes, again, strict=True)]
  # Whatever reads vectors or lists of it: all.
  assert changed == [True] * 6


def test_where_the_weights_lie_decides_nothing(folder):
  hashes = [p.hash for p in main.look(run_of(folder))]
  shutil.copytree(folder / "dense", folder / "elsewhere" / "dense")
  elsewhere = f"{folder}/elsewhere/dense"
  moved = run_of(folder, f"models.de.weights={elsewhere}")
  assert [p.hash for p in main.look(moved)] == hashes
  by_name = [
    run_of(folder, f"models.de.tokenizer={path}")
    for path in ("dense", elsewhere)
  ]
  one, other = ([p.hash for p in main.look(run)] for run in by_name)
  assert one == other


def test_a_method_of_ones_own_is_what_stands_in_its_file(folder, monkeypatch):
  monkeypatch.syspath_prepend(folder)
  file = folder / "my_own" / "loss.py"
  file.parent.mkdir()
  file.write_text("from prod_jax.methods.prod import *\n")
  run = run_of(folder, "stages.distil.method=my_own.loss")
  (hashed,) = [p.hash for p in main.look(run) if p.stage.name == "distil"]
  file.write_text(file.read_text() + "# the loss is another one now\n")
  (again,) = [p.hash for p in main.look(run) if p.stage.name == "distil"]
  assert again != hashed


@pytest.mark.parametrize("name", ["a/b", "a/b@main", "a.b/c-d@refs/pr/1"])
def test_names_of_a_hub(name):
  assert hub.is_name(name)
  assert not any(
    map(hub.is_name, (f"./{name}", f"/{name}", "a", "a/b/c", "models/a"))
  )


def test_the_kinds_of_model_have_a_default_each():
  config = {"kind": "dual", "width": 8, "depth": 1, "heads": 2, "mlp_width": 8}
  model = strict.section(folders.model_kinds.Dual, config, "m")
  settled = folders.settled("m", model).model
  assert (settled.pooling, settled.similarity) == ("cls", "dot")
