"""The structure of the house: levels of imports, and who may say what."""

import ast
import functools
import pathlib
import re

import pytest

REPO = pathlib.Path(__file__).parents[1]
PACKAGE = REPO / "prod_jax"
FILES = sorted(PACKAGE.rglob("*.py"))
PACKAGES = [path.parent for path in FILES if path.name == "__init__.py"]

LEVELS = {
  "memory": 0,
  "ranges": 0,
  "batch": 1,
  "config": 1,
  "config_file": 1,
  "kinds": 1,
  "list_kinds": 1,
  "model_kinds": 1,
  "strict": 1,
  "sharding": 1,
  "per_device": 1,
  "metrics": 1,
  "significance": 1,
  "trackers": 1,
  "origin": 1,
  "packaged": 1,
  "parts": 1,
  "compilation": 1,
  "profiling": 1,
  "coordination": 1,
  "progress": 1,
  "ragged": 1,
  "storage": 1,
  "locks": 1,
  "arrays": 1,
  "forecast": 1,
  "artefacts": 1,
  "json_files": 1,
  "presence": 1,
  "run_files": 1,
  "processes": 1,
  "sets": 2,
  "batches": 2,
  "models": 2,
  "losses": 2,
  "train": 3,
  "retrieval": 3,
  "methods": 4,
  "stages": 5,
  "plan": 5,
  "report": 5,
  "status": 5,
  "curriculum": 6,
  "export": 7,
  "serving": 7,
  "main": 8,
  "cli": 8,
}
# Rooms of one level that do know each other.
NEIGHBOURS = {
  ("config", "kinds"),
  ("config", "model_kinds"),
  ("kinds", "list_kinds"),
  ("model_kinds", "strict"),
  ("main", "cli"),
  ("cli", "main"),
  ("packaged", "parts"),
  ("packaged", "storage"),
  ("parts", "strict"),
  ("arrays", "strict"),
  ("json_files", "storage"),
  ("json_files", "strict"),
  ("run_files", "artefacts"),
  ("run_files", "json_files"),
  ("run_files", "storage"),
  ("run_files", "strict"),
  ("presence", "json_files"),
  ("presence", "storage"),
  ("presence", "locks"),
  ("locks", "strict"),
  ("storage", "strict"),
  ("presence", "strict"),
  ("profiling", "strict"),
  ("progress", "strict"),
  ("forecast", "json_files"),
  ("forecast", "storage"),
  ("sharding", "config"),
  ("sharding", "strict"),
  ("config_file", "strict"),
  ("config_file", "config"),
  ("plan", "stages"),
  ("serving", "export"),
  ("coordination", "strict"),
  ("processes", "coordination"),
  ("processes", "run_files"),
  ("processes", "storage"),
  ("artefacts", "json_files"),
  ("artefacts", "storage"),
  ("storage", "strict"),
  ("trackers", "processes"),
  ("trackers", "storage"),
  ("trackers", "strict"),
  ("batches", "sets"),
}

ONLY_IN = {
  r"\bmalloc_trim\b": ["memory.py"],
  r"\bPartitionSpec\b|\bNamedSharding\b|jax.make_mesh": [
    "sharding.py",
    "per_device.py",
  ],
  r"\bimport optax\b|\bfrom optax\b": ["train/"],
  r"\bml_collections\b": ["config_file.py"],
  r"\babsl\b.*\b(app|flags)\b": [],
  r"\bargparse\b": ["main.py", "cli/"],
  r"\bshtab\b": ["cli/completion.py"],
  r"\borbax\b": ["train/checkpoint.py"],
  r"\bimport grain\b": ["batches/loader.py"],
  r"\bimport scann\b|\bfrom scann\b": ["retrieval/search.py"],
  r"\bimport (bm25s|Stemmer)\b": ["retrieval/bm25.py"],
  r"\b(import|from) torch\b": [
    "models/pickled.py",
    "export/snippets.py",  # as a card says it
  ],
  r"\b(import|from) safetensors\b": [
    "models/pickled.py",
    "models/hf.py",
    "models/weights.py",
  ],
  r"\b(import|from) transformers\b": ["export/snippets.py"],
  r"\b(import|from) tokenizers\b": [
    "batches/classes.py",
    "batches/special.py",
    "batches/tokens.py",
  ],
  r"\btensorflow_datasets\b": ["sets/datasets/"],
  r"\bimport tensorflow\b(?!_)": [],
  r"\bapache_beam\b": ["sets/datasets/layout.py"],
  r"\bimport requests\b": ["sets/download.py"],
  r"\bepath\b": ["storage.py"],
  r"\bimport resvg_py\b": ["report/drawings.py"],
  r"\b(import|from) (tensorboardX|wandb)\b": ["trackers.py"],
  r"\bjax\._src\b": ["coordination.py"],
  r"\bshard_map\b": ["per_device.py"],
  r"\bpallas\b": ["models/attention.py"],
  r"\bdot_product_attention\b": ["models/cudnn.py"],
  r"\blibtpu\b|\btopologies\b": ["plan/"],
  r"\b(import|from) onnx|\bimport onnxruntime": ["export/"],
  r"\bhuggingface_hub\b": ["export/hub.py", "models/hub.py"],
  r"\bpyarrow\b": ["export/vectors.py", "sets/foreign/"],
  r"\b(import|from) (starlette|uvicorn|anyio)\b": ["serving/"],
  r"(?<![.\w])print\(": ["cli/"],
  r"\bjson\.loads?\(": [
    "json_files.py",
    "storage.py",  # whoever it is, a broken one is none
    "curriculum.py",
    "batches/tokens.py",  # what a library has just written
  ],
  r"\bnp\.load\(": [
    "arrays.py",
    "retrieval/pieces.py",
    "train/kept.py",
  ],
  r"\bpickle\b(?!=)|shell=True|(?<![.\w])(eval|exec)\(": [],
}


