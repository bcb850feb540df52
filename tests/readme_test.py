"""Every command of the README runs, on small data where it takes data."""

import importlib.util
import pathlib
import re
import shlex
import socket
import subprocess
import sys

import jax
import pytest

from prod_jax import packaged
from prod_jax.models import hf
from prod_jax.models.cross import CrossEncoder, Head
from prod_jax.models.transformer_config import TransformerConfig
from tests import commands, main_test
from tests.commands import CACHE, REPO, environment
from tests.main_test import write_folder


def lines() -> list[str]:
  """The lines of the README's fenced blocks that are commands."""
  text = (REPO / "README.md").read_text().replace("\\\n", " ")
  blocks = re.findall(r"```\n(.*?)```", text, flags=re.DOTALL)
  found = [line.strip() for block in blocks for line in block.splitlines()]
  return [line for line in found if re.match(r"(make|python) ", line)]


def test_the_readme_has_its_commands():
  assert {"make quickstart", "make test"} <= set(lines())
  assert sum(line.startswith("python -m prod_jax") for line in lines()) == 13


@pytest.mark.parametrize(
  "line", [line for line in lines() if line.startswith("make ")]
)
def test_make_targets_do_what_the_readme_says(line):
  done = subprocess.run(
    [*shlex.split(line), "--dry-run"],
    cwd=REPO,
    capture_output=True,
    text=True,
    check=True,
  )
  runs = {
    "make quickstart": "prod_jax.main --config=configs/quickstart.py",
    "make test": "-m pytest",
    "make lint": "ruff check",
    "make bench": "-m benchmarks.run",
  }
  assert runs[line] in re.sub(r"\\\s+", "", done.stdout)


@pytest.fixture(scope="module")
def quickstart(tmp_path_factory) -> pathlib.Path:
  """A run of the quickstart with its first student."""
  try:
    packaged.model_folder()
  except ModuleNotFoundError as error:
    pytest.skip(str(error))
  workdir = tmp_path_factory.mktemp("readme") / "quickstart"
  main_test.run(workdir, "--stages=student_warm")
  return workdir


@pytest.fixture(scope="module")
def imported(tmp_path_factory) -> pathlib.Path:
  """The README's run that takes scores of another tool, without a student."""
  folder = tmp_path_factory.mktemp("imported")
  scores = folder / "scores.tsv"
  scores.write_text(
    "".join(f"q{i} p{i} 0.9\nq{i} p{i + 20} 0.2\n" for i in range(64))
  )
  line = next(line for line in lines() if "configs/imported.py" in line)
  line = line.replace("imported.py:", "imported.py:runlocal,")
  line = line.replace("/path/to/folder", str(write_folder(folder / "set")))
  line = line.replace("scores.jsonl", str(scores)) + " --stages=teacher"
  run(line.replace("runs/", f"{folder}/runs/"))
  return folder / "runs" / "imported"


