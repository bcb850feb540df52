"""docs/STUDY.md and its plots, of the figures of all studies."""

from collections.abc import Iterator, Mapping
from typing import Any

from benchmarks.study_figures import METRICS
from prod_jax.origin import short
from prod_jax.report import axes
from prod_jax.report.markup import Tag, tag

LAST = "prod"


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
of a study; 95 % bootstrap intervals). 10,000 draws give no p below .0002, times
as many comparisons as there are: such a p is a bound. Intervals and p are over
queries, of these means. All draws of a run share the start and the teachers,
whose variance is not in them. A study of several runs has those of several
seeds, each run as one draw: the variance between runs is not in the intervals
either, and shows in the draws alone. Lists that a student mined itself
(`teachers`, `data`, `undivided`, `prod`) are of 1,024 queries, or of 640 in
older designs. Until e407fda all that have labels were among these: where they
were not all queries, such arms met labels 1.6 to 2 times as often as others."""


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
  said = [f"commit {short(origin['commit'])}"]
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
