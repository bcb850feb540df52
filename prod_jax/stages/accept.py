"""Stage kind `accept`: is the student still as good as where it began?

Leaves `accepted.json`, which names the encode stage of the student that goes
on; `stages.accepted` reads it.
"""

import json
from typing import Any

from absl import logging

from prod_jax import kinds, storage, strict
from prod_jax.stages import accepted, held_out
from prod_jax.stages.run import Job

_ROLES = ("encoded", "before", "base")


def fingerprint(job: Job[kinds.Accept]) -> dict[str, Any]:
  """What the result depends on besides this stage's config and inputs."""
  return {"dataset": job.run.located.fingerprint, "seed": job.seed}


def check(job: Job[kinds.Accept]) -> None:
  """Raises ConfigError for students of two models, or what is not encoded."""
  held_out.check_metric(job)
  roles = [role for role in _ROLES if getattr(job.stage, role)]
  models = {job.run.model_name(getattr(job.stage, role)) for role in roles}
  if len(models) > 1:
    raise strict.ConfigError(
      f"{job.where} chooses between models {' and '.join(sorted(models))}; it "
      "takes encode stages of one model"
    )
  for role in roles:
    job.check_encoded(job.stage.split, role)


def run(job: Job[kinds.Accept]) -> dict[str, Any]:
  """Measures the student and what it is held against, and chooses."""
  if not job.run.processes.first:
    return {}
  stage = job.stage
  summary: dict[str, Any]
  if not (job.inputs["encoded"] / "passages").exists():
    name, summary = stage.before, {"why": f"{stage.encoded} was skipped"}
  else:
    name, summary = _choose(job)
  name = accepted.chosen(job.run, name)
  summary = {"accepted": name, **summary}
  logging.info("%s: goes on with %s: %s", job.name, name, summary["why"])
  storage.write_text(
    job.folder / accepted.ACCEPTED,
    json.dumps({"encoded": name, **summary}, indent=2),
  )
  return summary


def _choose(job: Job[kinds.Accept]) -> tuple[str, dict[str, Any]]:
  """The stage that goes on, and the figures."""
  stage = job.stage
  student = _values(job, "encoded")
  worse, said = [], []
  figures: dict[str, Any] = {}
  # The first student began as the untrained model: that is one comparison.
  roles = [role for role in ("base", "before") if getattr(stage, role)]
  named = {job.inputs[role]: role for role in roles}
  for role in named.values():
    found = held_out.compared(job, _values(job, role), student)
    figures |= {f"{role}_{k}": v for k, v in held_out.figures(found).items()}
    figures[role] = round(found.mean_before, 4)
    figures["student"] = round(found.mean_after, 4)
    said.append(held_out.said(job, found, getattr(stage, role)))
    if found.difference < -stage.tolerance - held_out.ROUNDING:
      worse.append(role)
  name = stage.before if worse else stage.encoded
  passed = {"refused": bool(worse), "why": "; ".join(said)}
  return name, passed | figures


def _values(job: Job[kinds.Accept], role: str) -> dict[str, float]:
  """The metric of each query, over the whole collection."""
  return held_out.values(job, *held_out.retrieved(job, role))
