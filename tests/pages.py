"""Pages of docs/ that say what to write where, and a repository that did."""

import json
import pathlib
import re
import shlex
import shutil
import subprocess
import sys
from typing import NamedTuple

import pytest

from prod_jax import packaged
from tests import commands
from tests.commands import CACHE, REPO, environment

# What `--dry_run` refuses before it looks at any data, for several overrides.
REFUSALS = """
import json, pathlib, sys
from prod_jax import config_file, main, strict
from prod_jax.processes import Processes
from prod_jax.stages.run import Run

refusals = []
for overrides in sys.argv[2:]:
  try:
    config = config_file.load(sys.argv[1], overrides.split())
    main.check(Run(config, Processes(pathlib.Path("none")), may_fetch=False))
    refusals.append("")
  except strict.ConfigError as error:
    refusals.append(str(error))
print(json.dumps(refusals))
"""


class Block(NamedTuple):
  """A fenced block: its language, its text, and the file named before it."""

  language: str
  text: str
  file: str


def blocks(page: str, language: str) -> list[Block]:
  """The blocks of a page in one language."""
  text = (REPO / "docs" / page).read_text()
  found, before = [], 0
  for fence in re.finditer(r"^```(\w*)\n(.*?)^```$", text, flags=re.M | re.S):
    files = re.findall(r"`([\w/]+\.py)`", text[before : fence.start()])
    before = fence.end()
    if not files and found:
      files = [found[-1].file]  # one more change of the same file
    found.append(Block(*fence.groups(), files[-1] if files else ""))
  return [block for block in found if block.language == language]


def command(page: str) -> list[str]:
  """The words of the page's command behind `python`."""
  (line,) = (b.text for b in blocks(page, "") if "prod_jax.main" in b.text)
  words = shlex.split(line.replace("\\\n", " "))
  return words[words.index("python") + 1 :]


def done(page: str, folder: pathlib.Path) -> pathlib.Path:
  """A copy of the repository's code with all that a page says done to it."""
  try:
    packaged.model_folder()  # the examples' tokenizer
  except ModuleNotFoundError as error:
    pytest.skip(str(error))
  for name in ("prod_jax", "configs"):
    shutil.copytree(
      REPO / name, folder / name, ignore=shutil.ignore_patterns("__pycache__")
    )
  for block in blocks(page, "python"):
    path = folder / block.file
    assert not path.exists(), f"{page} writes {block.file}, which is there"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(block.text)
  for block in blocks(page, "diff"):
    _change(folder / block.file, block.text)
  return folder


def _change(path: pathlib.Path, diff: str) -> None:
  """Replaces the lines of a diff without + by those without -."""
  lines = diff.splitlines(keepends=True)
  old, new = (
    "".join(line[1:] for line in lines if line[0] in kept)
    for kept in (" -", " +")
  )
  text = path.read_text()
  assert text.count(old) == 1, f"{path} has {text.count(old)} times\n{old}"
  path.write_text(text.replace(old, new))


def run(folder: pathlib.Path, *words: str) -> subprocess.CompletedProcess:
  """`python WORDS` in a folder, with the code that is there."""
  if words[:2] == ("-m", "prod_jax.main"):
    data = f"--config.data.data_dir={CACHE / 'data'}"
    return commands.run(*words[1:], data, cwd=folder)
  return subprocess.run(
    [sys.executable, *words],
    cwd=folder,
    env=environment(fast=True, PYTHONPATH=str(folder)),
    capture_output=True,
    text=True,
  )


def refusals(
  folder: pathlib.Path,
  config: str,
  *overrides: str,
  env: dict[str, str] | None = None,
) -> list[str]:
  """What the code of a folder says of each `key=value …` of a config there."""
  (folder / "refusals.py").write_text(REFUSALS)
  done = commands.run("refusals", config, *overrides, cwd=folder, env=env)
  assert done.returncode == 0, done.stderr[-4000:]
  return json.loads(done.stdout)
