"""Why a stage would run again, as far as its working folder knows.

A DONE file says what its stage depended on, and curriculum.json has the config
of today: what differs is named. Data, weights and code are known by hashes
alone, and only a dry run looks at them.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from prod_jax import run_files

_MOST = 3  # keys that are named


def changed(
  row: Mapping[str, Any],
  then: Any,
  config: Mapping[str, Any],
  others: Sequence[str],
) -> str:
  """What has changed since a stage left its work.

  Args:
    row: of the stage in curriculum.json.
    then: what it depended on; None where that was not written down.
    config: of today.
    others: of the stages that it reads, those that are not done either.
  """
  before = then if isinstance(then, Mapping) else {}
  now = {
    f"stages.{row['name']}": ("stage", _section(config, "stages", row["name"])),
    f"models.{row.get('model')}": (
      "model",
      _section(config, "models", row.get("model")),
    ),
    "data": ("data", config.get("data")),
  }
  found = [
    f"{where}.{difference}"
    for where, (part, today) in now.items()
    for difference in _differences(before.get(part), today)
  ]
  if more := found[_MOST:]:
    found = [*found[:_MOST], f"{len(more)} more"]
  if found:
    return "; ".join(found)
  if others:
    return f"it reads {', '.join(others)}, to be run before"
  return "data, weights, code or what it reads is another"


def _section(config: Mapping[str, Any], section: str, name: Any) -> Any:
  return (config.get(section) or {}).get(name)


def _differences(then: Any, now: Any) -> Iterator[str]:
  """Of the keys that both have, those whose values differ."""
  if not (isinstance(then, Mapping) and isinstance(now, Mapping)):
    return
  for key in then:
    # Of a folder it is not known where it lay.
    if then[key] == run_files.ANY_FOLDER:
      continue
    if key in now and then[key] != now[key]:
      yield f"{key} was {json.dumps(then[key])}, is {json.dumps(now[key])}"
