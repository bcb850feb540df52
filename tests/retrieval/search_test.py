"""Indexes against a stable sort of all inner products."""

import ctypes
import functools
import importlib.util
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from absl import logging

from prod_jax.retrieval import encode, exact, search, shortlist, tiles

scann = pytest.mark.skipif(
  importlib.util.find_spec("scann") is None,
  reason="scann has no wheel for this platform",
)


@pytest.fixture(params=["float32", "bfloat16"])
def dtype(monkeypatch, request):
  """That vectors are rounded to before they are multiplied."""
  monkeypatch.setattr(tiles, "fastest", lambda: request.param)
  return request.param


@pytest.fixture
def small_blocks(dtype, monkeypatch):
  """Blocks that a few hundred rows cross several times."""
  monkeypatch.setattr(exact, "QUERY_BLOCK", 4)
  monkeypatch.setattr(exact, "ROW_BLOCK", 128)
  # Of the 2 groups in a block.
  monkeypatch.setattr(shortlist, "_FIRST_CAPACITY", 1)


def sort(vectors, queries, k):
  """The definition: all products, sorted stably, padded to k."""
  scores = np.asarray(queries, np.float32) @ np.asarray(vectors, np.float32).T
  ids = np.argsort(-scores, axis=1, kind="stable")[:, :k]
  scores = np.take_along_axis(scores, ids, axis=1)
  pad = ((0, 0), (0, k - ids.shape[1]))
  return (
    np.pad(ids, pad, constant_values=-1),
    np.pad(scores, pad, constant_values=-np.inf),
  )


def whole_numbers(rng, *shape):
  """Products of these are exact, and mostly tied."""
  return rng.integers(-2, 3, shape).astype(np.float32)


def found_by_scann(index, vectors, queries, k):
  """Checks the `k` best of integer vectors: ScaNN's products are rounded."""
  ids, scores = index.search(queries, k)
  _, expected = sort(vectors, queries, k)
  np.testing.assert_allclose(scores, expected, atol=1e-5)
  there = min(k, len(vectors))
  assert (ids[:, there:] == -1).all()
  assert all(len(set(line)) == there for line in ids[:, :there].tolist())
  products = np.einsum(
    "qd,qkd->qk", queries, np.asarray(vectors, np.float32)[ids[:, :there]]
  )
  np.testing.assert_array_equal(products, expected[:, :there])


def clustered(rng, rows, width, clusters):
  centres = rng.normal(size=(clusters, width))
  x = centres[rng.integers(0, clusters, rows)]
  x = x + 0.7 * rng.normal(size=(rows, width))
  return (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32)


@pytest.mark.parametrize("k", [1, 7, 40])
@pytest.mark.parametrize("rows", [1, 33, 128, 129, 300])
def test_exact_is_a_stable_sort(small_blocks, rows, k):
  rng = np.random.default_rng(rows)
  vectors, queries = whole_numbers(rng, rows, 3), whole_numbers(rng, 9, 3)
  ids, scores = exact.ExactIndex(vectors).search(queries, k)
  expected_ids, expected_scores = sort(vectors, queries, k)
  np.testing.assert_array_equal(ids, expected_ids)
  np.testing.assert_array_equal(scores, expected_scores)


def test_exact_has_more_neighbours_than_a_block_has_rows(small_blocks):
  rng = np.random.default_rng(0)
  vectors, queries = whole_numbers(rng, 290, 4), whole_numbers(rng, 5, 4)
  ids, _ = exact.ExactIndex(vectors).search(queries, 260)
  np.testing.assert_array_equal(ids, sort(vectors, queries, 260)[0])


def test_exact_in_blocks_of_full_size(dtype):
  rng = np.random.default_rng(0)
  rows = 2 * exact.ROW_BLOCK + 1
  vectors, queries = whole_numbers(rng, rows, 2), whole_numbers(rng, 130, 2)
  ids, _ = exact.ExactIndex(vectors).search(queries, 10)
  np.testing.assert_array_equal(ids, sort(vectors, queries, 10)[0])