# A fork of what has imported the libraries could hide a missing import.
@pytest.mark.parametrize(
  "start", ["forked", pytest.param("from nothing", marks=pytest.mark.long)]
)
@pytest.mark.parametrize(
  "line", [line for line in lines() if line.startswith("python ")]
)
def test_python_commands_run(line, start, quickstart, imported, tmp_path):
  if "configs/imported.py" in line:
    return  # it has run
  line = line.replace("runs/quickstart", str(quickstart))
  line = line.replace("runs/imported", str(imported))
  line = line.replace("runs/", f"{tmp_path}/runs/").split(">")[0]
  if "own_models" in line:
    line = own_models(line, tmp_path)
  elif "cli.evaluate" in line:
    line = line.replace("/path/to/folder", str(write_folder(tmp_path / "set")))
    line += f" --cache_dir={tmp_path}"
  elif "/path/to/folder" in line:
    line = line.replace("/path/to/folder", str(write_folder(tmp_path / "set")))
    line = line.replace("medquad.py:", "medquad.py:runlocal,")
    line += " --stages=student_warm"
  read = ("report", "export", "embed", "evaluate")
  if any(f"cli.{name}" in line for name in read):
    line = line.replace("accept_student_final", "student_warm")
    (tmp_path / "texts.tsv").write_text("p1\ta title\ta text\n")
    line = line.replace("texts.tsv", str(tmp_path / "texts.tsv"))
  if "--coordinator" in line:
    assert "student_warm" in as_two(line, tmp_path)
    return
  if "cli.plan" in line:
    if importlib.util.find_spec("libtpu") is None:
      pytest.skip("the TPU compiler is not installed: pip install '.[tpu]'")
    # The real models take the compiler half an hour.
    line = line.replace("prod_msmarco_passage.py", "quickstart.py:runlocal")
    line += f" --stage=student_warm --nolargest --cache_dir={tmp_path}"
  if "launch.tpu" in line:
    example = (REPO / "launch" / "v5e-8.toml").read_text()
    mine = tmp_path / "mine.toml"
    mine.write_text(
      example.replace('project = ""', 'project = "p"').replace(
        'workdir = ""', 'workdir = "gs://b/run"'
      )
    )
    line = line.replace("launch/mine.toml", str(mine)) + " --dry_run"
  if "cli.prepare" in line:
    line += f" --config.data.data_dir={CACHE / 'data'}"
  line = line.replace("prod_nq.py", "prod_nq.py:runlocal")
  done = run(line, start)
  said = {
    "cli.prepare": "passages\t",
    "own_models": "learnt",
    "cli.export": "runs/student\n",
    "cli.embed": "vectors.npy\t1\n",
    "cli.lists": "lists.jsonl\t64\n",
    "cli.evaluate": "set, split test, 32 queries\n\nsystem ",
    "launch.tpu": "queued-resources create",
  }
  wanted = next((v for k, v in said.items() if k in line), "student_warm")
  assert wanted in done.stdout


def own_models(line: str, tmp_path: pathlib.Path) -> str:
  """The command with two folders of our own making for the hub's models."""
  shape = TransformerConfig(
    vocab_size=30_522,
    width=16,
    depth=1,
    heads=2,
    mlp_width=16,
    max_positions=200,
  )
  head = Head("cls", hidden="tanh")
  params = CrossEncoder(shape, "cls", head).init(jax.random.key(0))
  tokenizer = packaged.model_folder() / "tokenizer.json"
  for name, own in (("student", None), ("teacher", (head, params["head"]))):
    folder = tmp_path / name
    hf.save(
      folder, params["encoder"], shape, head=own, tokenizer_files=[tokenizer]
    )
    line = re.sub(rf"(models.{name}.weights)=\S+", rf"\1={folder}", line)
  line = line.replace("/path/to/folder", str(write_folder(tmp_path / "set")))
  # A bare encoder does not say how its vectors are compared.
  line += " --config.models.student.similarity=cosine"
  return line + " --config.stages.learnt.steps=20"


def as_two(line: str, tmp_path: pathlib.Path) -> str:
  """Both processes of the command, up to the plan; what the first one says."""
  with socket.socket() as free:
    free.bind(("127.0.0.1", 0))
    here = f"127.0.0.1:{free.getsockname()[1]}"
  line = line.replace("10.0.0.1:8476", here).replace("/shared", str(tmp_path))
  line += " --dry_run"
  other = subprocess.Popen(
    [
      sys.executable,
      *shlex.split(line.replace("process_id=0", "process_id=1"))[1:],
    ],
    cwd=REPO,
    env=environment(fast=True),
    stdout=subprocess.PIPE,
    text=True,
  )
  done = run(line)
  assert other.communicate() == ("", None)
  assert other.returncode == 0
  return done.stdout


def run(line: str, start: str = "forked") -> subprocess.CompletedProcess:
  """What a line does."""
  python, dash_m, *words = shlex.split(line)
  assert (python, dash_m) == ("python", "-m")
  # The TPU's compiler refuses flags of the CPU's.
  env = environment(fast="prod_jax.cli.plan" not in words)
  if start == "forked":
    done = commands.run(*words, env=env)
  else:
    done = subprocess.run(
      [sys.executable, "-m", *words],
      cwd=REPO,
      capture_output=True,
      text=True,
      env=env,
    )
  assert done.returncode == 0, done.stderr[-3000:]
  return done
