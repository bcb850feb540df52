"""Mappings to frozen dataclasses, strictly, and back.

A key that no field carries, a field without value, or a value of another type
or outside of the range that its type has (see `ranges`), is an error with the
full path of the key and, where one is near, the key that was meant.
"""

import ast
import dataclasses
import difflib
import functools
import math
import re
import types
import typing
from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Any, Literal

from prod_jax.ranges import Range

_LONGEST = 4000  # characters of an error
# An address behind its scheme, also as pathlib writes it.
_ADDRESS = re.compile(r"(?<=:/)(/?)(\S+)")
_WEB = ("http:/", "https:/")
_PORT = re.compile(r"[^:]*:\d+\W*")
# Control characters, half pairs, and what turns the direction of text.
OBEYED = re.compile(
  r"[\x00-\x1f\x7f-\x9f\ud800-\udfff\u202a-\u202e\u2066-\u2069]"
)


class Refused(ValueError):
  """What somebody has given cannot be used; the message says why.

  What a file or a command line says may stand in the message: the middle of a
  long one is left out, what a terminal would obey is written out, and no
  password is shown.
  """

  def __init__(self, said: str):
    harmless = "".join(
      c if c.isprintable() or c == "\n" else repr(c)[1:-1]
      for c in without_passwords(said)
    )
    if len(harmless) > _LONGEST:
      half = _LONGEST // 2
      harmless = f"{harmless[:half]} […] {harmless[-half:]}"
    super().__init__(harmless)


def printable(text: str, keep: str = "") -> str:
  """What a terminal shows of a text: nothing that it would obey.

  Args:
    text: of anybody.
    keep: such characters that stay.
  """
  return OBEYED.sub(lambda c: c[0] if c[0] in keep else " ", text)


def without_passwords(text: str) -> str:
  """A text in whose addresses no password stands in front of an @.

  A password may have a slash or an @ in it: from a name and a colon in front of
  the first slash on, all up to the last @ goes. A port is no password.
  """
  return _ADDRESS.sub(_without_password, text)


def _without_password(found: re.Match[str]) -> str:
  slash, address = found.groups()
  host = address.partition("/")[0]
  # A name alone is part of a path in a bucket, not of a web address.
  in_web = found.string.endswith(_WEB, 0, found.start())
  if in_web and "@" in host:
    return f"{slash}***@{address[host.rindex('@') + 1 :]}"
  if ":" in host and "@" in address and not (in_web and _PORT.fullmatch(host)):
    return f"{slash}***@{address.rpartition('@')[2]}"
  return found[0]


class ConfigError(Refused):
  """A config that cannot be run; the message names the key and the remedy."""


class FieldError(ConfigError):
  """A value that its dataclass refuses, from `__post_init__`.

  The dataclass does not know where it stands; `section` adds the path.
  """

  def __init__(self, field: str, problem: str) -> None:
    super().__init__(f"{field} {problem}")


class Typed(str):
  """A value as typed on the command line: its field decides what it is."""


def section(cls: type, raw: Mapping[str, Any], path: str) -> Any:
  """Turns a mapping into the frozen dataclass `cls`, strictly.

  Raises:
    ConfigError: for a key that is unknown or absent, or a value of another
      type or one that `cls` refuses, with the full path of the key.
  """
  fields = {f.name: f for f in dataclasses.fields(cls)}
  for key in raw:
    if key not in fields:
      raise ConfigError(unknown_key(key, path, fields))
  hints = _hints(cls)
  values = {}
  for name, field in fields.items():
    if name in raw:
      values[name] = _coerce(raw[name], hints[name], f"{path}.{name}")
    elif (
      field.default is dataclasses.MISSING
      and field.default_factory is dataclasses.MISSING
    ):
      raise ConfigError(f"{path}.{name} is not set, and has no default")
  try:
    return cls(**values)
  except FieldError as error:
    raise ConfigError(f"{path}.{error}") from error


def plain(value: Any) -> Any:
  """The value as dicts, lists and scalars, ready for json."""
  if dataclasses.is_dataclass(value):
    return {
      f.name: plain(getattr(value, f.name)) for f in dataclasses.fields(value)
    }
  if isinstance(value, Mapping):
    return {str(k): plain(v) for k, v in value.items()}
  if isinstance(value, list | tuple):
    return [plain(v) for v in value]
  return value