def test_copies_of_a_row_are_equal_in_every_block(small_blocks):
  rng = np.random.default_rng(0)
  copy = rng.integers(0, 50, 700)
  vectors = rng.normal(size=(50, 64)).astype(np.float32)[copy]
  queries = rng.normal(size=(6, 64)).astype(np.float32)
  ids, scores = exact.ExactIndex(vectors).search(queries, 200)
  same = np.diff(copy[ids]) == 0
  assert same.any()
  assert (np.diff(scores)[same] == 0).all()
  assert (np.diff(ids)[same] > 0).all()


@pytest.mark.parametrize("kind", ["memmap", "shards", "float16", "bfloat16"])
def test_rows_may_lie_anywhere_in_any_precision(small_blocks, tmp_path, kind):
  rng = np.random.default_rng(0)
  vectors, queries = whole_numbers(rng, 300, 4), whole_numbers(rng, 5, 4)
  if kind == "memmap":
    np.save(tmp_path / "v.npy", vectors)
    rows = np.load(tmp_path / "v.npy", mmap_mode="r")
  elif kind == "shards":
    cuts = np.split(vectors, [70, 200])
    rows = encode.Shards([lambda cut=cut: cut for cut in cuts])
  else:
    rows = vectors.astype(jnp.dtype(kind))
  ids, scores = exact.ExactIndex(rows).search(queries, 300)
  expected_ids, expected_scores = sort(vectors, queries, 300)
  np.testing.assert_array_equal(ids, expected_ids)
  np.testing.assert_array_equal(scores, expected_scores)
  found_by_scann(search.open_index("scann", rows), vectors, queries, 300)


class Watched:
  """Rows that note how many of them were asked for at once."""

  def __init__(self, vectors):
    self.shape = vectors.shape
    self.blocks, self.single = [], []
    self._vectors = vectors

  def __getitem__(self, rows):
    found = self._vectors[rows]
    (self.blocks if isinstance(rows, slice) else self.single).append(len(found))
    return found


def test_rows_are_read_in_blocks_of_one_compilation(
  small_blocks, dtype, monkeypatch
):
  monkeypatch.setattr(shortlist, "_FIRST_CAPACITY", 4)
  rng = np.random.default_rng(0)
  rows = Watched(rng.normal(size=(300, 17)).astype(np.float32))
  index = exact.ExactIndex(rows)
  before = tiles.groups_above._cache_size()
  index.search(rng.normal(size=(9, 17)).astype(np.float32), 3)
  index.search(rng.normal(size=(3, 17)).astype(np.float32), 3)
  times = 2 if dtype == "bfloat16" else 1  # for the scores in float32
  assert sorted(rows.blocks) == [44] * 2 * times + [128] * 4 * times
  # Some for the centre, and samples for the bound.
  assert rows.single == [128] * (times + 1)
  assert tiles.groups_above._cache_size() == before + 1


def test_few_blocks_are_there_at_once(small_blocks, monkeypatch):
  rng = np.random.default_rng(0)
  rows = Watched(rng.normal(size=(3000, 8)).astype(np.float32))
  kept, waiting = [], []
  add = shortlist.Shortlist.add

  def watched(self, hits):
    waiting.append(len(rows.blocks) - len(kept))
    kept.append(hits)
    add(self, hits)

  monkeypatch.setattr(shortlist.Shortlist, "add", watched)
  # None is scored before the end.
  monkeypatch.setattr(shortlist, "_MEAN_HITS", 100)
  monkeypatch.setattr(shortlist, "_MOST_HITS", 10_000)
  exact.ExactIndex(rows).search(rng.normal(size=(4, 8)).astype(np.float32), 3)
  assert len(kept) > 20 and max(waiting) <= exact._THREADS + 2


