"""Arms of configs/study.py as figures, and the figures as docs/STUDY.md.

    python -m benchmarks.study collect WORKDIR [WORKDIR ...] --name=NAME
    python -m benchmarks.study page

The first reads what a run has left, whole or not, and writes
`benchmarks/studies/NAME.json`. Of several runs, which differ in their seeds and
may have teachers of their own, each adds its draws. The second writes the page
and its plots of all that lie there, with what a Markdown file of that name,
written by hand, says of one. Beside figures stands what they were made with:
versions, processor, commit, seed and config. An arm's value of a query is the
mean over its draws, and arms are compared by these, paired, over the draws that
both have; p is corrected by Holm over all comparisons of a study.
"""

import argparse
import collections
import json
import pathlib
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from prod_jax import metrics, significance
from prod_jax.export import task
from prod_jax.report import axes, record
from prod_jax.report.markup import Tag, render, tag
from prod_jax.retrieval import runs

FOLDER = pathlib.Path(__file__).parent / "studies"
DOCS = pathlib.Path(__file__).parents[1] / "docs"
PAGE = "STUDY.md"
PEER = "peer"  # in a run's folder, what another library made of its lists
ORIGIN = "origin.json"  # and what it was made with
METRICS = ("mrr@10", "ndcg@10", "recall@100")
AGAINST = ("mined", "ce")  # what people do today, and the big teacher at once
LAST = "prod"
_PACKAGED = "all-MiniLM-L6-v2"
_DRAW = re.compile(r"(?P<arm>\w+)_(?P<draw>\d+)")

Values = Mapping[str, Mapping[str, float]]  # by metric, by query


class _Run(NamedTuple):
  """What a run has left.

  Attributes:
    seed: of its config.
    about: the set, the split and the settings, alike in all runs of a study.
    stages: of its config, by name; those that two runs have are alike.
    queries: of the split, in order.
    beside: by model, the means of a metric.
    draws: by arm and draw.
    origins: what each stage, or run of another library, was made with.
    divided: queries that a division kept, by arm and draw.
  """

  seed: int
  about: dict[str, Any]
  stages: dict[str, Any]
  queries: list[str]
  beside: dict[str, dict[str, float]]
  draws: dict[str, dict[str, Values]]
  origins: list[dict[str, Any]]
  divided: dict[str, int]


def collect(*workdirs: str) -> dict[str, Any]:
  """The figures of a study, of one run or of several.

  Of several each counts as one draw, the mean of its own by query.

  Raises:
    ValueError: runs have a seed in common, or other data or settings; or a
      folder of another library is not named after an arm and a draw.
  """
  made = dict(zip(workdirs, map(_read, workdirs), strict=True))
  first, *others = made.values()
  for workdir, run in list(made.items())[1:]:
    if other := _other(first, run):
      raise ValueError(
        f"{workdir} is no run of the study of {workdirs[0]}: it has "
        f"{other}; name runs that differ in their seeds and teachers alone"
      )
  if len({run.seed for run in made.values()}) < len(workdirs):
    seeds = ", ".join(str(run.seed) for run in made.values())
    raise ValueError(f"each run of a study has a seed of its own, not {seeds}")
  draws, divided = first.draws, first.divided
  if others:
    draws = collections.defaultdict(dict)
    divided = {}
    for number, run in enumerate(made.values(), 1):
      for arm, of in run.draws.items():
        draws[arm][str(number)] = {m: _mean([*of.values()], m) for m in METRICS}
      for name, kept in run.divided.items():
        divided[f"{name} of run {number}"] = kept
  return {
    **first.about,
    "runs": len(made),
    "beside": _beside([run.beside for run in made.values()]),
    "origins": _counted([x for run in made.values() for x in run.origins]),
    "divided": divided,
    "arms": {arm: _arm(of) for arm, of in draws.items()},
    "compared": _compared(draws),
  }


def _other(one: _Run, two: _Run) -> str:
  """What two runs of a study have to have in common, and have not; or ""."""
  settings = [run.about | run.about["settings"] for run in (one, two)]
  names = [k for k in settings[0] if settings[0][k] != settings[1].get(k)]
  if names:
    return "other " + ", ".join(name for name in names if name != "settings")
  if one.queries != two.queries:
    return f"other queries of split {one.about['split']}"
  both = one.stages.keys() & two.stages.keys()
  changed = sorted(
    name for name in both if one.stages[name] != two.stages[name]
  )
  return f"other settings of {', '.join(changed)}" if changed else ""


def _beside(
  runs: Sequence[Mapping[str, Mapping[str, float]]],
) -> dict[str, dict[str, float]]:
  """Of each model the mean over the runs that have measured it."""
  names = dict.fromkeys(name for run in runs for name in run)
  return {
    name: {
      m: float(np.mean([run[name][m] for run in runs if name in run]))
      for m in METRICS
    }
    for name in names
  }


