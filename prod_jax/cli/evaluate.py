"""python -m prod_jax.cli.evaluate SYSTEM… --config.data.path=FOLDER

Measures rankers on a set, and with --compare holds them against the first one
on the line. A SYSTEM is one of these, or LABEL= and one of these:

  bm25, bm25:LANGUAGE    words, with the extra bm25
  FILE.trec, FILE.run    a TREC run
  WORKDIR:STAGE          what a train stage has made
  FOLDER, NAME/MODEL     a model's folder, exported or of sentence-transformers,
                         or its name on a hub

The set is that of --config.data.… in a folder as MS MARCO or BEIR has them, or
a published one, and else that of the first WORKDIR. WORKDIR alone compares the
stages of a run's student by the runs that they left.
"""

import json
import pathlib
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from absl import flags

from prod_jax import compilation, kinds, metrics, storage, strict
from prod_jax.cli import arguments
from prod_jax.export import finished, systems, task
from prod_jax.report import changes, tables

_SPLIT = flags.DEFINE_string(
  "split", None, "Whose queries are ranked; test where nothing else is said."
)
_METRICS = flags.DEFINE_list(
  "metrics",
  list(kinds.Evaluate.metrics),
  "What is measured, such as ndcg@10. Comparisons are by the first.",
)
_RELEVANT = flags.DEFINE_integer(
  "relevant", None, "Lowest grade that counts in binary metrics.", lower_bound=1
)
_DEPTH = flags.DEFINE_integer(
  "depth", 100, "Passages that are found for a query.", lower_bound=1
)
_FIRST = flags.DEFINE_string(
  "first",
  None,
  "Label of the system whose passages are put in order by those that read "
  "pairs; the first one on the line where it is not given.",
)
_RERANK = flags.DEFINE_integer(
  "rerank_depth", 100, "How many passages these put in order.", lower_bound=1
)
_COMPARE = flags.DEFINE_bool(
  "compare", False, "Compare each system with the first one on the line."
)
_CHANGED = flags.DEFINE_integer(
  "changed", 10, "Of a comparison, the queries to show.", lower_bound=0
)
_PER_QUERY = flags.DEFINE_string(
  "per_query", None, "File for the values of each query, .tsv or .json."
)
_JSON = flags.DEFINE_string(
  "json", None, "File for figures and comparisons as JSON."
)
_RUN = flags.DEFINE_string(
  "run",
  None,
  "FILE.trec for the ranking as a TREC run; of several FILE.LABEL.trec.",
)
_CACHE = flags.DEFINE_string(
  "cache_dir",
  "~/.cache/prod_jax/evaluate",
  "Folder for prepared sets and their tokens, which are then not made again.",
)

# By query.
_Values = Mapping[str, Mapping[str, Mapping[str, float]]]


def main(*words: str) -> None:
  _check_flags()
  parsed = systems.parse(words)
  alone = parsed[0].spec if len(parsed) == 1 else ""
  if alone and (storage.open_path(alone) / finished.CURRICULUM).exists():
    _of_curriculum(alone)
  else:
    _of_systems(parsed)


