"""The step and its loop on a linear model: sums, stops and resumes."""

import contextlib
import json
import shutil

import grain
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from prod_jax import config, kinds, per_device, sharding, strict
from prod_jax.batch import Batch
from prod_jax.processes import Preempted, Processes
from prod_jax.train import loop
from prod_jax.train.checkpoint import Checkpoints
from prod_jax.train.optim import make_optimizer
from prod_jax.train.state import init_state
from prod_jax.train.step import compile_step, make_step
from prod_jax.train.writer import MetricsWriter

STAGE = kinds.Train(
  kind="train",
  model="toy",
  method="toy",
  steps=6,
  batch_size=16,
  learning_rate=0.1,
  clip=1.0,
)


def loss_fn(params, frozen, batch, rng):
  """Regresses the teacher's scores from the query row, with dropout."""
  x_B3 = jnp.stack([batch.query_id_B / 32, batch.query_id_B**2 / 999], axis=1)
  x_B3 = jnp.concatenate([x_B3, jnp.ones_like(x_B3[:, :1])], axis=1)
  keep = jax.random.bernoulli(rng.dropout, 0.9, (1, 3))
  y_BN = (x_B3 * keep) @ params["head"]["kernel"] + params["head"]["bias"][None]
  loss = ((y_BN - batch.list_scores_BN) ** 2).mean()
  return loss * frozen["scale"], {"bias": params["head"]["bias"].sum()}


def plain_loss(params, frozen, batch, rng):
  return loss_fn(params, frozen, batch, rng._replace(dropout=jax.random.key(7)))


def params():
  return {"head": {"kernel": jnp.ones((3, 2)), "bias": jnp.zeros(2)}}


def make_batch(rows):
  rows = np.asarray(rows, np.int32)
  column = rows[:, None]
  return Batch(
    query=None,
    passage=None,
    pair=None,
    where_BN=np.ones((len(rows), 2), bool),
    query_id_B=rows,
    passage_id_BN=np.concatenate([column, column], axis=1),
    positive_id_BM=column,
    list_scores_BN=np.concatenate(
      [np.sin(column), np.cos(column)], axis=1
    ).astype(np.float32),
  )


def test_the_first_state_is_one_program():
  compiled = []

  def listen(event, *_, **__):
    if event == "/jax/core/compile/backend_compile_duration":
      compiled.append(event)

  shapes = ((3, 19), (5, 23), (29,))  # of no other test
  trained = {str(shape): np.ones(shape, np.float32) for shape in shapes}
  jax.monitoring.register_event_duration_secs_listener(listen)
  try:
    state = init_state(trained, make_optimizer(STAGE))
  finally:
    jax.monitoring.unregister_event_duration_listener(listen)
  assert len(compiled) == 1
  jax.tree.map(
    np.testing.assert_array_equal,
    state.opt_state,
    make_optimizer(STAGE).init(trained),
  )


def batches(first=0):
  return iter(
    grain.MapDataset.range(32)
    .seed(3)
    .shuffle()
    .repeat()
    .batch(16)
    .map(make_batch)[first:]
    .to_iter_dataset(grain.ReadOptions(num_threads=1, prefetch_buffer_size=4))
  )


def saved(folder):
  """The steps of its checkpoints."""
  return sorted(path.name for path in (folder / "checkpoints").iterdir())


class Run:
  """One training stage in a folder, as `stages.train` sets it up."""

  def __init__(self, folder, mesh=None, source=None, fn=loss_fn, **kwargs):
    self.mesh = mesh or sharding.make_mesh(config.Mesh())
    optimizer = make_optimizer(STAGE)
    self.compiled, self.state = compile_step(
      make_step(fn, optimizer, seed=5, **kwargs),
      init_state(params(), optimizer),
      {"scale": np.float32(1.0)},
      self.mesh,
    )
    self.source = source
    self.processes = Processes(folder)
    self.folder = folder
    self.checkpoints = Checkpoints(folder / "checkpoints", {"a": 1})

  def fit(self, steps=6, every=2):
    first, self.state = self.checkpoints.newest(self.state)
    schedule = loop.Schedule(
      name="toy",
      first=first,
      steps=steps,
      batch_size=16,
      log_every=1,
      checkpoint_every=every,
      learning_rates=np.linspace(1.0, 0.5, steps),
    )
    with (
      contextlib.closing(MetricsWriter(self.folder, self.processes)) as writer,
      contextlib.closing(self.checkpoints),
    ):
      self.state, self.still = loop.fit(
        self.compiled,
        self.state,
        self.source or batches(first),
        schedule,
        self.checkpoints,
        writer,
        self.processes,
      )
    return jax.device_get(self.state)


