"""A frozen model over many texts: which texts a batch has, and who runs it.

Texts share rows where they can: rows of one length, so many in a batch, one
compilation and hardly any padding. Where they cannot, rows of their own are
sorted by length and cut into batches of about the same number of tokens, each
padded to one of at most four lengths. Either way results come back in the
order of the texts.

Two threads a device have a batch each, while the host makes the next one and
stores what was done: neither waits for the other, and memory is that of a few
batches. A TPU takes them one after the other. A CPU asked by two threads works
at both at once, and its cores need not wait for each other behind every
operation.
"""

import collections
import concurrent.futures
import contextlib
import dataclasses
import itertools
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple, Protocol, runtime_checkable

import jax
import numpy as np

from prod_jax import config, progress, sharding
from prod_jax.batch import Packed
from prod_jax.batches import packing
from prod_jax.batches.rows import Joined, padded
from prod_jax.batches.special import Special
from prod_jax.models import Encoder, products
from prod_jax.profiling import IDLE, Profile
from prod_jax.retrieval.tiles import power_of_two
from prod_jax.strict import Refused

SHAPES = 4  # lengths of rows that hold one text
_SAMPLE = 16_384  # texts by which the length of a shared row is chosen
_THREADS = 2  # of a device
_USUAL = 512  # tokens; what reads more is asked how many there are

# (parameters, texts) to float32 [n, ...], jitted; of Packed texts [1, n, ...].
Forward = Callable[[Any, Any], jax.Array]


@dataclasses.dataclass(frozen=True)
class FrozenModel:
  """A model that is not trained, and all that it takes to read texts.

  Attributes:
    model: what it computes.
    copies: devices, and its parameters on each.
    special: ids of its tokenizer's special tokens.
    data: how long texts are, and whether they share rows.
    batch_tokens: about how many tokens a batch holds; it is one device's.
    profile: of some batches, where that was asked for.
  """

  model: Encoder
  copies: sharding.Copies
  special: Special
  data: config.Data
  batch_tokens: int
  profile: Profile = IDLE

  @classmethod
  def of(cls, model: Encoder, params: Any, **rest: Any) -> "FrozenModel":
    """The model with these parameters on each device of this process."""
    at_rest = products.at_rest(model.transformer, params)
    return cls(model=model, copies=sharding.copies(at_rest), **rest)


@runtime_checkable
class Watch(Protocol):
  """Whoever wants to know how far a work over texts is."""

  def begin(self, out: np.ndarray) -> np.ndarray:
    """Takes the array of results; returns which rows it has filled in."""

  def made(self, rows: np.ndarray) -> None:
    """Takes note of rows whose results are there now, in any order."""


class NonFiniteOutputs(Refused):
  """A model that makes something of a text that is not finite.

  Attributes:
    rows: numbers of such texts among those that were asked for.
    texts: the batch that they are in, as the model reads it.
    of: int arrays by "query" and "passage", rows of the tables that these texts
      are of, as far as somebody has said it.
    split: of these queries, "" where nobody has.
  """

  def __init__(self, rows: np.ndarray, texts: Any):
    self.rows, self.texts = rows, texts
    self.of: dict[str, np.ndarray] = {}
    self.split = ""
    super().__init__(
      f"the model makes NaN or infinity of {len(rows)} texts of a batch, some "
      "of which may only share a row with such a one"
    )


@contextlib.contextmanager
def named(**rows: np.ndarray) -> Iterator[None]:
  """Says in a `NonFiniteOutputs` which rows of their tables the texts are of.

  Args:
    rows: of all texts that are asked for, by "query" and "passage".
  """
  try:
    yield
  except NonFiniteOutputs as error:
    error.of |= {name: numbers[error.rows] for name, numbers in rows.items()}
    raise


class Shown:
  """A watch that only shows it.

  Args:
    meter: that counts texts.
  """

  def __init__(self, meter: progress.Meter):
    self._meter = meter

  def begin(self, out: np.ndarray) -> np.ndarray:
    """Nothing is there yet."""
    return np.zeros(len(out), bool)

  def made(self, rows: np.ndarray) -> None:
    """Counts them."""
    self._meter.add(len(np.unique(rows)))