def _of_systems(parsed: Sequence[systems.System]) -> None:
  if _COMPARE.value and len(parsed) < 2:
    raise strict.ConfigError(
      "--compare takes two systems or more, or a run's WORKDIR alone"
    )
  labels = [system.label for system in parsed]
  first = _FIRST.value or labels[0]
  if first not in labels:
    raise strict.ConfigError(
      f"--first: there is no system {first!r}; there are {', '.join(labels)}"
    )
  cache = pathlib.Path(_CACHE.value).expanduser()
  compilation.keep(cache / "compiled")
  asked = task.open_task(
    arguments.overrides(sys.argv),
    next((s.stage[0] for s in parsed if s.stage[0]), ""),
    cache,
    split=_SPLIT.value or "test",
    depth=_DEPTH.value,
    rerank_depth=_RERANK.value,
  )
  rankings = systems.rank_all(parsed, asked, first)
  values = {
    label: systems.evaluate(
      ranking, asked, _METRICS.value, _RELEVANT.value or 1
    )
    for label, ranking in rankings.items()
  }
  if _RUN.value:
    _write_runs(pathlib.Path(_RUN.value), parsed, rankings, asked)
  queries = asked.dataset.queries[asked.split]
  text_of = {query.id: " ".join(query.text.split()) for query in queries}
  found = changes.against_first(_headline(values)) if _COMPARE.value else []
  _say_scope(asked.dataset.name, asked.split, len(queries))
  _say_table("system", values)
  if those := [label for label, of in rankings.items() if of.reorders]:
    depth = asked.rerank_depth
    _say(f"{', '.join(those)}: the first {depth} of {first} in another order")
  if found:
    _say_comparison(found)
    _say_changed(values, found, text_of)
  _write_json(asked.dataset.name, asked.split, values, found)
  _write_rows(
    {
      "query": query,
      "system": label,
      **{name: by_query.get(query) for name, by_query in of.items()},
      "text": text,
    }
    for query, text in text_of.items()
    for label, of in values.items()
  )


def _write_runs(
  to: pathlib.Path,
  parsed: Sequence[systems.System],
  rankings: Mapping[str, systems.Ranking],
  asked: task.Task,
) -> None:
  for system in parsed:
    own = f".{system.label}{to.suffix}" if len(parsed) > 1 else to.suffix
    path = to.with_name(f"{to.stem}{own}")
    systems.write(rankings[system.label], system, asked, path)


def _of_curriculum(workdir: str) -> None:
  if _RUN.value:
    raise strict.ConfigError(
      f"--run: the stages' runs are in {workdir} already, run.trec of each"
    )
  if other := arguments.overrides(sys.argv):
    raise strict.ConfigError(
      f"--config.{other[0]}: {workdir} alone is compared on its own set; name "
      "WORKDIR:STAGE for each stage to be measured on another"
    )
  dataset, left = task.open_finished(workdir)
  if (_SPLIT.value or left.split) != left.split:
    raise strict.ConfigError(
      f"--split: {workdir} has measured split {left.split!r}; take that, or "
      "name WORKDIR:STAGE for each stage to be measured on another"
    )
  values = changes.of_students(
    left, dataset.qrels(left.split), _METRICS.value, _RELEVANT.value
  )
  text_of = {
    query.id: " ".join(query.text.split())
    for query in dataset.queries[left.split]
  }
  start_of = changes.starts(left, values)
  found = changes.against_start(_headline(values), start_of)
  _say_scope(dataset.name, left.split, len(text_of))
  _say_table("stage", values)
  _say(f"\n{_METRICS.value[0]} against where a stage began, p by Holm:")
  for change in found:
    _say(
      f"stage {change.name} against {change.before}: won {change.paired.wins}, "
      f"lost {change.paired.losses} queries, {_difference(change)}, p "
      f"{change.p:.4f}"
    )
  _say_changed(values, found, text_of)
  _write_json(dataset.name, left.split, values, found)
  _write_rows(
    {
      "query": course.query,
      **{name: course.values.get(name) for name in values},
      "won_at": course.won and course.won[0],
      "gain": course.won and course.won[1],
      "lost_at": course.lost and course.lost[0],
      "loss": course.lost and course.lost[1],
      "text": text_of[course.query],
    }
    for course in changes.courses(_headline(values), start_of)
  )


def _check_flags() -> None:
  try:
    metrics.evaluate({}, {}, _METRICS.value)
  except ValueError as error:
    raise strict.ConfigError(f"--metrics: {error}") from error
  if not _METRICS.value:
    raise strict.ConfigError("--metrics names none; leave it out, or name one")
  for name in _METRICS.value:
    cut = name.partition("@")[2]
    if cut and int(cut) > _DEPTH.value:
      raise strict.ConfigError(
        f"--depth is {_DEPTH.value}, and {name} looks further; set "
        f"--depth={cut}"
      )
  for name, path, endings in (
    ("per_query", _PER_QUERY.value, (".tsv", ".json")),
    ("run", _RUN.value, systems.RUNS),
  ):
    if path and pathlib.Path(path).suffix not in endings:
      raise strict.ConfigError(
        f"--{name} is {path!r}; it ends with {' or '.join(endings)}"
      )


