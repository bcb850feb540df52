"""python -m benchmarks.run [--only=a,b] [--rounds=5] [--data=FOLDER]

Measures every piece: in each round each side in a process of its own, one
after the other, bound to the same cores. Prints medians, spread and ratios,
and writes results.json. What a run with --only leaves out stays as it was, and
what another processor measured is kept beside it.
"""

import argparse
import datetime
import importlib.metadata
import json
import os
import pathlib
import platform
import re
import resource
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from benchmarks import rows, side

RESULTS = pathlib.Path(__file__).with_name("results.json")
CACHE = "~/.cache/prod_jax/benchmarks"
PACKAGES = (
  "jax",
  "jaxlib",
  "flax",
  "numpy",
  "tokenizers",
  "scann",
  "sentence-transformers",
  "torch",
  "transformers",
  "faiss-cpu",
  "onnxruntime",
)
# How far two sides may be apart: numbers relative to those above 1, and the
# share of rows that are others.
APART = {"numbers": 1e-4, "rows": 0.01}


def main() -> None:
  """The command."""
  parser = argparse.ArgumentParser()
  names = [piece.module for piece in rows.PIECES]
  parser.add_argument("--only", default="", help=", ".join(names))
  parser.add_argument("--rounds", type=int, default=5)
  parser.add_argument("--data", default="", help="folder in MS MARCO layout")
  parser.add_argument("--cache", default=CACHE)
  args = parser.parse_args()
  only = args.only.split(",") if args.only else names
  if unknown := set(only) - set(names):
    sys.exit(f"--only: {', '.join(unknown)} unknown; known: {', '.join(names)}")
  data = str(pathlib.Path(args.data).resolve()) if args.data else ""
  cache = pathlib.Path(args.cache).expanduser() / _name(data)
  bound = sorted(os.sched_getaffinity(0))[: side.THREADS]
  os.sched_setaffinity(0, bound)
  found = _before({"machine": machine(), "versions": versions()}, _name(data))
  about = {"day": datetime.date.today().isoformat(), "commit": commit()}
  pieces = [piece for piece in rows.PIECES if piece.module in only]
  _prepare(cache, data, any(piece.reads_corpus for piece in pieces))
  for piece in pieces:
    runs, same = measure(piece, cache, args.rounds)
    found["runs"][piece.module] = runs
    found["same"][piece.module] = same
    found["measured"][piece.module] = about
    _write(found)
  sys.stdout.write(table(found["rows"]) + "\n")


def measure(
  piece: rows.Piece, cache: pathlib.Path, rounds: int
) -> tuple[dict[str, list[dict]], dict[str, float]]:
  """Runs the sides in turn, and holds their results against each other.

  Returns:
    What each side measured in each round; and by the side that was compared
    how far results are apart, in the round where they are farthest.
  """
  for name in piece.rehearsed:
    _run(piece, name, cache)
  runs: dict[str, list[dict]] = {name: [] for name in piece.sides}
  same: dict[str, float] = {}
  for number in range(min(rounds, piece.most_rounds)):
    # No side always comes first.
    for name in piece.sides[:: -1 if number % 2 else 1]:
      runs[name].append(_run(piece, name, cache))
      _say(f"{piece.module}, round {number + 1}, {name}", runs[name][-1])
    for sides in piece.same:
      apart = compare(piece.module, sides, cache)
      same[sides.first] = max(apart, same.get(sides.first, 0.0))
  return runs, same


def compare(piece: str, same: rows.Same, cache: pathlib.Path) -> float:
  """How far the results of two sides are apart, as `APART` counts it.

  Raises:
    SystemExit: so far that they have not done the same work.
  """
  first, second, how = same
  a, b = (np.load(side.proof(cache, piece, s)) for s in (first, second))
  if how == "numbers":
    apart = float(np.max(np.abs(a - b) / np.maximum(np.abs(b), 1)))
  else:
    others = [~np.isin(x, y) for x, y in zip(a, b, strict=True)]
    apart = float(np.mean(others))
  if not apart <= APART[how]:
    sys.exit(
      f"{piece}: {how} of {first} and {second} do not agree: they are {apart} "
      f"apart, {APART[how]} at most is allowed"
    )
  return apart


def commit() -> str:
  """What code is measured, as far as git knows."""

  def git(*arguments: str) -> subprocess.CompletedProcess:
    return subprocess.run(
      ["git", *arguments], cwd=RESULTS.parent, capture_output=True, text=True
    )

  name = git("rev-parse", "--short", "HEAD").stdout.strip()
  if not name:
    return "unknown"
  changed = git("diff", "--quiet", "HEAD", "--", ":/*.py").returncode
  return f"{name}, changed" if changed else name


def machine() -> dict[str, Any]:
  """What the figures depend on, beside the code."""
  info = pathlib.Path("/proc/cpuinfo").read_text().splitlines()
  lines = (line.partition(":") for line in info)
  about = {key.strip(): value.strip() for key, _, value in lines}
  total = pathlib.Path("/proc/meminfo").read_text().split()[1]
  return {
    "processor": _processor(about),
    "cores": os.cpu_count(),
    "threads": side.THREADS,
    "memory_gib": round(int(total) / 2**20, 1),
    "system": f"{platform.system()} {platform.release()}",
  }


def _processor(about: Mapping[str, str]) -> str:
  """Its name; makers give several generations the same one."""
  name = about.get("model name", platform.machine())
  if "cpu family" not in about:
    return name
  return f"{name}, family {about['cpu family']}, model {about['model']}"


