"""Qrels of a folder in the MS MARCO layout."""

from tests.bad_inputs.layouts import QRELS, SKIP, qrels
from tests.bad_inputs.row import SKIPPED, Row

ROWS = [
  Row("empty qrels", qrels(""), ("none of its 2 queries", QRELS)),
  Row(
    "qrels with a header",
    qrels("qid\tit\tpid\tgrade\nq1\t0\td1\t1\n"),
    (f"{QRELS}:1", "'grade' is not a whole number"),
  ),
  Row(
    "qrels of three columns",
    qrels("q1\t0\td1\n"),
    (f"{QRELS}:1", "3 columns"),
  ),
  Row("qrels of one column", qrels("q1\n"), (f"{QRELS}:1", "1 columns")),
  Row(
    "qrels of two layouts",
    qrels("q1\td1\nq2\t0\td2\t1\n"),
    (f"{QRELS}:2", "4 columns"),
  ),
  Row(
    "qrels of which only the first line has two columns",
    qrels("q1\td1\nq1\t0\td2\t1\nq2\t0\td2\t1\n"),
    (f"{QRELS}:1", "2 columns", "most of the first lines have 4"),
  ),
  Row(
    "a grade that is a float",
    qrels("q1\t0\td1\t1.0\n"),
    (f"{QRELS}:1", "grade '1.0'"),
  ),
  Row(
    "a grade that is a word",
    qrels("q1\t0\td1\thigh\n"),
    (f"{QRELS}:1", "grade 'high'"),
  ),
  Row(
    "a grade of superscript digits",
    qrels("q1\t0\td1\t\u00b2\n"),
    (f"{QRELS}:1", "grade"),
  ),
  Row(
    "a grade beyond 32 bits",
    qrels("q1\t0\td1\t99999999999\n"),
    (f"{QRELS}:1", "grade '99999999999'"),
  ),
  Row(
    "a grade of 5,000 digits",
    qrels(f"q1\t0\td1\t{'9' * 5000}\n"),
    (f"{QRELS}:1", "grade"),
  ),
  Row(
    "grades that are all 0",
    qrels("q1\t0\td1\t0\n"),
    (QRELS, "grade > 0"),
  ),
  Row(
    "grades that are all negative",
    qrels("q1\t0\td1\t-1\n"),
    (QRELS, "grade > 0"),
  ),
  Row(
    "an unknown query",
    qrels("q1\t0\td1\t1\nq7\t0\td1\t1\n"),
    (f"{QRELS}:2", "query q7 is not in"),
  ),
  Row(
    "an unknown passage",
    qrels("q1\t0\td1\t1\nq2\t0\td77\t1\n"),
    (f"{QRELS}:2", "passage d77 is not in"),
  ),
  Row(
    "an unknown passage, skipped",
    qrels("q1\t0\td1\t1\nq2\t0\td77\t1\n", SKIP),
    ("skipped 1 lines: 1 unknown passage",),
    SKIPPED,
  ),
  Row(
    "a judgement twice",
    qrels("q1\t0\td1\t1\nq1\t0\td1\t2\n"),
    (f"{QRELS}:2", "q1 d1 occurs again"),
  ),
  Row(
    "query and passage the wrong way round",
    qrels("d1\t0\tq1\t1\n"),
    (f"{QRELS}:1", "query d1 is not in"),
  ),
  Row(
    "queries that nobody labelled",
    qrels("q1\t0\td1\t1\n"),
    ("left out 1 queries without a positive",),
    SKIPPED,
  ),
  Row(
    "qrels in latin-1",
    qrels("q1\t0\td1\t1\nqé\t0\td1\t1\n".encode("latin-1")),
    (f"{QRELS}:2", "not UTF-8"),
  ),
]
