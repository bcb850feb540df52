"""Files of weights as people have them, good and bad."""

import json

import jax
import ml_dtypes
import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from prod_jax.models import hf, weights
from prod_jax.models.families import matching
from prod_jax.models.weights import WeightsError
from tests.models import tiny

CONFIG = tiny.FAMILIES["bert"]


@pytest.fixture(scope="module")
def params():
  return tiny.params_of("bert")["encoder"]


@pytest.fixture
def folder(tmp_path, params):
  hf.save(tmp_path, params, CONFIG)
  return tmp_path


def rewrite(folder, change):
  tensors = load_file(folder / weights.WEIGHTS)
  save_file(change(tensors), folder / weights.WEIGHTS)


def shard(folder, parts=3, **placed):
  """The weights of a folder in parts; `placed` changes the index."""
  tensors = load_file(folder / weights.WEIGHTS)
  (folder / weights.WEIGHTS).unlink()
  where = {}
  for part in range(parts):
    names = sorted(tensors)[part::parts]
    file = f"model-{part}.safetensors"
    save_file({name: tensors[name] for name in names}, folder / file)
    where |= dict.fromkeys(names, file)
  index = {"metadata": {}, "weight_map": where | placed}
  (folder / weights.INDEX).write_text(json.dumps(index))


def assert_same(found, expected):
  jax.tree.map(np.testing.assert_array_equal, found, expected)


def test_shards_are_one_file(folder, params):
  shard(folder)
  assert [f.name for f in weights.files(folder)] == [
    f"model-{i}.safetensors" for i in range(3)
  ]
  assert_same(hf.load(folder, CONFIG), params)


@pytest.mark.parametrize("name", ["../model-0.safetensors", "/etc/x", "a/b"])
def test_shards_lie_beside_their_index(folder, name):
  shard(folder, more=name)
  with pytest.raises(
    WeightsError, match=r"index\.json names a shard .*, not a"
  ):
    weights.files(folder)


def test_a_shard_that_is_missing_or_an_index_that_is_none(folder):
  shard(folder)
  (folder / "model-1.safetensors").unlink()
  with pytest.raises(WeightsError, match=r"model-1\.safetensors is not there"):
    hf.load(folder, CONFIG)
  (folder / weights.INDEX).write_text("{}")
  with pytest.raises(WeightsError, match="has no weight_map; fetch it again"):
    hf.load(folder, CONFIG)
  (folder / weights.INDEX).write_text("[")
  with pytest.raises(WeightsError, match=r"index\.json is no JSON"):
    hf.load(folder, CONFIG)


def test_a_tensor_of_two_shards_is_refused(folder):
  shard(folder)
  (folder / "model-1.safetensors").write_bytes(
    (folder / "model-0.safetensors").read_bytes()
  )
  with pytest.raises(WeightsError, match="is in another shard too"):
    hf.load(folder, CONFIG)


@pytest.mark.parametrize("dtype", [np.float16, ml_dtypes.bfloat16, np.float64])
def test_other_floats_become_float32(folder, params, dtype):
  rewrite(folder, lambda ts: {n: x.astype(dtype) for n, x in ts.items()})
  found = hf.load(folder, CONFIG)
  assert {x.dtype for x in jax.tree.leaves(found)} == {np.dtype("float32")}
  assert_same(
    found, jax.tree.map(lambda x: x.astype(dtype).astype("f4"), params)
  )


def test_quantised_weights_are_refused(folder):
  rewrite(folder, lambda ts: {n: x.astype(np.int8) for n, x in ts.items()})
  with pytest.raises(
    WeightsError, match=r"is of type I8; .* save them unquant"
  ):
    hf.load(folder, CONFIG)


PREFIXES = (
  "bert.",
  "model.",
  "0.auto_model.",
  "encoder.",
  "module.",
  "question_encoder.bert_model.",
  "ctx_encoder.bert_model.",
  "module.model.bert.",
)


@pytest.mark.parametrize("prefix", PREFIXES)
def test_a_common_prefix_is_taken_off(folder, params, prefix):
  rewrite(folder, lambda ts: {prefix + name: x for name, x in ts.items()})
  assert_same(hf.load(folder, CONFIG), params)


def test_two_encoders_in_a_file_are_not_mixed(folder):
  def twice(tensors):
    return {f"{p}.{n}": x for p in ("query", "doc") for n, x in tensors.items()}

  rewrite(folder, twice)
  with pytest.raises(WeightsError, match=r"several encoders: '.*' and '.*'"):
    hf.load(folder, CONFIG)


def test_no_name_of_the_family(folder):
  rewrite(folder, lambda ts: {"x.weight": np.zeros(3)})
  with pytest.raises(WeightsError, match="no encoder of the family bert"):
    hf.load(folder, CONFIG)


def test_a_padded_vocabulary_is_read_to_its_end(folder, params):
  def padded(tensors):
    name = "embeddings.word_embeddings.weight"
    return tensors | {name: np.pad(tensors[name], ((0, 8), (0, 0)))}

  rewrite(folder, padded)
  assert_same(hf.load(folder, CONFIG), params)
  (said,) = hf.check(folder, CONFIG)
  assert said.endswith("has 32 rows, of which the first 24 are read")