def test_products_are_added_in_float32_on_a_tpu_too(dtype):
  query, rows = (
    tiles.rounded(jnp.zeros((n, 3)), jnp.zeros(3), dtype=dtype)
    for n in (4, tiles.GROUP)
  )
  programs = (
    jax.make_jaxpr(functools.partial(tiles.best_floors, k=2))(query, rows, 1),
    jax.make_jaxpr(functools.partial(tiles.groups_above, capacity=8))(
      query, rows, 1, jnp.zeros(4)
    ),
  )
  for program in map(str, programs):
    assert "Precision.HIGHEST" in program
    assert "preferred_element_type=float32" in program


def near(x, centre=0.0):
  centre_D = np.full(x.shape[1], centre, np.float32)
  return tiles.rounded(np.float32(x), centre_D, dtype="bfloat16")


def off_and_margin(queries, rows, centre=0.0):
  """What rounding loses of each query's scores at most, and what was said."""
  queries, rows = np.float32(queries), np.float32(rows)
  query, row = near(queries), near(rows, centre)
  common = centre * queries.sum(axis=1, dtype=np.float64)
  score = np.float64(tiles._scores(query, row)) + common[:, None]
  exact_scores = np.float64(queries) @ np.float64(rows).T
  margin = np.asarray(tiles._margin(query, row))
  return np.abs(score - exact_scores).max(axis=1), margin


@pytest.mark.parametrize("scale", [1e-18, 1.0, 1e18])
def test_margin_is_what_rounding_loses_and_little_more(scale):
  rng = np.random.default_rng(0)
  queries, rows = rng.normal(size=(64, 96)), rng.normal(size=(4096, 96))
  off, margin = off_and_margin(queries, scale * rows)
  assert (off < margin).all() and (margin < 8 * off).all()
  # In line with what the other one loses, all is lost that may be.
  for lost_by, in_line in ((0, 1), (1, 0)):
    pair = [queries[:1], scale * rows[:1]]
    lost = pair[lost_by] - np.float64(near(pair[lost_by]).values_RD)
    length = np.linalg.norm(pair[in_line])
    lost = lost / np.linalg.norm(lost) * length
    pair[in_line] = np.float64(near(lost).values_RD)  # nothing is lost of it
    off, margin = off_and_margin(*pair)
    assert off < margin < 1.1 * off


def test_margin_goes_with_the_distance_from_a_centre():
  rng = np.random.default_rng(0)
  queries = rng.normal(size=(16, 64))
  rows = 5 + 1e-2 * rng.normal(size=(512, 64))
  off, margin = off_and_margin(queries, rows, centre=5.0)
  _, far = off_and_margin(queries, rows)
  assert (off < margin).all() and (margin < far / 20).all()


def scored_again(index, monkeypatch):
  """Numbers of pairs that the index will score in float32, one a call."""
  products, counts = index._products, []

  def watched(query_QD, pairs):
    counts.append(len(pairs.row))
    return products(query_QD, pairs)

  monkeypatch.setattr(index, "_products", watched)
  return counts


@pytest.mark.parametrize("k", [1, 20])
def test_what_all_rows_share_costs_nothing(monkeypatch, k):
  """Else all of them would pass, and be scored one by one."""
  monkeypatch.setattr(tiles, "fastest", lambda: "bfloat16")
  rng = np.random.default_rng(0)
  vectors = 3 + 1e-2 * rng.normal(size=(20_000, 32))
  vectors, queries = np.float32(vectors), np.float32(rng.normal(size=(16, 32)))
  index = exact.ExactIndex(vectors)
  counts = scored_again(index, monkeypatch)
  _, scores = index.search(queries, k)
  expected = -np.sort(-(np.float64(queries) @ np.float64(vectors).T))[:, :k]
  np.testing.assert_allclose(scores, expected, rtol=1e-5, atol=1e-5)
  assert sum(counts) < 40 * k * len(queries)


