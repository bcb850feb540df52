"""What a TPU chip can do, and the shape of a slice of them.

Numbers are the maker's, but for the usable memory, which is what the compiler
of libtpu 0.0.52 says is available when a program is too large. Seen in
November 2026.
"""

import math
from typing import NamedTuple

from prod_jax import strict

GIB = 2**30


class Chip(NamedTuple):
  """One chip.

  Attributes:
    flops: bfloat16 FLOPs a second at most.
    hbm: bytes of memory.
    usable: bytes of it that a program may take.
    bandwidth: bytes a second between memory and core.
    link: bytes a second and direction of one link to a neighbour.
    ring: an axis of a multiple of so many chips closes to a ring.
    devices: what JAX sees of a chip; they share all of the above evenly.
    config: name of the libtpu configuration with so many devices.
    source: where the numbers are from.
  """

  flops: float
  hbm: float
  usable: float
  bandwidth: float
  link: float
  ring: int
  devices: int
  config: str
  source: str


_DOCS = "https://docs.cloud.google.com/tpu/docs"

# Links: the bidirectional bandwidth of a chip, halved, over its 4 links in two
# dimensions or 6 in three. v4's is that of a link in arXiv 2304.01433.
CHIPS = {
  "v4": Chip(
    flops=275e12,
    hbm=32 * GIB,
    usable=30.75 * GIB,
    bandwidth=1200e9,
    link=50e9,
    ring=4,
    devices=1,
    config="megacore",  # the two cores of a chip are one device
    source=f"{_DOCS}/v4",
  ),
  "v5e": Chip(
    flops=197e12,
    hbm=16 * GIB,
    usable=15.75 * GIB,
    bandwidth=819e9,
    link=400e9 / 2 / 4,
    ring=16,
    devices=1,
    config="default",
    source=f"{_DOCS}/v5e",
  ),
  "v5p": Chip(
    flops=459e12,
    hbm=95 * GIB,
    usable=95.73 * GIB,
    bandwidth=2765e9,
    link=1200e9 / 2 / 6,
    ring=4,
    devices=1,
    config="default",
    source=f"{_DOCS}/v5p-training",
  ),
  "v6e": Chip(
    flops=918e12,
    hbm=32 * GIB,
    usable=31.24 * GIB,
    bandwidth=1638e9,
    link=800e9 / 2 / 4,
    ring=16,
    devices=1,
    config="default",
    source=f"{_DOCS}/tpu7x",
  ),
  "tpu7x": Chip(
    flops=2307e12,
    hbm=192 * GIB,
    usable=2 * 94.74 * GIB,
    bandwidth=7380e9,
    link=1200e9 / 2 / 6,
    ring=4,
    devices=2,
    config="default",
    source=f"{_DOCS}/tpu7x",
  ),
}


class Slice(NamedTuple):
  """Chips in a grid.

  Attributes:
    name: such as "v5e:2x4".
    chip: of which it is made.
    grid: chips along each axis.
  """

  name: str
  chip: Chip
  grid: tuple[int, ...]

  @property
  def chips(self) -> int:
    return math.prod(self.grid)

  @property
  def devices(self) -> int:
    return self.chips * self.chip.devices

  @property
  def usable(self) -> int:
    """Bytes of memory for the program of a device."""
    return int(self.chip.usable / self.chip.devices)

  @property
  def interconnect(self) -> float:
    """Bytes a second out of the chip that has the fewest links.

    An axis of one chip has none, a ring has two, and at the end of an axis
    that is no ring there is one. Nothing slower, such as a network between
    slices, is part of a slice.
    """
    links = sum(
      2 if size % self.chip.ring == 0 else 1 for size in self.grid if size > 1
    )
    return links * self.chip.link


def slice_of(topology: str) -> Slice:
  """Reads a topology such as "v5e:2x4" or "v5p:2x2x2".

  Raises:
    ConfigError: for another chip or form.
  """
  name, _, grid = topology.partition(":")
  if name not in CHIPS:
    raise strict.ConfigError(
      f"--topology={topology}: there is no chip {name!r}; known: "
      f"{', '.join(CHIPS)}, as in v5e:2x4"
    )
  sizes = grid.split("x")
  if not all(size.isdecimal() and int(size) for size in sizes):
    raise strict.ConfigError(
      f"--topology={topology}: behind the colon stand the chips along each "
      "axis, as in v5e:2x4 or v5p:2x2x2"
    )
  return Slice(topology, CHIPS[name], tuple(map(int, sizes)))
