"""Models as the config describes them."""

import pathlib
import subprocess
import sys

import pytest

from prod_jax import config_file, packaged, strict
from prod_jax.processes import Processes
from prod_jax.stages import job_of, train
from prod_jax.stages.run import Run

REPO = pathlib.Path(__file__).parents[2]


@pytest.fixture
def quickstart(tmp_path):
  """The quickstart's run with some lengths."""
  try:
    packaged.model_folder()
  except ModuleNotFoundError as error:
    pytest.skip(str(error))

  def make(query, passage, *more):
    lengths = [f"data.query_length={query}", f"data.passage_length={passage}"]
    path = str(REPO / "configs" / "quickstart.py")
    return Run(config_file.load(path, [*lengths, *more]), Processes(tmp_path))

  return make


def test_students_keep_the_layers_that_the_config_names(quickstart):
  run = quickstart(20, 32)
  assert run.model("student").transformer.depth == 2
  assert run.model("teacher_de").transformer.depth == 6


def test_texts_longer_than_the_position_table_are_an_error(quickstart):
  run = quickstart(112, 400)
  assert run.model("ce").transformer.max_positions == 512
  longer = quickstart(113, 400)
  assert longer.model("student").transformer.max_positions == 512
  with pytest.raises(
    strict.ConfigError,
    match=r"models\.ce\.weights, .*, has 512 positions.* 513 tokens",
  ):
    longer.model("ce")


def test_a_shape_beside_weights_must_be_theirs(quickstart):
  agreed = ["width=384", "depth=2", "heads=12", "mlp_width=1536"]
  agreed += ["vocab_size=30522", "max_positions=512", "remat=layers"]
  run = quickstart(20, 32, *(f"models.student.{x}" for x in agreed))
  assert run.model("student").transformer.remat
  for wrong, found in (("type_vocab=4", 2), ("vocab_size=30000", 30522)):
    run = quickstart(20, 32, f"models.student.{wrong}")
    key, given = wrong.split("=")
    message = rf"models.student.{key} is {given}, .*config.json.* says {found}"
    with pytest.raises(strict.ConfigError, match=message):
      run.model("student")


def test_layers_that_the_weights_have_not_are_an_error(quickstart):
  run = quickstart(20, 32, "models.student.layers=(0, 6)")
  message = r"models.student.layers is \(0, 6\), .*has layers 0 to 5"
  with pytest.raises(strict.ConfigError, match=message):
    run.model("student")


def test_weights_of_something_else_are_an_error(quickstart, tmp_path):
  for written, found in (('{"model_type": "gpt2"}', "'gpt2'"), ("", "line 1")):
    (tmp_path / "config.json").write_text(written)
    (tmp_path / "model.safetensors").touch()
    run = quickstart(20, 32, f"models.ce.weights={tmp_path}")
    message = rf"models.ce.weights: .*config\.json.*{found}"
    with pytest.raises(strict.ConfigError, match=message):
      run.model("ce")


def test_a_model_of_pairs_needs_two_token_types(quickstart):
  shape = "weights= width=8 heads=2 mlp_width=8 depth=3 vocab_size=50"
  shape += " type_vocab=1"
  run = quickstart(20, 32, *(f"models.ce.{x}" for x in shape.split()))
  with pytest.raises(strict.ConfigError, match=r"models.ce has 1 token type"):
    run.model("ce")


def test_without_weights_the_config_is_the_shape(quickstart):
  shape = "weights= width=8 heads=2 mlp_width=8 depth=3 vocab_size=50"
  shape += " type_vocab=4 max_positions=40"
  run = quickstart(20, 32, *(f"models.ce.{x}" for x in shape.split()))
  with pytest.raises(
    strict.ConfigError, match=r"models.ce has 40 positions.* 52 "
  ):
    run.model("ce")
  transformer = (
    quickstart(20, 20, *(f"models.ce.{x}" for x in shape.split()))
    .model("ce")
    .transformer
  )
  assert (
    transformer.vocab_size,
    transformer.type_vocab,
    transformer.depth,
  ) == (50, 4, 3)
  assert transformer.max_positions == 40


def test_a_mesh_that_cuts_through_heads_is_an_error(quickstart):
  run = quickstart(20, 32, "mesh.tensor=8")
  with pytest.raises(strict.ConfigError, match=r"12 attention heads.*tensor=8"):
    train.check(job_of(run, "student_warm"))


def test_a_job_has_the_folders_that_it_reads_and_writes(quickstart, tmp_path):
  job = job_of(quickstart(20, 32), "score_1")
  assert {role: job.inputs[role] for role in job.inputs} == {
    "params": next_to(tmp_path, "ce_1"),
    "candidates": next_to(tmp_path, "mine_2"),
    "ensemble": next_to(tmp_path, "encode_teacher_de"),
  }
  assert job.folder == next_to(tmp_path, "score_1")
  assert job.where == "config.stages.score_1"


def next_to(workdir, name):
  number = list(
    config_file.load(str(REPO / "configs" / "quickstart.py")).stages
  ).index(name)
  return workdir / f"{number:02d}-{name}"


@pytest.mark.parametrize(
  ("override", "message"),
  [
    ("encode_teacher_de.params=ce_9", r"is 'ce_9', which is no stage before"),
    ("encode_teacher_de.params=ce_2", r"is 'ce_2', which is no stage before"),
    (
      "encode_teacher_de.params=evaluate_student_warm",
      r"a stage of kind evaluate; it takes one of kind train",
    ),
    ("student_de.anchor=student_warm", r"one of kind mine"),
  ],
)
def test_a_role_takes_an_earlier_stage_of_its_kind(
  quickstart, override, message
):
  name = override.partition(".")[0]
  run = quickstart(20, 32, f"stages.{override}")
  with pytest.raises(strict.ConfigError, match=rf"stages\.{name}\..*{message}"):
    job_of(run, name)


# For a TPU, for downloads, for k-means; and nothing of ours takes the last.
SELDOM = "jax.experimental.pallas requests scipy.cluster transformers"
# What parts of a run have no use for, in the order in which they are imported.
SPARED = {
  # Where it stands and how it went is in files.
  "status.look, status.said, report.comparison_page": "jax tensorflow_datasets",
  "main, stages.mine": f"grain optax orbax {SELDOM}",
  "stages.train": SELDOM,
}


def test_a_part_of_a_run_imports_what_it_needs():
  """Memory and seconds."""
  code = "import importlib, sys\n"
  for parts, spared in SPARED.items():
    code += (
      f"for part in {parts.split(', ')}:\n"
      "  importlib.import_module(f'prod_jax.{part}')\n"
      f"print({parts!r}, {{*{spared.split()}}} & sys.modules.keys())\n"
    )
  done = subprocess.run(
    [sys.executable, "-c", code], cwd=REPO, capture_output=True, text=True
  )
  assert done.returncode == 0, done.stderr[-2000:]
  assert done.stdout.splitlines() == [f"{parts} set()" for parts in SPARED]