def test_a_product_is_the_same_alone_and_among_others():
  rng = np.random.default_rng(0)
  vectors = np.float32(rng.normal(size=(500, 37)))
  index = exact.ExactIndex(vectors)
  pairs = shortlist.Pairs(np.zeros(500, np.uint16), np.arange(500))
  together = index._products(vectors[:1], pairs)
  for i in (0, 7, 499):
    one = shortlist.Pairs(pairs.query[:1], pairs.row[i : i + 1])
    assert index._products(vectors[:1], one)[0] == together[i]


def test_bfloat16_is_for_processors_that_multiply_it(tmp_path, monkeypatch):
  monkeypatch.setattr(tiles, "CPU_INFO", tmp_path / "cpuinfo")
  assert tiles.fastest() == "float32"
  for flags, dtype in (
    ("avx512f fma", "float32"),
    ("fma avx512_bf16 sse", "bfloat16"),
  ):
    tiles.CPU_INFO.write_text(f"flags : {flags}")
    assert tiles.fastest() == dtype
  monkeypatch.setattr(jax, "default_backend", lambda: "tpu")
  tiles.CPU_INFO.write_text("flags : fma")
  assert tiles.fastest() == "bfloat16"


def test_rounding_loses_no_neighbour(small_blocks, monkeypatch):
  """With the best possible bound, which some beat by less than is lost."""
  monkeypatch.setattr(shortlist, "_MEAN_HITS", 0)
  rng = np.random.default_rng(0)
  vectors = rng.normal(size=(900, 16)).astype(np.float32)
  queries = rng.normal(size=(256, 16)).astype(np.float32)
  _, scores = exact.ExactIndex(vectors).search(queries, 25)
  expected = sort(vectors, queries, 25)[1]
  np.testing.assert_allclose(scores, expected, rtol=2e-6, atol=2e-6)


def test_a_bound_that_was_too_high_is_given_up(small_blocks, monkeypatch):
  """The nearest rows of some queries are all in the sample."""
  rng = np.random.default_rng(0)
  vectors = 0.01 * rng.normal(size=(600, 8)).astype(np.float32)
  queries = rng.normal(size=(6, 8)).astype(np.float32)
  index = exact.ExactIndex(vectors)
  sampled = np.linspace(0, 599, index._row_block).astype(int)
  vectors[sampled[:30]] = queries[2]
  asked = []
  sample = index._sample

  def watched(pool, shortlists, k, rank):
    asked.append((sum(x.queries.real for x in shortlists), rank))
    sample(pool, shortlists, k, rank)

  monkeypatch.setattr(index, "_sample", watched)
  ids, scores = index.search(queries, 40)
  expected_ids, expected_scores = sort(vectors, queries, 40)
  np.testing.assert_array_equal(ids, expected_ids)
  np.testing.assert_allclose(scores, expected_scores, rtol=1e-6)
  (all_of_them, first), (some, again) = asked
  assert (all_of_them, again) == (6, 40) and some < 6 and first < 30


def test_a_bound_may_be_too_high_though_enough_is_found(
  small_blocks, monkeypatch
):
  """By rounding some pass that are worse than what the bound has kept out."""
  rng = np.random.default_rng(0)
  centre = rng.normal(size=16)
  vectors = (centre + 0.02 * rng.normal(size=(900, 16))).astype(np.float32)
  queries = (centre + rng.normal(size=(256, 16))).astype(np.float32)
  index = exact.ExactIndex(vectors)
  monkeypatch.setattr(index, "_bound_rank", lambda k: 1)
  _, scores = index.search(queries, 25)
  expected = sort(vectors, queries, 25)[1]
  np.testing.assert_allclose(scores, expected, rtol=2e-6, atol=2e-6)


