"""`prod_jax search` at a prompt, for a pipe and for one query."""

import io
import json
import sys

import pytest

from prod_jax import serving
from prod_jax.cli import arguments, search
from prod_jax.strict import ConfigError
from tests import commands
from tests.serving.conftest import IMAGE


@pytest.fixture
def run(searched_run, cache, capsys):
  """Runs the command in this process; returns what it says."""

  def run(*line):
    words = [str(searched_run), f"--cache_dir={cache}", *line]
    search.run(arguments.parser_of(search).parse(words))
    return capsys.readouterr().out

  return run


def piped(monkeypatch, data):
  monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data), "utf-8"))


def test_one_query_is_answered_by_the_console_script(searched_run, cache):
  done = commands.run(
    "prod_jax.cli.search",
    str(searched_run),
    f"--cache_dir={cache}",
    "--query=garel",
    "--hits=3",
  )
  assert done.returncode == 0, done.stderr[-3000:]
  lines = done.stdout.splitlines()
  assert [line.split()[0] for line in lines[:6:2]] == ["1", "2", "3"]
  assert lines[-1].split(",")[0].strip() == "student" and " ms" in lines[-1]
  assert "\x1b" not in done.stdout


def test_json_is_a_line(run):
  answer = json.loads(run("--query=garel", "--json", "--stage=warm"))
  assert (answer["query"], answer["system"]) == ("garel", "warm")
  assert len(answer["hits"]) == 10


def test_each_line_of_a_pipe_is_a_query(run, monkeypatch, capsys):
  long = b"x" * 2000
  piped(monkeypatch, b"garel\n\n \nbelin \xff\n" + long + b"\nkarot")
  found = [json.loads(line) for line in run("--json").splitlines()]
  assert [one.get("query") for one in found] == [
    *("garel", "belin \ufffd", None, "karot")
  ]
  assert found[2] == {"error": "a query has at most 1,000 characters"}


def test_what_is_no_query_is_a_line(run, monkeypatch, capsys):
  piped(monkeypatch, b"x" * 2000)
  assert run() == ""
  for query, message in {
    "": "--query: the query is empty",
    "x" * 2000: "--query: a query has at most 1,000 characters",
  }.items():
    with pytest.raises(ConfigError, match=message):
      run(f"--query={query}")
  with pytest.raises(ConfigError, match="--hits is 101; 100 are looked up"):
    run("--query=a", "--hits=101")
  with pytest.raises(ConfigError, match="--query is answered without --serve"):
    run("--query=a", "--serve")


def test_a_prompt_answers_until_an_empty_line(
  run, searched_run, cache, monkeypatch, capsys
):
  typed = iter(["garel", "belin", ""])
  monkeypatch.setattr(sys, "stdin", io.StringIO())
  monkeypatch.setattr(sys.stdin, "isatty", lambda: True, raising=False)
  prompts = []
  monkeypatch.setattr(
    "builtins.input", lambda prompt: (prompts.append(prompt), next(typed))[1]
  )
  search.run(
    arguments.parser_of(search).parse(
      [str(searched_run), f"--cache_dir={cache}", "--hits=1"]
    )
  )
  said, beside = capsys.readouterr()
  assert "set, 122 passages, by student. An empty line ends it" in beside
  # It is no terminal: answers alone go there.
  assert said.count("  1  ") == 2 and said.startswith("  1  ")
  assert prompts == ["", "", ""]
  monkeypatch.setattr("builtins.input", lambda prompt: 1 / 0)
  with pytest.raises(ZeroDivisionError):
    run()


def test_words_are_coloured_and_nothing_else_reaches_a_terminal(library):
  from prod_jax.serving.library import Asked

  answer = library.answer(Asked(f"{IMAGE} garel", "student", hits=100))
  texts = {
    colours: "\n".join(search._told(answer, colours))
    for colours in (True, False)
  }
  assert f"{search._WORD}garel{search._PLAIN}" in texts[True]
  plain = texts[True]
  for style in (search._BOLD, search._DIM, search._WORD, search._PLAIN):
    plain = plain.replace(style, "")
  assert plain == texts[False]
  assert not {"\x1b", "\u202e", "\0", "\x07"} & set(plain)
  assert "red" in plain  # what stood behind an escape


@pytest.mark.parametrize(
  ("variable", "value", "has"),
  [("NO_COLOR", "1", False), ("NO_COLOR", "", True), ("TERM", "dumb", False)],
)
def test_colours_are_for_terminals_that_want_them(
  run, monkeypatch, variable, value, has
):
  monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
  monkeypatch.delenv("NO_COLOR", raising=False)
  monkeypatch.setenv("TERM", "xterm")
  monkeypatch.setenv(variable, value)
  assert ("\x1b[" in run("--query=garel", "--hits=1")) == has


def test_of_many_relevant_passages_some_are_named():
  missed = [{"id": f"p{n}\x1b", "relevant": 1, "rank": n} for n in range(1, 8)]
  index = {"kind": "exact", "recall": 1.0}
  answer = {"system": "a", "milliseconds": 1.0, "index": index}
  said = [*search._told({**answer, "hits": [], "missed": missed}, False)]
  assert said[0] == "     relevant too: p1 , at rank 1"
  assert said[5] == "     and 2 more" and len(said) == 7
  said = [*search._told({**answer, "hits": [], "missed": missed[:5]}, False)]
  assert len(said) == 6


def test_serving_without_its_extra_is_a_line(run, monkeypatch):
  monkeypatch.setitem(sys.modules, "prod_jax.serving.server", None)
  monkeypatch.delattr(serving, "server", raising=False)
  with pytest.raises(ConfigError, match=r"pip install 'prod_jax\[serve\]'"):
    run("--serve")


def test_serving_says_where(run, monkeypatch):
  server = pytest.importorskip("prod_jax.serving.server")
  opened = []

  def serve(library, host, port, ready):
    opened.append((host, port, [*library._opened]))
    ready("http://127.0.0.1:8765/")

  monkeypatch.setattr(server, "serve", serve)
  assert run("--serve").startswith("http://127.0.0.1:8765/\n")
  assert opened == [("127.0.0.1", search.PORT, ["student", "ce"])]
