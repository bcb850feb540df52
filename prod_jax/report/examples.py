"""Example queries: the first and the last student's answers side by side.

Which queries are shown is a rule that looks at outcomes and at hashes of ids,
never at how an answer reads.
"""

import dataclasses
import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Literal

from prod_jax import metrics
from prod_jax.report import record
from prod_jax.report.markup import Tag, missing, tag
from prod_jax.retrieval import runs

WINS, LOSSES, SHOWN = 5, 5, 20
_TOP = 3
_LETTERS = 240

Verdict = Literal["better", "worse", "same"]
Qrels = Mapping[str, Mapping[str, int]]
_SIGNS = {"better": "▲ better", "worse": "▼ worse", "same": "= same"}


@dataclasses.dataclass(frozen=True)
class Answers:
  """What one student retrieved.

  Attributes:
    stage: its train stage.
    run: {query id: {passage id: score}}.
    values: the headline metric by query.
    relevant: lowest grade that counts as right.
  """

  stage: str
  run: Mapping[str, Mapping[str, float]]
  values: Mapping[str, float]
  relevant: int

  def ranked(self, query: str) -> list[str]:
    """Passage ids, best first; ties as trec_eval breaks them."""
    scores = self.run.get(query, {})
    return sorted(scores, key=lambda p: (scores[p], p), reverse=True)


@dataclasses.dataclass(frozen=True)
class Texts:
  """Where the words come from; a text that is not found is said to be so."""

  query_text: Callable[[str], str]
  passage_text: Callable[[str], tuple[str, str]]

  def query(self, name: str) -> str:
    """The words of a query."""
    try:
      return self.query_text(name)
    except LookupError:
      return f"query {name} (its text was not found)"

  def passage(self, name: str) -> tuple[str, str]:
    """Title and text of a passage."""
    try:
      return self.passage_text(name)
    except LookupError:
      return f"passage {name}", "its text was not found"


def section(run: record.Run, texts: Texts, qrels: Qrels) -> Iterator[Tag]:
  """The comparison in numbers, the rule of the choice, and the examples."""
  yield tag("h2", "The first and the last student, query by query")
  refused = run.refused
  students = [each for each in answered(run) if each[0] not in refused]
  if len(students) < 2:
    yield missing(
      "It takes the runs of two student stages, neither of them refused, to "
      "compare them."
    )
    return
  first = answers_of(*students[0], qrels)
  last = answers_of(*students[-1], qrels)
  found = verdicts(first, last)
  if not found:
    yield missing("No query of the two runs has a label.")
    return
  count = {
    v: list(found.values()).count(v) for v in ("better", "worse", "same")
  }
  yield tag(
    "p",
    f"Of {len(found):,} queries {last.stage} places the first right passage "
    f"higher within ten than {first.stage} for {count['better']:,}, lower for "
    f"{count['worse']:,}, and the same for {count['same']:,}. Shown are up to "
    f"{WINS} of the first kind, {LOSSES} of the second, and any others up to "
    f"{SHOWN}, chosen by the hash of their id.",
  )
  yield from blocks(first, last, found, texts, qrels)


def answered(run: record.Run) -> list[tuple[str, record.Stage]]:
  """The student as it is, and its train stages, each with its evaluation.

  Of those whose run was kept.
  """
  as_it_is = [record.STUDENT] if record.STUDENT in run.as_they_are else []
  trained = [stage.name for stage in run.trained(record.STUDENT)]
  found = []
  for name in (*as_it_is, *trained):
    measured = run.measured.get(name)
    source = run.stages.get(measured.stage) if measured else None
    if source is not None and (source.folder / "run.trec").exists():
      found.append((name, source))
  return found


