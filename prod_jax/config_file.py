"""Config files: Python with `get_config(variant="") -> ConfigDict`.

A file is read once, overridden by `key=value` pairs and turned into the
dataclasses of `config`; nothing behind this module sees a ConfigDict.
"""

import difflib
import importlib.util
import inspect
import os
import pathlib
import sys
import traceback
from collections.abc import Callable, Sequence
from typing import Any

import ml_collections

from prod_jax import strict
from prod_jax.config import Config
from prod_jax.strict import ConfigError

# Sections whose keys a config gives: names of its own, or what it must have.
_NAMED = ("config", "config.models", "config.stages")


def load(argument: str, overrides: Sequence[str] = ()) -> Config:
  """Reads `file.py[:part,part,…]` and applies overrides.

  Args:
    argument: path of a config file. Behind a colon, parts with `=` are
      overrides and at most one bare word is the variant for `get_config`.
    overrides: further `section.key=value` pairs; the last one wins.

  Raises:
    ConfigError: naming the file or key and, where one is near, the key meant.
  """
  name, _, rest = argument.partition(":")
  # A comma inside brackets belongs to a tuple.
  parts = [p for p in _split(rest) if p.strip()]
  variants = [p.strip() for p in parts if "=" not in p]
  if len(variants) > 1:
    raise ConfigError(f"--config takes one variant, got {variants}")
  raw = _get_config(pathlib.Path(name), *variants)
  for override in [*(p for p in parts if "=" in p), *overrides]:
    set_key(raw, override)
  return strict.section(Config, raw, "config")


def _split(text: str) -> list[str]:
  parts, depth = [""], 0
  for letter in text:
    depth += (letter in "([{") - (letter in ")]}")
    if letter == "," and depth == 0:
      parts.append("")
    else:
      parts[-1] += letter
  return parts


def _get_config(path: pathlib.Path, *variant: str) -> dict[str, Any]:
  if not path.is_file():
    near = difflib.get_close_matches(
      path.stem, [p.stem for p in path.parent.glob("*.py")], 1
    )
    meant = f"; did you mean {path.with_stem(near[0])}?" if near else ""
    raise ConfigError(f"--config: there is no file {path}{meant}")
  get_config = _function_of(path)
  if variant and not inspect.signature(get_config).parameters:
    raise ConfigError(
      f"--config={path}: get_config takes no variant, and {variant[0]!r} was "
      "given"
    )
  try:
    config = get_config(*variant)
  except ValueError as error:
    raise ConfigError(f"--config={path}: {error}") from error
  except (Exception, SystemExit) as error:
    raise _raised(path, error) from error
  if not isinstance(config, ml_collections.ConfigDict):
    raise ConfigError(
      f"{path}: get_config returned {type(config).__name__}, not a ConfigDict"
    )
  return _to_dict(config)


def _function_of(path: pathlib.Path) -> Callable[..., Any]:
  """The `get_config` of a file, which is run for that."""
  spec = importlib.util.spec_from_file_location(f"config_{path.stem}", path)
  if spec is None or spec.loader is None:
    raise ConfigError(f"--config: {path} is no Python file (.py)")
  module = importlib.util.module_from_spec(spec)
  # As for a script, so that a config can start from its neighbour.
  sys.path.insert(0, str(path.parent.resolve()))
  try:
    spec.loader.exec_module(module)
  except (Exception, SystemExit) as error:  # it may hold any code
    raise _raised(path, error) from error
  finally:
    sys.path.pop(0)
  found = getattr(module, "get_config", None)
  if not callable(found):
    raise ConfigError(f"{path} has no function get_config(variant)")
  return found


def _raised(path: pathlib.Path, error: BaseException) -> ConfigError:
  """Says where in a config file an error is, in one line."""
  file = os.path.abspath(path)  # as Python calls it
  lines = [
    frame.lineno
    for frame in traceback.extract_tb(error.__traceback__)
    if frame.filename == file
  ]
  if isinstance(error, SyntaxError) and error.filename == file:
    lines.append(error.lineno)
  where = f"{path}:{lines[-1]}" if lines else str(path)
  said = " ".join(str(error).split())
  return ConfigError(f"--config: {where}: {type(error).__name__}: {said}")


def _to_dict(section: ml_collections.ConfigDict) -> dict[Any, Any]:
  """Nested plain dicts, each with its keys as they were written."""
  return {
    key: _to_dict(value)
    if isinstance(value, ml_collections.ConfigDict)
    else value
    for key, value in section.items()
  }


def set_key(raw: dict[str, Any], override: str) -> None:
  """Sets a key of a config that is not strict yet.

  Args:
    raw: the config, which is changed.
    override: `section.key=value`.

  Raises:
    ConfigError: it is of another form, or in a section that cannot be there.
  """
  key, equals, value = override.partition("=")
  if not equals:
    raise ConfigError(f"override {override!r} is not of the form key=value")
  *sections, leaf = key.strip().split(".")
  node, path = raw, "config"
  for name in sections:
    if path not in _NAMED:  # a section in one may be set by overrides alone
      node.setdefault(name, {})
    if name not in node:
      raise ConfigError(strict.unknown_key(name, path, node))
    if isinstance(node[name], strict.Typed):
      node[name] = strict.literal(node[name])
    node, path = node[name], f"{path}.{name}"
    if not isinstance(node, dict):
      raise ConfigError(f"{path} is {node!r}, and has no keys of its own")
  node[leaf] = strict.Typed(value)
