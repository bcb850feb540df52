"""Rows of a plan as people read them."""

import pytest

from prod_jax import origin
from prod_jax.plan import table
from prod_jax.sets.sizes import Size


def row(stage, topology="v5e:2x4", **changes):
  chips = 8 if topology == "v5e:2x4" else 256
  return {
    "stage": stage,
    "topology": topology,
    "chips": chips,
    "unit": "queries",
    "batch": 64,
    "copies": 1,
    "fits": True,
    "reason": "",
    "hbm_bytes": dict(
      arguments=2**30, temporaries=2**31, peak=7 * 2**29, available=2**34
    ),
    "flops": 2.02e12,
    "flops_matmul": 2e12,
    "flops_analytic": 2e12,
    "bytes_moved": 5e9,
    "collective_bytes": {"all-reduce": 3_000_000},
    "roofline_seconds": 0.036,
    "limit": "hbm",
    "mfu": 0.25,
    "steps": 40_000,
    "hours": 0.4,
    "chip_hours": 0.4 * chips,
    "largest_batch": 256,
  } | changes


REFUSED = dict(
  fits=False,
  reason="64 queries do not divide by 256, devices times accumulation",
  hbm_bytes=dict(arguments=None, temporaries=None, peak=None, available=2**34),
  **dict.fromkeys(
    (
      "flops",
      "flops_matmul",
      "bytes_moved",
      "collective_bytes",
      "roofline_seconds",
      "limit",
      "mfu",
      "hours",
      "chip_hours",
    )
  ),
)


SIZE = Size(0, {})


@pytest.fixture
def markdown():
  pytest.importorskip("libtpu", reason="a document names its version")
  return table.markdown


def test_a_line_has_its_units():
  head, columns, line, *_ = table.text([row("ce")]).splitlines()
  assert head.startswith("v5e:2x4: 8 chips of 197 TFLOP/s and 15.75 GiB")
  assert columns.split()[:3] == ["stage", "batch", "fits"]
  for part in (
    "64 queries",
    "1.00           2.00         3.50",  # GiB
    "1.010",
    "all-reduce 3.0 MB",
    "36.0",
    "25%",
    "40,000",
    "3.2",
  ):
    assert part in line


def test_what_does_not_fit_says_why():
  said = table.text([row("ce", **REFUSED)])
  assert " no " in said and "ce: 64 queries do not divide by 256" in said


def test_a_document_says_why_something_does_not_fit(markdown):
  page = markdown([row("ce", **REFUSED)], "some.py", SIZE, True)
  assert "- ce: 64 queries do not divide by 256" in page


def test_slices_stand_side_by_side_with_sums_of_what_is_known(markdown):
  rows = [row(s, t) for t in ("v5e:2x4", "v5e:16x16") for s in ("de", "ce")]
  rows[-1] |= REFUSED
  page = markdown(rows, "some.py", SIZE, True)
  assert "| ce | 0.40 (3.2) | does not divide |" in page
  assert "| all | 0.80 (6.4) | - |" in page
  assert "all 2 stages: 0.80 h (48.0 min), 6.40 chip-hours." in page
  assert "chip-hours, without 1 whose time is not known." in page
  rows[0] |= dict(hours=None, chip_hours=None, steps=None)
  assert "| de | unknown | 0.40 (102.4) |" in markdown(
    rows, "some.py", SIZE, True
  )


def test_a_document_names_versions_and_sources_of_its_chips(markdown):
  page = markdown([row("ce")], "configs/some.py", SIZE, True)
  assert page.startswith("# configs/some.py on TPU slices\n")
  commit = origin.short(origin.commit())
  assert f"programs of commit {commit})" in page
  assert "libtpu 0." in page and "docs.cloud.google.com/tpu/docs/v5e |" in page
  assert "v5p" not in page.partition("## Chips")[2]


def test_scaled_batches_are_a_section_of_their_own():
  rows = [row("ce"), row("ce", "v5e:16x16", roofline_seconds=0.037)]
  page = table.markdown(rows, "some.py", SIZE, True, 8)
  assert page.startswith("## As many queries a chip")
  assert "| ce | 3.0 | 3.0 | 36.0 | 37.0 |" in page


def test_the_lengths_that_were_assumed_are_said(markdown):
  known = Size(0, {}, query_tokens=9, passage_tokens=77)
  rows = [row("ce")]
  page = markdown(rows, "x", known, True)
  assert "9 (queries) and 77 (passages)" in page
  assert "in rows that they share as in a run.\n" in page
  assert "each in a row of its own.\n" in markdown(rows, "x", known, False)
  assert "of the greatest length" in markdown(rows, "x", SIZE, True)


def test_the_largest_batch_is_told_where_it_was_looked_for(markdown):
  rows = [row("ce"), row("de")]
  rows[0] |= dict(largest_batch=1234)
  for shown in (markdown(rows, "x", SIZE, True), table.text(rows)):
    assert "largest batch" in shown and "1,234" in shown
  page = markdown(rows, "x", SIZE, True)
  assert "- **Largest batch** compiles" in page
  for one in rows:
    del one["largest_batch"]
  for shown in (markdown(rows, "x", SIZE, True), table.text(rows)):
    assert "argest batch" not in shown