def unknown_key(key: str, path: str, known: Iterable[str]) -> str:
  """Says that `path` has no such key, and which one was meant."""
  known = list(known)
  near = difflib.get_close_matches(key, known, 1, cutoff=0.5)
  meant = (
    f"did you mean {path}.{near[0]}?"
    if near
    else f"known keys: {', '.join(known)}"
  )
  return f"{path} has no key {key!r}; {meant}"


@functools.cache
def _hints(cls: type) -> dict[str, Any]:
  return typing.get_type_hints(cls, include_extras=True)


def _coerce(value: Any, hint: Any, path: str) -> Any:
  """`value` as `hint` says, or a ConfigError that names `path`."""
  origin, args = typing.get_origin(hint), typing.get_args(hint)
  if origin is Annotated:
    return _within(_coerce(value, args[0], path), args[1:], path)
  if origin is types.UnionType:
    return _tagged(value, args, path)
  if isinstance(hint, type) and dataclasses.is_dataclass(hint):
    return section(hint, _mapping(value, path), path)
  if origin is Mapping:
    value = literal(value) if isinstance(value, Typed) else value
    items = _mapping(value, path).items()
    return {k: _coerce(v, args[1], f"{path}.{k}") for k, v in items}
  if isinstance(value, Typed):
    if hint is str:
      value = str(value)  # with its spaces: they may be what is meant
    else:
      value = value.strip() if origin is Literal else literal(value)
  if hint is Any:
    return value
  if origin is Literal:
    if value not in args:
      raise ConfigError(f"{path} is {value!r}; it takes one of {list(args)}")
    return value
  if origin is tuple:
    if not isinstance(value, list | tuple):
      parts = value.split(",") if isinstance(value, str) else [value]
      raise ConfigError(
        f"{path} is {value!r}, not a tuple, such as {tuple(parts)}"
      )
    return tuple(
      _coerce(v, args[0], f"{path}[{i}]") for i, v in enumerate(value)
    )
  if hint is float and type(value) is int:
    try:
      return float(value)
    except OverflowError:
      raise ConfigError(f"{path} is too large a number for a float") from None
  if type(value) is not hint:
    raise ConfigError(
      f"{path} is {value!r} ({type(value).__name__}), not {hint.__name__}"
    )
  return value


def _within(value: Any, ranges: Sequence[Range], path: str) -> Any:
  for allowed in ranges:
    if value not in allowed:
      said = str(allowed)
      if value == math.inf and said != "finite":
        said = f"finite, {said}"
      raise ConfigError(f"{path} is {value}; it is {said}")
  return value


def _tagged(value: Any, classes: Sequence[type], path: str) -> Any:
  """One of several dataclasses, told apart by their Literal field `kind`."""
  raw = _mapping(value, path)
  kinds = {typing.get_args(_hints(c)["kind"])[0]: c for c in classes}
  kind = str(raw.get("kind", ""))
  if kind not in kinds:
    raise ConfigError(f"{path}.kind is {kind!r}; known: {', '.join(kinds)}")
  for key in raw:
    takes = [k for k, c in kinds.items() if key in _hints(c)]
    if takes and kind not in takes:
      raise ConfigError(
        f"{path}.{key} is a key of kind {' or '.join(takes)}, and {path} is of "
        f"kind {kind}, which has no use for it; leave it out"
      )
  return section(kinds[kind], raw, path)


def _mapping(value: Any, path: str) -> Mapping[str, Any]:
  if not isinstance(value, Mapping):
    raise ConfigError(f"{path} is {value!r}, not a section of keys")
  for key in value:
    if not isinstance(key, str):
      raise ConfigError(f"{path} has a key {key!r}; keys are texts")
  return value


def literal(text: str) -> Any:
  """What a word of a command line is: a literal of Python, or itself."""
  text = text.strip()
  if text.lower() in ("true", "false"):
    return text.lower() == "true"
  try:
    return ast.literal_eval(text)
  # The latter two of brackets too deep, TypeError of a key that is a list.
  except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
    return str(text)