class Work(NamedTuple):
  """A batch.

  Attributes:
    rows: int [n], numbers of the texts in it; one may stand there twice.
    texts: what a model reads.
    places: int [n], where in the result each of them is.
  """

  rows: np.ndarray
  texts: Any
  places: np.ndarray


def over_texts(
  frozen: FrozenModel,
  forward: Forward,
  texts: Joined,
  longest: int,
  width: int | None = None,
  watch: Watch | None = None,
) -> np.ndarray:
  """Applies `forward` to all texts, as the data says in shared rows or not.

  Args:
    frozen: whose parameters `forward` gets.
    forward: of the texts as Packed with one group, or as Tokens [R, L].
    texts: [n].
    longest: tokens that a text may have.
    width: of a result; None where it is a number.
    watch: is told of each batch; what it has already is not made again.

  Returns:
    float32 [n, width] or [n], in the order of the texts.

  Raises:
    NonFiniteOutputs: some of it is not finite.
  """
  if not frozen.data.packed:
    return over_rows(
      frozen,
      forward,
      lambda rows, length: padded(texts.at(rows), length),
      texts.lengths,
      longest,
      width,
      watch,
    )
  out = _results(len(texts.lengths), width)
  if not len(out):
    return out
  return _in_turns(
    frozen,
    lambda params, packed: forward(params, packed)[0],
    _shared_rows(frozen, texts, needed(longest, texts.lengths)),
    out,
    watch,
  )


def over_rows(
  frozen: FrozenModel,
  forward: Forward,
  tokens_of: Callable[[np.ndarray, int], Any],
  row_lengths: np.ndarray,
  longest: int,
  width: int | None = None,
  watch: Watch | None = None,
) -> np.ndarray:
  """Applies `forward` to texts 0 … n-1, each in a row of its own.

  Args:
    frozen: whose parameters `forward` gets.
    forward: of what `tokens_of` makes.
    tokens_of: (row numbers [R], L) to Tokens [R, L], or several of them.
    row_lengths: tokens of each row, special ones included.
    longest: that a row may have.
    width: of a result; None where it is a number.
    watch: as of `over_texts`.

  Returns:
    float32 [n, width] or [n], in the order of the rows.

  Raises:
    NonFiniteOutputs: as `over_texts`.
  """
  longest = needed(longest, row_lengths)
  batches = (
    Work(rows, tokens_of(rows, length), np.arange(len(rows)))
    for rows, length in _by_length(row_lengths, longest, frozen.batch_tokens)
  )
  out = _results(len(row_lengths), width)
  return _in_turns(frozen, forward, batches, out, watch)


def needed(longest: int, lengths: np.ndarray) -> int:
  """The longest row that some texts need, where a model reads longer ones.

  A model of 8,192 tokens may see texts of 200: attention within a row of the
  first length takes 256 times what it takes within one of 512.
  """
  if longest <= _USUAL:
    return longest
  most = power_of_two(int(lengths.max(initial=1)))
  return min(longest, max(most, _USUAL))


