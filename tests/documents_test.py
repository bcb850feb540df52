"""What is written of the code holds: settings, extras, files and names.

Read are the documents, the launch files, and of all Python files docstrings,
comments and, but for tests, what they say to people.
"""

import ast
import dataclasses
import functools
import importlib
import io
import pathlib
import re
import subprocess
import tokenize
import tomllib
import typing

import pytest

from prod_jax import config, config_file, kinds, model_kinds, strict
from prod_jax.batches import draws

REPO = pathlib.Path(__file__).parents[1]
PACKAGE = REPO / "prod_jax"
KINDS = {".md", ".py", ".sh", ".toml", ".yaml"}
DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)

# What stands for a file or a folder that the reader has.
THE_READERS = {
  "build/task.yaml",
  "configs/shifted.py",
  "configs/faq.py",
  "file.py",
  "my_config.py",
  "my_methods/jeffreys.py",
  "launch/mine.toml",
  "prod_jax/sets/datasets/faq.py",
  "prod_jax/stages/shift.py",
  "runs/",
  "runs/RESULTS.md",
  "tests/sets/faq_test.py",
  "tests/stages/shift_test.py",
}
# What a run has, or a machine of the launcher.
MADE = {
  "candidates/",
  "code/",
  "code/launch/install.sh",
  "code/launch/worker.sh",
  "compared/",
  "dark/",
  "data/",
  "my_passages.py",
  "passages/",
  "stale/",
  "tokens/",
  "venv/",
  "workdir/stale/",
}
# Files of the papers' codes, which configs, losses, their tests and the page of
# differences quote.
THE_PAPERS = {
  "ColBERT/train.py",
  "LEAD/",
  "MARCO_until_new.py",
  "PROD/README.md",
  "build_marco_train.py",
  "conf/msmarco_pair_distill.yaml",
  "convert_pair_rerank_to_colbert.py",
  "dataset_division_marco.py",
  "dataset_division_marcodoc.py",
  "dataset_division_nq.py",
  "dpr_utils.py",
  "inference_DE_marco.py",
  "inference_DE_trec.py",
  "losses/lambda_rank.py",
  "losses/margin_mse.py",
  "marco_until.py",
  "models.py",
  "nway_dataset.py",
  "pairwise_rerank.py",
  "prepare_ce_data_nq.py",
  "qa_validation.py",
  "run_LEAD.py",
  "run_progressive_distill_marco.py",
  "scripts/unity/",
  "settings.py",
  "train.py",
  "train.sh",
  "train_CE_model_nq.py",
  "train_DE_model_marco.py",
  "trainer/multistep-curriculum/",
  "training.py",
  "util.py",
  "util_wiki.py",
}
# Of files that a run has, or a data set.
ENDINGS = {"html", "json", "jsonl", "md", "npy", "py", "sh", "trec", "tsv"}
QUOTES_PAPERS = (
  "configs/",
  "docs/FIDELITY.md",
  "prod_jax/losses/",
  "tests/configs_test.py",
)
# Of glibc, and words that stand for a key.
NO_SETTINGS = {"arena_max", "mmap_max", "key", "section.key"}

FILE = re.compile(
  r"(?<![\w/.:~$}<>*{-])(?:[\w.-]+/)*[\w-]+\.(?:py|md|toml|sh|yaml|lock|svg)\b"
  r"(?![\w/])"
)
FOLDER = re.compile(r"(?<![\w/.:~$}<>*{-])(?:[\w-]+/)+(?![\w/*.<>{$-])")


def files() -> list[pathlib.Path]:
  """What git knows or would add, of the kinds that are read."""
  told = subprocess.run(
    ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
    cwd=REPO,
    capture_output=True,
    text=True,
    check=True,
  ).stdout.splitlines()
  paths = [REPO / name for name in told]
  return [
    path
    for path in paths
    if path.is_file()
    and (path.suffix in KINDS or path.name == "Makefile")
    # They tell of what is gone, of what is wrong on purpose, and of what a
    # command has found.
    and path.name not in ("CHANGELOG.md", "RELIABILITY.md", "JOURNEY.md")
  ]


@functools.cache
def said(path: pathlib.Path) -> list[tuple[int, str]]:
  """Line and text of what is written there for people."""
  text = path.read_text()
  if path.suffix != ".py":
    return [(1, text)]
  tree = ast.parse(text)
  told = [node for node in ast.walk(tree) if isinstance(node, ast.Constant)]
  if path.is_relative_to(REPO / "tests"):
    told = [
      node.body[0].value
      for node in ast.walk(tree)
      if isinstance(node, DOCUMENTED) and ast.get_docstring(node)
    ]
  found = [
    (node.lineno, node.value)
    for node in told
    if isinstance(node.value, str) and " " in node.value
  ]
  for token in tokenize.generate_tokens(io.StringIO(text).readline):
    if token.type == tokenize.COMMENT:
      found.append((token.start[0], token.string))
  return found


