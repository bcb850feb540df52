"""What a run costs, in a line, and the forecast of this machine as a table."""

import dataclasses

import pytest

from launch import cloud
from prod_jax import strict
from prod_jax.cli import plan as command
from prod_jax.cli.arguments import parser_of
from prod_jax.plan import bill, table
from tests.plan.table_test import REFUSED, row


def measured(stage, **changes):
  return {
    "stage": stage,
    "kind": "encode",
    "parts": [
      {"unit": "passages", "count": 3200, "seconds_each": 0.002},
      {"unit": "steps", "count": 40, "seconds_each": 0.25},
    ],
    "seconds": 1800.0,
    "once_seconds": 3.0,
    "memory_bytes": 2**30,
    "at_most": [],
    "why": "",
  } | changes


def test_all_stages_are_one_line():
  assert bill.total([0.5, 0.25], 4, 1.5) == (
    "all 2 stages: 0.75 h (45.0 min), 3.00 chip-hours, "
    "4.50 at 1.5 an hour of a chip"
  )
  assert bill.total([0.5, None], 1, 0.0, at_most=True) == (
    "all 2 stages: at most 0.50 h (30.0 min), 0.50 chip-hours, without 1 whose "
    "time is not known"
  )


def test_a_row_says_its_work_its_bound_and_what_is_not_measured():
  unknown = measured(
    "divide", parts=[], seconds=None, once_seconds=0, memory_bytes=None
  )
  rows = [measured("embed", at_most=["unless gate_de skips it"]), unknown]
  rows[1]["why"] = "the host's work"
  head, columns, embed, divide, _, total = bill.text(
    rows, "a CPU", 1, 2.0
  ).splitlines()
  assert head == "measured on a CPU" and columns.startswith("stage")
  assert "3,200 passages at 500/s; 40 steps of 250 ms" in embed
  assert "1.00 GiB" in embed and "30.0 min" in embed
  assert embed.endswith("unless gate_de skips it")
  assert divide.split("  ")[-1].strip() == "the host's work"
  assert total.startswith("all 2 stages: at most 0.50 h")
  assert "1.00 at 2 an hour of a chip, without 1" in total


def test_a_slice_ends_with_its_bill():
  said = table.text([row("ce"), row("de", **REFUSED)], price=1.2)
  assert (
    "all 2 stages: 0.40 h (24.0 min), 3.20 chip-hours, 3.84 at 1.2 an hour of "
    "a chip, without 1 whose time is not known at the roofline"
  ) in said


@pytest.mark.parametrize(
  ("text", "message"),
  [
    ("", "has no price; add price = 1.2"),
    ("price = -1", "has no price"),
    ("price = 'much'", "price is 'much'"),
    ("price =", "Invalid value"),
  ],
)
def test_a_price_is_one(tmp_path, text, message):
  path = tmp_path / "mine.toml"
  path.write_text(text)
  with pytest.raises(strict.ConfigError, match=message):
    bill.price_of(str(path))
  path.write_text("price = 1.2")
  assert "price" in {field.name for field in dataclasses.fields(cloud.Settings)}
  assert bill.price_of(str(path)) == 1.2
  with pytest.raises(strict.ConfigError, match="No such file"):
    bill.price_of(str(tmp_path / "nowhere"))


@pytest.mark.parametrize(
  ("content", "message"),
  [
    (b"price = 1.2 # \xe9\n", "mine.toml: 'utf-8' codec can't decode"),
    (b"a = " + b"[" * 5000, "mine.toml: "),
    (b"price = " + b"9" * 5000, "mine.toml: "),
    (b"price = " + b"9" * 400, "price is 999"),
    (b"price = nan\n", "price is nan"),
    (b"price = inf\n", "price is inf"),
    (b"price = true\n", "price is True"),
  ],
)
def test_a_file_of_any_bytes_is_a_line(tmp_path, content, message):
  path = tmp_path / "mine.toml"
  path.write_bytes(content)
  with pytest.raises(strict.ConfigError, match=message):
    bill.price_of(str(path))
  with pytest.raises(strict.ConfigError, match=r"mine\.toml: "):
    cloud.load(str(path))


def test_a_mark_of_byte_order_is_no_part_of_it(tmp_path):
  path = tmp_path / "mine.toml"
  path.write_bytes(b"\xef\xbb\xbfprice = 1.2\r\n")
  assert bill.price_of(str(path)) == 1.2


@pytest.mark.parametrize(
  ("flags", "message"),
  [
    ([], "give --workdir=DIR to measure"),
    (["--topology=v5e:2x4", "--workdir=w"], "give one of them"),
    (["--workdir=w", "--markdown"], "--markdown is of --topology"),
    (["--workdir=w", "--passages=3"], "--passages is of --topology"),
  ],
)
def test_one_of_two_places_is_planned_for(flags, message):
  args = parser_of(command).parse(["--config=no.py", *flags])
  with pytest.raises(strict.ConfigError, match=message):
    command.run(args)
