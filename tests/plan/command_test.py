"""The command, with the real compiler: counts, boundary, forms of output."""

import importlib.util
import json
import subprocess
import sys

import pytest

from tests.commands import REPO, environment

# Long rows and long lists, so that few queries fill a chip, and a batch near
# the largest one: few programs are asked about, each of which takes minutes.
CONFIG = """
from ml_collections import ConfigDict


def get_config(variant=""):
  model = dict(
    weights="models/elsewhere",
    width=128,
    depth=1,
    heads=1,
    mlp_width=256,
    vocab_size=100,
    dtype="bfloat16",
    dropout=0.0,
  )
  train = dict(kind="train", batch_size=120, learning_rate=1e-5)
  return ConfigDict(dict(
    seed=1,
    data=dict(
      name="folder", path="elsewhere", tokenizer="elsewhere",
      query_length=64, passage_length=1984,
    ),
    mesh=dict(data=-1, fsdp=1, tensor=1),
    models=dict(
      student=dict(kind="dual", **model), ce=dict(kind="cross", **model)
    ),
    stages=ConfigDict(dict(
      warm=dict(model="student", method="contrastive", steps=1, **train),
      embed=dict(kind="encode", params="warm"),
      mine=dict(kind="mine", encoded="embed", depth=32),
      ce=dict(
        model="ce", method="ranking", candidates="mine", negatives=31, steps=10,
        **train,
      ),
      score=dict(kind="score", params="ce", candidates="mine"),
    ), sort_keys=False),
  ), sort_keys=False)
"""


def run(folder, *arguments, code=0):
  (folder / "tiny.py").write_text(CONFIG)
  done = subprocess.run(
    [
      sys.executable,
      "-m",
      "prod_jax.cli.plan",
      f"--config={folder / 'tiny.py'}",
      f"--cache_dir={folder / 'cache'}",
      *arguments,
    ],
    cwd=REPO,
    # The TPU's compiler refuses flags of the CPU's.
    env=environment(),
    capture_output=True,
    text=True,
  )
  assert done.returncode == code, done.stderr[-4000:]
  return done


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
  if importlib.util.find_spec("libtpu") is None:
    pytest.skip("the TPU compiler is not installed: pip install '.[tpu]'")
  return tmp_path_factory.mktemp("plan")


@pytest.fixture(scope="module")
def rows(folder):
  asked = ["--topology=v5e:2x4", "--nolargest", "--json"]
  found = []
  for stage in (["--stage=ce"], ["--stage=score", "--queries=100"]):
    found += json.loads(run(folder, *asked, *stage).stdout)
  return {row["stage"]: row for row in found}


def test_a_row_says_all_that_is_promised(rows):
  row = rows["ce"]
  assert row["fits"] and row["topology"] == "v5e:2x4" and row["chips"] == 8
  memory = row["hbm_bytes"]
  assert memory["arguments"] + memory["temporaries"] <= memory["peak"]
  assert memory["peak"] < memory["available"] == 15.75 * 2**30
  assert list(row["collective_bytes"]) == ["all-reduce"]
  assert row["roofline_seconds"] == row["seconds"][row["limit"]]
  assert row["roofline_seconds"] == max(row["seconds"].values())
  assert 0 < row["mfu"] < 1
  assert row["hours"] == pytest.approx(10 * row["roofline_seconds"] / 3600)
  assert row["chip_hours"] == pytest.approx(8 * row["hours"])
  # Each chip scores by itself.
  row = rows["score"]
  assert (row["copies"], row["batch"], row["collective_bytes"]) == (8, 4, {})
  assert row["steps"] == -(-100 * 33 // (8 * 4))


def test_compiled_flops_are_the_models(rows):
  for row in rows.values():
    # Layers as narrow as these have more beside matmuls than a BERT's.
    assert 1.0 < row["flops"] / row["flops_analytic"] < 1.08, row["stage"]
    assert 0.98 < row["flops_matmul"] / row["flops_analytic"] < 1.02


@pytest.mark.long  # it compiles some programs, for minutes
def test_the_largest_batch_compiles_and_the_next_does_not(folder):
  done = run(folder, "--topology=v5e:2x4", "--stage=ce", "--json")
  (row,) = json.loads(done.stdout)
  largest, refused = row["largest_batch"], row["refused_batch"]
  assert row["batch"] <= largest == refused - 8
  assert f"{largest} queries: compiles" in done.stderr
  assert f"{refused} queries: does not fit" in done.stderr


def test_tables_are_reduced_once_for_all_micro_batches(folder):
  short = [
    *("--config.data.query_length=32", "--config.data.passage_length=32"),
    *("--config.stages.ce.batch_size=64", "--config.models.ce.vocab_size=8192"),
  ]
  reduced = []
  for parts in (1, 4):
    accumulation = f"--config.stages.ce.accumulation={parts}"
    arguments = ["--topology=v5e:2x4", "--stage=ce", "--nolargest", "--json"]
    done = run(folder, *short, accumulation, *arguments)
    (row,) = json.loads(done.stdout)
    reduced.append(row["collective_bytes"]["all-reduce"])
  # Nearly all of it is the table of words. Four times would be four times that.
  assert reduced[1] < 1.2 * reduced[0]


def test_what_was_compiled_is_remembered_in_all_forms(folder, rows):
  arguments = ["--topology=v5e:2x4", "--stage=ce", "--nolargest"]
  for form, sign in (("--nojson", "step, ms"), ("--markdown", "| stage |")):
    again = run(folder, *arguments, form)
    assert sign in again.stdout and "compiles" not in again.stderr


def test_errors_name_the_remedy(folder):
  done = run(folder, "--topology=v9:2x4", code=2)
  assert "there is no chip 'v9'; known: v4, v5e" in done.stderr
  lengths = ["--query_tokens=65", "--passage_tokens=9"]
  done = run(folder, "--topology=v5e:2x4", *lengths, code=2)
  assert "--query_tokens=65: no query has more than 64" in done.stderr


def test_a_set_of_unknown_size_has_no_hours_and_the_flags_are_named(folder):
  asked = ["--topology=v5e:2x4", "--nolargest", "--stage=score"]
  assert "--passages=N and --queries=N say it" in run(folder, *asked).stderr
  known = run(folder, *asked, "--queries=100", "--passages=100")
  assert "--passages=N" not in known.stderr