def each(pattern: str | re.Pattern) -> list[tuple[str, re.Match]]:
  """All places that match, with where they stand."""
  return [
    (f"{path.relative_to(REPO)}:{line + text[: at.start()].count(chr(10))}", at)
    for path in files()
    for line, text in said(path)
    for at in re.finditer(pattern, text)
  ]


# Settings.


def joined(text: str) -> list[str]:
  """Lines, with those that go on behind a backslash in one."""
  return re.sub(r"\\+\s*\n\s*(#\s)?", " ", text).splitlines()


def commands() -> dict[str, str]:
  """Lines that name a config of ours, by where they stand."""
  lines = {}
  for path in files():
    for number, text in said(path):
      for line in joined(text):
        if re.search(r"configs/\w+\.py", line) and path.suffix != ".toml":
          lines[f"{path.relative_to(REPO)}:{number}: {line.strip()}"] = line
  # As make expands its variables.
  made = subprocess.run(
    ["make", "--dry-run", "--always-make", "quickstart", "tpu-plan"],
    cwd=REPO,
    capture_output=True,
    text=True,
    check=True,
  ).stdout
  lines |= {line: line for line in joined(made) if "--config=" in line}
  return lines


def test_commands_name_keys_and_stages_of_their_config():
  lines = commands()
  assert len(lines) > 15
  for where, line in lines.items():
    overrides = re.findall(r"--config\.([\w.]+=[^\s\"`]*)", line)
    names = re.findall(r"--stages?=([\w,]+)", line)
    for named in re.findall(r"configs/\w+\.py(?::[^\s\"`|)]+)?", line):
      if named.partition(":")[0].rstrip(".,;:") in THE_READERS:
        continue
      found = load(named.rstrip(".,;:"), overrides, where)
      for name in {n for part in names for n in part.split(",")}:
        assert name in found.stages, f"{where}: there is no stage {name}"


@pytest.mark.parametrize(
  "path", sorted((REPO / "launch").glob("*.toml")), ids=lambda p: p.name
)
def test_launch_files_name_keys_of_their_config(path):
  if path.name == "mine.toml":
    pytest.skip("the reader's own")
  settings = tomllib.loads(path.read_text())
  overrides = re.findall(r"--config\.([\w.]+=[^\s\"]*)", path.read_text())
  load(settings["config"], overrides, str(path))
  assert set(settings["flags"]) <= {f"--config.{x}" for x in overrides}


def load(named: str, overrides: list[str], where: str) -> config.Config:
  try:
    return config_file.load(str(REPO / named), overrides)
  except strict.ConfigError as error:
    pytest.fail(f"{where}: {error}")


def test_an_override_stands_beside_its_config():
  for where, at in each(r"--config\.([\w.]+)=(?=.*)"):
    alone = f"{where}: {at[0]}"
    line = at.string[: at.end()].rpartition("\n\n")[2]
    named = "configs/" in line or where.startswith("launch/")
    # A set is named alone, too, and its keys are looked at below.
    named = named or at[1].startswith("data.")
    assert named or at[1] in NO_SETTINGS, alone
  for where, at in each(r"--(\w+)\.[a-z]\w*"):
    assert at[1] == "config", f"{where}: {at[0]}"


def test_keys_in_the_text_are_keys_of_a_config():
  sections = {"data": config.Data, "mesh": config.Mesh}
  pattern = r"\b(?:config\.)?(data|mesh)\.([a-z_]+)(?!\w*\()(?:=([^`\s]*))?`"
  for where, at in [*each(f"`{pattern}"), *each(rf"\bconfig\.{pattern[:-1]}")]:
    known = {field.name for field in dataclasses.fields(sections[at[1]])}
    assert at[2] in known, f"{where}: {at[0]}"
    if at[3]:
      override = f"{at[1]}.{at[2]}={at[3]}"
      load("configs/quickstart.py", [override], where)


def test_settings_in_the_text_are_somewhere_taken():
  for where, at in each(r"`([a-z_.]+)=([^`\n]*)`"):
    key, value = at[1], at[2].strip('"')
    if key in NO_SETTINGS or "." in key:
      continue
    assert any(taken(part, key, value) for part in vocabulary()), (
      f"{where}: nothing takes {at[0]}"
    )


def taken(part: type, key: str, value: str) -> bool:
  hints = typing.get_type_hints(part)
  try:
    return key in hints and bool(
      [strict._coerce(strict.Typed(value), hints[key], key)]
    )
  except strict.ConfigError:
    return False


@functools.cache
def vocabulary() -> list[type]:
  """All dataclasses that a config fills."""
  methods = [
    importlib.import_module(f"prod_jax.methods.{path.stem}").Settings
    for path in (PACKAGE / "methods").glob("*.py")
    if re.search(r"^class Settings", path.read_text(), flags=re.MULTILINE)
  ]
  stages = typing.get_args(kinds.Stage)
  samplings = typing.get_args(draws.Sampling)
  models = typing.get_args(model_kinds.Model)
  others = [config.Data, config.Mesh]
  return [*others, *models, *stages, *methods, *samplings]


# Extras.


