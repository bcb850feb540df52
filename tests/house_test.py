"""What benchmarks/house.py counts, on a tree of three small files."""

import pytest

from benchmarks import house

FILES = {
  "group.py": '''
"""Two things of one name, and a field."""
# A comment.
import dataclasses

part = 1  # not a line of its own


@dataclasses.dataclass
class Run:
  part: int
  group: "Group"
  most = 2

  def read(self, part: int, /, *rest: str, group=None, **more) -> None:
    text = """
    # no comment
    """
''',
  "stages/__init__.py": "",
  "stages/train.py": """
# One.
  # Two.
def run(inputs: Inputs, name: str, stage):
  def part(part: str | None): ...

  for most in rest: ...

async def of(shared, name, stage, job: "jobs.Job"): ...

def no(inputs: Inputs, name, shared, jobs: Jobs): ...

def seven(a, b, c, d, e, f, g): ...
""",
}


@pytest.fixture
def tree(tmp_path):
  for name, text in FILES.items():
    path = tmp_path / "prod_jax" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
  (tmp_path / "other.py").write_text("def outside(): ...\n")
  return tmp_path


def test_sizes_and_signatures(tree):
  found = house.figures(house.files_of(tree))
  assert found == {
    "Python files of prod_jax/": 3,
    "their lines": 31,
    "longest file": "18 (group.py)",
    "files over 300 lines": 0,
    "files over 400 lines": 0,
    "functions": 6,
    # read 4, run 3, part 1, of 4, no 4, seven 7
    "their parameters, median": "4",
    "their parameters, mean": "3.83",
    "their parameters, most": 7,
    "functions over 5 parameters": 1,
    "functions over 6 parameters": 1,
    "functions over 7 parameters": 0,
    "longest function": "4 (group.py:read)",
    "functions taking run, name, stage": 2,
    "functions taking `Job`": 1,
    "comment lines in stages/": 2,
  }


def test_a_word_means_what_its_roles_and_annotations_say(tree):
  found = house.meanings(house.files_of(tree))
  assert found["part"] == {
    ("variable", ""),
    ("attribute", "int"),
    ("parameter", "int"),
    ("parameter", "str | None"),
    ("function", ""),
  }
  assert found["group"] == {
    ("module", ""),
    ("attribute", "'Group'"),
    ("parameter", ""),
  }
  assert found["most"] == {("variable", "")}
  assert found["cut"] == set()


def test_a_tree_has_a_column(tree, tmp_path_factory):
  other = tmp_path_factory.mktemp("other")
  (other / "prod_jax").mkdir()
  (other / "prod_jax" / "read.py").write_text("def read(read): ...\n")
  trees = {"old": house.files_of(tree), "new": house.files_of(other)}
  lines = house.table(trees).splitlines()
  assert lines[0] == "|  | old | new |"
  assert "| meanings of `part` | 5 | 0 |" in lines
  assert "| meanings of `read` | 1 | 3 |" in lines
  assert "| words with more than one meaning | 2 of 13 | 1 of 13 |" in lines
  assert "| their meanings | 8 | 3 |" in lines
  assert not any("`most`" in line for line in lines)


def test_a_tree_without_the_package_is_refused(tmp_path):
  with pytest.raises(FileNotFoundError, match="no Python files"):
    house.files_of(tmp_path)