def one_step(mesh, fn=plain_loss, **kwargs):
  optimizer = make_optimizer(STAGE)
  compiled, state = compile_step(
    make_step(fn, optimizer, seed=5, **kwargs),
    init_state(params(), optimizer),
    {"scale": np.float32(1.0)},
    mesh,
  )
  batch = sharding.put_batch(make_batch(range(16)), mesh)
  return jax.device_get(compiled.step(state, compiled.frozen, batch))


def assert_trees_close(a, b, **kwargs):
  jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, **kwargs), a, b)


def one_device():
  kinds = (jax.sharding.AxisType.Auto,) * 3
  return jax.make_mesh(
    (1, 1, 1),
    ("data", "fsdp", "tensor"),
    axis_types=kinds,
    devices=jax.devices()[:1],
  )


def test_one_device_is_eight():
  eight = one_step(sharding.make_mesh(config.Mesh()))
  assert_trees_close(one_step(one_device()), eight, rtol=1e-5)


def test_accumulated_gradients_are_those_of_the_whole_batch():
  mesh = sharding.make_mesh(config.Mesh(data=2, fsdp=4))
  whole = one_step(mesh)
  assert_trees_close(one_step(mesh, accumulation=2), whole, rtol=1e-5)


def test_gradients_are_accumulated_alike_on_a_tpu(monkeypatch):
  mesh = sharding.make_mesh(config.Mesh())
  here = one_step(mesh, accumulation=2)
  monkeypatch.setattr(per_device, "on_platform", lambda name: name == "tpu")
  assert_trees_close(one_step(mesh, accumulation=2), here, rtol=1e-6)


def test_the_step_is_a_function_of_seed_and_step():
  mesh = sharding.make_mesh(config.Mesh())
  once, again = one_step(mesh, loss_fn), one_step(mesh, loss_fn)
  assert_trees_close(once, again, rtol=0)


def test_clipping_comes_after_the_norm_is_taken():
  def steep(params, frozen, batch, rng):
    del frozen, batch, rng
    return 1000.0 * params["head"]["bias"].sum(), {}

  optimizer = optax.chain(optax.clip_by_global_norm(1.0), optax.sgd(1.0))
  step = make_step(steep, optimizer, seed=5)
  state, metrics = step(init_state(params(), optimizer), {}, make_batch([1]))
  np.testing.assert_allclose(metrics["grad_norm"], 1000 * 2**0.5, rtol=1e-6)
  np.testing.assert_allclose(state.params["head"]["bias"], -(0.5**0.5), 1e-6)


def test_a_resumed_run_ends_with_the_same_bits(tmp_path):
  (tmp_path / "whole").mkdir()
  (tmp_path / "parts").mkdir()
  whole = Run(tmp_path / "whole").fit()

  class Killed(Exception):
    pass

  part = Run(tmp_path / "parts")
  inner, calls = part.compiled.step, []

  def dies(*args):
    calls.append(1)
    if len(calls) == 6:
      raise Killed
    return inner(*args)

  part.compiled = part.compiled._replace(step=dies)
  with pytest.raises(Killed):
    part.fit()
  resumed = Run(tmp_path / "parts").fit()
  assert int(resumed.step) == 6
  assert_trees_close(resumed, whole, rtol=0)
  rows = (tmp_path / "parts" / "metrics.jsonl").read_text().splitlines()
  rows = [json.loads(row) for row in rows]
  steps = [row["step"] for row in rows]
  rates = [row["learning_rate"] for row in rows]
  np.testing.assert_allclose(rates, np.linspace(1.0, 0.5, 6), rtol=1e-6)
  # Killed in step 5, whose predecessor was not yet settled; back to step 4.
  assert steps == [1, 2, 3, 4, 5, 6]


