"""What `prod_jax evaluate` does once its line is read: tables and files."""

import argparse
import json
import pathlib
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import jax
from absl import logging

from prod_jax import compilation, kinds, metrics, origin, storage, strict
from prod_jax.cli import arguments
from prod_jax.export import finished, named, rankings, systems, task
from prod_jax.report import changes, tables
from prod_jax.serving import opened
from prod_jax.stages import held_out

# By query.
_Values = Mapping[str, Mapping[str, Mapping[str, float]]]


def run(args: argparse.Namespace) -> None:
  """Measures the systems of a line, or the stages of a run alone."""
  _check_flags(args)
  if args.systems[1:]:
    cache = pathlib.Path(args.cache_dir).expanduser()
    words = opened.with_stages(args.systems, cache)
    _of_systems(args, named.parse(words))
    return
  parsed = named.parse(args.systems)
  alone = parsed[0].spec
  if (storage.open_path(alone) / finished.CURRICULUM).exists():
    _of_curriculum(args, alone)
  else:
    _of_systems(args, parsed)


def _of_systems(
  args: argparse.Namespace, parsed: Sequence[named.System]
) -> None:
  first = _first_of(args, [system.label for system in parsed])
  cache = pathlib.Path(args.cache_dir).expanduser()
  compilation.keep(cache / "compiled")
  asked = task.open_task(
    args.overrides,
    next((s.stage[0] for s in parsed if s.stage[0]), ""),
    cache,
    split=args.split or "test",
    depth=args.depth,
    rerank_depth=args.rerank_depth,
  )
  relevant = args.relevant or _relevant_to(parsed, asked.split, asked.given)
  rankings.check_labels(asked, args.metrics, relevant)
  ranked = systems.rank_all(parsed, asked, first)
  if args.compare:
    _warn_of_lengths(args.metrics, ranked)
  values = {
    label: rankings.evaluate(ranking, asked, args.metrics, relevant)
    for label, ranking in ranked.items()
  }
  queries = asked.dataset.queries[asked.split]
  text_of = {query.id: " ".join(query.text.split()) for query in queries}
  headline = _headline(values, args.metrics[0])
  found = changes.against_first(headline) if args.compare else []
  scope = (asked.dataset.name, asked.split)
  if args.json:
    arguments.say_json(_record(args.metrics[0], scope, values, found))
  else:
    _say_scope(*scope, len(queries), relevant)
    _say_table("system", args.metrics, values)
    if those := [label for label, of in ranked.items() if of.reorders]:
      depth = asked.rerank_depth
      _say(f"{', '.join(those)}: the first {depth} of {first} in another order")
    if found:
      _say_comparison(args.metrics[0], found)
      _say_changed(args.changed, headline, found, text_of)
  rows = (
    {
      "query": query,
      "system": label,
      **{name: by_query.get(query) for name, by_query in of.items()},
      "text": text,
    }
    for query, text in text_of.items()
    for label, of in values.items()
  )
  _write_rows(args.per_query, rows)
  if args.run:
    _write_runs(pathlib.Path(args.run), parsed, ranked, asked)


def _first_of(args: argparse.Namespace, labels: Sequence[str]) -> str:
  """Whose first passages others put in order; all flags have been looked at.

  Raises:
    ConfigError: some do not go with these systems.
  """
  if args.compare and len(labels) < 2:
    raise strict.ConfigError(
      "--compare takes two systems or more, or a run's WORKDIR alone"
    )
  held_out.check_metrics(
    args.metrics, args.depth, of_metrics="--metrics", of_depth="--depth"
  )
  first = args.first or labels[0]
  if first not in labels:
    raise strict.ConfigError(
      f"--first: there is no system {first!r}; there are {', '.join(labels)}"
    )
  if args.run:
    pathlib.Path(args.run).parent.mkdir(parents=True, exist_ok=True)
    for label in labels:
      if "".join(label.split()) != label:
        raise strict.ConfigError(
          f"--run: {label!r} has white space in it, by which a run file is "
          f"divided; give the system a name, as NAME={label!r}"
        )
  return first


def _relevant_to(
  parsed: Sequence[named.System], split: str, given: Mapping[str, Any]
) -> int:
  """The lowest grade that counts where the runs that are named measured a set.

  1 where none has measured the split, or they do not agree, or the keys that
  are given name another set.
  """
  if {"name", "path"} & given.keys():
    return 1
  workdirs = {system.stage[0] for system in parsed if system.stage[0]}
  found = {
    stage.relevant
    for workdir in workdirs
    for stage in _stages_of(workdir)
    if isinstance(stage, kinds.Evaluate) and stage.split == split
  }
  return found.pop() if len(found) == 1 else 1


def _stages_of(workdir: str) -> Iterable[kinds.Stage]:
  return finished.open_run(storage.open_path(workdir)).config.stages.values()


def _warn_of_lengths(
  names: Sequence[str], ranked: Mapping[str, rankings.Ranking]
) -> None:
  """Says which metrics look at more of one ranking than there is of another."""
  widths = {
    label: int((of.ids_QK >= 0).sum(axis=1).max(initial=0))
    for label, of in ranked.items()
  }
  least = min(widths.values())
  cut_offs = {name: metrics.parse(name)[1] for name in names}
  deeper = [name for name, cut in cut_offs.items() if not cut or cut > least]
  if deeper and max(widths.values()) > least:
    logging.warning(
      "%s: systems have unlike numbers of passages, %s; compare them by a "
      "metric of the first %d, or make --depth and the runs alike",
      ", ".join(deeper),
      ", ".join(f"{label} {width}" for label, width in widths.items()),
      least,
    )