def room(path: pathlib.Path) -> str:
  return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imports(path: pathlib.Path) -> set[str]:
  """The rooms that a file imports."""
  found = set()
  for node in ast.walk(ast.parse(path.read_text())):
    if isinstance(node, ast.Import):
      names = [alias.name for alias in node.names]
    elif isinstance(node, ast.ImportFrom):
      names = [f"{node.module}.{alias.name}" for alias in node.names]
    else:
      continue
    found |= {n.split(".")[1] for n in names if n.startswith("prod_jax.")}
  return found


@functools.cache
def code_of(path: pathlib.Path) -> str:
  """The file without docstrings and comments."""
  return ast.unparse(_Strip().visit(ast.parse(path.read_text())))


class _Strip(ast.NodeTransformer):
  def visit_Expr(self, node):
    if isinstance(node.value, ast.Constant):
      return ast.copy_location(ast.Pass(), node)
    return node


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.name))
def test_imports_go_down(path):
  own = room(path)
  if own == "__init__":
    return
  for other in imports(path) - {own}:
    assert (own, other) in NEIGHBOURS or LEVELS[other] < LEVELS[own], (
      f"{path.relative_to(REPO)} (level {LEVELS[own]}) imports {other} "
      f"(level {LEVELS[other]})"
    )


@pytest.mark.parametrize("word", ONLY_IN)
def test_words_have_a_room(word):
  for path in FILES:
    name = str(path.relative_to(PACKAGE))
    if any(name.startswith(allowed) for allowed in ONLY_IN[word]):
      continue
    found = re.search(word, code_of(path))
    assert not found, f"{name} says {found[0]!r}; allowed in {ONLY_IN[word]}"


def test_train_does_not_know_methods_and_data_rooms_do_not_know_jax():
  for path in FILES:
    if room(path) == "train":
      assert "methods" not in imports(path), path
    if room(path) in ("sets", "batches"):
      assert not re.search(r"\b(import|from) jax\b", code_of(path)), path


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.name))
def test_sizes(path):
  lines = path.read_text().splitlines()
  assert len(lines) <= 400, f"{path}: {len(lines)} lines, two ideas?"
  for node in ast.walk(ast.parse("\n".join(lines))):
    if isinstance(node, ast.FunctionDef):
      where = f"{path}:{node.lineno} {node.name}"
      size = node.end_lineno - node.lineno + 1
      assert size <= 60, f"{where}: {size} lines"
      args = node.args.posonlyargs + node.args.args + node.args.kwonlyargs
      taken = [a.arg for a in args if a.arg not in ("self", "cls")]
      assert len(taken) <= 7, f"{where}: {len(taken)} parameters {taken}"


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.name))
def test_each_module_says_what_it_holds(path):
  if path.read_text().strip():
    assert ast.get_docstring(ast.parse(path.read_text())), path


@pytest.mark.parametrize("folder", PACKAGES, ids=lambda p: str(p.name))
def test_a_package_has_a_map_of_its_modules(folder):
  """A line a module in the docstring: its name, and what it holds."""
  text = ast.get_docstring(ast.parse((folder / "__init__.py").read_text()))
  mapped = re.findall(r"^(\w+) {2,}\S", text or "", flags=re.M)
  modules = {path.stem for path in folder.glob("*.py")} - {"__init__"}
  packages = {path.parent.name for path in folder.glob("*/__init__.py")}
  assert sorted(mapped) == sorted(modules | packages)


def test_no_drawer_for_everything():
  names = {p.stem for p in FILES}
  assert not names & {"utils", "util", "common", "misc", "helpers"}


def test_methods_share_and_do_not_copy():
  """No six lines of code stand twice; imports may."""
  seen: dict[tuple, str] = {}
  for path in FILES:
    if room(path) != "methods":
      continue
    tree = ast.parse(path.read_text())
    imported = {
      line
      for node in ast.walk(tree)
      if isinstance(node, ast.Import | ast.ImportFrom)
      for line in range(node.lineno, node.end_lineno + 1)
    }
    lines = [
      (number, line.strip())
      for number, line in enumerate(path.read_text().splitlines(), 1)
      if line.strip() and number not in imported
    ]
    for i in range(len(lines) - 5):
      block = tuple(text for _, text in lines[i : i + 6])
      place = f"{path.name}:{lines[i][0]}"
      assert block not in seen, f"{place} repeats {seen[block]}"
      seen[block] = place