def lengths_of_shapes(longest: int) -> list[int]:
  """The padded lengths: quarters of `longest`, rounded up to multiples of 8."""
  quarters = [-(-longest * i // SHAPES) for i in range(1, SHAPES + 1)]
  return sorted({min(-(-q // 8) * 8, longest) for q in quarters})


def rows_of(length: int, batch_tokens: int) -> int:
  """Rows of a batch of this length."""
  return max(batch_tokens // length, 1)


def _results(count: int, width: int | None) -> np.ndarray:
  return np.empty((count, *([width] if width else [])), np.float32)


def _in_turns(
  frozen: FrozenModel,
  forward: Forward,
  batches: Iterable[Work],
  out: np.ndarray,
  watch: Watch | None = None,
) -> np.ndarray:
  """Hands batches to devices in turn, and puts results in the rows of `out`."""
  pending: collections.deque = collections.deque()
  copies, profile = frozen.copies, frozen.profile
  if watch:
    there = watch.begin(out)
    batches = (work for work in batches if not there[work.rows].all())

  def result(
    number: int, texts: Any, device: jax.Device, params: Any
  ) -> np.ndarray:
    with profile.host(number):
      return np.asarray(forward(params, jax.device_put(texts, device)))

  def settle() -> None:
    work, number, future = pending.popleft()
    made = future.result()
    profile.end(number, made)
    made = made[work.places]
    if not np.isfinite(made).all():
      bad = ~np.isfinite(made.reshape(len(made), -1)).all(axis=1)
      raise NonFiniteOutputs(np.unique(work.rows[bad]), work.texts)
    out[work.rows] = made
    if watch:
      watch.made(work.rows)

  threads = _THREADS * len(copies.devices)
  turns = itertools.cycle(zip(*copies, strict=True))
  with concurrent.futures.ThreadPoolExecutor(threads) as pool:
    # Batches are drawn here, one more than there are threads: the oldest is
    # settled before the next one is made.
    for work, copy in zip(batches, turns, strict=False):
      number = profile.begin()
      made = pool.submit(result, number, work.texts, *copy)
      pending.append((work, number, made))
      if len(pending) > threads:
        settle()
    while pending:
      settle()
  return out


def _shared_rows(
  frozen: FrozenModel, texts: Joined, longest: int
) -> Iterator[Work]:
  """So many rows at once, with the texts that stand in them."""
  lengths = texts.lengths
  sample = lengths[:: -(-len(lengths) // _SAMPLE)][:, None]
  one_group = packing.Grouping(devices=1, splits=1)
  (_, L), _ = packing.shape_for(
    [sample], one_group, longest, frozen.data.row_length
  )
  places = packing.fit(lengths, L)
  # Few texts need few rows: one of the powers of two, not any number of them.
  rows = min(rows_of(L, frozen.batch_tokens), power_of_two(places.rows))
  shape = packing.Shape(rows, L)
  order = np.argsort(places.row, kind="stable")
  starts = np.arange(0, places.rows, rows)
  ends = np.searchsorted(places.row[order], starts + rows)
  most = power_of_two(int(np.diff(ends, prepend=0).max()))
  S = packing.texts_a_row(L)
  for start, numbers in zip(starts, np.split(order, ends[:-1]), strict=True):
    row, segment, first = (x[numbers] for x in places[:3])
    here = packing.Places(row - start, segment, first, rows)
    laid = packing.lay(texts.at(numbers), here, shape)
    place = np.zeros((1, most), np.int32)
    place[0, : len(numbers)] = here.row * S + segment
    ids, start_RS, length_RS, first_length_RS = (x[None] for x in laid)
    packed = Packed(ids, start_RS, length_RS, first_length_RS, place)
    yield Work(numbers, packed, np.arange(len(numbers)))


def _by_length(
  row_lengths: np.ndarray, longest: int, batch_tokens: int
) -> Iterator[tuple[np.ndarray, int]]:
  """Yields (rows, length) with as many rows for a length as fit."""
  shapes = np.array(lengths_of_shapes(longest))
  shape_of = np.searchsorted(shapes, row_lengths)
  rows = np.empty(0, np.int64)
  for i, length in enumerate(shapes.tolist()):
    rows = np.concatenate([rows, np.flatnonzero(shape_of == i)])
    if length < longest and len(rows) * length < batch_tokens:
      continue  # not worth a compilation: they go with the next length
    rows = rows[np.argsort(row_lengths[rows], kind="stable")]
    size = rows_of(length, batch_tokens)
    for start in range(0, len(rows), size):
      batch = rows[start : start + size]
      # The last row stands in for what is missing of a full batch.
      yield np.pad(batch, (0, size - len(batch)), mode="edge"), length
    rows = rows[:0]
