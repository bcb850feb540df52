"""A train stage's step as a program: the step that a run compiles."""

import jax

from prod_jax import kinds
from prod_jax.batch import Batch
from prod_jax.batches import packing
from prod_jax.models.build import shapes_of
from prod_jax.plan import analytic, batches
from prod_jax.plan.program import Program
from prod_jax.sets.sizes import Size
from prod_jax.stages import examples, train
from prod_jax.stages.run import Job
from prod_jax.stages.sources import START
from prod_jax.train.step import jit_step

_MANY = 1_000_000  # queries
# Methods that score all passages of a batch, and have no setting that says so.
_IN_BATCH = ("contrastive", "pair_distill")


def program(job: Job[kinds.Train], queries: int, size: Size) -> Program:
  """The step of a stage that goes over so many queries in all."""
  stage, mesh = job.stage, job.run.mesh
  student = job.run.model(stage.model)
  anchors = [student] if stage.anchor == START else []
  teachers = [job.model_of("teacher")] if stage.teacher else []
  params, frozen = train.trees(
    stage,
    shapes_of(student),
    shapes_of(teachers[0]) if teachers else None,
    jax.eval_shape(lambda: train.beside(job)),
    lambda x: x,
  )
  step, first_state = train.step_of(job)
  state = jax.eval_shape(first_state, params)
  batch = batches.training(job)
  grouping = examples.grouping(job)

  def of_size(count: int) -> Batch:
    texts = batches.of_size(batch, count)
    if not examples.packs(job):
      return texts
    data, window = job.run.config.data, _window(stage, texts, size)
    mean = batches.means(data, size)
    return batches.packed(texts, grouping, data.row_length, mean, window)

  def lower(count: int) -> jax.stages.Lowered:
    with jax.set_mesh(mesh):
      jitted = jit_step(step, state, frozen, mesh)
      traced = jitted.trace(state, frozen, of_size(count))
      return traced.lower(lowering_platforms=("tpu",))

  def flops(count: int) -> int:
    parts = stage.accumulation
    micro = jax.tree.map(
      lambda x: batches.of_size(x, x.shape[0] // parts), of_size(count)
    )
    in_batch = bool(stage.settings.get("in_batch", stage.method in _IN_BATCH))
    both = (teachers, []) if stage.joint else ([], teachers)
    return parts * (
      analytic.step(micro, [student], anchors, in_batch=in_batch)
      + analytic.step(micro.of_teacher(), *both, in_batch=in_batch)
    )

  return Program(
    stage=job.name,
    kind=stage.kind,
    model=stage.model,
    unit="queries",
    batch=stage.batch_size,
    multiple=grouping.groups,
    grain=grouping.groups,
    devices=mesh.size,
    copies=1,
    examples=queries,
    remat=student.transformer.remat,
    flops=flops,
    lower=lower,
  )


def _window(stage: kinds.Train, batch: Batch, size: Size) -> int:
  """Batches of a run that exchange queries; many where no size is known."""
  if stage.clusters:
    return 1
  queries, passages = batch.where_BN.shape
  epoch = size.queries.get("train", _MANY) // queries
  return packing.window(queries * passages, epoch)
