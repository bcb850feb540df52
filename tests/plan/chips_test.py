"""Slices: names, sizes, and the links of the worst placed chip."""

import pytest

from prod_jax import strict
from prod_jax.plan.chips import CHIPS, GIB, slice_of


def test_a_slice_has_the_chips_of_its_grid():
  assert (slice_of("v5e:2x4").chips, slice_of("v5e:2x4").devices) == (8, 8)
  assert slice_of("v5p:2x2x2").grid == (2, 2, 2)
  ironwood = slice_of("tpu7x:2x2x1")
  assert (ironwood.chips, ironwood.devices) == (4, 8)
  assert ironwood.usable == int(94.74 * GIB)


@pytest.mark.parametrize(
  ("topology", "links"),
  [
    ("v5e:1x1", 0),
    ("v5e:1x8", 1),
    ("v5e:2x4", 2),
    ("v5e:8x16", 3),  # the axis of 16 is a ring
    ("v5e:16x16", 4),
    ("v5p:2x2x2", 3),
    ("v5p:4x4x8", 6),
    ("tpu7x:2x2x1", 2),
  ],
)
def test_links_out_of_the_worst_placed_chip(topology, links):
  slice_ = slice_of(topology)
  assert slice_.interconnect == links * slice_.chip.link


def test_no_program_may_take_more_than_there_is():
  for name, chip in CHIPS.items():
    # v5p's page says 95 GiB, its compiler a little more.
    assert chip.usable <= 1.01 * chip.hbm, name
    assert chip.source.startswith("https://"), name


@pytest.mark.parametrize(
  ("topology", "message"),
  [
    ("v3:2x2", "no chip 'v3'; known: v4, v5e"),
    ("v5e", "as in v5e:2x4"),
    ("v5e:2xfour", "chips along each axis"),
    ("v5e:0x4", "chips along each axis"),
  ],
)
def test_what_is_no_slice_is_named(topology, message):
  with pytest.raises(strict.ConfigError, match=message):
    slice_of(topology)
