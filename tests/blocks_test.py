"""Every block of the README and of docs/ runs, or says why it does not.

Sybil reads the pages. Their Python runs here and their commands as processes of
their own, in a folder where the tutorial has been followed: it has the
tutorial's passages, and its run with tiny models. What a line says of sizes is
made smaller; all else stays. The same line on two pages runs once. A block that
cannot run here says so in its first line, and its lines are parsed.
"""

import contextlib
import importlib
import io
import json
import pathlib
import re
import shlex
import shutil
import subprocess
import sys
from typing import NamedTuple

import pytest
from sybil import Example, Sybil
from sybil.evaluators.python import PythonEvaluator
from sybil.parsers.markdown import CodeBlockParser

from prod_jax import config, packaged, strict
from prod_jax.cli import arguments, command
from tests import commands
from tests.commands import CACHE, REPO, environment

TUTORIAL = REPO / "docs" / "tutorial.md"
PAGES = [REPO / "README.md", *sorted((REPO / "docs").rglob("*.md"))]
# Whose blocks are run by tests of their own, see pages.py.
OTHERS = sorted((REPO / "docs").glob("ADD_A_*.md"))
LANGUAGES = {"", "sh", "python", "output", "text", "diff"}
NOT_RUN = "# not run by the tests: "
WHY = {
  "asks a server",
  "downloads CUDA",
  "downloads a model",
  "downloads packages",
  "downloads two models",
  "needs a GPU",
  "needs a GPU, and an index for the first line",
  "needs a second machine",
  "needs settings that are filled in",
  "needs the environment of make bench",
  "needs the TPU compiler",
  "needs the extra onnx",
  "needs torch",
  "trains for a minute",
}

FEW = (
  "--config.data.max_passages=200",
  "--config.data.max_queries={'train': 128, 'dev': 8, 'test': 32}",
)
# Of the tutorial's run: a student from labels, and the same for a second time
# in the place of its first lesson from a teacher.
TINY = (
  *FEW,
  "--config.stages.evaluate_student_warm.indexes=('exact',)",
  "--config.stages.evaluate_student_de.indexes=('exact',)",
  "--config.stages.student_de.init=student_warm",
  "--config.stages.student_de.candidates=",
  "--config.stages.student_de.scores=",
  "--config.stages.student_de.settings="
  "{'in_batch': True, 'temperature': 4.0, 'hard': 1.0, 'soft': 0.0}",
)
STARTED = "student_warm,encode_student_warm,evaluate_student_warm"
ENDED = f"{STARTED},student_de,encode_student_de,evaluate_student_de"
# What most commands import.
PRELOADED = " ".join(
  f"prod_jax.{name}"
  for name in (
    "curriculum",
    "export.systems",
    "export.vectors",
    "export.whole",
    "report",
    *(f"stages.{kind}" for kind in ("accept", "encode", "evaluate", "train")),
  )
)
# Of a config, the stages that are run. What has no small form is only shown.
STAGES = {"medquad": ENDED, "imported": "teacher"}
SHOWN = ("generated",)


class Block(NamedTuple):
  """A fenced block of a page."""

  page: pathlib.Path
  line: int
  language: str
  text: str


def blocks() -> list[Block]:
  found = []
  for page in PAGES:
    text = page.read_text()
    for fence in re.finditer(
      r"^```([^\n]*)\n(.*?)^```$", text, flags=re.M | re.S
    ):
      line = text.count("\n", 0, fence.start()) + 1
      found.append(Block(page, line, *fence.groups()))
  return found


def commands_of(text: str) -> list[list[str]]:
  """The words of each command of a block, what is behind `>` among them."""
  joined = text.replace("\\\n", " ")
  return [shlex.split(line, comments=True) for line in joined.splitlines()]


def test_blocks_are_of_languages_that_are_looked_at():
  for block in blocks():
    where = f"{block.page.name}:{block.line}"
    directive = re.fullmatch(r"\{[\w-]+\}.*", block.language)
    assert directive or block.language in LANGUAGES, where
    if not block.language and block.page not in OTHERS:
      assert not re.search(r"^(prod_jax|python|make) ", block.text, re.M), where


