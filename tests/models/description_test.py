"""What a config.json says, and what of it is refused."""

import json
import pathlib

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from prod_jax.models import hf, weights
from prod_jax.models.families import FAMILIES
from prod_jax.models.weights import WeightsError
from tests.models import tiny


def config_of(folder: pathlib.Path, kind: str, **said):
  """The config read of a folder that says these."""
  (folder / hf.CONFIG).write_text(json.dumps({"model_type": kind} | said))
  return hf.read_config(folder)


SIZES = [
  (kind, key)
  for kind, family in FAMILIES.items()
  for key, default in family.fields.values()
  if type(default) is int
]
MAY_BE_0 = ("type_vocab_size", "local_attention")


@pytest.mark.parametrize(("kind", "key"), SIZES)
def test_a_size_is_a_number(kind, key, tmp_path):
  config_of(tmp_path, kind)
  for value in (0, -1, "8", None, 8.5, True, [8]):
    if value == 0 and value is not False and key in MAY_BE_0:
      continue
    with pytest.raises(WeightsError, match=rf"config\.json: {key} is ") as said:
      config_of(tmp_path, kind, **{key: value})
    assert "\n" not in str(said.value)


@pytest.mark.parametrize(
  ("kind", "said", "message"),
  [
    ("bert", {"layer_norm_eps": -1e-5}, "layer_norm_eps is -1e-05; it takes 0"),
    ("roberta", {"pad_token_id": None}, "pad_token_id is None; it takes 0 or"),
    ("camembert", {"pad_token_id": -1}, "pad_token_id is -1; it takes 0 or"),
    ("ernie", {"use_task_id": "no"}, "use_task_id is 'no'; it takes true or"),
    (
      "modernbert",
      {"global_attn_every_n_layers": 0},
      "layers is 0; it takes 1",
    ),
    ("modernbert", {"layer_types": "full"}, "layer_types is full; it takes"),
    ("modernbert", {"layer_types": [["x"]]}, "layer_types is .*; it takes"),
    ("modernbert", {"global_rope_theta": "1"}, "theta is '1'; it takes a numb"),
    ("modernbert", {"local_rope_theta": -1}, "theta is -1; it takes a number"),
  ],
)
def test_other_values_are_refused_by_their_key(kind, said, message, tmp_path):
  with pytest.raises(WeightsError, match=rf"config\.json: .*{message}"):
    config_of(tmp_path, kind, **said)


@pytest.mark.parametrize(
  "said",
  [
    {"rope_scaling": {"rope_type": "linear", "factor": 4.0}},
    {"rope_scaling": {"type": "dynamic"}},
    {"rope_scaling": {"rope_type": "default", "rope_theta": 5.0}},
    {"rope_scaling": "linear"},
    {"rope_parameters": {"rope_type": "default", "rope_theta": 5.0}},
    {"rope_parameters": {"rope_theta": 5.0}},
    {"rope_parameters": {"full_attention": {"factor": 2.0}}},
    {"rope_parameters": {"full_attention": {"partial_rotary_factor": 0.5}}},
    {"rope_parameters": {"sliding_attention": {"rope_type": "yarn"}}},
    {"rope_parameters": {"sliding_attention": 3}},
    {"rope_parameters": {"sliding_attention": {"rope_theta": 0}}},
  ],
)
def test_positions_that_are_turned_otherwise_are_refused(said, tmp_path):
  message = r"config\.json: rope_(scaling|parameters).*(supported|it takes)"
  with pytest.raises(WeightsError, match=message):
    config_of(tmp_path, "modernbert", **said)


@pytest.mark.parametrize(
  ("said", "everywhere", "near"),
  [
    ({}, 160_000.0, 10_000.0),
    ({"rope_scaling": None}, 160_000.0, 10_000.0),
    ({"rope_scaling": {"type": "default"}}, 160_000.0, 10_000.0),
    ({"global_rope_theta": 5, "local_rope_theta": None}, 5.0, 5.0),
    (
      {
        "rope_parameters": {
          "full_attention": {"rope_type": "default", "rope_theta": 7},
          "sliding_attention": {"type": "default"},
        },
        "global_rope_theta": 5,
        "local_rope_theta": 6.0,
      },
      7.0,
      6.0,
    ),
  ],
)
def test_bases_of_rotary_positions(said, everywhere, near, tmp_path):
  config = config_of(tmp_path, "modernbert", **said)
  assert (config.rotary_theta, config.local_theta) == (everywhere, near)


TASK = "embeddings.task_type_embeddings.weight"


@pytest.mark.parametrize(
  ("kind", "used", "row"),
  [("ernie", True, 2.0), ("ernie", False, 0.0), ("bert", True, 0.0)],
)
def test_the_row_of_a_task_is_added_where_the_config_says_so(
  kind, used, row, tmp_path
):
  config, params = tiny.FAMILIES["bert"], tiny.params_of("bert")["encoder"]
  hf.save(tmp_path, params, config)
  described = json.loads((tmp_path / hf.CONFIG).read_text())
  del described["model_type"]
  read = config_of(tmp_path, kind, **described, use_task_id=used)
  if read.task_row:
    with pytest.raises(WeightsError, match=f"{TASK} is missing"):
      hf.load(tmp_path, read)
  file = tmp_path / weights.WEIGHTS
  table = np.stack([np.full(16, x, np.float32) for x in (2, 3, 4)])
  save_file(load_file(file) | {TASK: table}, file)
  found = hf.load(tmp_path, read)
  np.testing.assert_array_equal(
    found["type"]["embedding"], params["type"]["embedding"] + np.float32(row)
  )
  # The row is in the type table now, and no second time in what is written.
  hf.save(tmp_path / "again", found, read)
  assert hf.read_config(tmp_path / "again") == config
