"""Passages for a query that you type, with what a run has trained.

  prod_jax search runs/quickstart
  prod_jax search runs/quickstart --query="parse a configuration file"
  prod_jax search runs/quickstart --serve
  prod_jax search FOLDER --config.data.path=/path/to/collection

A prompt, one answer, or a page for a browser. WORKDIR alone searches with the
student that was accepted or trained last, among the passages of its run, by
the vectors that its stages have left. A SYSTEM is one of these, or LABEL= and
one of these, and searches the set of --config.data.…, or else that of the first
WORKDIR:

  WORKDIR:STAGE          what a train stage has made
  WORKDIR:MODEL          a model of a run, with its config's weights
  FOLDER, NAME/MODEL     a model's folder, exported or of sentence-transformers,
                         or its name on a hub

Vectors that no stage has made are made first, and kept in --cache_dir. Without
a terminal each line of standard input is a query.
"""

import argparse
import contextlib
import io
import os
import pathlib
import sys
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from prod_jax.cli import arguments
from prod_jax.strict import printable

if TYPE_CHECKING:
  from prod_jax.serving.library import Library

PORT = 8765
_PROMPT = "search> "
_MISSED = 5  # relevant passages besides the hits that are named
_BOLD, _DIM, _WORD, _PLAIN = (f"\x1b[{n}m" for n in ("1", "2", "1;36", "0"))


def build(parser: arguments.Parser) -> None:
  parser.add_argument(
    "systems", metavar="SYSTEM…", nargs="+", help="What is searched with."
  )
  parser.add_overrides("of the set, such as data.path")
  parser.add_argument(
    "--stage",
    metavar="NAME",
    default="",
    help="Stage of WORKDIR to search with, instead of its last student.",
  )
  parser.add_argument(
    "--query", metavar="TEXT", help="Answers this query, and ends."
  )
  parser.add_argument(
    "--hits",
    metavar="N",
    type=arguments.at_least(1),
    default=10,
    help="Passages that are shown for a query, 100 at most.",
  )
  parser.add_json("each answer on a line of its own")
  parser.add_switch("serve", "Serves a page and JSON over HTTP.")
  parser.add_argument(
    "--host",
    metavar="NAME",
    default="127.0.0.1",
    help="Where to serve. Others than this machine reach it at another address "
    "than this one, and may search.",
  )
  parser.add_argument(
    "--port",
    metavar="N",
    type=arguments.at_least(0),
    default=PORT,
    help="Port to serve at; 0 is any that is free.",
  )
  parser.add_argument(
    "--cache_dir",
    metavar="DIR",
    default="~/.cache/prod_jax/search",
    help="Folder for vectors, prepared sets and compiled programs, which are "
    "then not made again.",
  )


def run(args: argparse.Namespace) -> None:
  from prod_jax import memory

  with memory.imports():
    from prod_jax.serving import opened
    from prod_jax.serving.library import MOST_HITS
    from prod_jax.strict import ConfigError

  if args.hits > MOST_HITS:
    raise ConfigError(f"--hits is {args.hits}; {MOST_HITS} are looked up")
  if args.serve and args.query is not None:
    raise ConfigError("--query is answered without --serve; leave one out")
  serve = _server() if args.serve else None
  library = opened.open_library(
    args.systems,
    args.overrides,
    pathlib.Path(args.cache_dir).expanduser(),
    args.stage,
  )
  library.opened(library.chosen)
  if serve:
    library.opened(library.beside)
    serve(library, args.host, args.port, _say_address)
    return
  colours = (
    sys.stdout.isatty()
    and not os.environ.get("NO_COLOR")
    and os.environ.get("TERM") != "dumb"
  )
  asked = [args.query] if args.query is not None else _lines(library)
  for query in asked:
    _answer(library, query, args, colours)


def _server() -> Any:
  """What serves; of an extra."""
  from prod_jax.strict import ConfigError

  try:
    from prod_jax.serving import server
  except ImportError as error:
    raise ConfigError(
      f"--serve needs starlette and uvicorn ({error}): "
      "pip install 'prod_jax[serve]'"
    ) from error
  return server.serve


def _say_address(address: str) -> None:
  sys.stdout.write(f"{address}\nCtrl-C ends it.\n")
  sys.stdout.flush()


def _lines(library: "Library") -> Iterator[str]:
  """What is typed, up to the end or an empty line; or what is piped."""
  if not sys.stdin.isatty():
    if isinstance(sys.stdin, io.TextIOWrapper):
      sys.stdin.reconfigure(errors="replace")
    yield from filter(str.strip, sys.stdin)
    return
  with contextlib.suppress(ImportError):  # not every Python has it
    import readline  # lines can be edited, and come again

    del readline
  said = library.described()
  # Answers alone go to standard output, which may be a file.
  sys.stderr.write(
    f"{said['collection']['name']}, {said['collection']['passages']:,} "
    f"passages, by {library.chosen}. An empty line ends it.\n"
  )
  prompt = _PROMPT if sys.stdout.isatty() else ""
  try:
    while line := input(prompt).strip():
      yield line
  except (EOFError, KeyboardInterrupt):
    sys.stderr.write("\n")


def _answer(
  library: "Library", query: str, args: argparse.Namespace, colours: bool
) -> None:
  from prod_jax.serving.library import Asked, BadQuery
  from prod_jax.strict import ConfigError

  try:
    found = library.answer(Asked(query, library.chosen, hits=args.hits))
  except BadQuery as error:
    if args.query is not None:
      raise ConfigError(f"--query: {error}") from error
    if args.json:  # a line for each line
      arguments.say_json({"error": str(error)}, indent=None)
    else:
      sys.stderr.write(f"{error}\n")
    return
  if args.json:
    arguments.say_json(found, indent=None)
    return
  sys.stdout.write("\n".join(_told(found, colours)) + "\n")
  sys.stdout.flush()


def _told(answer: dict[str, Any], colours: bool) -> Iterator[str]:
  """An answer for people."""
  for hit in answer["hits"]:
    title = _shown([hit["title"] or hit["id"]], colours)
    mark = "  ✓ relevant" if hit["relevant"] else ""
    score = _in(_DIM, f"  {hit['score']:.3f}", colours)
    yield f"{hit['rank']:>3}  {_in(_BOLD, title, colours)}{score}{mark}"
    yield f"     {_shown(hit['context'], colours)}"
  for passage in answer["missed"][:_MISSED]:
    where = f"at rank {passage['rank']}" if passage["rank"] else "further down"
    name = printable(passage["id"])
    yield f"     relevant too: {name}, {where}"
  if (more := len(answer["missed"]) - _MISSED) > 0:
    yield f"     and {more} more"
  recall, kind = answer["index"]["recall"], answer["index"]["kind"]
  near = f", recall {recall:.3f} of exact" if kind != "exact" and recall else ""
  yield _in(
    _DIM,
    f"     {answer['system']}, {kind}{near}, {answer['milliseconds']:.1f} ms",
    colours,
  )


def _shown(pieces: Sequence[str], colours: bool) -> str:
  """A text of which every second piece is a word of the query.

  What a terminal would obey is left out: a passage may hold anything.
  """
  return "".join(
    _in(_WORD, printable(piece), colours) if i % 2 else printable(piece)
    for i, piece in enumerate(pieces)
  )


def _in(style: str, text: str, colours: bool) -> str:
  return f"{style}{text}{_PLAIN}" if colours else text


if __name__ == "__main__":
  arguments.start(__name__)