def test_a_run_that_is_asked_to_stop_saves_and_goes_on(tmp_path):
  (tmp_path / "whole").mkdir()
  (tmp_path / "parts").mkdir()
  whole = Run(tmp_path / "whole").fit()
  part = Run(tmp_path / "parts")
  part.processes.stops_before = lambda stage, step: step == 3
  with pytest.raises(Preempted, match="stopped toy at step 3 of 6, saved"):
    part.fit()
  assert saved(tmp_path / "parts")[-1] == "3"
  resumed = Run(tmp_path / "parts").fit()
  assert_trees_close(resumed, whole, rtol=0)


def empty(folder, step):
  """Takes the numbers of a checkpoint out of their files."""
  for path in (folder / "checkpoints" / str(step) / "state").rglob("d/*"):
    path.write_bytes(b"")


def flip(folder, step):
  """Changes a bit in each of these files."""
  for path in (folder / "checkpoints" / str(step) / "state").rglob("d/*"):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize("damage", ["empty", "flipped", "gone"])
def test_a_damaged_checkpoint_is_set_aside_for_the_one_before(
  tmp_path, damage, caplog
):
  (tmp_path / "whole").mkdir()
  (tmp_path / "parts").mkdir()
  whole = Run(tmp_path / "whole").fit()
  Run(tmp_path / "parts").fit()
  assert saved(tmp_path / "parts") == ["2", "4"]
  if damage == "empty":
    empty(tmp_path / "parts", 4)
  elif damage == "flipped":
    flip(tmp_path / "parts", 4)
  else:
    shutil.rmtree(tmp_path / "parts" / "checkpoints" / "4" / "state")
  with caplog.at_level("WARNING"):
    resumed = Run(tmp_path / "parts").fit()
  assert_trees_close(resumed, whole, rtol=0)
  assert "the checkpoint of step 4 can't be read" in caplog.text
  # TensorStore does not see each bit, and a seal does.
  assert (" has changed" in caplog.text) == (damage == "flipped")
  assert saved(tmp_path / "parts") == ["2", "4"]
  (aside,) = (tmp_path / "parts" / "checkpoints-damaged").iterdir()
  assert aside.name.startswith("4-")


def test_checkpoints_of_which_none_can_be_read_are_left_where_they_are(
  tmp_path,
):
  Run(tmp_path).fit(steps=4)
  empty(tmp_path, 2)
  with pytest.raises(strict.ConfigError, match="delete that folder, and the"):
    Run(tmp_path).fit()
  assert saved(tmp_path) == ["2"]
  shutil.rmtree(tmp_path / "checkpoints")
  Run(tmp_path).fit()


def test_what_the_machine_lacks_is_no_damage(tmp_path, monkeypatch):
  Run(tmp_path).fit()

  def lacks(self, step, shapes):
    raise MemoryError("busy")

  monkeypatch.setattr(Checkpoints, "_restored", lacks)
  with pytest.raises(MemoryError):
    Run(tmp_path).fit()
  assert saved(tmp_path) == ["2", "4"]


def test_a_loss_that_is_no_number_stops_before_it_is_saved(tmp_path):
  source = batches()
  drawn = [next(source) for _ in range(6)]
  bad = drawn[3]
  drawn[3] = bad._replace(
    list_scores_BN=bad.list_scores_BN * np.float32(np.nan)
  )
  run = Run(tmp_path, source=iter(drawn))
  with pytest.raises(loop.NonFiniteError) as error:
    run.fit(every=1)
  assert str(error.value).startswith("stage toy, step 3: loss nan, gradient")
  assert error.value.step == 3
  np.testing.assert_array_equal(error.value.batch.query_id_B, bad.query_id_B)
  assert saved(tmp_path)[-1] == "3"


def test_gradients_of_exactly_0_are_counted_and_said_once(
  tmp_path, monkeypatch, caplog
):
  monkeypatch.setattr(loop, "_STILL", 2)

  def flat_but_for_one(params, frozen, batch, rng):
    moves = jnp.float32(rng.step == 1)
    return moves * frozen["scale"] * params["head"]["bias"].sum(), {}

  run = Run(tmp_path, fn=flat_but_for_one)
  with caplog.at_level("WARNING", logger="absl"):
    run.fit()
  assert run.still == 5
  (said,) = [x for x in caplog.messages if "exactly 0" in x]
  assert said.startswith(
    "toy: the gradient was exactly 0 in the last 2 steps, up to step 3: "
  )
