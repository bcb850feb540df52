"""The search for the largest batch, on memories that we make up."""

import pytest

from prod_jax.plan import search
from prod_jax.plan.search import Probe


class Memory:
  """Needs `fixed + each * batch`, and grows as it likes where that fits."""

  def __init__(self, fixed, each, available, bent=0.0):
    self.fixed, self.each, self.available = fixed, each, available
    self.bent = bent  # how far refusals are off the line
    self.asked = []

  def __call__(self, batch):
    assert batch not in self.asked[-1:]
    self.asked.append(batch)
    needs = self.fixed + self.each * batch
    if needs > self.available:
      return Probe(False, int(needs * (1 + self.bent)))
    return Probe(True, max(needs, self.available * 3 // 4))

  @property
  def refusals(self):
    return sum(self.fixed + self.each * b > self.available for b in self.asked)


@pytest.mark.parametrize("first", [8, 64, 4096])
@pytest.mark.parametrize(("fixed", "each"), [(100, 7), (900, 1), (0, 30)])
def test_it_ends_at_the_boundary(first, fixed, each):
  memory = Memory(fixed, each, available=1000)
  found = search.largest(memory, first, grain=8, available=1000)
  assert found.largest_batch == (1000 - fixed) // each // 8 * 8
  assert found.refused_batch == found.largest_batch + 8
  assert found.refused_batch in memory.asked


def test_two_refusals_save_most_of_the_asking():
  memory = Memory(100, 7, available=16 * 1000)
  search.largest(memory, 64, grain=8, available=16_000)
  assert len(memory.asked) <= 8
  assert len(memory.asked) - memory.refusals <= 3


@pytest.mark.parametrize("bent", [-0.1, 0.1, -1.0])
def test_a_line_that_is_off_costs_more_and_is_not_believed(bent):
  memory = Memory(100, 7, available=16_000, bent=bent)
  found = search.largest(memory, 64, grain=8, available=16_000)
  assert found == (2264, 2272)


def test_a_guess_that_is_far_off_is_left_in_doubling_steps():
  memory = Memory(100, 1, available=100_000, bent=1.0)
  found = search.largest(memory, 8, grain=8, available=100_000)
  assert found == (99_896, 99_904)
  assert len(memory.asked) <= 26


def test_a_batch_that_is_the_largest_is_soon_known_to_be():
  memory = Memory(100, 7, available=16_000)
  found = search.largest(memory, 2264, grain=8, available=16_000)
  assert found == (2264, 2272)
  assert len(memory.asked) == 4


def test_none_may_fit():
  found = search.largest(Memory(2000, 1, 1000), 64, grain=8, available=1000)
  assert found == (0, 8)