def test_blocks_that_are_not_run_say_why():
  marked = [block for block in blocks() if NOT_RUN in block.text]
  assert len(marked) == 18
  whys = [
    block.text.splitlines()[0].removeprefix(NOT_RUN).strip() for block in marked
  ]
  assert set(whys) == WHY
  for block in marked:
    assert block.language == "sh"
    for words in commands_of(block.text):
      if words and words[0].endswith("prod_jax"):
        parser_of(words).parse(words[2:])


class Reader:
  """Follows pages, in one folder.

  Attributes:
    folder: where their lines are said.
    said: what the last block has said.
    lacking: packages that blocks wanted and that are not installed.
  """

  def __init__(self, folder: pathlib.Path):
    self.folder = folder
    self.said = ""
    self.lacking: list[str] = []
    self._done: dict[tuple[str, ...], str] = {}
    self._sybil = Sybil(
      [
        CodeBlockParser("python", self._python),
        CodeBlockParser("sh", self._sh),
        CodeBlockParser("output", self._output),
      ]
    )

  def follow(self, page: pathlib.Path) -> dict:
    """Does what a page says; the names that its Python has left."""
    self.lacking.clear()
    document = self._sybil.parse(page)
    with contextlib.chdir(self.folder):
      for example in document:
        example.evaluate()
    return document.namespace

  def _python(self, example: Example) -> None:
    said = io.StringIO()
    try:
      with contextlib.redirect_stdout(said):
        PythonEvaluator()(example)
    except ModuleNotFoundError as error:
      self.lacking.append(str(error.name))
    self.said = said.getvalue()

  def _sh(self, example: Example) -> None:
    if not example.parsed.startswith(NOT_RUN):
      said = [self._run(words) for words in commands_of(example.parsed)]
      self.said = "".join(said)

  def _output(self, example: Example) -> str | None:
    """A reader's first line stands there, with whatever numbers."""
    wanted = shape(example.parsed.splitlines()[0])
    if any(shape(line).startswith(wanted) for line in self.said.splitlines()):
      return None
    return f"no line of the output is like {wanted!r}:\n{self.said}"

  def _run(self, words: list[str]) -> str:
    if ">" in words:
      words, (to,) = words[: words.index(">")], words[words.index(">") + 1 :]
      path = self.folder / to.replace("docs/", "runs/")
      path.write_text(self._run(words))
      return ""
    key = tuple(small(words))
    if key not in self._done:
      self._done[key] = self._start(list(key))
    return self._done[key]

  def _start(self, words: list[str]) -> str:
    if words[0] == "prod_jax":
      env = environment(fast=True, PRELOADED=PRELOADED)
      module = command.module_of(words[1])
      done = commands.run(module, *words[2:], cwd=self.folder, env=env)
    elif words[0] == "make":
      assert words[1] in (REPO / "Makefile").read_text()
      done = subprocess.run(
        [*words, "--dry-run"], cwd=REPO, capture_output=True, text=True
      )
    else:
      assert words[0] in ("cp", "python"), words
      words = [sys.executable, *words[1:]] if words[0] == "python" else words
      done = subprocess.run(
        words,
        cwd=self.folder,
        env=environment(),
        capture_output=True,
        text=True,
      )
    assert done.returncode == 0, f"{shlex.join(words)}\n{done.stderr[-3000:]}"
    return done.stdout


def shape(line: str) -> str:
  """A line without its numbers and gaps."""
  return " ".join(re.sub(r"\d+(\.\d+)?", "#", line).split())


def parser_of(words: list[str]) -> arguments.Parser:
  """The parser of `prod_jax COMMAND …`."""
  module = importlib.import_module(command.module_of(words[1]))
  return arguments.parser_of(module)


