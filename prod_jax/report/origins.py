"""What a run was made with, in words, and where its stages differ in it."""

from collections.abc import Mapping
from typing import Any

from prod_jax.report import record

NOT_WRITTEN = "not written down"
UNKNOWN = "unknown"
# Entries of a stage's origin, and what a reader calls them.
_TITLES = {
  "seed": "seed",
  "config_hash": "config",
  "data_fingerprint": "data",
  "commit": "commit",
  "processor": "processor",
  "devices": "devices",
}
_ABSENT = "absent"  # of a package
_HASHES = ("config_hash", "data_fingerprint", "commit")
_SHORT = 12
_NAMED = 3


def lines(run: record.Run) -> list[str]:
  """What all stages have in common, and a line for each thing they have not."""
  ran = [stage for stage in run.stages.values() if stage.ran]
  made = {stage.name: _said(stage.origin) for stage in ran if stage.origin}
  if not made:
    seed = run.config.get("seed", UNKNOWN)
    rest = "config hash, data, commit, versions and processor"
    return [f"made with seed {seed}; {rest} are {NOT_WRITTEN}"]
  common, differing = [], []
  for title in dict.fromkeys(title for said in made.values() for title in said):
    having: dict[str, list[str]] = {}
    for name, said in made.items():
      having.setdefault(said.get(title, _ABSENT), []).append(name)
    if len(having) == 1:
      common.append(f"{title} {''.join(having)}")
    else:
      found = ", ".join(f"{v} ({_names(names)})" for v, names in having.items())
      differing.append(f"stages differ in {title}: {found}")
  without = [stage.name for stage in ran if not stage.origin]
  if without:
    differing.append(f"what {_names(without)} ran with is {NOT_WRITTEN}")
  return [*(["made with " + "; ".join(common)] * bool(common)), *differing]


def _said(origin: Mapping[str, Any]) -> dict[str, str]:
  """An origin as text by title: hashes short, a title for each package."""
  said = {}
  for key, title in _TITLES.items():
    value = origin.get(key)
    text = UNKNOWN if value is None else str(value)
    if key in _HASHES:
      name, plus, rest = text.partition("+")
      text = f"{name[:_SHORT]}{plus}{rest}"
    said[title] = text
  return said | dict(origin.get("versions") or {})


def _names(names: list[str]) -> str:
  """The first few of them, and how many more there are."""
  more = len(names) - _NAMED
  shown = ", ".join(names[:_NAMED])
  return f"{shown} and {more} more" if more > 0 else shown
