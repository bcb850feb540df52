"""Models as the config describes them."""

import pathlib

import pytest

from prod_jax import config_file, packaged, strict
from prod_jax.group import Group
from prod_jax.stages.inputs import Inputs

REPO = pathlib.Path(__file__).parents[2]


@pytest.fixture
def quickstart(tmp_path):
  """The quickstart's inputs with some lengths."""
  try:
    packaged.model_folder()
  except ModuleNotFoundError as error:
    pytest.skip(str(error))

  def make(query, passage, *more):
    lengths = [f"data.query_length={query}", f"data.passage_length={passage}"]
    path = str(REPO / "configs" / "quickstart.py")
    return Inputs(config_file.load(path, [*lengths, *more]), Group(tmp_path))

  return make


def test_students_keep_the_layers_that_the_config_names(quickstart):
  shared = quickstart(20, 32)
  assert shared.model("student").bert.depth == 2
  assert shared.model("teacher_de").bert.depth == 6


def test_texts_longer_than_the_position_table_are_an_error(quickstart):
  shared = quickstart(112, 400)
  assert shared.model("ce").bert.max_positions == 512
  longer = quickstart(113, 400)
  assert longer.model("student").bert.max_positions == 512
  with pytest.raises(strict.ConfigError, match=r"512 positions.* 513 tokens"):
    longer.model("ce")


def test_a_shape_beside_weights_must_be_theirs(quickstart):
  agreed = ["width=384", "depth=2", "heads=12", "mlp_width=1536"]
  agreed += ["vocab_size=30522", "max_positions=512", "remat=layers"]
  shared = quickstart(20, 32, *(f"models.student.{x}" for x in agreed))
  assert shared.model("student").bert.remat
  for wrong, found in (("depth=6", 2), ("vocab_size=30000", 30522)):
    shared = quickstart(20, 32, f"models.student.{wrong}")
    key, given = wrong.split("=")
    message = rf"models.student.{key} is {given}, .*config.json.* says {found}"
    with pytest.raises(strict.ConfigError, match=message):
      shared.model("student")


def test_without_weights_the_config_is_the_shape(quickstart):
  shape = "weights= width=8 heads=2 mlp_width=8 depth=3 vocab_size=50"
  shape += " type_vocab=4 max_positions=40"
  shared = quickstart(20, 32, *(f"models.ce.{x}" for x in shape.split()))
  with pytest.raises(
    strict.ConfigError, match=r"models.ce has 40 positions.* 52 "
  ):
    shared.model("ce")
  bert = (
    quickstart(20, 20, *(f"models.ce.{x}" for x in shape.split()))
    .model("ce")
    .bert
  )
  assert (bert.vocab_size, bert.type_vocab, bert.depth) == (50, 4, 3)
  assert bert.max_positions == 40


def test_a_mesh_that_cuts_through_heads_is_an_error(quickstart):
  shared = quickstart(20, 32, "mesh.tensor=8")
  with pytest.raises(strict.ConfigError, match=r"12 attention heads.*tensor=8"):
    shared.check_mesh("config.stages.x", "student")
