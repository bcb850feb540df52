"""The page's style sheet: light and dark, for a phone and for a desk.

Blue is the student and what is right, orange its teachers; both stay apart
for colour-blind eyes, and shape or words always say the same again.
"""

import re
from collections.abc import Mapping

LIGHT = {
  "paper": "#fdfdfb",
  "ink": "#1c2126",
  "quiet": "#5b656e",
  "rule": "#dfe2e5",
  "panel": "#f4f5f4",
  "student": "#0a5f9e",
  "student-soft": "#dcebf7",
  "teacher": "#ad4e00",
  "third": "#4d7a15",
  "fourth": "#7a4a8c",
  "other": "#868f98",
}
DARK = {
  "paper": "#14171a",
  "ink": "#e4e7ea",
  "quiet": "#98a2ab",
  "rule": "#31373d",
  "panel": "#1c2024",
  "student": "#72b7ee",
  "student-soft": "#17354c",
  "teacher": "#f0a15c",
  "third": "#a9cf5f",
  "fourth": "#c99ae0",
  "other": "#77818a",
}

_FIGURES = """
svg text { fill: var(--ink); font-size: 11.5px; }

.lane rect { fill: var(--panel); }
.lane text { fill: var(--quiet); font-size: 11px; }
.node rect { fill: var(--paper); stroke: var(--teacher); stroke-width: 1.5; }
.node path { fill: var(--paper); stroke: var(--quiet); stroke-width: 1.5; }
.node .name { font-weight: 600; font-size: 11px; }
.node .value { font-variant-numeric: tabular-nums; font-size: 11px; }
.node .kind { fill: var(--quiet); font-size: 10px; }
.node.student rect { fill: var(--student-soft); stroke: var(--student); }
.node.pending rect, .node.pending path {
  fill: var(--paper); stroke: var(--other); stroke-dasharray: 4 3;
}
.node.pending text { fill: var(--quiet); }
.edge path { fill: none; stroke: var(--other); stroke-width: 1.25; }
.edge.decides path { stroke-dasharray: 1 4; stroke-linecap: round; }
.edge.decides .head { stroke-dasharray: none; }
.badge circle { fill: var(--paper); stroke: var(--quiet); stroke-width: 1; }
.node .badge path { fill: none; stroke: var(--quiet); stroke-width: 1.25; }
.badge.pending circle { stroke-dasharray: 2 2; }
.edge .head { fill: var(--other); stroke: none; }
.edge.feeds path { stroke-dasharray: 3 3; }
.edge.feeds .head { stroke-dasharray: none; }
.edge.starts path { stroke: var(--teacher); }
.edge.starts .head { fill: var(--teacher); stroke: none; }
.edge.starts.student path { stroke: var(--student); }
.edge.starts.student .head { fill: var(--student); stroke: none; }
.edge.teaches path { stroke: var(--teacher); stroke-width: 2.5; }
.edge.teaches .head { fill: var(--teacher); stroke: none; }
.curriculum.tall .name, .curriculum.tall .value { font-size: 10px; }
.curriculum.tall .name { font-weight: 500; }

.chart .grid { stroke: var(--rule); stroke-width: 1; }
.chart .tick, .chart .unit { fill: var(--quiet); font-size: 11px; }
.chart .line { fill: none; stroke: var(--student); stroke-width: 2; }
.chart .dot { fill: var(--student); }
.chart .line.second { stroke: var(--teacher); stroke-dasharray: 7 3; }
.chart .dot.second { fill: var(--teacher); }
.chart .line.third { stroke: var(--third); stroke-dasharray: 2 3; }
.chart .dot.third { fill: var(--third); }
.chart .line.fourth { stroke: var(--fourth); stroke-dasharray: 9 3 2 3; }
.chart .dot.fourth { fill: var(--fourth); }
.chart .rate {
  fill: none; stroke: var(--other); stroke-width: 1.25; stroke-dasharray: 1 3;
}
.chart .line.teacher { stroke: var(--teacher); }
.chart .dot.teacher { fill: var(--teacher); }
.chart .value, .chart text.reference {
  font-size: 11px; paint-order: stroke; stroke: var(--paper); stroke-width: 3px;
  stroke-linejoin: round;
}
.chart .value { font-weight: 600; }
.chart path.reference {
  stroke: var(--teacher); stroke-width: 1.5; stroke-dasharray: 5 4;
}
.chart text.reference { fill: var(--teacher); }
.chart .positives { fill: var(--student); fill-opacity: .85; }
.chart .negatives { fill: var(--other); fill-opacity: .7; }
.chart .zero { stroke: var(--ink); stroke-width: 1; }
.chart .median { stroke: var(--ink); stroke-width: 1; stroke-dasharray: 2 2; }
"""

