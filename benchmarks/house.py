"""How much a reader has to carry: sizes and signatures of a tree.

    python -m benchmarks.house [TREE ...]

prints a Markdown table with a column a tree, this repository where none is
named; an older commit is a tree in a `git worktree`. Files are parsed and never
imported. Methods and functions within functions count as functions, lambdas do
not; `self` and `cls` are no parameters.
"""

import argparse
import ast
import io
import pathlib
import re
import statistics
import tokenize
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

REPO = pathlib.Path(__file__).parents[1]
PACKAGE = "prod_jax"
LINES = (300, 400)  # of a file
PARAMETERS = (5, 6, 7)  # of a function
# Where one of these means several things, a reader has to find out which.
WORDS = (
  *("part", "group", "read", "about", "cut", "draw", "second"),
  *("lengths", "found", "these", "at_all", "most", "shared"),
)

Meaning = tuple[str, str]  # what a name is of, and its annotation


class File(NamedTuple):
  """A module: its path within the package, its text, and that parsed."""

  path: pathlib.PurePath
  source: str
  tree: ast.Module

  def size(self) -> int:
    """Its lines."""
    return len(self.source.splitlines())


class Function(NamedTuple):
  """File and name, annotations by parameter, and lines."""

  place: str
  parameters: Mapping[str, str]
  size: int

  def takes(self, name: str) -> bool:
    """Whether a parameter is annotated with this class."""
    texts = self.parameters.values()
    return any(re.search(rf"\b{name}\b", text) for text in texts)

  def takes_triple(self) -> bool:
    """Whether it is handed what a run shares, a stage's name and the stage."""
    run = "shared" in self.parameters or self.takes("Inputs")
    return run and {"name", "stage"} <= set(self.parameters)


def files_of(tree: pathlib.Path) -> list[File]:
  """The modules of a tree's package.

  Raises:
    FileNotFoundError: there is none.
  """
  package = tree / PACKAGE
  found = []
  for path in sorted(package.rglob("*.py")):
    source = path.read_text(encoding="utf-8")
    found.append(File(path.relative_to(package), source, ast.parse(source)))
  if not found:
    raise FileNotFoundError(f"{package} holds no Python files")
  return found


def functions_of(file: File) -> Iterator[Function]:
  """All functions of a file."""
  for node in ast.walk(file.tree):
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
      at = node.args
      args = (*at.posonlyargs, *at.args, at.vararg, *at.kwonlyargs, at.kwarg)
      named = {arg.arg: _annotation(arg) for arg in args if arg}
      parameters = {k: v for k, v in named.items() if k not in ("self", "cls")}
      size = node.end_lineno - node.lineno + 1
      yield Function(f"{file.path}:{node.name}", parameters, size)


def comment_lines(file: File) -> int:
  """Lines that are a comment and nothing else."""
  tokens = tokenize.generate_tokens(io.StringIO(file.source).readline)
  return sum(
    token.type == tokenize.COMMENT and token.line.lstrip().startswith("#")
    for token in tokens
  )


def meanings(files: Iterable[File]) -> dict[str, set[Meaning]]:
  """What each of `WORDS` is the name of.

  A lower bound: variables without an annotation count as one meaning.
  """
  found: dict[str, set[Meaning]] = {word: set() for word in WORDS}
  for file in files:
    for name, sort, meaning in _defined(file):
      if name in found:
        found[name].add((sort, meaning))
  return found


def _defined(file: File) -> Iterator[tuple[str, str, str]]:
  """Names that a file defines, each with what it is and its annotation."""
  whole = file.path.name == "__init__.py"
  yield file.path.parent.name if whole else file.path.stem, "module", ""
  fields = set()
  for node in ast.walk(file.tree):  # a class before its fields
    match node:
      case ast.ClassDef():
        yield node.name, "class", ""
        for line in node.body:
          match line:
            case ast.AnnAssign(target=ast.Name(id=name)):
              yield name, "attribute", _annotation(line)
              fields.add(line.target)
      case ast.FunctionDef() | ast.AsyncFunctionDef():
        yield node.name, "function", ""
      case ast.arg():
        yield node.arg, "parameter", _annotation(node)
      case ast.Name(ctx=ast.Store()) if node not in fields:
        yield node.id, "variable", ""


def _annotation(node: ast.arg | ast.AnnAssign) -> str:
  return ast.unparse(node.annotation) if node.annotation else ""


def figures(files: Sequence[File]) -> dict[str, str | int]:
  """The rows of a tree, by their names, without those of words."""
  functions = [one for file in files for one in functions_of(file)]
  counts = [len(one.parameters) for one in functions]
  sizes = [file.size() for file in files]
  longest_file = max(files, key=File.size)
  longest = max(functions, key=lambda one: one.size)
  stages = [file for file in files if file.path.parts[0] == "stages"]
  return {
    f"Python files of {PACKAGE}/": len(files),
    "their lines": sum(sizes),
    "longest file": f"{longest_file.size()} ({longest_file.path})",
    **{f"files over {n} lines": _over(n, sizes) for n in LINES},
    "functions": len(functions),
    "their parameters, median": f"{statistics.median(counts):g}",
    "their parameters, mean": f"{statistics.mean(counts):.2f}",
    "their parameters, most": max(counts),
    **{f"functions over {n} parameters": _over(n, counts) for n in PARAMETERS},
    "longest function": f"{longest.size} ({longest.place})",
    "functions taking run, name, stage": sum(
      one.takes_triple() for one in functions
    ),
    "functions taking `Job`": sum(one.takes("Job") for one in functions),
    "comment lines in stages/": sum(map(comment_lines, stages)),
  }


def _over(most: int, sizes: Iterable[int]) -> int:
  return sum(size > most for size in sizes)


def table(trees: Mapping[str, Sequence[File]]) -> str:
  """The whole table, with words that have several meanings in some tree."""
  found = [meanings(files) for files in trees.values()]
  shown = [word for word in WORDS if any(len(one[word]) > 1 for one in found)]
  columns = []
  for files, of in zip(trees.values(), found, strict=True):
    several = [len(kinds) for kinds in of.values() if len(kinds) > 1]
    columns.append(
      {
        **figures(files),
        **{f"meanings of `{word}`": len(of[word]) for word in shown},
        "words with more than one meaning": f"{len(several)} of {len(WORDS)}",
        "their meanings": sum(several),
      }
    )
  lines = [["", *trees], ["---", *("---:" for _ in trees)]]
  lines += [[row, *(str(x[row]) for x in columns)] for row in columns[0]]
  return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def main() -> None:
  """The command."""
  parser = argparse.ArgumentParser()
  parser.add_argument("trees", nargs="*", metavar="TREE", default=[str(REPO)])
  args = parser.parse_args()
  print(table({name: files_of(pathlib.Path(name)) for name in args.trees}))


if __name__ == "__main__":
  main()