def test_of_what_was_found_the_best_is_kept(small_blocks, monkeypatch):
  monkeypatch.setattr(shortlist, "_MEAN_HITS", 0)  # after each block
  rng = np.random.default_rng(0)
  vectors, queries = whole_numbers(rng, 700, 6), whole_numbers(rng, 9, 6)
  queries[0] = 0
  ids, scores = exact.ExactIndex(vectors).search(queries, 20)
  expected_ids, expected_scores = sort(vectors, queries, 20)
  np.testing.assert_array_equal(ids, expected_ids)
  np.testing.assert_array_equal(scores, expected_scores)


@pytest.mark.parametrize("value", [np.nan, -np.nan, np.inf])
def test_a_vector_that_is_not_finite_is_named(small_blocks, value):
  vectors, queries = np.ones((300, 4), np.float32), np.ones((5, 4), np.float32)
  index = exact.ExactIndex(vectors)
  queries[3, 1] = value
  with pytest.raises(ValueError, match="query 3 holds NaN"):
    index.search(queries, 2)
  vectors[201, 2] = value
  with pytest.raises(ValueError, match="row 201 holds NaN"):
    index.search(queries[:3], 2)


@pytest.mark.parametrize("value", [np.nan, -np.nan, np.inf])
def test_a_row_that_is_not_finite_is_named_in_tiles_of_full_size(dtype, value):
  """Though XLA's maximum may drop it there, and no row is near a query."""
  rng = np.random.default_rng(0)
  vectors = rng.random((5000, 16), np.float32)
  queries = 1 + rng.random((3, 16), np.float32)
  for row in (7, 2100, 4999):
    broken = vectors.copy()
    broken[row] = -1
    broken[row, 3] = value
    with pytest.raises(ValueError, match=f"row {row} holds NaN"):
      exact.ExactIndex(broken).search(queries, 3)


def test_one_query_with_many_ties_costs_no_more_than_its_own(
  dtype, monkeypatch
):
  """Its rows all score 0, those of the others differ."""
  widths = []
  top_k = shortlist._top_k

  def watched(score_QW, k):
    widths.append(score_QW.shape[1])
    return top_k(score_QW, k)

  monkeypatch.setattr(shortlist, "_top_k", watched)
  rng = np.random.default_rng(0)
  vectors = rng.normal(size=(20_000, 4)).astype(np.float32)
  queries = rng.normal(size=(64, 4)).astype(np.float32)
  queries[5] = 0
  index = exact.ExactIndex(vectors)
  counts = scored_again(index, monkeypatch)
  ids, _ = index.search(queries, 100)
  assert ids[5].tolist() == list(range(100))
  assert sum(counts) < 10 * 100 * len(queries)
  most = shortlist._MOST_HITS * 100 + exact.ROW_BLOCK
  assert max(widths) <= tiles.power_of_two(most)


def test_a_tile_is_not_taken_out_whole():
  assert shortlist._FIRST_CAPACITY * tiles.GROUP < exact.ROW_BLOCK


@scann
def test_scann_names_a_row_that_is_not_finite():
  vectors = np.ones((300, 4), np.float32)
  vectors[201, 2] = np.nan
  with pytest.raises(ValueError, match="row 201 holds NaN"):
    search.ScannIndex(vectors)


@pytest.fixture(params=[True, False], ids=["tree", "no tree"])
def tree(monkeypatch, request):
  """Whether ScaNN's rows are in a partition, however few they are."""
  if request.param:
    monkeypatch.setattr(search, "TREE_ROWS", 1)
    monkeypatch.setattr(search, "LEAVES", 1)
  return request.param


@scann
def test_scann_finds_what_is_near(tree):
  rng = np.random.default_rng(0)
  vectors = clustered(rng, 3200, 32, 100)
  vectors, queries = vectors[:3000], vectors[3000:]
  index = search.open_index("scann", vectors)
  ids, scores = index.search(queries, 10)
  exact_ids, _ = exact.ExactIndex(vectors).search(queries, 10)
  assert index.kind == "scann"
  assert search.recall_against(exact_ids, ids) > 0.9
  products = np.einsum("qd,qkd->qk", queries, vectors[ids])
  np.testing.assert_allclose(scores, products, atol=1e-6)
  assert (np.diff(scores) <= 0).all()


