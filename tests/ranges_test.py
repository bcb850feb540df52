"""Numbers of a config: each has a range, and what is outside is refused."""

import dataclasses
import importlib
import math
import pathlib
import pkgutil
import typing
from collections.abc import Mapping

import pytest

from prod_jax import config, config_file, kinds, methods, model_kinds, strict
from prod_jax.batches import draws
from prod_jax.ranges import (
  Along,
  Count,
  Positive,
  Range,
  Real,
  Seed,
  Share,
  Whole,
)

REPO = pathlib.Path(__file__).parents[1]
QUICKSTART = str(REPO / "configs/quickstart.py")


def _settings():
  for module in pkgutil.iter_modules(methods.__path__, "prod_jax.methods."):
    found = importlib.import_module(module.name)
    if hasattr(found, "Settings"):
      yield found.Settings


SECTIONS = (
  config.Config,
  config.Data,
  config.Mesh,
  *typing.get_args(kinds.Stage),
  *typing.get_args(model_kinds.Model),
  *typing.get_args(draws.Sampling),
  *_settings(),
)
FIELDS = [
  pytest.param(
    hint, id=f"{cls.__module__.split('.')[-1]}.{cls.__name__}.{name}"
  )
  for cls in SECTIONS
  for name, hint in typing.get_type_hints(cls, include_extras=True).items()
  if name in {field.name for field in dataclasses.fields(cls)}
]


def bare_numbers(hint):
  """The int and float of a type that stand in no range."""
  if typing.get_origin(hint) is typing.Annotated:
    inner, *said = typing.get_args(hint)
    return [] if any(isinstance(x, Range) for x in said) else [inner]
  if hint in (int, float):
    return [hint]
  if typing.get_origin(hint) is typing.Literal:
    return []
  return [bare for arg in typing.get_args(hint) for bare in bare_numbers(arg)]


@pytest.mark.parametrize("hint", FIELDS)
def test_every_number_of_a_config_has_a_range(hint):
  assert not bare_numbers(hint)


def test_a_number_without_a_range_is_seen():
  assert bare_numbers(tuple[int, ...]) == [int]
  assert bare_numbers(dict[str, Count] | float) == [float]
  assert not bare_numbers(tuple[Count, ...])


@dataclasses.dataclass(frozen=True)
class Numbers:
  count: Count = 1
  whole: Whole = 0
  along: Along = -1
  real: Real = 0.0
  positive: Positive = 1.0
  share: Share = 0.5
  many: tuple[Count, ...] = ()
  seed: Seed = 0
  named: Mapping[str, Count] = dataclasses.field(default_factory=dict)


@pytest.mark.parametrize(
  ("key", "value", "message"),
  [
    ("count", 0, "count is 0; it is 1 or more and at most 2147483647"),
    ("count", 2**31, "count is 2147483648; it is"),
    ("whole", -1, "whole is -1; it is 0 or more"),
    ("along", 0, "along is 0; it is -1 or more and at most 2147483647 and not"),
    ("along", -2, "along is -2; it is -1 or more"),
    ("real", math.nan, "real is nan; it is finite"),
    ("real", math.inf, "real is inf; it is finite$"),
    ("real", -math.inf, "real is -inf; it is finite$"),
    ("positive", 0.0, "positive is 0.0; it is above 0"),
    ("positive", math.inf, "positive is inf; it is finite, above 0"),
    ("share", 1.5, "share is 1.5; it is 0 or more and at most 1"),
    ("share", math.nan, "share is nan; it is"),
    ("many", (3, 0), r"many\[1\] is 0; it is 1 or more"),
    ("real", 10**400, "real is too large a number for a float"),
    (
      "seed",
      2**63,
      "seed is 9223372036854775808; it .* most 9223372036854775807",
    ),
  ],
)
def test_what_is_outside_is_refused_by_its_key(key, value, message):
  with pytest.raises(strict.ConfigError, match=rf"config\.{message}"):
    strict.section(Numbers, {key: value}, "config")


@pytest.mark.parametrize("typed", ["{[]: 1}", "[" * 9999, "-" * 99999 + "1"])
def test_what_python_cannot_read_is_refused_by_its_key(typed):
  with pytest.raises(
    strict.ConfigError, match=r"config\.named is .*, not a se"
  ):
    strict.section(Numbers, {"named": strict.Typed(typed)}, "config")


def test_the_ends_are_within():
  ends = dict(count=2**31 - 1, whole=0, along=-1, share=1.0, many=(1, 2))
  assert strict.section(Numbers, ends, "config") == Numbers(**ends)
  assert strict.section(Numbers, dict(share=0), "config").share == 0.0


@pytest.mark.parametrize(
  "override",
  [
    "stages.student_warm.log_every=0",
    "stages.student_warm.batch_size=0",
    "stages.student_warm.learning_rate=nan",
    "stages.student_warm.learning_rate=-1e-4",
    "stages.student_warm.learning_rate=1e300",
    "stages.student_warm.checkpoint_every=0",
    "stages.student_warm.negatives=-1",
    "stages.student_warm.accumulation=0",
    "stages.student_warm.clip=-1.0",
    "stages.encode_student_warm.shard_rows=0",
    "stages.evaluate_student_warm.depth=0",
    "stages.evaluate_student_warm.rerank_depth=0",
    "stages.evaluate_student_warm.relevant=0",
    "data.query_length=0",
    "data.passage_length=-144",
    "data.max_queries.train=0",
    "data.max_passages=-1",
    "mesh.data=0",
    "seed=-1",
  ],
)
def test_a_line_of_the_command_is_refused_before_anything(override):
  key, _, value = override.partition("=")
  written = value if value != "nan" else "float('nan')"
  with pytest.raises(strict.ConfigError, match=rf"config\.{key} is "):
    config_file.load(QUICKSTART, [f"{key}={written}"])