def answers_of(name: str, source: record.Stage, qrels: Qrels) -> Answers:
  """What the student of train stage `name` retrieved, and how well."""
  retrieved = runs.read_run(source.folder / "run.trec")
  relevant = int(source.settings.get("relevant", 1))
  values = metrics.evaluate(
    retrieved, qrels, [record.HEADLINE], relevant=relevant
  )
  return Answers(name, retrieved, values[record.HEADLINE], relevant)


def verdicts(first: Answers, last: Answers) -> dict[str, Verdict]:
  """How the last student did against the first, by query."""
  found: dict[str, Verdict] = {}
  for query, before in first.values.items():
    if query in last.values:
      change = last.values[query] - before
      found[query] = (
        "better" if change > 0 else "worse" if change < 0 else "same"
      )
  return found


def choose(verdict_of: Mapping[str, Verdict]) -> list[str]:
  """`SHOWN` queries: wins, losses, then any, each by the hash of their id."""
  order = sorted(verdict_of, key=lambda q: hashlib.sha256(q.encode()).digest())
  wins = [q for q in order if verdict_of[q] == "better"][:WINS]
  losses = [q for q in order if verdict_of[q] == "worse"][:LOSSES]
  chosen = wins + losses
  rest = [q for q in order if q not in chosen]
  return chosen + rest[: SHOWN - len(chosen)]


def blocks(
  first: Answers,
  last: Answers,
  verdict_of: Mapping[str, Verdict],
  texts: Texts,
  qrels: Qrels,
) -> list[Tag]:
  """A foldable block for each chosen query; the first and a loss are open."""
  chosen = choose(verdict_of)
  losses = [query for query in chosen if verdict_of[query] == "worse"]
  opened = {*chosen[:1], *losses[:1]}
  return [
    _block(query, verdict_of[query], first, last, texts, qrels, query in opened)
    for query in chosen
  ]


def _block(
  query: str,
  verdict: Verdict,
  first: Answers,
  last: Answers,
  texts: Texts,
  qrels: Qrels,
  is_open: bool,
) -> Tag:
  sign = tag("span", _SIGNS[verdict], class_=f"verdict {verdict}")
  right = _right(qrels, query, first)
  titles = [_heading(name, texts) for name in right]
  label = "Right: " + "; ".join(titles[:_TOP]) + " …" * (len(titles) > _TOP)
  columns = [_column(query, side, right, texts) for side in (first, last)]
  opened = {"open": ""} if is_open else {}
  words = tag("span", texts.query(query), class_="words")
  return tag(
    "details",
    tag("summary", sign, words),
    tag("p", label, class_="label"),
    tag("div", *columns, class_="pair"),
    class_="example",
    **opened,
  )


def _column(
  query: str, side: Answers, right: Sequence[str], texts: Texts
) -> Tag:
  ranked = side.ranked(query)
  rank = next((i for i, p in enumerate(ranked, 1) if p in right), None)
  outcome = (
    f"first right one at rank {rank}"
    if rank
    else f"no right one in {len(ranked)}"
  )
  items = [_item(name, name in right, texts) for name in ranked[:_TOP]]
  return tag(
    "section",
    tag("h4", side.stage, tag("span", f", {outcome}", class_="rank")),
    tag("ol", *items) if items else tag("p", "Nothing was retrieved."),
  )


def _item(name: str, is_right: bool, texts: Texts) -> Tag:
  title, text = texts.passage(name)
  mark = [tag("span", "✓ right", class_="mark")] if is_right else []
  head = [tag("b", title)] if title else []
  body = " ".join(text.split())
  cut = body if len(body) <= _LETTERS else f"{body[:_LETTERS].rstrip()}…"
  kind = "right" if is_right else "other"
  return tag("li", *mark, *head, tag("p", cut), class_=kind)


def _right(qrels: Qrels, query: str, side: Answers) -> list[str]:
  grades = qrels.get(query, {})
  return [p for p, grade in grades.items() if grade >= side.relevant]


def _heading(name: str, texts: Texts) -> str:
  title, text = texts.passage(name)
  return title or " ".join(text.split())[:60]