@scann
def test_scann_makes_the_same_index_twice(monkeypatch, caplog):
  monkeypatch.setattr(search, "TREE_ROWS", 1)
  monkeypatch.setattr(search, "SEARCHED_LEAVES", 0.2)  # 2 of 110
  monkeypatch.setattr(search, "REORDERED", 1)
  monkeypatch.setattr(search, "LEAST_REORDERED", 20)
  rng = np.random.default_rng(0)
  vectors = rng.normal(size=(3000, 8)).astype(np.float32)
  caplog.set_level("INFO")
  first, second = (search.ScannIndex(vectors) for _ in range(2))
  # Somebody may wait for minutes.
  assert caplog.text.count("ScaNN makes its index of 3000 rows, which") == 2
  np.testing.assert_array_equal(
    first.search(vectors[:100], 20)[0], second.search(vectors[:100], 20)[0]
  )


@scann
@pytest.mark.parametrize("rows", [1, 15, 16, 400])
def test_scann_returns_all_rows_and_then_padding(rows, tree, monkeypatch):
  monkeypatch.setattr(search, "SEARCHED_LEAVES", 0.25)  # 1 of 20
  rng = np.random.default_rng(0)
  vectors, queries = whole_numbers(rng, rows, 3), whole_numbers(rng, 4, 3)
  if rows < 400:  # one leaf, which is searched
    monkeypatch.setattr(search, "LEAVES", rows**-0.5)
    monkeypatch.setattr(search, "SEARCHED_LEAVES", 1)
  index = search.ScannIndex(vectors)
  for k in (rows, rows + 5):
    found_by_scann(index, vectors, queries, k)


@pytest.mark.parametrize("width", [1, 7, 48])
def test_the_widest_axes_share_codes_with_the_narrowest(width):
  rng = np.random.default_rng(0)
  spread = np.geomspace(100, 1, width)
  turn, _ = np.linalg.qr(rng.normal(size=(width, width)))
  rows = (rng.normal(size=(2000, width)) * spread @ turn).astype(np.float32)
  axes, size = search._balanced(search._covariance(rows))
  turned = rows @ axes
  assert turned.shape[1] % size == 0
  products = rows @ rows[:9].T
  apart = abs(turned @ turned[:9].T - products).max()
  assert apart < 1e-5 * abs(products).max()
  if width == 48:
    together = np.log(turned.var(axis=0)).reshape(-1, size).sum(axis=1)
    alone = np.log(rows.var(axis=0)).reshape(-1, size).sum(axis=1)
    assert size == 3 and np.ptp(together) < 5
    assert together.mean() < alone.mean()


def test_two_dimensions_share_a_code_where_all_vary_alike():
  rows = np.random.default_rng(0).normal(size=(2000, 48))
  assert search._balanced(np.cov(rows.T))[1] == 2


def test_the_covariance_is_of_rows_at_even_distances(monkeypatch):
  monkeypatch.setattr(search, "SAMPLE_ROWS", 100)
  monkeypatch.setattr(search, "_ROWS_AT_ONCE", 30)
  rows = np.random.default_rng(0).normal(size=(299, 5)).astype(np.float32) + 9
  expected = np.cov(rows[::3].T.astype(np.float64), bias=True)
  np.testing.assert_allclose(search._covariance(rows), expected, atol=1e-12)


@scann
def test_scann_is_told_of_what_the_processor_has(monkeypatch, tmp_path):
  pytest.importorskip("scann")  # which puts the folder of this on the path
  import scann_pybind

  monkeypatch.setattr(tiles, "CPU_INFO", tmp_path / "cpuinfo")
  library = ctypes.CDLL(scann_pybind.__file__)
  switch = ctypes.c_bool.in_dll(library, search.AVX2_SWITCH)
  before, switch.value = switch.value, False
  said = []
  for flags in (None, "flags : sse4_2 avx fma", "flags : avx avx2 fma"):
    if flags:
      tiles.CPU_INFO.write_text(flags)
    search._allow_avx2()
    said.append(switch.value)
  switch.value = before
  assert said == [False, False, True]
  monkeypatch.setattr(search, "AVX2_SWITCH", "not_there")
  search._allow_avx2()


