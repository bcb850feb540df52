"""What a train stage has gained over where it began, query by query."""

from collections.abc import Mapping

from prod_jax import significance
from prod_jax.report import record
from prod_jax.retrieval import runs


def of(run: record.Run, stage: record.Stage) -> significance.Change | None:
  """The headline metric after a stage against that before it.

  None where a model that nobody trained was not measured, or where a run has
  not kept its figures by query.
  """
  before = values(run, run.began(stage))
  after = values(run, stage.name)
  if not before or not after or not before.keys() & after.keys():
    return None
  return significance.change(before, after)


def text(gain: significance.Paired | significance.Change | None) -> str:
  """A difference with its 95 % interval; "" without one."""
  if gain is None:
    return ""
  return f"{gain.difference:+.3f} [{gain.low:+.3f}, {gain.high:+.3f}]"


def values(run: record.Run, name: str) -> Mapping[str, float]:
  """The headline metric of a train stage by query; nothing where unknown."""
  measured = run.measured.get(name)
  if measured is None or measured.stage not in run.stages:
    return {}
  kept = runs.read_values(run.stages[measured.stage].folder)
  return kept.get(record.HEADLINE, {})
