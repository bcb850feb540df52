"""Which columns of the candidate lists a step trains on.

A sampling takes the lists of a batch and returns columns [B, N]. All but
`RankingGroups` put the positive first: the first labelled column of the list,
which is the best ranked one, or the first of the qrels where none was
retrieved. The official code of PROD takes the first of the file. A list of a
query without labels has no positive, and one more drawn passage in its place.
With fewer passages than asked for they are repeated, as in the official code,
so that the shape stays; -1 where there is none at all.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any, ClassVar, NamedTuple

import numpy as np

from prod_jax import strict
from prod_jax.batches.lists import Candidates
from prod_jax.ranges import Count, Real


class Lists(NamedTuple):
  """The lists of a batch, [B, C] each, see `Candidates`.

  Attributes:
    ids, label, score: as there.
    teacher: float32, a teacher's scores, or None; a sampling that needs them
      says so in NEEDS_SCORES.
    first: bool, columns that are to be drawn before any other, or None.
  """

  ids: np.ndarray
  label: np.ndarray
  score: np.ndarray
  teacher: Any
  first: np.ndarray | None

  @property
  def is_negative(self) -> np.ndarray:
    return ~self.label & (self.ids >= 0)

  @property
  def positive(self) -> np.ndarray:
    """int64 [B], the column of the positive, of lists that have one."""
    return self.label.argmax(axis=1)


def lists_of(
  candidates: Candidates,
  numbers: np.ndarray,
  teacher: np.ndarray | None,
  first: np.ndarray | None,
) -> Lists:
  """Reads lists `numbers` from disk; `teacher` is of all lists."""
  return Lists(
    ids=candidates.ids[numbers],
    label=candidates.label[numbers],
    score=candidates.score[numbers],
    teacher=None if teacher is None else teacher[numbers],
    first=first,
  )


@dataclasses.dataclass(frozen=True)
class Random:
  """Negatives at random, without replacement."""

  NEEDS_SCORES: ClassVar[bool] = False
  NEEDS_LABELS: ClassVar[bool] = False

  def __call__(
    self, lists: Lists, negatives: int, rng: np.random.Generator
  ) -> np.ndarray:
    """int64 [B, 1 + negatives]."""
    return _smallest(lists, rng.random(lists.ids.shape), negatives)


@dataclasses.dataclass(frozen=True)
class Descend:
  """The first negatives in ranked order."""

  NEEDS_SCORES: ClassVar[bool] = False
  NEEDS_LABELS: ClassVar[bool] = False

  def __call__(
    self, lists: Lists, negatives: int, rng: np.random.Generator
  ) -> np.ndarray:
    """int64 [B, 1 + negatives]."""
    columns = np.arange(lists.ids.shape[1], dtype=float)
    key = np.broadcast_to(columns, lists.ids.shape)
    return _smallest(lists, key, negatives)


@dataclasses.dataclass(frozen=True)
class SimAns:
  """Negatives that score near the positive, without replacement.

  Source: SimANS (arXiv 2210.11773), p proportional to
  exp(-a (s_neg - s_pos - b)^2) with the retriever's scores s. The official
  code adds b where its README, followed here, subtracts it.

  Attributes:
    a: sharpness, per squared score.
    b: where the likeliest negative stands, above the positive.
  """

  a: Real
  b: Real
  NEEDS_SCORES: ClassVar[bool] = False
  NEEDS_LABELS: ClassVar[bool] = True

  def __call__(
    self, lists: Lists, negatives: int, rng: np.random.Generator
  ) -> np.ndarray:
    """int64 [B, 1 + negatives].

    Raises:
      ConfigError: a positive has no score.
    """
    positive_B1 = np.take_along_axis(
      lists.score, lists.positive[:, None], axis=1
    )
    if np.isnan(positive_B1).any():
      raise strict.ConfigError(
        "sampling 'simans' draws by the retriever's scores, and a list has "
        "none of its positive; take lists of a mine stage, or another sampling"
      )
    log_p = self.log_weight(lists.score, positive_B1)
    return _smallest(lists, _gumbel_key(log_p, rng), negatives)

  def log_weight(
    self, negative: np.ndarray, positive: np.ndarray
  ) -> np.ndarray:
    """Log-probability of a negative by its score, up to a constant."""
    return -self.a * (negative - positive - self.b) ** 2


@dataclasses.dataclass(frozen=True)
class Balanced:
  """Negatives spread evenly over a teacher's margins, without replacement.

  The margins of a list's negatives, z_pos - z_neg, are cut into equal ranges
  from the smallest to the largest. The chance of a negative is that of a
  member of an even choice among the ranges that have one. That is exact for
  the first negative; as its members are taken, a range is chosen less often.

  Source: TAS-Balanced (arXiv 2104.06967). Its lists hold pairs of a query and
  its negatives over all positives; here a query has one positive.

  Attributes:
    bins: ranges.
  """

  bins: Count
  NEEDS_SCORES: ClassVar[bool] = True
  NEEDS_LABELS: ClassVar[bool] = True

  def __call__(
    self, lists: Lists, negatives: int, rng: np.random.Generator
  ) -> np.ndarray:
    """int64 [B, 1 + negatives]."""
    positive_B1 = np.take_along_axis(
      lists.teacher, lists.positive[:, None], axis=1
    )
    margin = np.where(lists.is_negative, positive_B1 - lists.teacher, np.nan)
    members = self.members(margin)
    return _smallest(lists, _gumbel_key(-np.log(members), rng), negatives)

  def members(self, margin_BC: np.ndarray) -> np.ndarray:
    """float [B, C]: how many negatives share a column's range; NaN is none."""
    out = np.ones(margin_BC.shape)
    for line, margin in zip(out, margin_BC, strict=True):
      there = ~np.isnan(margin)
      if not there.any():
        continue
      low, high = margin[there].min(), margin[there].max()
      width = (high - low) / self.bins or 1.0
      which = np.minimum((margin[there] - low) // width, self.bins - 1)
      which = which.astype(int)
      line[there] = np.bincount(which)[which]
    return out


@dataclasses.dataclass(frozen=True)
class RankingGroups:
  """Columns of a teacher's ranking: the first ones, then sets of worse ones.

  Group 0 holds the first `sizes[0]` passages in the teacher's order. Group g
  holds `sizes[g]` at random from the ranks behind `depths[g - 1]` up to
  `depths[g]`, in the teacher's order. Labels play no part.

  Source: the data of CL-DRD (arXiv 2204.13679); the ranks that its groups
  were drawn from are not published.

  Attributes:
    sizes: passages of each group.
    depths: 1-based rank at which each group ends.
  """

  sizes: tuple[Count, ...]
  depths: tuple[Count, ...]
  NEEDS_SCORES: ClassVar[bool] = True
  NEEDS_LABELS: ClassVar[bool] = False

  def __post_init__(self) -> None:
    starts = (0, *self.depths)
    if (
      len(self.sizes) != len(self.depths)
      or not self.sizes
      or self.sizes[0] != self.depths[0]
      or any(
        not 1 <= size <= end - start
        for size, start, end in zip(
          self.sizes, starts, self.depths, strict=False
        )
      )
    ):
      raise strict.FieldError(
        "sizes",
        f"{self.sizes} and depths {self.depths} do not fit: the first are "
        "equal, and each size fits between two depths",
      )

  @property
  def group_N(self) -> np.ndarray:
    """int32 [N], the group of each column."""
    return np.repeat(np.arange(len(self.sizes)), self.sizes).astype(np.int32)

  def __call__(
    self, lists: Lists, negatives: int, rng: np.random.Generator
  ) -> np.ndarray:
    """int64 [B, sum(sizes)], -1 where a list is too short."""
    del negatives
    score = np.where(lists.ids >= 0, lists.teacher, -np.inf)
    ranking = np.argsort(-score, axis=1, kind="stable")
    length = (lists.ids >= 0).sum(axis=1, keepdims=True)
    C = ranking.shape[1]
    chosen = []
    for size, start, end in zip(
      self.sizes, (0, *self.depths), self.depths, strict=False
    ):
      # Ranks behind the end of a list sort last, so that they are drawn last.
      ranks = np.arange(start, end)
      key = rng.random((len(ranking), end - start)) + (ranks >= length)
      drawn = np.argsort(key, axis=1)[:, :size]
      chosen.append(np.sort(drawn, axis=1) + start)
    ranks = np.concatenate(chosen, axis=1)
    columns = np.take_along_axis(ranking, np.minimum(ranks, C - 1), axis=1)
    return np.where(ranks < length, columns, -1)


Sampling = Random | Descend | SimAns | Balanced | RankingGroups
_SAMPLINGS = {
  "random": Random,
  "descend": Descend,
  "simans": SimAns,
  "balanced": Balanced,
  "groups": RankingGroups,
}


def make_sampling(
  sampling: str, settings: Mapping[str, Any], path: str
) -> Sampling:
  """The sampling that a config names.

  Raises:
    ConfigError: for a setting that is unknown, missing or wrong, under `path`.
  """
  return strict.section(_SAMPLINGS[sampling], settings, path)


def _gumbel_key(log_p: np.ndarray, rng: np.random.Generator) -> np.ndarray:
  """Keys whose n smallest are a draw without replacement by probability."""
  return -(log_p + rng.gumbel(size=log_p.shape))


def _smallest(lists: Lists, key: np.ndarray, negatives: int) -> np.ndarray:
  """The positive, and the negatives with the smallest keys.

  Without a positive one more of these.
  """
  is_negative = lists.is_negative
  key = np.where(is_negative, key, np.inf)
  later = np.zeros(key.shape, bool) if lists.first is None else ~lists.first
  order = np.lexsort((key, later | ~is_negative), axis=1)
  count = is_negative.sum(axis=1, keepdims=True)
  wanted = np.arange(negatives + 1)[None, :] % np.maximum(count, 1)
  chosen = np.take_along_axis(order, wanted, axis=1)
  chosen = np.where(count > 0, chosen, -1)
  behind = np.concatenate([lists.positive[:, None], chosen[:, :-1]], axis=1)
  return np.where(lists.label.any(axis=1, keepdims=True), behind, chosen)
