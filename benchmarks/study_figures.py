"""What runs of configs/study.py have left, as the figures of a study.

Of several runs, which differ in their seeds and may have teachers of their own,
each adds its draws. Beside figures stands what they were made with: versions,
processor, commit, seed and config. An arm's value of a query is the mean over
its draws, and arms are compared by these, paired, over the draws that both
have; p is corrected by Holm over all comparisons of a study.
"""

import collections
import json
import pathlib
import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from prod_jax import metrics, significance, strict
from prod_jax.config import Config
from prod_jax.export import task
from prod_jax.report import record
from prod_jax.retrieval import runs

PEER = "peer"  # in a run's folder, what another library made of its lists
ORIGIN = "origin.json"  # and what it was made with
METRICS = ("mrr@10", "ndcg@10", "recall@100")
AGAINST = ("mined", "ce")  # what people do today, and the big teacher at once
_PACKAGED = "all-MiniLM-L6-v2"
_DRAW = re.compile(r"(?P<arm>\w+)_(?P<draw>\d+)")

Values = Mapping[str, Mapping[str, float]]  # by metric, by query


class _Run(NamedTuple):
  """What a run has left.

  Attributes:
    seed: of its config.
    about: the set, the split and the settings, alike in all runs of a study.
    stages: of its config, by name, with what it leaves open as it is today;
      those that two runs have are alike.
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
    ConfigError: runs have a seed in common, or other data or settings; or a
      folder of another library is not named after an arm and a draw.
  """
  made = dict(zip(workdirs, map(_read, workdirs), strict=True))
  first, *others = made.values()
  for workdir, run in list(made.items())[1:]:
    if other := _other(first, run):
      raise strict.ConfigError(
        f"{workdir} is no run of the study of {workdirs[0]}: it has "
        f"{other}; name runs that differ in their seeds and teachers alone"
      )
  if len({run.seed for run in made.values()}) < len(workdirs):
    seeds = ", ".join(str(run.seed) for run in made.values())
    raise strict.ConfigError(
      f"each run of a study has a seed of its own, not {seeds}"
    )
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
      raise strict.ConfigError(
        f"{path.parent} is not named ARM_DRAW, such as st_kl_1"
      )
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
    strict.plain(strict.section(Config, left.config, f"{workdir}: config"))[
      "stages"
    ],
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
    raise strict.ConfigError(
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
