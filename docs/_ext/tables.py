"""Tables of what a config can say, made of its dataclasses.

Names, types and defaults are those of the fields, and what a field is stands in
the `Attributes:` of the docstring.
"""

import dataclasses
import importlib
import inspect
import math
import re
import types
import typing
from collections.abc import Container, Iterator, Mapping

from prod_jax.ranges import Range

METHODS = "prod_jax.methods"
_SECTION = re.compile(r"^(\w+):$", re.M)
_NAMED = re.compile(r"^((?:\w+, )*\w+): (.*(?:\n(?:  .*)?)*)", re.M)


def methods() -> Iterator[str]:
  """The modules of the package that are methods, in the order of its map."""
  package = importlib.import_module(METHODS)
  for name in re.findall(r"^(\w+) {2,}\S", inspect.getdoc(package), re.M):
    if hasattr(importlib.import_module(f"{METHODS}.{name}"), "Settings"):
      yield name


def table(cls: type, known: Container[str] = ()) -> str:
  """A Markdown table with a row for each field that is not known.

  Raises:
    ValueError: a field is not described.
  """
  found = described(cls)
  hints = typing.get_type_hints(cls, include_extras=True)
  # Fields that are described together share a row.
  rows: dict[tuple[str, ...], list[str]] = {}
  for field in dataclasses.fields(cls):
    if field.name == "kind" or field.name in known:
      continue
    if field.name not in found:
      raise ValueError(f"{cls.__qualname__}.{field.name} is not described")
    cells = (_type(hints[field.name]), _default(field), found[field.name])
    rows.setdefault(cells, []).append(f"`{field.name}`")
  lines = ["| key | type | default | what it is |", "|---|---|---|---|"]
  for cells, names in rows.items():
    line = " | ".join((", ".join(names), *cells))
    lines.append(f"| {line} |")
  return "\n".join(lines) if rows else ""


def described(cls: type) -> Mapping[str, str]:
  """What the docstrings of a class and its bases say of each attribute."""
  found: dict[str, str] = {}
  for base in reversed(cls.__mro__):
    pieces = _SECTION.split(inspect.cleandoc(base.__doc__ or ""))
    sections = dict(zip(pieces[1::2], pieces[2::2], strict=True))
    text = inspect.cleandoc("\n" + sections.get("Attributes", ""))
    for names, what in _NAMED.findall(text):
      found |= dict.fromkeys(names.split(", "), " ".join(what.split()))
  return found


def names_of(path: str | None) -> frozenset[str]:
  """The fields of a class, by its dotted name."""
  if not path:
    return frozenset()
  return frozenset(field.name for field in dataclasses.fields(_named(path)))


def classes_of(path: str) -> tuple[type, ...]:
  """The classes of a union, or the one class, by its dotted name."""
  found = _named(path)
  return typing.get_args(found) or (found,)


def _named(path: str) -> typing.Any:
  module, _, name = path.rpartition(".")
  return getattr(importlib.import_module(module), name)


def title_of(cls: type) -> str:
  """The kind that a config writes, or the name of the section."""
  kind = typing.get_args(typing.get_type_hints(cls).get("kind"))
  return f"`{kind[0] if kind else cls.__name__.lower()}`"


def lead_of(cls: type) -> str:
  """The docstring in front of its sections."""
  return _SECTION.split(inspect.getdoc(cls), maxsplit=1)[0].strip()


def _type(hint: object) -> str:
  """A type by the values that a person writes."""
  arguments = typing.get_args(hint)
  if typing.get_origin(hint) is typing.Annotated:
    return f"{_type(arguments[0])}, {_range(arguments[1])}"
  if typing.get_origin(hint) is typing.Literal:
    return " or ".join(f"`{value!r}`" for value in arguments)
  if typing.get_origin(hint) is Mapping:
    return "mapping"
  if typing.get_origin(hint) is tuple:
    return f"tuple of {_type(arguments[0])}"
  assert isinstance(hint, type | types.GenericAlias), hint
  return f"`{hint.__name__}`"


def _range(found: Range) -> str:
  """What a number may be, but for what no machine could count to."""
  if found.greatest >= 2**31 - 1:
    found = dataclasses.replace(found, greatest=math.inf)
  return str(found)


def _default(field: dataclasses.Field) -> str:
  """The default, as it is written in a config."""
  if field.default is not dataclasses.MISSING:
    return f"`{field.default!r}`"
  if field.default_factory is not dataclasses.MISSING:
    return f"`{field.default_factory()!r}`"
  return "needed"
