"""Progress of long work: a bar on a terminal, a log line a minute elsewhere."""

from collections.abc import Iterable, Iterator
from typing import TypeVar

import tqdm
from absl import logging

T = TypeVar("T")

_SECONDS = 60


def shown(
  items: Iterable[T], name: str, unit: str, total: int | None = None
) -> Iterator[T]:
  """Yields the items, and shows how many have been taken.

  Args:
    items: to pass on.
    name: of the work.
    unit: what an item is, in the plural.
    total: how many there will be, None where nobody knows.
  """
  with tqdm.tqdm(total=total, desc=name, unit=f" {unit}", disable=None) as bar:
    for done, item in enumerate(items, 1):
      yield item
      bar.update()
      if bar.disable:
        logging.log_every_n_seconds(
          logging.INFO,
          "%s: %d%s %s",
          _SECONDS,
          name,
          done,
          f" of {total}" if total else "",
          unit,
        )