def _headline(values: _Values) -> dict[str, Mapping[str, float]]:
  """The values of the metric that comparisons are by."""
  return {label: of[_METRICS.value[0]] for label, of in values.items()}


def _say_scope(name: str, split: str, queries: int) -> None:
  _say(f"{name}, split {split}, {queries} queries\n")


def _say_table(what: str, values: _Values) -> None:
  rows = [
    (label, *(tables.number(metrics.mean(by)) for by in of.values()))
    for label, of in values.items()
  ]
  _say_rows([(what, *_METRICS.value), *rows])


def _say_comparison(compared: Sequence[changes.Change]) -> None:
  _say(
    f"\n{_METRICS.value[0]} against {compared[0].before}, with the 95 % "
    "interval and p by Holm:"
  )
  heads = ("system", "difference", "p", "won", "lost", "equal")
  rows = [
    (
      change.name,
      _difference(change),
      f"{change.p:.4f}",
      str(change.paired.wins),
      str(change.paired.losses),
      str(_equal(change)),
    )
    for change in compared
  ]
  _say_rows([heads, *rows])


def _say_changed(
  values: _Values,
  compared: Sequence[changes.Change],
  text_of: Mapping[str, str],
) -> None:
  of = _headline(values)
  for change in compared if _CHANGED.value else []:
    _say(f"\n{change.name} against {change.before}, what changed most:")
    rows = changes.most_changed(of, change.before, change.name, _CHANGED.value)
    for query, before, after in rows:
      _say(
        f"{after - before:+.3f}  {before:.3f} → {after:.3f}  {query}  "
        f"{text_of[query]}"
      )


def _difference(change: changes.Change) -> str:
  one = change.paired
  return f"{one.difference:+.3f} [{one.low:+.3f}, {one.high:+.3f}]"


def _equal(change: changes.Change) -> int:
  return change.paired.queries - change.paired.wins - change.paired.losses


def _say_rows(rows: Sequence[Sequence[str]]) -> None:
  widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
  for row in rows:
    first, *others = (
      cell.ljust(width) if i == 0 else cell.rjust(width)
      for i, (cell, width) in enumerate(zip(row, widths, strict=True))
    )
    _say("  ".join([first, *others]))


def _write_json(
  name: str, split: str, values: _Values, compared: Sequence[changes.Change]
) -> None:
  if not _JSON.value:
    return
  record = {
    "dataset": name,
    "split": split,
    "systems": {
      label: {
        metric: {"value": metrics.mean(by), "queries": len(by)}
        for metric, by in of.items()
      }
      for label, of in values.items()
    },
    "comparisons": [
      {
        "metric": _METRICS.value[0],
        "system": change.name,
        "before": change.before,
        **change.paired._asdict(),
        "equal": _equal(change),
        "p_holm": change.p,
      }
      for change in compared
    ],
  }
  _write(_JSON.value, json.dumps(record, indent=2, ensure_ascii=False))


def _write_rows(rows: Any) -> None:
  """A row a query, or a query and system, to --per_query."""
  if not _PER_QUERY.value:
    return
  rows = list(rows)
  if _PER_QUERY.value.endswith(".json"):
    _write(_PER_QUERY.value, json.dumps(rows, indent=1, ensure_ascii=False))
    return
  lines = [rows[0].keys(), *(map(_cell, row.values()) for row in rows)]
  _write(_PER_QUERY.value, "".join("\t".join(line) + "\n" for line in lines))


def _cell(value: Any) -> str:
  if value is None:
    return ""
  return f"{value:.6g}" if isinstance(value, float) else value


def _write(path: str, text: str) -> None:
  to = pathlib.Path(path)
  to.parent.mkdir(parents=True, exist_ok=True)
  storage.write_text(to, text)


def _say(line: str) -> None:
  sys.stdout.write(f"{line}\n")


if __name__ == "__main__":
  arguments.start_alone(main, "SYSTEM…")
