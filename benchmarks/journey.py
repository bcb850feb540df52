"""A newcomer's way through a clean clone, as docs/JOURNEY.md.

    python -m benchmarks.journey run
    python -m benchmarks.journey page

The first walks it in the repository that it stands in, twenty minutes on two
cores: it makes environment, run and models as the README and the
tutorial say, and leaves `benchmarks/journey.json` and pictures of pages in
`docs/_static/journey/`. Those need Chromium and the site of `make docs`. The
second writes the page of that file. Nothing is typed in by hand.
"""

import argparse
import contextlib
import json
import os
import pathlib
import platform
import re
import subprocess
import time
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import jax

from prod_jax import origin
from tests.serving import browser

REPO = pathlib.Path(__file__).parents[1]
MADE = REPO / "benchmarks" / "journey.json"
PAGE = REPO / "docs" / "JOURNEY.md"
PICTURES = REPO / "docs" / "_static" / "journey"
MINE = "runs/mine"  # as the tutorial calls it
WIDE, NARROW = (1280, 860), (390, 844)
_LINES = 12  # of what a command says are kept, at most
_TABLE = 30  # of one that ends with a table
_BLOCK = re.compile(r"```python\n(import ast\n.*?)```", re.DOTALL)
_QUERY = "read a configuration file"
# Both sides have answered, and none is still pale.
_SHOWN = """document.querySelectorAll('#left .hit').length > 0
  && document.querySelectorAll('#right .hit').length > 0
  && [...document.querySelectorAll('.hits')].every(
    (hits) => getComputedStyle(hits).opacity === '1')"""


class Step(NamedTuple):
  """A command, what it is for, and how many of its last lines are shown."""

  title: str
  command: str
  lines: int = _LINES


STEPS = (
  Step("The first command", "make quickstart", _TABLE),
  Step("Where does it stand?", "prod_jax status runs/quickstart", _TABLE),
  Step(
    "Ask it something",
    f'prod_jax search runs/quickstart --hits=3 --query="{_QUERY}"',
  ),
  Step("Is it real?", "prod_jax evaluate runs/quickstart --changed=2", _TABLE),
  Step(
    "Take it out",
    "prod_jax export --workdir=runs/quickstart --stage=accept_student_final "
    "--to=runs/quickstart_student",
  ),
  Step("My own passages", "python my_passages.py"),
  Step(
    "What would run?",
    "prod_jax run --config=configs/medquad.py:data.path=my_passages "
    f"--workdir={MINE} --dry_run",
    _TABLE,
  ),
  Step(
    "How long will it take?",
    "prod_jax plan --config=configs/medquad.py:data.path=my_passages "
    f"--workdir={MINE}",
    _TABLE,
  ),
  Step(
    "Run it",
    "prod_jax run --config=configs/medquad.py:data.path=my_passages "
    f"--workdir={MINE}",
    _TABLE,
  ),
  Step("Did it take that long?", f"prod_jax status {MINE}", _TABLE),
  Step(
    "Ask that one",
    f"prod_jax search {MINE} --hits=3 "
    '--query="parse the options of a command line"',
  ),
  Step(
    "Take that one out",
    f"prod_jax export --workdir={MINE} --stage=accept_student_final "
    "--to=runs/student",
  ),
)


def walk() -> dict[str, Any]:
  """Runs every step, and takes the pictures."""
  text = (REPO / "docs" / "tutorial.md").read_text(encoding="utf-8")
  (block,) = _BLOCK.findall(text)
  (REPO / "my_passages.py").write_text(block, encoding="utf-8")
  steps = []
  for step in STEPS:
    print(f"$ {step.command}", flush=True)
    steps.append(_taken(step))
  PICTURES.mkdir(parents=True, exist_ok=True)
  pictures = _pictures()
  here = origin.here(jax.devices())
  return {
    "commit": here["commit"],
    "processor": here["processor"],
    "python": platform.python_version(),
    "steps": steps,
    "pictures": pictures,
  }


def _taken(step: Step) -> dict[str, Any]:
  """What a step said, and when.

  Raises:
    RuntimeError: it failed.
  """
  began, first, lines = time.monotonic(), 0.0, []
  with _started(step.command) as process:
    assert process.stdout is not None
    for line in process.stdout:
      first = first or time.monotonic() - began
      lines.append(line.rstrip().replace(str(REPO), "."))
      print(line, end="", flush=True)
  if process.returncode:
    raise RuntimeError(f"{step.command}: ended with {process.returncode}")
  return {
    "title": step.title,
    "command": step.command,
    "first": round(first, 1),
    "seconds": round(time.monotonic() - began, 1),
    "said": lines[-step.lines :],
    "before": max(len(lines) - step.lines, 0),
  }