def extras() -> set[str]:
  for node in ast.walk(ast.parse((REPO / "setup.py").read_text())):
    if isinstance(node, ast.keyword) and node.arg == "extras_require":
      return {ast.literal_eval(key) for key in node.value.keys}
  raise AssertionError("setup.py names no extras")


def test_extras_that_are_named_exist():
  named = {
    (f"{path.relative_to(REPO)}", name)
    for path in files()
    for names in re.findall(
      r"(?:prod_jax|['\"\s]\.)\[([a-z_, ]+)\]"
      r"|\bextra[s:]? `(\w+)`|`(\w+)` extra",
      path.read_text(),
    )
    for name in re.split(r", ?", "".join(names))
  }
  assert {name for _, name in named} >= {"quickstart", "tpu", "beam"}
  unknown = [f"{where}: {x}" for where, x in named if x not in extras()]
  assert not unknown


# Files and names.


def places(where: str) -> list[pathlib.Path]:
  """The folders that a relative path of a file may start from."""
  folder = (REPO / where.partition(":")[0]).parent
  found = [folder, REPO, PACKAGE]
  if folder.is_relative_to(REPO / "tests"):
    part = folder.relative_to(REPO / "tests")
    found += [REPO / part, PACKAGE / part]
  if where.startswith("docs/"):
    found.append(REPO / "configs")  # tables are of these
  if where.startswith("docs/ADD_A_"):
    rooms = ("sets", "sets/datasets", "stages", "batches")
    found += [PACKAGE / room for room in rooms]
  if where.startswith("benchmarks/page.py"):
    found.append(REPO / "docs")  # where it writes
  return found


def test_files_and_folders_that_are_named_exist():
  lost = []
  for where, at in [*each(FILE), *each(FOLDER)]:
    name = at[0]
    quoted = name in THE_PAPERS and where.startswith(QUOTES_PAPERS)
    there = any((place / name).exists() for place in places(where))
    if not (there or quoted or name in THE_READERS | MADE):
      lost.append(f"{where}: {name}")
  assert not lost, "\n".join(lost)


@functools.cache
def modules() -> dict[tuple[str, ...], set[str]]:
  """The names that each module of the package has, fields among them."""
  found = {}
  for path in PACKAGE.rglob("*.py"):
    parts = path.relative_to(REPO).with_suffix("").parts
    parts = parts[:-1] if parts[-1] == "__init__" else parts
    names = set()
    for node in ast.parse(path.read_text()).body:
      if isinstance(node, ast.FunctionDef | ast.ClassDef):
        names.add(node.name)
        names |= {
          field.target.id
          for field in node.body
          if isinstance(field, ast.AnnAssign)
        }
      elif isinstance(node, ast.Assign | ast.AnnAssign):
        names |= {n.id for n in ast.walk(node) if isinstance(n, ast.Name)}
      elif isinstance(node, ast.Import | ast.ImportFrom):
        names |= {(a.asname or a.name).split(".")[0] for a in node.names}
    found[parts] = names
  return found


def is_there(parts: tuple[str, ...]) -> bool:
  """Whether a dotted name is a module, or the name of something in one."""
  if parts in modules():
    return True
  return parts[:-1] in modules() and parts[-1] in modules()[parts[:-1]]


def test_modules_that_are_named_exist():
  lost = []
  for where, at in each(r"\bprod_jax((?:\.[A-Za-z_]\w*)+)"):
    parts = ("prod_jax", *at[1][1:].split("."))
    readers = f"{'/'.join(parts)}.py" in THE_READERS
    if not (readers or is_there(parts[:3]) or is_there(parts)):
      lost.append(f"{where}: {at[0]}")
  for where, at in each(r"`([a-z_]\w*)\.(\w+)(?:\(\))?`"):
    ends = [parts for parts in modules() if parts[-1] == at[1]]
    there = any(is_there((*parts, at[2])) for parts in ends)
    if ends and not there and at[2] not in ENDINGS:
      lost.append(f"{where}: {at[0]}")
  rooms = "|".join({parts[1] for parts in modules() if len(parts) > 2})
  for where, at in each(rf"(?<![\w./])({rooms})\.([a-z_]\w*)((?:\.\w+)?)"):
    parts = ("prod_jax", at[1], at[2], *at[3].split(".")[1:])
    known = parts if parts[:3] in modules() else parts[:3]
    if not is_there(known) and at[2] not in ENDINGS:
      lost.append(f"{where}: {at[0]}")
  assert not lost, "\n".join(lost)


def test_the_map_of_the_package_has_rooms_that_are_there():
  for path in [REPO / "README.md", *(REPO / "docs").glob("*.md")]:
    for block in re.findall(r"```\n(prod_jax/ .*?)```", path.read_text(), re.S):
      for line in block.removeprefix("prod_jax/").splitlines():
        for name in re.split(r"\s{2,}", line.strip())[:-1]:
          name = f"{name}.py" if not name.endswith("/") else name
          assert (PACKAGE / name).exists(), f"{path.name}: {name}"
