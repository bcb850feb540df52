"""Each bad input gives one clear line and exit code 2, or a counted skip."""

import collections

import pytest

from prod_jax.stages.run import PARAMS
from tests.bad_inputs import made
from tests.bad_inputs.row import (
  OUTPUT,
  REFUSED,
  SKIPPED,
  Ended,
  Row,
  run,
  wrong,
)
from tests.bad_inputs.table import rows

ROWS = list(rows())


@pytest.mark.parametrize(
  "row",
  [
    pytest.param(
      row,
      id=f"{room}: {row.input}"[:80].encode("ascii", "replace").decode(),
      marks=[pytest.mark.long] if row.long else [],
    )
    for room, row in ROWS
  ],
)
def test_one_line_says_what_is_wrong(row: Row, tmp_path):
  ended = run(row.line(tmp_path))
  assert not wrong(row, tmp_path, ended), ended.stderr[-4000:]


def test_what_trains_nothing_needs_no_train_split(tmp_path):
  files = {"queries.train.tsv": None, "qrels.train.tsv": None}
  made.write(tmp_path / "other", made.LAYOUT | files)
  path = f"--config.data.path={tmp_path / 'other'}"
  planned = run(made.line(tmp_path, path, word="plan", variant="evaluate"))
  assert planned.code == 0, planned.stderr[-4000:]
  assert "all 3 stages" in planned.stdout
  ended = run(made.line(tmp_path, path, "--stages=student", variant="evaluate"))
  assert ended.code == 0, ended.stderr[-4000:]
  assert (tmp_path / OUTPUT / "00-student" / PARAMS).is_file()


@pytest.mark.parametrize(
  ("command", "line", "lacks"),
  [
    ("lists", "x; which --config.data.name=beir reads", "--config.data.name"),
    ("export", "lower --relevant, which is 2; or not", "--relevant"),
    ("evaluate", "set --config.models.a.b", "--config.models.a.b"),
    ("evaluate", "x; set config.models.a.tokenizer", "--config.models"),
    ("search", "x; prod_jax convert FOLDER --to=DIR", ""),
    ("lists", "there is no flag --nix; --help shows the flags", ""),
  ],
)
def test_advice_is_of_what_a_command_has(command, line, lacks, tmp_path):
  row = Row("", lambda _: [command], [])
  found = wrong(row, tmp_path, Ended(command, ["--nix"], 2, "", line))
  assert [lacks in one for one in found] == [True] * bool(lacks)


def test_rows_are_many_and_say_where_they_are_wrong():
  assert len(ROWS) >= 150
  assert all(row.says and all(row.says) for _, row in ROWS)
  assert {row.outcome for _, row in ROWS} == {REFUSED, SKIPPED}
  names = collections.Counter((room, row.input) for room, row in ROWS)
  assert max(names.values()) == 1
