"""benchmarks/gpu.sh without a GPU: its logic, its page, and tiny sizes."""

import functools
import json
import os
import pathlib
import subprocess
import sys

import pytest

from benchmarks import (
  gpu,
  gpu_sides,
  gpu_tables,
  ours,
  ours_gpu,
  page,
  texts,
)
from prod_jax import config_file, packaged

REPO = pathlib.Path(gpu.__file__).parents[1]
TINY = ours_gpu.Sizes(
  width=16,
  depth=1,
  heads=2,
  mlp_width=32,
  batch=8,  # tests have eight devices
  steps=1,
  passages=8,
  pairs=8,
  corpus=4096,
  queries=4,
  batch_tokens=512,
)
SIDE = {"seconds": 2.0, "rate": 100.0, "tokens": 1e6}
FOUND = {
  "device": {"name": "NVIDIA H200"},
  "day": "2026-01-02",
  "commit": "abc",
  "seconds": 420.0,
  "sizes": ours_gpu.Sizes()._asdict(),
  "versions": {"python": "3.12", "jax": "0.12"},
  "parity": {
    "step": {"cpu": [1.0, 2.0], "gpu": [1.00001, 2.0]},
    "step_bfloat16": {"error": "no time was left"},
  },
  "works": {
    "peak": {"ours": {"rate": 700e12}},
    "encode": {"ours": SIDE, "peer": {**SIDE, "rate": 50.0}},
    "search": {
      "ours": {"seconds": 1.0, "rate": 10.0, "flops_a_query": 9.89e11}
    },
    "mine": {"ours": {"error": "took more than 90 s"}},
  },
  "curriculum": {
    "stages": [{"stage": "student_de", "mrr@10": 0.5, "seconds": 12.0}]
  },
}


def test_without_figures_the_page_says_so():
  assert page.GPU.exists() or "No GPU was at hand" in gpu_tables.section(None)
  assert gpu_tables.section(None) in page.page([])
  assert gpu_tables.section(FOUND) in page.page([], FOUND)


def test_the_page_has_what_was_measured_and_what_was_not():
  text = gpu_tables.section(FOUND)
  assert "No GPU" not in text
  assert "| minutes of the whole script | 7.0 |" in text
  # 12 layers of 24 W^2 a token, 5e5 tokens a second, of 989e12.
  assert "| encode | 100 | 50.00 | passages/s | 2.00 | 8.6 % | 8.6 % |" in text
  assert "| search | 10.00 |  | queries/s |  | 1 % |  |" in text
  assert "| step | 1.000000 | 2.000000 | 1.000010 | 2.000000 |" in text
  assert "| student_de | 0.500 | 12 |" in text
  assert "- mine, ours: took more than 90 s" in text
  assert "- parity of step_bfloat16: no time was left" in text


def test_a_card_that_is_not_known_has_no_share():
  found = {**FOUND, "device": {"name": "a new one"}}
  assert gpu_tables.peak(found) is None
  assert "| 2.00 |  |  |" in gpu_tables.section(found)
  assert gpu_tables.peak({"device": {"name": "NVIDIA H100 PCIe"}}) == 756e12


@pytest.mark.parametrize(
  ("gpu_said", "error"),
  [([1.00001, 2.0], None), ([1.001, 2.0], "apart"), ([float("nan"), 2], "nan")],
)
def test_a_golden_step_that_is_another_one_is_an_error(gpu_said, error):
  class Sides:
    def measure(self, name, environment):
      on_cpu = environment["JAX_PLATFORMS"] == "cpu"
      assert on_cpu or "JAX_DEFAULT_MATMUL_PRECISION" in environment
      return {"values": [1.0, 2.0] if on_cpu else gpu_said}

  found = gpu.parity(Sides())["step"]
  assert (error or "") in found.get("error", "") and found["cpu"] == [1.0, 2.0]
  assert ("error" in found) == (error is not None)


@pytest.fixture
def sides(tmp_path):
  return gpu.Sides(tmp_path, gpu.Clock(60.0))


def test_what_fails_is_said_and_the_rest_goes_on(sides, tmp_path, monkeypatch):
  monkeypatch.setenv("JAX_FLAG", "of the user's")
  fails = [sys.executable, "-c", "raise ValueError('why')"]
  assert sides.call(fails, {}, 60.0) == "ValueError: why"
  here = "import os; assert 'JAX_FLAG' not in os.environ; os.environ['A']"
  assert sides.call([sys.executable, "-c", here], {"A": "b"}, 60.0) == ""
  assert "not there" in sides.measure("encode_peer", {})["error"]
  late = gpu.Sides(tmp_path, gpu.Clock(gpu.LEAST / 2))
  assert late.call(fails, {}, 60.0) == "no time was left"


def test_a_side_that_takes_too_long_is_ended(sides, monkeypatch):
  def run(command, **settings):
    raise subprocess.TimeoutExpired(command, settings["timeout"])

  monkeypatch.setattr(subprocess, "run", run)
  assert sides.call(["a side"], {}, 20.0) == "took more than 20 s"


def test_the_curriculum_is_one_that_the_config_has(
  sides, monkeypatch, tmp_path
):
  called = []

  def call(command, environment, longest):
    called.append(command)
    return "no time was left"

  monkeypatch.setattr(sides, "call", call)
  found = gpu.curriculum(sides, tmp_path, "", gpu.Clock(60.0))
  assert found["error"] == "no time was left" and not found["stages"]
  flag = next(x for x in called[0] if x.startswith("--config="))
  config = config_file.load(str(REPO / flag.removeprefix("--config=")))
  assert config.data.name == "pydocs" and config.data.passage_length == 144
  assert {model.dtype for model in config.models.values()} == {"bfloat16"}
  assert config.data.max_queries == {} and config.data.max_passages == 0
  assert config.stages["student_de"].batch_size == 128
  assert config.stages["encode_student"].batch_tokens == 65_536


def test_the_script_is_sound():
  script = REPO / "benchmarks" / "gpu.sh"
  assert os.access(script, os.X_OK)
  done = subprocess.run([script, "fly"], capture_output=True, text=True)
  assert done.returncode == 2 and "wheels or run" in done.stderr


@pytest.mark.long
def test_our_sides_on_a_cpu(tmp_path, monkeypatch):
  """Each measures something, at sizes that mean nothing."""
  try:
    packaged.model_folder()
  except ModuleNotFoundError as error:
    pytest.skip(str(error))
  shallow = functools.partial(ours.run_of, layers=(0,))
  monkeypatch.setattr(ours, "run_of", shallow)
  passages = {f"p{i}": f"passage number {i}" for i in range(64)}
  queries = [(f"q{i}", f"which is number {i}", [f"p{i}"]) for i in range(16)]
  texts.write(tmp_path / "texts", passages, queries)
  texts.write_lists(tmp_path / "texts", passages, queries)
  ours_gpu.prepare(tmp_path, "", TINY)
  for name, measure in gpu_sides.SIDES.items():
    if not name.endswith("_peer"):
      found = measure(tmp_path)
      assert found.get("rate", 1) > 0, name
      json.dumps(found)
  shape = json.loads((tmp_path / ours_gpu.DUAL / "config.json").read_text())
  assert shape["hidden_size"] == TINY.width
