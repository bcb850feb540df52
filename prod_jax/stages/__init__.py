"""What the stages of a run do, one module a kind.

run        what all stages share, and the job of one
sources    what a stage reads of earlier ones: one row a role
examples   what the batches of a train stage are made of
encoders   the shape of a model: of its weights, or as the config says
folders    where the weights of a model are, and what is said beside them
tokenizer  which tokenizer a model has
files      whether the folders that a config names are there
widths     how wide vectors are, and where they are cut
splits     whether the data set has what the stages read of it
tracked    what stages have measured, for the trackers of a run
lessons    lists that nobody can learn from
scorecard  what a teacher's scores are like, before they are learnt from
train      from parameters and queries to trained parameters
broken     what a stage keeps of numbers that are none
replay     a step whose numbers were none, done again
encode     the collection and the queries as embeddings
mine       candidate lists, retrieved
provided   candidate lists that came with the data set
imported   lists and scores from a file of the user's
score      a teacher's scores of lists
divide     the queries that a teacher gets right and a student wrong
filter     generated queries whose own passage a ranker finds
denoise    what a teacher takes for a positive among unlabelled passages
compare    a pairwise teacher's preferences within lists
darken     dark examples of lists, scored
cluster    clusters of queries
gate       whether a teacher ranks the student's lists better
accept     whether a student is as good as where it began
accepted   which student that was, for those that read it
held_out   rankings of held-out queries, compared
evaluate   retrieval for held-out queries, measured
"""

import functools
import importlib
from typing import Any, Protocol, runtime_checkable

from prod_jax import memory, strict
from prod_jax.stages import accepted, sources
from prod_jax.stages.run import Job, Run


@runtime_checkable
class Kind(Protocol):
  """What the module of a stage kind has."""

  def fingerprint(self, job: Any) -> dict[str, Any]:
    """What the result depends on besides the stage's config and inputs."""

  def check(self, job: Any) -> None:
    """Raises ConfigError for what can be found wrong before anything runs."""

  def run(self, job: Any) -> dict[str, Any]:
    """Leaves artefacts in the job's folder, and returns a summary of scalars.

    All processes of a run call it, and the first one's summary counts.
    """


# What a kind needs is imported with it: a run that only mines trains nothing.
KINDS = {
  "train": "prod_jax.stages.train",
  "encode": "prod_jax.stages.encode",
  "mine": "prod_jax.stages.mine",
  "provided": "prod_jax.stages.provided",
  "imported": "prod_jax.stages.imported",
  "score": "prod_jax.stages.score",
  "divide": "prod_jax.stages.divide",
  "filter": "prod_jax.stages.filter",
  "denoise": "prod_jax.stages.denoise",
  "compare": "prod_jax.stages.compare",
  "darken": "prod_jax.stages.darken",
  "cluster": "prod_jax.stages.cluster",
  "gate": "prod_jax.stages.gate",
  "accept": "prod_jax.stages.accept",
  "evaluate": "prod_jax.stages.evaluate",
}


def kind_of(job: Job[Any]) -> Kind:
  """What the kind of a job's stage does."""
  return _imported(KINDS[job.stage.kind])


@functools.cache
def _imported(name: str) -> Any:
  with memory.imports():
    return importlib.import_module(name)


def job_of(run: Run, name: str) -> Job[Any]:
  """The job that `config.stages.<name>` describes.

  Raises:
    ConfigError: it reads a stage that does not stand before it, or one of a
      kind that its role does not take.
  """
  stages = run.config.stages
  # The order of the config is that of the run: no cycle can be written.
  before = list(stages)[: list(stages).index(name)]
  by_role = sources.reads(stages[name], stages, run.config.models)
  for role, source in by_role.items():
    if source not in before:
      raise strict.ConfigError(
        f"config.stages.{name}.{role} is {source!r}, which is no stage before "
        f"it; those are: {', '.join(before) or 'none'}"
        f"{_or_models(run, name, role)}"
      )
  inputs = accepted.Folders(run, by_role)
  job = Job(run, name, stages[name], inputs, run.folder(name))
  sources.check_kinds(job)
  return job


def _or_models(run: Run, name: str, role: str) -> str:
  """The models that a role may name too."""
  if sources.MODEL not in sources.ROLES[run.stage(name).kind][role]:
    return ""
  return f"; or a model with weights: {', '.join(run.config.models)}"
