"""What a run says of the code and the processor that made it."""

import json

import pytest

from prod_jax import report
from prod_jax.report import origins, record

HERE = {
  "seed": 7,
  "config_hash": "0123456789abcdef" * 4,
  "data_fingerprint": "fedcba9876543210",
  "commit": f"{'c0ffee' * 6}beef+changes",
  "versions": {"python": "3.11.9", "jax": "0.10.2"},
  "processor": "Xeon, 2 cores",
  "devices": 8,
}
SAID = (
  "made with seed 7; config 0123456789ab; data fedcba987654; commit "
  "c0ffeec0ffee+changes; processor Xeon, 2 cores; devices 8; python 3.11.9; "
  "jax 0.10.2"
)


@pytest.fixture
def lines(workdir):
  """Called with what each stage ran with, by name; the others ran here."""
  path = workdir / "curriculum.json"
  left = json.loads(path.read_text())

  def made(**by_name):
    for stage in left["stages"]:
      stage["origin"] = by_name.get(stage["name"], HERE)
    path.write_text(json.dumps(left))
    return origins.lines(record.load(workdir))

  return made


def test_what_all_stages_ran_with_is_a_line(lines):
  assert lines() == [SAID]


def test_a_stage_that_has_not_run_does_not_count(lines):
  assert lines(student_final=HERE | {"seed": 8}) == [SAID]


def test_what_stages_differ_in_has_a_line_each(lines):
  other = HERE | {
    "processor": "Epyc",
    "commit": None,
    "versions": HERE["versions"] | {"scann": "1.4.2"},
  }
  common, *differing = lines(encode_de=other, evaluate_de=other)
  assert common == (
    "made with seed 7; config 0123456789ab; data fedcba987654; devices 8; "
    "python 3.11.9; jax 0.10.2"
  )
  most = "student_warm, encode_warm, evaluate_warm and 8 more"
  some = "encode_de, evaluate_de"
  assert differing == [
    f"stages differ in commit: c0ffeec0ffee+changes ({most}), unknown ({some})",
    f"stages differ in processor: Xeon, 2 cores ({most}), Epyc ({some})",
    f"stages differ in scann: absent ({most}), 1.4.2 ({some})",
  ]


def test_a_run_of_an_older_version_says_that_it_does_not_know(workdir, lines):
  (old,) = origins.lines(record.load(workdir))
  assert old == (
    "made with seed 7; config hash, data, commit, versions and processor are "
    "not written down"
  )
  assert lines(score_1={}, ce_1={}) == [
    SAID,
    "what ce_1, score_1 ran with is not written down",
  ]


def test_page_and_markdown_say_it(workdir, lines):
  lines(ce_1=HERE | {"devices": 1})
  page = report.write_page(
    workdir,
    query_text=str,
    passage_text=lambda name: (name, name),
    qrels={},
  ).read_text()
  text = report.write_results_markdown([workdir])
  said = "tages differ in devices: 8 (student_warm, encode_warm, evaluate_warm"
  assert said in page and f"\n- s{said}" in text
  assert "Made with seed 7; config" in page
  assert "\n- made with seed 7; config" in text