_PAGE = """
* { box-sizing: border-box; }
html { -webkit-text-size-adjust: 100%; }
body {
  margin: 0 auto; padding: 2.5rem 1.25rem 4rem; max-width: 72rem;
  background: var(--paper); color: var(--ink);
  font: 1rem/1.5 system-ui, -apple-system, "Segoe UI", Roboto, sans-serif;
}
h1 { font-size: 1.6rem; line-height: 1.2; margin: 0 0 .25rem; }
h2 {
  font-size: 1.15rem; margin: 3rem 0 .5rem; padding-top: 1rem;
  border-top: 1px solid var(--rule);
}
h3 { font-size: .95rem; margin: 1.5rem 0 .25rem; }
h4 { font-size: .85rem; margin: .5rem 0 .25rem; overflow-wrap: anywhere; }
p { margin: .4rem 0; max-width: 46rem; }
.quiet, figcaption, .label, .rank {
  color: var(--quiet); font-size: .85rem; font-weight: 400;
}
.missing { color: var(--quiet); font-style: italic; }
.lead { font-size: 1.1rem; margin-top: 1rem; }
.lead strong { color: var(--student); font-variant-numeric: tabular-nums; }
figure { margin: 1rem 0; min-width: 0; }
figcaption { margin-top: .25rem; overflow-wrap: anywhere; }
.scroll { overflow-x: auto; }
.grid {
  display: grid; gap: .5rem 1.5rem;
  grid-template-columns: repeat(auto-fill, minmax(min(19rem, 100%), 1fr));
}
.twos {
  display: grid; gap: .5rem 2rem; max-width: 58rem;
  grid-template-columns: repeat(auto-fit, minmax(min(20rem, 100%), 1fr));
}
svg { display: block; width: 100%; height: auto; overflow: visible; }
.chart { max-width: 27rem; }
.curriculum.tall { display: none; margin: 0 auto; }
.grid .chart text { font-size: 12px; }

table { border-collapse: collapse; font-size: .9rem; width: 100%; }
th, td {
  padding: .35rem .5rem; text-align: left; white-space: nowrap;
  border-bottom: 1px solid var(--rule);
}
th { color: var(--quiet); font-weight: 500; vertical-align: bottom; }
.number { text-align: right; font-variant-numeric: tabular-nums; }
td b { font-weight: 500; }
tr.student b { font-weight: 600; color: var(--student); }
.by { color: var(--quiet); margin-left: .75rem; }
main .scroll table { max-width: 56rem; }

details { border-bottom: 1px solid var(--rule); padding: .6rem 0; }
summary { cursor: pointer; overflow-wrap: anywhere; }
.verdict {
  display: inline-block; min-width: 5.2rem; font-size: .8rem;
  color: var(--quiet);
}
.verdict.better { color: var(--student); font-weight: 600; }
.verdict.worse { color: var(--teacher); font-weight: 600; }
.pair {
  display: grid; gap: 0 2rem;
  grid-template-columns: repeat(auto-fit, minmax(min(22rem, 100%), 1fr));
}
.pair section { min-width: 0; }
ol { margin: 0; padding-left: 1.4rem; }
li { padding: .15rem 0 .15rem .5rem; border-left: 3px solid transparent; }
li p {
  margin: 0; font-size: .85rem; color: var(--quiet); overflow-wrap: anywhere;
}
li b { font-size: .9rem; overflow-wrap: anywhere; }
li.right { border-left-color: var(--student); }
.mark {
  color: var(--student); font-size: .8rem; font-weight: 600;
  margin-right: .5rem; white-space: nowrap;
}
pre { overflow-x: auto; font-size: .8rem; background: var(--panel);
  padding: 1rem; border-radius: 6px; }
pre.command { margin: .25rem 0 1rem; padding: .6rem .8rem; user-select: all; }
pre.command code { white-space: pre-wrap; overflow-wrap: anywhere; }
.legend { display: flex; flex-wrap: wrap; gap: .25rem 1.5rem; padding: 0; }
.legend li { list-style: none; border: 0; padding: 0; }
.legend svg { display: inline-block; width: 2.5rem; height: .6rem; }

@media (max-width: 48rem) {
  .curriculum.wide { display: none; }
  .curriculum.tall { display: block; }
  body { padding: 1.25rem 1rem 3rem; }
  table { font-size: .8rem; }
  th, td { padding: .3rem .2rem; }
  th, .number { white-space: normal; }
  .by { display: block; margin: 0; font-size: .75rem; }
}
"""


def figure_sheet() -> str:
  """The style of a figure that stands alone, in light mode."""
  font = 'svg { font-family: "DejaVu Sans", Arial, Helvetica, sans-serif; }'
  return font + re.sub(r"var\(--([a-z-]+)\)", _value, _FIGURES)


def _value(name: re.Match[str]) -> str:
  return LIGHT[name[1]]


def variables(colours: Mapping[str, str]) -> str:
  return " ".join(f"--{name}: {value};" for name, value in colours.items())


SHEET = f"""
:root {{ color-scheme: light dark; {variables(LIGHT)} }}
@media (prefers-color-scheme: dark) {{ :root {{ {variables(DARK)} }} }}
{_PAGE}{_FIGURES}"""