def versions() -> dict[str, str]:
  """Of Python and the packages that matter."""
  found = {"python": platform.python_version()}
  return found | {name: importlib.metadata.version(name) for name in PACKAGES}


def table(found: Sequence[dict[str, Any]]) -> str:
  """The rows as text."""
  lines = [
    f"{'row':20}{'ours':>12}{'peer':>12} {'unit':11}{'ratio':>9}"
    f"{'spread':>21}{'goal':>8}"
  ]
  for row in found:
    spread = "{:.2f} to {:.2f}".format(*row["spread"])
    sign = ">=" if row["better"] == "higher" else "<="
    lines.append(
      f"{row['name']:20}{row['ours']:12,.2f}{row['peer']:12,.2f} "
      f"{row['unit']:11}{row['ratio']:9.2f}{spread:>21}"
      f"{sign + format(row['goal'], 'g'):>8}"
      f" {'reached' if row['reached'] else 'not reached'}"
    )
  return "\n".join(lines)


def _run(piece: rows.Piece, name: str, cache: pathlib.Path) -> dict[str, Any]:
  """One side in a process of its own.

  Returns:
    What it measured, and `others`: the cores that were busy with other work.
  """
  out = cache / "measured.json"
  out.unlink(missing_ok=True)
  before = _busy()
  _call(f"benchmarks.{piece.module}", cache, f"--side={name}", f"--out={out}")
  wall, all_of_it, own = (y - x for x, y in zip(before, _busy(), strict=True))
  others = max(all_of_it - own, 0.0) / wall
  return {**json.loads(out.read_text()), "others": round(others, 3)}


def _busy() -> tuple[float, float, float]:
  """Seconds: of the clock, of all busy cores, and of our children's share."""
  fields = pathlib.Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:]
  # Stolen is what the host of a virtual machine gave to others.
  user, nice, system, _, _, irq, softirq, stolen, *_ = map(int, fields)
  busy = user + nice + system + irq + softirq + stolen
  busy /= os.sysconf("SC_CLK_TCK")
  own = resource.getrusage(resource.RUSAGE_CHILDREN)
  return time.monotonic(), busy, own.ru_utime + own.ru_stime


def _call(module: str, cache: pathlib.Path, *arguments: str) -> None:
  threads = str(side.THREADS)
  names = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "RAYON_NUM_THREADS")
  log = cache / "log.txt"
  # A cache or flags of the user's would be part of what is measured.
  kept = {k: v for k, v in os.environ.items() if k[:4] not in ("JAX_", "XLA_")}
  with open(log, "w", encoding="utf-8") as file:
    done = subprocess.run(
      [sys.executable, "-m", module, f"--cache={cache}", *arguments],
      stdout=file,
      stderr=file,
      env={
        **kept,
        **dict.fromkeys(names, threads),
        "JAX_PLATFORMS": "cpu",
        "GLIBC_TUNABLES": side.LARGE_PAGES,
        "HF_HUB_OFFLINE": "1",
      },
    )
  if done.returncode:
    end = log.read_text(encoding="utf-8")[-3000:]
    sys.exit(f"{end}\n{module} {' '.join(arguments)} has failed; see {log}")


def _prepare(cache: pathlib.Path, data: str, with_corpus: bool) -> None:
  cache.mkdir(parents=True, exist_ok=True)
  began = time.monotonic()
  sys.stderr.write("preparing texts and embeddings, minutes the first time\n")
  corpus = ["--corpus"] if with_corpus else []
  _call("benchmarks.prepare", cache, f"--data={data}", *corpus)
  sys.stderr.write(f"prepared in {time.monotonic() - began:.0f} s\n")


def _name(data: str) -> str:
  return pathlib.Path(data).name or "pydocs"


def _before(about: dict[str, Any], data: str) -> dict[str, Any]:
  """What was measured before on the same machine with the same versions.

  Results of another processor give way to those that this one has left.
  """
  about = {**about, "data": data}
  if RESULTS.exists():
    last = json.loads(RESULTS.read_text())["machine"]
    if last["processor"] != about["machine"]["processor"]:
      RESULTS.replace(_kept(last))
      if (own := _kept(about["machine"])).exists():
        own.replace(RESULTS)
  if RESULTS.exists():
    found = json.loads(RESULTS.read_text())
    if all(found[key] == value for key, value in about.items()):
      return found
  return {**about, "rows": [], "runs": {}, "same": {}, "measured": {}}


def _kept(machine: dict[str, Any]) -> pathlib.Path:
  """Where results of a processor are while another one's are results.json."""
  name = re.sub(r"[^a-z0-9]+", "-", machine["processor"].lower()).strip("-")
  return RESULTS.with_name(f"{RESULTS.stem}-{name}.json")


def _write(found: dict[str, Any]) -> None:
  made = (rows.result(row, found["runs"]) for row in rows.ROWS)
  found["rows"] = [row for row in made if row]
  RESULTS.write_text(json.dumps(found, indent=1) + "\n")


def _say(what: str, measured: dict[str, Any]) -> None:
  rate = f", {measured['rate']:,.1f} a second" if "rate" in measured else ""
  sys.stderr.write(
    f"{what}: {measured['seconds']:.2f} s{rate}; "
    f"{measured['others']:.1f} cores busy with other work\n"
  )


if __name__ == "__main__":
  main()