def _read(workdir: str) -> _Run:
  dataset, left = task.open_finished(workdir)
  qrels = dataset.qrels(left.split)
  beside: dict[str, dict[str, float]] = {}
  draws: dict[str, dict[str, Values]] = collections.defaultdict(dict)
  for name, measured in left.measured.items():
    match = _DRAW.fullmatch(name)
    if match is None:
      beside[name] = {m: measured.values[m] for m in METRICS}
      continue
    run = runs.read_run(left.stages[measured.stage].folder / "run.trec")
    draws[match["arm"]][match["draw"]] = metrics.evaluate(run, qrels, METRICS)
  for path in sorted(pathlib.Path(workdir, PEER).glob("*/run.trec")):
    match = _DRAW.fullmatch(path.parent.name)
    if match is None:
      raise ValueError(f"{path.parent} is not named ARM_DRAW, such as st_kl_1")
    found = metrics.evaluate(runs.read_run(path), qrels, METRICS)
    draws[match["arm"]][match["draw"]] = found
  about = {
    "data": left.dataset,
    "split": left.split,
    "queries": len(qrels),
    "passages": len(dataset.passages),
    "settings": {
      "train_queries": len(dataset.queries["train"]),
      **_settings(left),
    },
  }
  return _Run(
    left.config["seed"],
    about,
    left.config["stages"],
    list(qrels),
    beside,
    draws,
    _origins(left, pathlib.Path(workdir)),
    _divided(pathlib.Path(workdir)),
  )


def _settings(left: record.Run) -> dict[str, Any]:
  """What of the config the figures depend on most."""
  data = left.config["data"]
  arms = (s for s in left.trained("student") if _DRAW.match(s.name))
  train = next(arms, None)
  if train is None:
    raise ValueError(
      "the run has trained no arm, such as prod_1, of a model `student`: it is "
      "none of configs/study.py"
    )
  keys = ("labelled", "query_length", "passage_length", "max_passages")
  return {
    **{key: data[key] for key in keys},
    "batch_size": train.settings["batch_size"],
    "models": {
      name: {"weights": _weights(model["weights"]), "layers": model["layers"]}
      for name, model in left.config["models"].items()
    },
  }


def _weights(of: str) -> str:
  """What a model's weights are called; of a folder its own name."""
  return _PACKAGED if of == "packaged" else pathlib.Path(of).name


def _origins(left: record.Run, workdir: pathlib.Path) -> list[dict[str, Any]]:
  """What each stage ran with, and each run of another library."""
  made = [dict(stage.origin) for stage in left.stages.values() if stage.ran]
  peers = sorted((workdir / PEER).glob(f"*/{ORIGIN}"))
  return made + [json.loads(path.read_text()) for path in peers]


