"""The site of docs/: figures, tables, messages, and numbers of the README."""

import ast
import importlib.util
import re
import typing

import pytest

from prod_jax import config, kinds, model_kinds
from prod_jax.batches import draws
from tests.commands import REPO

DOCS = REPO / "docs"
CONFIG = DOCS / "reference" / "config.md"
TROUBLE = DOCS / "how_to" / "troubleshooting.md"
ROOMS = DOCS / "reference" / "code"


def extension(name: str):
  """A module of docs/_ext that needs no Sphinx."""
  path = DOCS / "_ext" / f"{name}.py"
  spec = importlib.util.spec_from_file_location(f"site_{name}", path)
  module = importlib.util.module_from_spec(spec)
  spec.loader.exec_module(module)
  return module


def rows(page: str) -> list[list[str]]:
  """The cells of each row of a page's tables."""
  lines = [line for line in page.splitlines() if line.startswith("|")]
  return [[cell.strip() for cell in line[1:-1].split("|")] for line in lines]


def test_the_readme_is_short_and_its_results_are_measured():
  text = (REPO / "README.md").read_text()
  assert len(text.splitlines()) <= 150
  head, *measured = rows((DOCS / "RESULTS.md").read_text())
  measured = {row[0]: dict(zip(head, row, strict=True)) for row in measured}
  table = rows(text[text.index("| stage |") : text.index("256 test queries")])
  shown = [dict(zip(table[0], row, strict=True)) for row in table[2:]]
  assert len(shown) == 9
  for row in shown:
    assert row.items() <= measured[row["stage"]].items()


def test_figures_are_what_their_script_draws():
  figures = extension("figures")
  drawn = {
    f"{x.__name__}.svg": figures.drawn(x) + "\n" for x in figures.FIGURES
  }
  there = {path.name: path.read_text() for path in figures.FOLDER.iterdir()}
  assert drawn == there


def test_each_key_of_a_config_is_described():
  tables = extension("tables")
  classes = [config.Data, config.Mesh]
  for union in (model_kinds.Model, kinds.Stage, draws.Sampling):
    classes += typing.get_args(union)
  for name in tables.methods():
    module = importlib.import_module(f"{tables.METHODS}.{name}")
    classes.append(module.Settings)
  assert sum(bool(tables.table(cls)) for cls in classes) > 25
  page = CONFIG.read_text()
  for named in (
    "config.Data",
    "config.Mesh",
    "kinds.Stage",
    "model_kinds.Model",
  ):
    assert f"prod_jax.{named}\n" in page


def test_a_row_has_what_the_dataclass_says():
  table = extension("tables").table(kinds.Denoise)
  assert (
    "| `action` | `'drop'` or `'keep'` or `'relabel'` | `'drop'` | "
    '"drop" takes such passages out of the lists, "relabel" makes them '
    'positives, "keep" leaves the lists as they are; all are counted and '
    "written down. |"
  ) in table.splitlines()
  assert "| `candidates` | `str` | needed | mine, " in table
  shape = extension("tables").table(model_kinds.Dual)
  assert "| `width`, `depth`, `heads`, `mlp_width`, " in shape


def test_every_room_has_a_page():
  named = {
    found
    for page in ROOMS.glob("*.md")
    for found in re.findall(r"\{room\} prod_jax\.(\w+)", page.read_text())
  }
  rooms = {
    path.parent.name for path in (REPO / "prod_jax").glob("*/__init__.py")
  }
  assert named == rooms - {"cli"}, "commands have a page of their own"


def said() -> list[str]:
  """All strings of the package, with … where a value is put in."""
  found = []
  for path in (REPO / "prod_jax").rglob("*.py"):
    for node in ast.walk(ast.parse(path.read_text())):
      if isinstance(node, ast.JoinedStr):
        parts = [
          part.value if isinstance(part, ast.Constant) else "…"
          for part in node.values
        ]
        found.append("".join(parts))
      elif isinstance(node, ast.Constant) and isinstance(node.value, str):
        found.append(re.sub(r"%[-+\d.,]*[sdrfg]", "…", node.value))
  return found


def messages() -> list[str]:
  return re.findall(r"^\*\*`(.*)`\*\*\\$", TROUBLE.read_text(), re.M)


@pytest.fixture(scope="module")
def source() -> list[str]:
  return said()


@pytest.mark.parametrize("message", messages())
def test_a_message_that_is_explained_is_one_of_ours(message, source):
  # In a message as people meet it, a value may be several of the source's.
  parts = [re.escape(part) for part in re.split("…", message) if part.strip()]
  pattern = re.compile(".*".join(parts), re.S)
  assert any(pattern.search(text) for text in source)


@pytest.mark.parametrize(
  "extra", ["beam", "bm25", "gcs", "onnx", "png", "serve", "torch", "tpu"]
)
def test_what_an_extra_brings_is_asked_for_by_its_command(extra, source):
  assert any(f"'prod_jax[{extra}]'" in text for text in source)


def test_messages_are_many_and_each_stands_alone():
  assert len(messages()) > 40
  assert TROUBLE.read_text().count("**`") == len(messages())
