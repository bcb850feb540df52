"""Bytes near those of files that can be read, as hypothesis makes them."""

import json
from collections.abc import Iterator, Sequence
from typing import Any

from hypothesis import strategies

# What readers trip over.
_PIECES = (
  b"\0",
  b"\xff",
  b"\xef\xbb\xbf",
  b"\n",
  b"\r",
  b"\t",
  b" ",
  b"[]",
  b"{}",
  b'"',
  b",",
  b"null",
  b"NaN",
  b"1e999",
  b"-1",
  b"9" * 30,
  b"9" * 5000,
  b"[" * 100_000,
  b"\\ud800",
  b"../",
  b"x" * 300,
)
_VALUES: tuple[Any, ...] = (
  None,
  True,
  0,
  -1,
  1.5,
  float("nan"),
  10**30,
  "",
  "a",
  "../a",
  "\ud800",
  "x" * 300,
  [],
  [1],
  ["a", None],
  {},
  {"a": 1},
)


@strategies.composite
def near(draw: Any, seeds: Sequence[bytes]) -> bytes:
  """A seed with some pieces cut out, put in or replaced."""
  content = draw(strategies.sampled_from(seeds))
  pieces = strategies.sampled_from(_PIECES) | strategies.binary(max_size=4)
  for _ in range(draw(strategies.integers(1, 3))):
    start = draw(strategies.integers(0, len(content)))
    length = draw(strategies.sampled_from((0, 1, 4, len(content))))
    piece = draw(strategies.just(b"") | pieces)
    content = content[:start] + piece + content[start + length :]
  return content


@strategies.composite
def of_another_shape(draw: Any, seeds: Sequence[bytes]) -> bytes:
  """A seed that is JSON, with another value or none in one place."""
  value = json.loads(draw(strategies.sampled_from(seeds)))
  path = draw(strategies.sampled_from([*_paths(value)]))
  new = draw(strategies.sampled_from(_VALUES))
  if not path:
    return json.dumps(new).encode()
  at = value
  for step in path[:-1]:
    at = at[step]
  if draw(strategies.booleans()):
    at[path[-1]] = new
  else:
    del at[path[-1]]
  return json.dumps(value).encode()


def contents(seeds: Sequence[bytes]) -> strategies.SearchStrategy[bytes]:
  """Near a seed, or of another shape where all of them are JSON."""
  found = near(seeds) | strategies.binary(max_size=40)
  return found | of_another_shape(seeds) if all(map(_is_json, seeds)) else found


def _paths(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
  yield path
  steps: Any = ()
  if isinstance(value, dict):
    steps = value
  elif isinstance(value, list):
    steps = range(len(value))
  for step in steps:
    yield from _paths(value[step], (*path, step))


def _is_json(content: bytes) -> bool:
  try:
    json.loads(content)
  except ValueError:
    return False
  return True
