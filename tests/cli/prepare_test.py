"""The command that prepares data, as a process of its own."""

import json
import subprocess

import pytest

from tests import commands
from tests.sets import published

CONFIG = """
import ml_collections

def get_config(variant=""):
  return ml_collections.ConfigDict(dict(
    seed=0,
    data=dict(name="beir", path={path!r}, tokenizer={tokenizer!r}),
    mesh=dict(), models=dict(), stages=dict(),
  ))
"""


@pytest.fixture
def command(tmp_path):
  """Runs the command on a tiny set; takes further arguments."""
  (tmp_path / "tiny").mkdir()
  published.beir(tmp_path / "tiny")
  words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "tea", "boats"]
  (tmp_path / "vocab.txt").write_text("\n".join(words) + "\n")
  config = tmp_path / "config.py"
  config.write_text(
    CONFIG.format(path=str(tmp_path / "tiny"), tokenizer=str(tmp_path))
  )

  def run(*more: str) -> subprocess.CompletedProcess:
    workdir = f"--workdir={tmp_path / 'run'}"
    return commands.run(
      "prod_jax.cli.prepare", f"--config={config}", workdir, *more
    )

  return run


def test_counts_go_to_standard_output(command, tmp_path):
  done = command()
  assert done.returncode == 0, done.stderr
  rows = [line.split("\t") for line in done.stdout.splitlines()]
  assert [row[:3] for row in rows] == [
    ["tiny", "passages", "6"],
    ["tiny", "train", "1"],
    ["tiny", "test", "1"],
  ]
  assert [row[3] for row in rows[1:]] == ["1", "1"]  # tokens
  assert "preparing" in done.stderr
  told = json.loads(command("--json").stdout)
  assert [[str(v) for v in row.values()] for row in told] == rows
  # A fault is a line, not a traceback.
  (tmp_path / "tiny" / "corpus.jsonl").write_text("{\n")
  failed = command()
  assert failed.returncode == 2
  assert "corpus.jsonl:1: no JSON" in failed.stderr
  assert "Traceback" not in failed.stderr


def test_a_split_that_a_run_would_lack_is_named(command, tmp_path):
  """What is there is prepared all the same."""
  config = tmp_path / "config.py"
  text = config.read_text()
  asks = "stages=dict(x=dict(kind='encode', params='', splits=('dev',)),"
  asks += " y=dict(kind='evaluate', encoded='x', split='dev'))"
  config.write_text(text.replace("stages=dict()", asks))
  done = command()
  assert done.returncode == 0 and len(done.stdout.splitlines()) == 3
  assert "a run would stop here: config.stages.x.splits asks" in done.stderr
