"""Charts: their scales, and that numbers stand where they belong."""

import re

import numpy as np
import pytest

from prod_jax.report import axes, plots
from prod_jax.report.markup import render


@pytest.mark.parametrize(
  ("low", "high", "expected"),
  [
    (0.0, 0.53, [0.0, 0.1, 0.2, 0.3, 0.4, 0.5]),
    (-8.2, 11.0, [-5.0, 0.0, 5.0, 10.0]),
    (0.0, 40_000.0, [0, 10_000, 20_000, 30_000, 40_000]),
    (1.94, 2.01, [1.94, 1.96, 1.98, 2.0]),
  ],
)
def test_ticks_are_round_and_inside(low, high, expected):
  assert axes.ticks(low, high) == pytest.approx(expected)


def test_a_frame_puts_the_range_on_its_margins():
  frame = axes.Frame((0.0, 2.0), (1.0, 3.0), 40.0, 20.0, 4.0, 30.0)
  assert frame.at(0, 1) == (40.0, axes.HEIGHT - 30)
  assert frame.at(2, 3) == (axes.WIDTH - 4, 20.0)
  x, y = frame.at(1, 2)
  assert x == pytest.approx((40 + axes.WIDTH - 4) / 2)
  assert y == pytest.approx((20 + axes.HEIGHT - 30) / 2)


def test_progression_names_its_numbers_and_teachers():
  stages = ["student_warm", "student_de", "student_final"]
  svg = render(
    plots.progression("MRR@10", stages, [0.2, 0.3, 0.35], [("ce_1", 0.5)])
  )
  for words in ("MRR@10", ">0.200<", ">0.350<", ">ce_1 0.500<", ">warm<"):
    assert words in svg
  assert "student_warm 0.200, student_de 0.300" in svg  # for screen readers
  assert svg.count("<circle") == 3
  assert "rotate" not in svg


def test_progression_of_many_stages_slants_names_and_tells_few_numbers():
  stages = [f"student_{i}_of_a_long_name" for i in range(12)]
  values = [0.1 + 0.01 * (i % 7) for i in range(12)]
  svg = render(plots.progression("MRR@10", stages, values, []))
  assert svg.count("rotate(-40") == 12
  assert svg.count('class="value"') == 3  # first, best and last


def test_names_of_teachers_do_not_touch():
  teachers = [(f"ce_{i}", 0.5 + 0.001 * i) for i in range(3)]
  svg = render(plots.progression("MRR@10", ["a"], [0.1], teachers))
  ys = re.findall(r'<text x="[\d.]+" y="([\d.]+)"[^>]*>ce_', svg)
  ys = sorted(map(float, ys))
  assert len(ys) == 3
  assert min(np.diff(ys)) >= 13


@pytest.mark.parametrize(
  ("steps", "values"),
  [([10], [0.5]), ([1, 2], [3.0, 3.0]), ([1, 2], [0.0, 0.0])],
)
def test_a_curve_of_little_is_drawn(steps, values):
  svg = render(plots.curve("a", "student", steps, values))
  assert "nan" not in svg
  assert "inf" not in svg


def test_a_long_curve_is_thinned_to_means():
  steps = list(range(1, 3001))
  svg = render(plots.curve("a", "student", steps, [float(s) for s in steps]))
  line = re.search(r'd="([^"]*)" class="line student"', svg)[1]
  assert line.count("L") == 299
  assert ">2,500<" in svg
  assert "from 5.5 at step 5.5" in svg


def test_distribution_counts_each_kind_in_percent_of_itself():
  positives = np.array([5.0, 5.0, 5.0, 6.0], np.float32)
  negatives = np.linspace(-5, 0, 40).astype(np.float32)
  edges = np.linspace(-5, 6, 12)
  assert plots._percent(positives, edges)[-1] == 100  # 6 is in the last bar
  assert plots._percent(negatives, edges).sum() == pytest.approx(100)
  svg = render(plots.distribution("t", "logit", positives, negatives))
  assert "4 positives, median 5" in svg
  assert "40 negatives, median -2.5" in svg


def test_distribution_of_equal_scores_is_drawn():
  same = np.full(3, 2.0, np.float32)
  assert "nan" not in render(plots.distribution("t", "logit", same, same))
