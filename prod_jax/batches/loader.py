"""An endless, repeatable row of batches.

What batch s holds is a function of the seed and of s alone: a run may go on
at any step, with any number of processes. Grain shuffles and prefetches. What
a batch is made of is assemble.py.
"""

import functools
import sys

import grain
import numpy as np
from absl import logging

from prod_jax import strict
from prod_jax.batches import assemble, packing
from prod_jax.batches.assemble import Assemble, Examples
from prod_jax.batches.choose import Chosen

# Packed rows are made for the fullest of the first batches: of so many at
# most, and of no more than so many passages in all.
_LEAST_BATCHES, _SAMPLED_BATCHES = 16, 64
_SAMPLED_PASSAGES = 400_000


def batches(
  examples: Examples,
  *,
  batch_size: int,
  seed: int,
  first: int = 0,
  local_rows: np.ndarray | None = None,
  grouping: packing.Grouping | None = None,
  steps: int = _SAMPLED_BATCHES,
) -> grain.DatasetIterator:
  """An endless iterator of `Batch` in numpy, each epoch in its own order.

  Batches run on across the ends of epochs. Where there are fewer queries than
  a batch takes, a query stands in it more than once. Batches exchange queries
  with a few of their neighbours, so that all have about as many tokens.

  With clusters there are no epochs: a batch is drawn from one cluster, a larger
  one the more often, so that each query is as likely as any other.

  Args:
    examples: all that batches are made of.
    batch_size: B.
    seed: of order and draws.
    first: number of the batch to begin with.
    local_rows: int [b], which rows of each batch to assemble; None is all of
      them. The whole batch is chosen and drawn, whichever they are.
    grouping: how a batch is divided, for texts that share rows; None gives each
      text a row of its own.
    steps: batches that will be asked for; no more than these are looked at for
      the number of rows.

  Raises:
    ConfigError: there is no query at all, or no scores for a draw by them.
  """
  _check(examples)
  rows, cluster_Q = examples.rows, examples.cluster_Q
  choose = assemble.choose(examples)
  window = 1
  if cluster_Q is None:
    one = choose(rows[:1], np.random.default_rng(seed)).ids_BN
    window = packing.window(batch_size * one.size, len(rows) // batch_size)
  queries = _rows_of_batches(rows, batch_size * window, seed, cluster_Q)
  whole = packing.Grouping(devices=1, splits=1)
  balance = assemble.Balance(examples, batch_size, grouping or whole)
  chosen = _divided(queries.random_map(choose).map(balance), window)
  packed = _packing(examples, chosen, steps, grouping) if grouping else None
  assembled = chosen.map(Assemble(examples, local_rows, packed))
  return iter(
    assembled[first:].to_iter_dataset(
      grain.ReadOptions(num_threads=1, prefetch_buffer_size=4)
    )
  )


def _check(examples: Examples) -> None:
  """Raises ConfigError for what no batch can be made of."""
  if not len(examples.rows):
    raise strict.ConfigError(
      "there is no training query with a labelled positive"
    )
  sampling = examples.sampling
  if sampling.NEEDS_SCORES and examples.list_scores is None:
    raise strict.ConfigError(
      f"sampling by {type(sampling).__name__} needs scores of the lists; set "
      "scores to a score stage"
    )


def _packing(
  examples: Examples,
  chosen: grain.MapDataset,
  steps: int,
  grouping: packing.Grouping,
) -> packing.Packing:
  """Rows for the fullest of the first batches; the same on every process."""
  most = max(_SAMPLED_PASSAGES // chosen[0].ids_BN.size, 8)
  # The loader reads a few batches ahead, beyond the last step too.
  count = min(max(steps, _LEAST_BATCHES), _SAMPLED_BATCHES, most)
  sample = [assemble.texts_of(examples, chosen[step]) for step in range(count)]
  longest = assemble.longest_of(examples.data)
  shapes = {}
  for field in sample[0]:
    row_length = examples.data.row_length
    lengths = [texts[field].lengths for texts in sample]
    most = longest[field.removeprefix(assemble.TEACHER)]
    shapes[field], padding = packing.shape_for(
      lengths, grouping, most, row_length
    )
    logging.info(
      "%s: %d texts a batch in %d x %d rows of %d tokens, %.1f%% of it padding "
      "(each in a row of its own: %.1f%%)",
      field,
      lengths[0].size,
      grouping.groups,
      *shapes[field],
      100 * padding,
      100 * (1 - np.mean(lengths) / most),
    )
  return packing.Packing(grouping, shapes)


def _divided(chosen: grain.MapDataset, window: int) -> grain.MapDataset:
  """Batches one by one, of what was chosen for `window` of them at once."""
  choose = functools.lru_cache(maxsize=2)(chosen.__getitem__)

  def batch(step: int) -> Chosen:
    of_window = choose(step // window)
    size = len(of_window.row_B) // window
    first = step % window * size
    return of_window.at(slice(first, first + size))

  return grain.MapDataset.range(sys.maxsize).map(batch)


def _rows_of_batches(
  rows: np.ndarray, batch_size: int, seed: int, cluster_Q: np.ndarray | None
) -> grain.MapDataset:
  """The query rows of batch s at s, for ever."""
  if cluster_Q is not None:
    return (
      grain.MapDataset.source(rows)
      .seed(seed)
      .repeat()
      .random_map(_OneCluster(rows, cluster_Q, batch_size))
    )
  return (
    grain.MapDataset.source(rows)
    .seed(seed)
    .shuffle()
    .repeat()
    .batch(batch_size, drop_remainder=True)
  )


class _OneCluster:
  """Draws the rows of a batch from the cluster of a row drawn first.

  TAS-Balanced (arXiv 2104.06967) draws a cluster, and queries from it.
  """

  def __init__(self, rows: np.ndarray, cluster_Q: np.ndarray, batch_size: int):
    self._rows, self._cluster_Q = rows, cluster_Q
    self._batch_size = batch_size

  def __call__(self, row: np.integer, rng: np.random.Generator) -> np.ndarray:
    del row  # its place in the epoch, which is in the rng too
    cluster = rng.choice(self._cluster_Q)
    near = self._rows[self._cluster_Q == cluster]
    # A cluster that is smaller than a batch is seen whole before again.
    turns = -(-self._batch_size // len(near))
    order = np.concatenate([rng.permutation(near) for _ in range(turns)])
    return order[: self._batch_size]