def _write_runs(
  to: pathlib.Path,
  parsed: Sequence[named.System],
  ranked: Mapping[str, rankings.Ranking],
  asked: task.Task,
) -> None:
  for system in parsed:
    own = f".{system.label}{to.suffix}" if len(parsed) > 1 else to.suffix
    path = to.with_name(f"{to.stem}{own}")
    rankings.write(ranked[system.label], system, asked, path)


def _of_curriculum(args: argparse.Namespace, workdir: str) -> None:
  if args.run:
    raise strict.ConfigError(
      f"--run: the stages' runs are in {workdir} already, run.trec of each"
    )
  if other := args.overrides:
    raise strict.ConfigError(
      f"--config.{other[0]}: {workdir} alone is compared on its own set; name "
      "WORKDIR:STAGE for each stage to be measured on another"
    )
  dataset, left = task.open_finished(workdir)
  if (args.split or left.split) != left.split:
    raise strict.ConfigError(
      f"--split: {workdir} has measured split {left.split!r}; take that, or "
      "name WORKDIR:STAGE for each stage to be measured on another"
    )
  names = changes.within(left, args.metrics)
  values = changes.of_students(
    left, dataset.qrels(left.split), names, args.relevant
  )
  text_of = {
    query.id: " ".join(query.text.split())
    for query in dataset.queries[left.split]
  }
  start_of = changes.starts(left, values)
  headline = _headline(values, names[0])
  found = changes.against_start(headline, start_of)
  scope = (dataset.name, left.split)
  if args.json:
    arguments.say_json(_record(names[0], scope, values, found))
  else:
    _say_scope(*scope, len(text_of))
    _say_table("stage", names, values)
    if refused := [name for name in values if name in left.refused]:
      _say(f"refused by an accept stage: {', '.join(refused)}")
    _say_since(names[0], found)
    _say_changed(args.changed, headline, found, text_of)
  rows = (
    {
      "query": course.query,
      **{name: course.values.get(name) for name in values},
      "won_at": course.won and course.won[0],
      "gain": course.won and course.won[1],
      "lost_at": course.lost and course.lost[0],
      "loss": course.lost and course.lost[1],
      "text": text_of[course.query],
    }
    for course in changes.courses(headline, start_of)
  )
  _write_rows(args.per_query, rows)


def _check_flags(args: argparse.Namespace) -> None:
  try:
    metrics.evaluate({}, {}, args.metrics)
  except ValueError as error:
    raise strict.ConfigError(f"--metrics: {error}") from error
  if not args.metrics:
    raise strict.ConfigError("--metrics names none; leave it out, or name one")
  for name, path, endings in (
    ("per_query", args.per_query, (".tsv", ".json")),
    ("run", args.run, named.RUNS),
  ):
    if path and pathlib.Path(path).suffix not in endings:
      raise strict.ConfigError(
        f"--{name} is {path!r}; it ends with {' or '.join(endings)}"
      )


def _headline(values: _Values, metric: str) -> dict[str, Mapping[str, float]]:
  """The values of the metric that comparisons are by."""
  return {label: of[metric] for label, of in values.items()}


def _say_scope(name: str, split: str, queries: int, relevant: int = 1) -> None:
  graded = f", grades from {relevant} on" if relevant > 1 else ""
  _say(f"{name}, split {split}, {queries} queries{graded}\n")


def _say_table(what: str, measured: Sequence[str], values: _Values) -> None:
  rows = [
    (label, *(tables.number(metrics.mean(by)) for by in of.values()))
    for label, of in values.items()
  ]
  _say_rows([(what, *measured), *rows])


def _say_comparison(metric: str, compared: Sequence[changes.Change]) -> None:
  _say(
    f"\n{metric} against {compared[0].before}, with the 95 % "
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


def _say_since(metric: str, compared: Sequence[changes.Change]) -> None:
  _say(f"\n{metric} against where a stage began, p by Holm:")
  for change in compared:
    _say(
      f"stage {change.name} against {change.before}: won {change.paired.wins}, "
      f"lost {change.paired.losses} queries, {_difference(change)}, p "
      f"{change.p:.4f}"
    )


def _say_changed(
  shown: int,
  headline: Mapping[str, Mapping[str, float]],
  compared: Sequence[changes.Change],
  text_of: Mapping[str, str],
) -> None:
  for change in compared if shown else []:
    rows = changes.most_changed(headline, change.before, change.name, shown)
    what = "what changed most:" if rows else "no query changed"
    _say(f"\n{change.name} against {change.before}, {what}")
    for query, before, after in rows:
      said = strict.printable(f"{query}  {text_of[query]}")
      _say(f"{after - before:+.3f}  {before:.3f} → {after:.3f}  {said}")


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


def _record(
  metric: str,
  scope: tuple[str, str],
  values: _Values,
  compared: Sequence[changes.Change],
) -> dict[str, Any]:
  """The figures of a set and split, for --json."""
  return {
    "dataset": scope[0],
    "split": scope[1],
    **origin.here(jax.devices()),
    "systems": {
      label: {
        metric: {"value": metrics.mean(by), "queries": len(by)}
        for metric, by in of.items()
      }
      for label, of in values.items()
    },
    "comparisons": [
      {
        "metric": metric,
        "system": change.name,
        "before": change.before,
        **change.paired._asdict(),
        "equal": _equal(change),
        "p_holm": change.p,
      }
      for change in compared
    ],
  }


def _write_rows(path: str | None, rows: Any) -> None:
  """A row a query, or a query and system, to --per_query."""
  if not path:
    return
  rows = list(rows)
  if path.endswith(".json"):
    _write(path, json.dumps(rows, indent=1, ensure_ascii=False))
    return
  lines = [rows[0].keys(), *(map(_cell, row.values()) for row in rows)]
  _write(path, "".join("\t".join(line) + "\n" for line in lines))


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