def _started(command: str) -> subprocess.Popen[str]:
  """A command of somebody who has said `. .venv/bin/activate`."""
  path = f"{REPO / '.venv' / 'bin'}{os.pathsep}{os.environ['PATH']}"
  own = {"PATH": path, "NO_COLOR": "1", "JAX_PLATFORMS": "cpu"}
  return subprocess.Popen(
    ["bash", "-c", command],
    cwd=REPO,
    env=os.environ | own,
    stdout=subprocess.PIPE,
    stderr=subprocess.STDOUT,
    text=True,
  )


def _pictures() -> dict[str, str]:
  """Pages as they look, by what they show."""
  found = browser.found()
  if found is None:
    return {}
  report = (REPO / "runs" / "quickstart" / "report.html").as_uri()
  site = REPO / "build" / "docs" / "index.html"
  with _served() as address, browser.opened(found) as page:
    asked = f"{address}/?q={_QUERY.replace(' ', '+')}"
    shots = {
      "search-wide": (asked, WIDE, "light"),
      "search-dark": (asked, WIDE, "dark"),
      "search-phone": (asked, NARROW, "light"),
      "report-wide": (report, WIDE, "light"),
      "report-dark": (report, WIDE, "dark"),
      "report-phone": (report, NARROW, "light"),
    }
    if site.exists():
      shots["docs-wide"] = (site.as_uri(), WIDE, "light")
      shots["docs-dark"] = (site.as_uri(), WIDE, "dark")
      shots["docs-phone"] = (site.as_uri(), NARROW, "light")
    for name, (place, size, scheme) in shots.items():
      page.size(*size)
      page.prefer(scheme)
      page.open(place)
      if place == asked:
        page.wait(_SHOWN)
      page.shoot(PICTURES / f"{name}.png")
  return {name: f"{name}.png" for name in shots}


@contextlib.contextmanager
def _served() -> Iterator[str]:
  """The address of the page of the quickstart's student."""
  command = "prod_jax search runs/quickstart --serve --port=0"
  with _started(f"exec {command}") as process:
    assert process.stdout is not None
    for line in process.stdout:
      if match := re.search(r"http://[\w.:]+", line):
        break
    else:
      raise RuntimeError(f"{command}: said no address")
    try:
      yield match[0]
    finally:
      process.terminate()


def page(made: Mapping[str, Any]) -> str:
  """The page of what `walk` has found."""
  parts = [
    "# A newcomer's way",
    "Written by `python -m benchmarks.journey page` of what `python -m "
    "benchmarks.journey run` saw in a clean clone, at commit "
    f"{origin.short(made['commit'])}, on {made['processor']}, with Python "
    f"{made['python']}. Environment, run and models are made on the way.",
    _times(made["steps"]),
    *(_step(step) for step in made["steps"]),
  ]
  if made["pictures"]:
    parts.append("## What the pages look like")
    parts += [
      f"![{name.replace('-', ', ')}](_static/journey/{file})"
      for name, file in made["pictures"].items()
    ]
  return "\n\n".join(parts) + "\n"


def _times(steps: list[Mapping[str, Any]]) -> str:
  rows = ["| step | first line after | done after |", "|---|---:|---:|"]
  rows += [
    f"| {s['title']} | {_duration(s['first'])} | {_duration(s['seconds'])} |"
    for s in steps
  ]
  return "\n".join(rows)


def _duration(seconds: float) -> str:
  if seconds < 60:
    return f"{seconds:.1f} s"
  return f"{int(seconds // 60)} min {int(seconds % 60)} s"


def _step(step: Mapping[str, Any]) -> str:
  more = [f"… {step['before']} lines"] if step["before"] else []
  said = "\n".join([f"$ {step['command']}", *more, *step["said"]])
  return f"## {step['title']}\n\n```text\n{said}\n```"


def main() -> None:
  """Walks, or writes the page."""
  parser = argparse.ArgumentParser(description=__doc__)
  parser.add_argument("what", choices=("run", "page"))
  if parser.parse_args().what == "run":
    MADE.write_text(json.dumps(walk(), indent=1) + "\n", encoding="utf-8")
  text = page(json.loads(MADE.read_text(encoding="utf-8")))
  PAGE.write_text(text, encoding="utf-8")


if __name__ == "__main__":
  main()