@scann
def test_scann_finds_more_along_the_axes_of_the_rows(monkeypatch):
  monkeypatch.setattr(search, "REORDERED", 1)
  monkeypatch.setattr(search, "LEAST_REORDERED", 20)
  rng = np.random.default_rng(0)
  turn, _ = np.linalg.qr(rng.normal(size=(48, 48)))
  spread = np.geomspace(1, 0.01, 48)
  vectors = (rng.normal(size=(4100, 48)) * spread @ turn).astype(np.float32)
  vectors, queries = vectors[:4000], vectors[4000:]
  index = search.ScannIndex(vectors)
  truth, _ = exact.ExactIndex(vectors).search(queries, 20)
  assert search.recall_against(truth, index.search(queries, 20)[0]) > 0.75


@scann
def test_the_order_is_ours_whatever_scann_says(monkeypatch):
  index = search.ScannIndex(np.eye(4, dtype=np.float32))
  raw = (
    np.array([[3, 0, 2, 1]], np.uint32),
    np.array([[1, np.nan, 2, 1]], np.float32),
  )
  monkeypatch.setattr(index, "_neighbours", lambda *_: raw)
  ids, scores = index.search(np.eye(4, dtype=np.float32)[:1], 4)
  assert ids.tolist() == [[2, 1, 3, -1]]
  assert scores.tolist() == [[2, 1, 1, -np.inf]]


def test_exact_stands_in_for_a_scann_that_is_not_there(monkeypatch):
  said = []
  monkeypatch.setitem(sys.modules, "scann", None)
  monkeypatch.setattr(
    logging, "warning", lambda text, *args: said.append(text % args)
  )
  index = search.open_index("scann", np.eye(3, dtype=np.float32))
  assert index.kind == "exact"
  assert len(said) == 1
  assert "search is exact" in said[0]
  assert index.search(np.eye(3, dtype=np.float32), 1)[0].tolist() == [
    [0],
    [1],
    [2],
  ]


def test_an_unknown_kind_is_named_with_the_known_ones():
  with pytest.raises(ValueError, match=r"'faiss'; known: exact, scann"):
    search.open_index("faiss", np.eye(3, dtype=np.float32))


def test_recall_is_the_share_of_exact_neighbours_found():
  exact = np.array([[1, 2, 3, 4], [5, 6, -1, -1], [-1, -1, -1, -1]])
  found = np.array([[4, 1, 9, -1], [6, 5, 7, 8], [-1, -1, -1, -1]])
  assert search.recall_against(exact, found) == (2 / 4 + 2 / 2) / 2
  assert search.recall_against(exact[2:], found[2:]) == 1.0


def test_the_own_document_of_a_query_is_not_found():
  index = search.open_index("exact", np.eye(4, dtype=np.float32))
  query = np.array([[4, 3, 2, 1], [1, 2, 3, 4], [4, 1, 2, 3]], np.float32)
  ids, scores = search.search_others(index, query, 2, np.array([0, -1, 1]))
  assert ids.tolist() == [[1, 2], [3, 2], [0, 3]]
  assert scores.tolist() == [[3, 2], [4, 3], [4, 3]]
  ids, scores = search.search_others(index, query, 5, np.array([3, 3, 3]))
  assert ids[:, 3:].tolist() == [[-1, -1]] * 3 and 3 not in ids
  assert np.isneginf(scores[:, 3:]).all()
  ids, _ = search.search_others(index, query, 2, None)
  assert ids.tolist() == [[0, 1], [3, 2], [0, 3]]
