"""Which queries are shown, and what is said about them."""

import hashlib

from prod_jax.report import examples, record
from prod_jax.report.markup import render, tag
from tests.report.conftest import QRELS, passage_text, query_text

TEXTS = examples.Texts(query_text, passage_text)


def section(workdir, texts=TEXTS, qrels=QRELS):
  found = examples.section(record.load(workdir), texts, qrels)
  return render(tag("main", *found))


def by_hash(names):
  return sorted(names, key=lambda q: hashlib.sha256(q.encode()).digest())


def test_wins_then_losses_then_others_by_hash():
  found = {f"w{i}": "better" for i in range(30)}
  found |= {f"l{i}": "worse" for i in range(3)}
  found |= {f"s{i}": "same" for i in range(30)}
  chosen = examples.choose(found)
  assert chosen[:5] == by_hash(q for q in found if q[0] == "w")[:5]
  assert chosen[5:8] == by_hash(q for q in found if q[0] == "l")
  rest = [q for q in by_hash(found) if q not in chosen[:8]]
  assert chosen[8:] == rest[:12]
  assert examples.choose(dict(reversed(found.items()))) == chosen


def test_few_queries_are_all_shown():
  assert len(examples.choose({"a": "same", "b": "worse"})) == 2


def test_verdicts_compare_the_first_with_the_last_student(workdir):
  students = examples.answered(record.load(workdir))
  assert [name for name, _ in students] == ["student_warm", "student_de"]
  first, last = (examples.answers_of(*student, QRELS) for student in students)
  assert examples.verdicts(first, last) == {
    "q1": "better",
    "q2": "worse",
    "q3": "same",
  }


def test_right_passages_are_marked_in_words(workdir):
  page = section(workdir)
  # q1: rank 2, then 1; q2: rank 1, then 3; q3: rank 1 twice.
  assert page.count("✓ right") == 6
  assert page.count('<li class="right">') == 6
  assert page.count('<li class="other">') == 12
  assert page.count("first right one at rank 1<") == 4
  assert page.count("first right one at rank 3<") == 1
  assert "for 1, lower for 1, and the same for 1" in page
  assert "Right: title of p1<" in page


def test_texts_are_escaped_and_cut(workdir):
  def long_text(name):
    return "", "word " * 200

  page = section(workdir, examples.Texts(query_text, long_text))
  assert "<script>" not in page
  assert "&lt;script&gt;" in page
  assert "word…</p>" in page
  assert "word " * 50 not in page


def test_a_text_that_is_not_found_is_said_to_be_so(workdir):
  page = section(workdir, examples.Texts({}.__getitem__, {}.__getitem__))
  assert "query q1 (its text was not found)" in page
  assert "its text was not found</p>" in page


def test_what_cannot_be_compared_is_said(workdir):
  assert "No query of the two runs has a label" in section(workdir, qrels={})
  next(workdir.rglob("*evaluate_de/run.trec")).unlink()
  assert "It takes the runs of two student stages" in section(workdir)


def test_a_refused_student_is_not_the_last(refused):
  assert "two student stages, neither of them refused" in section(refused)
