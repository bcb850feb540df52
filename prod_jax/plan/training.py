"""A train stage's step as a program: the step that a run compiles."""

import jax

from prod_jax import kinds
from prod_jax.batch import Batch
from prod_jax.data import packing
from prod_jax.data.sizes import Size
from prod_jax.plan import analytic, batches
from prod_jax.plan.program import Program, params_of
from prod_jax.stages import examples, train
from prod_jax.stages.inputs import Inputs
from prod_jax.train.step import jit_step

_MANY = 1_000_000  # queries


def program(
  shared: Inputs, name: str, stage: kinds.Train, queries: int, size: Size
) -> Program:
  """The step of a stage that goes over so many queries in all."""
  student, frozen_models = shared.model(stage.model), []
  trained_models, teacher = [student], None
  if stage.anchor == examples.START:
    frozen_models.append(student)
  if stage.teacher:
    model = shared.model_of(stage.teacher)
    (trained_models if stage.joint else frozen_models).append(model)
    teacher = params_of(model)
  params, frozen = train.trees(stage, params_of(student), teacher, lambda x: x)
  step, first_state = train.step_of(shared, name, stage)
  state = jax.eval_shape(first_state, params)
  batch = batches.training(shared, name, stage)
  cut = examples.cut(shared, stage)

  def of_size(count: int) -> Batch:
    texts = batches.of_size(batch, count)
    if not examples.packs(shared, stage):
      return texts
    data, window = shared.config.data, _window(stage, texts, size)
    mean = batches.means(data, size)
    return batches.packed(texts, cut, data.row_length, mean, window)

  def lower(count: int) -> jax.stages.Lowered:
    with jax.set_mesh(shared.mesh):
      jitted = jit_step(step, state, frozen, shared.mesh)
      traced = jitted.trace(state, frozen, of_size(count))
      return traced.lower(lowering_platforms=("tpu",))

  def flops(count: int) -> int:
    parts = stage.accumulation
    micro = jax.tree.map(
      lambda x: batches.of_size(x, x.shape[0] // parts), of_size(count)
    )
    return parts * analytic.step(
      micro,
      trained_models,
      frozen_models,
      # A method that does not say is in-batch.
      in_batch=stage.settings.get("in_batch", True),
    )

  return Program(
    stage=name,
    kind=stage.kind,
    model=stage.model,
    unit="queries",
    batch=stage.batch_size,
    multiple=cut.groups,
    grain=cut.groups,
    devices=shared.mesh.size,
    copies=1,
    examples=queries,
    remat=student.bert.remat,
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