def test_a_vocabulary_larger_than_its_table_is_refused(folder):
  path = folder / hf.CONFIG
  path.write_text(json.dumps(json.loads(path.read_text()) | {"vocab_size": 30}))
  with pytest.raises(
    WeightsError, match=r"word_embeddings\S+ is \[24, 16\], the"
  ):
    hf.load(folder, hf.read_config(folder))


def test_what_is_beside_the_encoder_is_said(folder, params):
  beside = (
    "pooler.dense.weight",
    "pooler.dense.bias",
    "embeddings.position_ids",
    "cls.predictions.bias",
    "classifier.weight",
    "lm_head.bias",
    "generator_predictions.dense.weight",
    "qa_outputs.weight",
    "fit_denses.0.weight",
  )
  rewrite(folder, lambda ts: ts | {name: np.zeros(3) for name in beside})
  assert_same(hf.load(folder, CONFIG), params)
  assert hf.check(folder, CONFIG) == [
    f"{folder / weights.WEIGHTS} holds, besides the encoder: classifier (1), "
    "cls (1), fit_denses (1), generator_predictions (1), lm_head (1), "
    "pooler (2), position_ids (1), qa_outputs (1)"
  ]
  for name in ("encoder.adapter.weight", "encoder.layer.9.output.dense.bias"):
    rewrite(folder, lambda ts, name=name: ts | {name: np.zeros(3)})
    with pytest.raises(WeightsError, match=r"is left over.*encoder alone"):
      hf.load(folder, CONFIG)


def test_a_pointer_of_git_lfs_is_named(folder):
  pointer = (
    "version https://git-lfs.github.com/spec/v1\noid sha256:ab\nsize 9\n"
  )
  (folder / weights.WEIGHTS).write_text(pointer)
  with pytest.raises(WeightsError, match=r"a Git-LFS pointer.* `git lfs pull`"):
    hf.load(folder, CONFIG)
  (folder / hf.CONFIG).write_text(pointer)
  with pytest.raises(WeightsError, match=r"config\.json is a Git-LFS pointer"):
    hf.read_config(folder)


@pytest.mark.parametrize("keep", [0, 6, 100, -40])
def test_a_file_that_is_cut_is_named(folder, keep):
  file = folder / weights.WEIGHTS
  file.write_bytes(file.read_bytes()[:keep])
  with pytest.raises(WeightsError, match="is cut, damaged or no safetensors"):
    hf.load(folder, CONFIG)


def test_pickled_weights_others_and_none_at_all(folder):
  (folder / weights.WEIGHTS).unlink()
  with pytest.raises(WeightsError, match=r"no weights: neither model.* fetch"):
    hf.load(folder, CONFIG)
  (folder / "tf_model.h5").touch()
  with pytest.raises(WeightsError, match=r"only tf_model\.h5: .*save_pretrain"):
    hf.load(folder, CONFIG)
  (folder / "pytorch_model.bin").touch()
  with pytest.raises(WeightsError, match=r"only pytorch_model\.bin: .*convert"):
    hf.load(folder, CONFIG)


@pytest.mark.parametrize(
  ("written", "found"),
  [
    ("", r"config\.json is no JSON"),
    ("[]", "is no JSON object"),
    (
      '{"model_type": "t5"}',
      "is 't5', a family that is not read; those that are: bert, c",
    ),
    ('{"hidden_size": "x"}', "hidden_size is 'x', not of type int"),
    ('{"hidden_size": -8}', "hidden_size is -8; it takes 1 or more"),
    ('{"num_attention_heads": 5}', "768 does not divide by 5 heads"),
    ('{"model_type": "roberta", "pad_token_id": null}', "config.json: "),
    (
      '{"model_type": "modernbert", "rope_parameters": {"full_attention": '
      '{"rope_type": "yarn"}}}',
      "rope_type 'yarn'; supported: 'default'",
    ),
    (
      '{"model_type": "modernbert", "layer_types": ["full_attention"]}',
      "for each of the 22 layers",
    ),
    (
      '{"model_type": "mpnet", "relative_attention_num_buckets": 64}',
      "relative_attention_num_buckets is 64; supported",
    ),
  ],
)
def test_a_config_that_we_do_not_compute(folder, written, found):
  (folder / hf.CONFIG).write_text(written)
  with pytest.raises(WeightsError, match=found) as error:
    hf.read_config(folder)
  assert "\n" not in str(error.value)


def test_what_modernberts_configs_of_old_say(folder):
  older = dict(
    model_type="modernbert",
    num_hidden_layers=5,
    global_attn_every_n_layers=2,
    global_rope_theta=5e4,
    local_rope_theta=None,
    local_attention=16,
  )
  (folder / hf.CONFIG).write_text(json.dumps(older))
  config = hf.read_config(folder)
  assert config.local_layers == (1, 3)
  assert (config.rotary_theta, config.local_theta) == (5e4, 5e4)
  assert config.local_window == 16


def test_a_name_is_found_behind_dots_only():
  assert list(matching.endings("a.bc.d")) == ["a.bc.d", "bc.d", "d"]


def test_numbers_that_half_precision_does_not_hold(tmp_path, params):
  large = params | {"word": {"embedding": params["word"]["embedding"] * 1e9}}
  with pytest.raises(
    ValueError, match="has numbers that float16 does not hold"
  ):
    hf.save(tmp_path / "x", large, CONFIG, dtype="float16")
  assert not (tmp_path / "x").exists()