def _counted(origins: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
  """Each of these once, with how often it is there; the most of them first."""
  counts = collections.Counter(json.dumps(x, sort_keys=True) for x in origins)
  return [
    {"stages": count, **json.loads(text)}
    for text, count in counts.most_common()
  ]


def _divided(workdir: pathlib.Path) -> dict[str, int]:
  """Queries that a division has kept, by the arm that learnt from them."""
  stages = json.loads((workdir / "curriculum.json").read_text())["stages"]
  return {
    stage["name"].removeprefix("divide_"): stage["summary"]["kept"]
    for stage in stages
    if stage["kind"] == "divide" and stage["summary"]
  }


def _arm(draws: Mapping[str, Values]) -> dict[str, Any]:
  """Mean and spread of an arm over its draws, by metric."""
  of_draws = {
    metric: [metrics.mean(values[metric]) for values in draws.values()]
    for metric in METRICS
  }
  return {
    metric: {"mean": float(np.mean(values)), "draws": values}
    for metric, values in of_draws.items()
  }


def _compared(
  draws: Mapping[str, Mapping[str, Values]],
) -> dict[str, dict[str, Any]]:
  """The arms against each of `AGAINST`, in the first metric.

  A pair of arms is compared once, by the draws that both have: a study may be
  under way. Holm counts all comparisons together.
  """
  found: dict[str, dict[str, Any]] = {}
  for one in AGAINST:
    if one in draws:
      found[one] = {
        arm: _pair(draws[one], of, both)
        for arm, of in draws.items()
        if arm != one
        and arm not in found
        and (both := sorted(of.keys() & draws[one].keys()))
      }
  every = [pair for pairs in found.values() for pair in pairs.values()]
  corrected = significance.holm([pair["p"] for pair in every])
  for pair, p in zip(every, corrected, strict=True):
    pair["p_holm"] = p
  return found


def _pair(
  one: Mapping[str, Values], arm: Mapping[str, Values], draws: Sequence[str]
) -> dict[str, Any]:
  """An arm against another one, in some draws."""
  first, second = ([of[d] for d in draws] for of in (one, arm))
  better = [
    metrics.mean(after[METRICS[0]]) > metrics.mean(before[METRICS[0]])
    for before, after in zip(first, second, strict=True)
  ]
  return {
    **significance.paired(
      _mean(first, METRICS[0]), _mean(second, METRICS[0])
    )._asdict(),
    "better_in": sum(better),
    "draws": len(draws),
  }


def _mean(draws: Sequence[Values], metric: str) -> dict[str, float]:
  """A metric's mean over draws, by query."""
  return {
    query: float(np.mean([values[metric][query] for values in draws]))
    for query in draws[0][metric]
  }


def page(
  studies: Mapping[str, Mapping[str, Any]], notes: Mapping[str, str]
) -> str:
  """All studies as Markdown, each with what somebody has to say of it."""
  parts = [_HEAD]
  for name, study in studies.items():
    plot = f"![arms of {name}](study-{name}.svg)"
    parts += [f"## {name}", _scope(study), plot, _table(study), *_said(study)]
    if name in notes:
      parts.append(notes[name].strip())
  if not studies:
    parts.append("No study has been run.")
  return "\n\n".join(parts) + "\n"


_HEAD = """# What each part of PROD is worth

Written by `python -m benchmarks.study page` from `benchmarks/studies/*.json`.
The arms are those of `configs/study.py`: one student, as many steps and queries
in each, shared teachers; what a student mines itself, its last teacher scores
anew. A study has one draw of the order of queries and negatives, or several:
MRR@10 of a query is averaged over them, and arms are compared query by query
over the draws that both have (paired randomisation, Holm over all comparisons
of a study; 95 % bootstrap intervals). Intervals and p are over queries, of
these means. All draws of a run share the start and the teachers, whose variance
is not in them. A study of several runs has those of several seeds, each run as
one draw: the variance between runs is not in the intervals either, and shows in
the draws alone."""


def _scope(study: Mapping[str, Any]) -> str:
  settings = study["settings"]
  labelled = settings["labelled"] or "all"
  several = ""
  if study["runs"] > 1:
    several = f"{study['runs']} runs, each a draw of the tables. "
  lengths = f"{settings['query_length']} and {settings['passage_length']}"
  return (
    f"{several}{study['data']}, split {study['split']}: "
    f"{study['queries']:,} queries over {study['passages']:,} passages; "
    f"{labelled} of {settings['train_queries']:,} training queries have "
    f"labels. Texts are cut at {lengths} tokens; {settings['batch_size']} "
    f"queries a step. Models: "
    f"{', '.join(map(_model, settings['models'].items()))}."
  )


def _model(named: tuple[str, Mapping[str, Any]]) -> str:
  name, of = named
  weights = of["weights"] or "random weights"
  if not of["layers"]:
    return f"`{name}` {weights}"
  return f"`{name}` layers {', '.join(map(str, of['layers']))} of {weights}"


def _made_with(origin: Mapping[str, Any]) -> str:
  """A line about the stages that ran with the same."""
  count = origin["stages"]
  stages = f"- {count} stage{'s' * (count > 1)}"
  if "versions" not in origin:
    return f"{stages}: what they ran with is not written down"
  said = [f"commit {(origin['commit'] or 'unknown')[:12]}"]
  if "config_hash" in origin:  # a run of another library has none
    config = origin["config_hash"][:12]
    said = [f"seed {origin['seed']}", f"config {config}", *said]
  said += [origin["processor"]]
  said += [f"{name} {of}" for name, of in origin["versions"].items()]
  return f"{stages}: {', '.join(said)}"


def _table(study: Mapping[str, Any]) -> str:
  heads = ["arm", "MRR@10", "draws", "nDCG@10", "recall@100"]
  heads += [f"against `{one}`" for one in study["compared"]]
  lines = [heads, ["---"] + ["---:"] * (len(heads) - 1)]
  for name, values in study["beside"].items():
    cells = [f"{values[m]:.3f}" for m in METRICS]
    blank = [""] * len(study["compared"])
    lines.append([name, cells[0], "", *cells[1:], *blank])
  for arm, of in study["arms"].items():
    draws = ", ".join(f"{x:.3f}" for x in of[METRICS[0]]["draws"])
    means = [f"{of[m]['mean']:.3f}" for m in METRICS]
    against = [_against(found.get(arm)) for found in study["compared"].values()]
    lines.append([f"`{arm}`", f"**{means[0]}**", draws, *means[1:], *against])
  return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def _against(found: Mapping[str, Any] | None) -> str:
  if found is None:
    return ""
  return (
    f"{found['difference']:+.3f} [{found['low']:+.3f}, {found['high']:+.3f}], "
    f"p {found['p_holm']:.4f}, draws {found['draws']}"
  )


def _said(study: Mapping[str, Any]) -> Iterator[str]:
  """What the figures say of the whole of PROD, in words."""
  yield "\n".join(["Made with:", "", *map(_made_with, study["origins"])])
  if study["divided"]:
    kept = ", ".join(f"{arm} {n}" for arm, n in study["divided"].items())
    yield f"Queries that the division kept: {kept}."
  for one, found in study["compared"].items():
    if LAST in found:
      of = found[LAST]
      is_better = of["difference"] > 0 and of["p_holm"] < 0.05
      yield (
        f"`{LAST}` is {'' if is_better else 'not '}above `{one}`: "
        f"{_against(of)}; higher in {of['better_in']} of them."
      )


def picture(name: str, study: Mapping[str, Any]) -> Tag:
  """MRR@10 of each arm, a dot a draw, with models beside as lines."""
  metric = METRICS[0]
  arms = {arm: of[metric] for arm, of in study["arms"].items()}
  beside = {n: values[metric] for n, values in study["beside"].items()}
  every = [x for of in arms.values() for x in of["draws"]] + [*beside.values()]
  low, high = min(every) - 0.02, max(every) + 0.02
  left, right, line, top = 130.0, 20.0, 24.0, 46.0
  width, height = 720.0, top + line * len(arms) + 40.0

  def across(value: float) -> float:
    return left + (value - low) / (high - low) * (width - left - right)

  parts = [
    tag("title", f"{name}: MRR@10 of each arm"),
    tag("style", _STYLE),
    tag("rect", width=width, height=height, fill="#fdfdfb"),
  ]
  for value in axes.ticks(low, high):
    x = across(value)
    parts.append(_upright(x, top - 8, height - 28, "grid"))
    parts.append(_text(f"{value:g}", x, height - 12, "middle", "quiet"))
  for number, (label, value) in enumerate(beside.items()):
    x = across(value)
    parts.append(_upright(x, top - 8, height - 28, "beside"))
    parts.append(_text(label, x, 12.0 + 12 * (number % 3), "middle", "quiet"))
  for number, (arm, of) in enumerate(arms.items()):
    y = top + line * number + line / 2
    parts.append(_text(arm, left - 10, y + 4, "end", "name"))
    parts += [
      tag("circle", cx=across(x), cy=y, r=3.5, class_="draw")
      for x in of["draws"]
    ]
    parts.append(_upright(across(of["mean"]), y - 8, y + 8, "mean"))
  size = {"width": width, "height": height}
  return tag(
    "svg",
    *parts,
    xmlns="http://www.w3.org/2000/svg",
    viewBox=f"0 0 {width:g} {height:g}",
    **size,
  )


_STYLE = """
text { font: 12px system-ui, "Segoe UI", Roboto, Helvetica, sans-serif;
  fill: #1c2126; }
.quiet { fill: #5b656e; font-size: 11px; }
.grid { stroke: #dfe2e5; stroke-width: 1; }
.beside { stroke: #ad4e00; stroke-width: 1; stroke-dasharray: 3 3; }
.draw { fill: #ffffff; stroke: #0a5f9e; stroke-width: 1.5; }
.mean { stroke: #0a5f9e; stroke-width: 3; }
"""


def _upright(x: float, top: float, bottom: float, kind: str) -> Tag:
  return tag("path", d=f"M{x:.1f} {top:g}V{bottom:g}", class_=kind)


def _text(words: str, x: float, y: float, anchor: str, kind: str) -> Tag:
  return tag("text", words, x=x, y=y, text_anchor=anchor, class_=kind)


def files() -> dict[pathlib.Path, str]:
  """What is written, and where."""
  studies = {
    path.stem: json.loads(path.read_text())
    for path in sorted(FOLDER.glob("*.json"))
  }
  pictures = {
    DOCS / f"study-{name}.svg": render(picture(name, study)) + "\n"
    for name, study in studies.items()
  }
  notes = {path.stem: path.read_text() for path in FOLDER.glob("*.md")}
  return {DOCS / PAGE: page(studies, notes), **pictures}


def main() -> None:
  """Collects a run, or writes the page."""
  parser = argparse.ArgumentParser(description=__doc__)
  commands = parser.add_subparsers(dest="command", required=True)
  collecting = commands.add_parser("collect")
  collecting.add_argument("workdir", nargs="+")
  collecting.add_argument("--name", required=True)
  commands.add_parser("page")
  asked = parser.parse_args()
  if asked.command == "collect":
    FOLDER.mkdir(exist_ok=True)
    path = FOLDER / f"{asked.name}.json"
    path.write_text(json.dumps(collect(*asked.workdir), indent=1) + "\n")
    return
  for path, text in files().items():
    path.write_text(text)


if __name__ == "__main__":
  main()
