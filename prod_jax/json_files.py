"""JSON that somebody may have damaged, held against the shape it should have.

A shape is one of

  a type, or a tuple of types    for float an int will do; a bool is no number,
                                 and neither are NaN and infinity
  a pattern                      a text that is of it
  a function                     a value of which it is true
  [shape]                        a list, of such items
  {"key": shape}                 an object with the key, among others; one whose
                                 name ends with ? may be missing or null
  {str: shape}                   an object, of such values

and `Any` is anything.
"""

import json
import math
import re
import types
from collections.abc import Mapping
from typing import Any

from prod_jax import storage
from prod_jax.strict import ConfigError, Refused

_MOST = 2**63 - 1  # of an integer, as everywhere else
_CALLED = {
  str: "a text",
  int: "a whole number",
  float: "a number",
  bool: "true or false",
  list: "a list",
  dict: "an object",
  type(None): "null",
}


def parse(text: str | bytes) -> Any:
  """The value of a JSON text.

  Raises:
    ValueError: it is none, nested too deep, or has a number of too many digits.
  """
  try:
    return json.loads(text)
  except RecursionError:
    raise ValueError("it is nested too deep") from None


def read(
  path: storage.Path,
  shape: Any,
  remedy: str,
  refused: type[Refused] = ConfigError,
) -> Any:
  """The value in a file.

  Args:
    path: of the file.
    shape: that it has.
    remedy: what to do where it has another one, for the error.
    refused: class of the error.

  Raises:
    Refused: it is not there, no JSON, or of another shape.
  """
  try:
    found = parse(path.read_text(encoding="utf-8"))
  except (OSError, ValueError) as error:
    raise refused(f"{path}: cannot be read ({error}); {remedy}") from error
  if wrong := mismatch(found, shape):
    raise refused(f"{path}: {wrong}; {remedy}")
  return found


def mismatch(value: Any, shape: Any, where: str = "") -> str:
  """What of a value is not of a shape, "" where all of it is."""
  if shape is Any:
    return ""
  if isinstance(shape, list):
    if not isinstance(value, list):
      return _is_no(value, list, where)
    parts = ((f"{where}[{i}]", item, shape[0]) for i, item in enumerate(value))
    return _first(parts)
  if isinstance(shape, dict):
    if not isinstance(value, dict):
      return _is_no(value, dict, where)
    dot = f"{where}." if where else ""
    if str in shape:
      return _first((f"{dot}{k}", v, shape[str]) for k, v in value.items())
    return _of_keys(value, shape, where, dot)
  if isinstance(shape, re.Pattern | types.FunctionType):
    return "" if _fits(value, shape) else _is_odd(value, where)
  return "" if _is(value, shape) else _is_no(value, shape, where)


def _fits(value: Any, shape: re.Pattern | types.FunctionType) -> bool:
  if isinstance(shape, types.FunctionType):
    return shape(value)
  return isinstance(value, str) and bool(shape.fullmatch(value))


def _is_odd(value: Any, where: str) -> str:
  return f"{where or 'it'} is {value!r}, not as one is called"


def _of_keys(
  value: Mapping[str, Any], shape: Mapping[str, Any], where: str, dot: str
) -> str:
  parts = []
  for key, wanted in shape.items():
    name = key.removesuffix("?")
    if value.get(name) is not None or (name in value and name == key):
      parts.append((f"{dot}{name}", value[name], wanted))
    elif name == key:
      return f"{where or 'it'} has no {name}"
  return _first(parts)


def _first(parts: Any) -> str:
  return next(filter(None, (mismatch(v, s, w) for w, v, s in parts)), "")


def _is(value: Any, kinds: type | tuple[type, ...]) -> bool:
  kinds = kinds if isinstance(kinds, tuple) else (kinds,)
  if isinstance(value, bool):
    return bool in kinds
  if isinstance(value, int):
    return not {int, float}.isdisjoint(kinds) and abs(value) <= _MOST
  if isinstance(value, float):
    return float in kinds and math.isfinite(value)  # 1e999 is infinity
  return isinstance(value, kinds)


def _is_no(value: Any, kinds: Any, where: str) -> str:
  wanted = kinds if isinstance(kinds, tuple) else (kinds,)
  called = " or ".join(_CALLED[kind] for kind in wanted)
  return f"{where or 'it'} is {value!r}, not {called}"