def small(words: list[str]) -> list[str]:
  """A command with sizes for a test."""
  if words[0] == "python":
    return [*words, "--dry_run"]
  if words[0] != "prod_jax":
    return words
  line = "\n".join(words).replace("accept_student_final", "student_de")
  line = line.replace(
    "runs/generated\n--stage=learnt", "runs/mine\n--stage=student_de"
  )
  line = line.replace("encode_student,evaluate_student", STARTED)
  named = re.search(r"--config=configs/(\w+)\.py(:?)(?!:runlocal)", line)
  if named and named[1] in SHOWN:
    line += "\n--dry_run"
  elif named and "runlocal" not in line:
    rest = "," if named[2] else ""
    line = line.replace(
      named[0], f"--config=configs/{named[1]}.py:runlocal{rest}"
    )
  words = line.splitlines()
  name = named[1] if named else ""
  if name:
    words.append(f"--config.data.data_dir={CACHE / 'data'}")
  if name == "medquad":
    words += TINY
  if name == "imported":
    words += FEW
  if words[1] in ("evaluate", "search"):
    words.append(f"--cache_dir={CACHE / words[1]}")
  if words[1] == "evaluate" and "--config.data.path=my_passages" in words:
    words += FEW
  if words[1] == "run" and not re.search("--dry_run|--stages", line):
    words.append(f"--stages={STAGES[name]}")
  return words


@pytest.fixture(scope="module")
def reader(tmp_path_factory) -> Reader:
  """One who has followed the tutorial."""
  try:
    packaged.model_folder()
  except ModuleNotFoundError as error:
    pytest.skip(str(error))
  folder = tmp_path_factory.mktemp("reader")
  (folder / "configs").symlink_to(REPO / "configs")
  write_files(folder)
  reader = Reader(folder)
  reader.follow(TUTORIAL)
  # Runs that are held against each other are two.
  shutil.copytree(folder / "runs" / "mine", folder / "runs" / "quickstart")
  return reader


def write_files(folder: pathlib.Path) -> None:
  """What pages take as the reader's own."""
  shutil.copytree(REPO / "launch", folder / "launch")
  example = folder / "launch" / "v5e-8.toml"
  filled = example.read_text().replace('project = ""', 'project = "mine"')
  example.write_text(filled.replace('workdir = ""', 'workdir = "gs://a/b"'))
  (folder / "texts.tsv").write_text("p1\ta title\ta text\n")
  scores = [
    {"query_id": f"q{i}", "passage_id": f"{j}", "score": 1 / (2 + i + j)}
    for i in range(1449)
    for j in (i, (i + 1) % 1449)
  ]
  lines = [f"{json.dumps(row)}\n" for row in scores]
  (folder / "scores.jsonl").write_text("".join(lines))
  collection = folder / "my_collection"
  collection.mkdir()
  (collection / "collection.tsv").write_text("a\ta title\ta text\n")
  made = json.dumps({"query": "a query", "passage_id": "a"})
  (collection / "queries.generated.jsonl").write_text(f"{made}\n")
  beir = folder / "my_beir"
  (beir / "qrels").mkdir(parents=True)
  row = json.dumps({"_id": "a", "title": "", "text": "a text"})
  for name in ("corpus", "queries"):
    (beir / f"{name}.jsonl").write_text(f"{row}\n")
  for split in ("train", "dev", "test"):
    judged = "query-id\tcorpus-id\tscore\na\ta\t1\n"
    (beir / "qrels" / f"{split}.tsv").write_text(judged)


@pytest.mark.parametrize(
  "page",
  [page for page in PAGES if page not in OTHERS],
  ids=lambda page: str(page.relative_to(REPO)),
)
def test_a_page_can_be_followed(reader, page):
  if page != TUTORIAL:
    names = reader.follow(page)
    if "stages" in names:
      raw = dict(seed=0, data={}, mesh={}, models={}, stages=names["stages"])
      strict.section(config.Config, raw, "config")
  if reader.lacking:
    pytest.skip(f"not installed: {', '.join(reader.lacking)}")
