"""Where the first value that is not finite arises, of small functions."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np

from prod_jax.losses import listwise
from prod_jax.models.transformer import shapes
from prod_jax.train import nonfinite
from tests.methods import batches
from tests.methods.batches import no_dropout

found = nonfinite.find


def gradient(function, **arguments):
  """The same of its value and its gradient by the first argument."""
  names = [*arguments]

  def both(**arguments):
    return jax.value_and_grad(function)(*(arguments[name] for name in names))

  return found(both, **arguments)


def test_of_finite_values_nothing_is_found():
  at = found(lambda x: {"y": jnp.log(x)}, x=jnp.array([1.0, 2.0]))
  assert at.first is None and not at.behind and not at.bad_outputs


def test_the_operation_that_made_it_is_named_and_not_those_behind():
  def function(x, y):
    return {"a": jnp.sum(3 * jnp.log(x - 2.0)), "b": y}

  at = found(function, x=jnp.array([1.0, 3.0]), y=jnp.ones(2))
  assert at.bad_outputs == ["a"]
  assert (at.first.kind, at.first.what) == ("operation", "log")
  assert at.first.bad.tolist() == [True, False] and at.first.has_nan
  assert [made.what for made in at.behind] == ["log", "mul", "reduce_sum"]


def test_an_argument_that_came_in_so_is_named():
  at = found(
    lambda x: x["rows"][1] @ jnp.ones((2, 2)),
    x={"rows": [jnp.ones((1, 2)), jnp.array([[1.0, jnp.inf]])]},
  )
  assert (at.first.kind, at.first.what) == ("argument", "x/rows/1")
  assert at.first.bad.tolist() == [[False, True]] and not at.first.has_nan


def test_what_a_mask_takes_out_is_not_followed():
  keep = jnp.array([True, False])

  def function(x, y):
    of_zero = jnp.where(keep, x, 1 / y)  # the second one is infinite
    return jnp.sqrt(of_zero)

  taken = found(function, x=jnp.array([-1.0, 5.0]), y=jnp.array([2.0, 4.0]))
  assert [made.what for made in taken.behind] == ["sqrt"]
  out = found(function, x=jnp.array([-1.0, 5.0]), y=jnp.array([0.0, 4.0]))
  assert [made.what for made in out.behind] == ["sqrt"]
  let_through = found(function, x=jnp.ones(2), y=jnp.array([2.0, 0.0]))
  assert let_through.first.what == "div"
  assert let_through.first.bad.tolist() == [False, True]


def test_infinite_constants_of_the_program_are_no_cause():
  """A maximum begins with one; of an empty row it is all that there is."""

  def function(x, where):
    highest = jnp.max(x, where=where, initial=-jnp.inf)
    return jnp.exp(x - highest) / jnp.sum(x - x)

  at = found(function, x=jnp.ones(2), where=jnp.ones(2, bool))
  assert at.first.what == "div"
  lost = found(function, x=jnp.ones(2), where=jnp.zeros(2, bool))
  assert lost.first.kind == "operation"


def test_a_gradient_is_followed_into_the_way_there():
  """0 * inf behind a `where` that the value does not show."""

  def function(x):
    return jnp.where(x > 0, jnp.sqrt(x), 0.0).sum()

  at = gradient(function, x=jnp.array([4.0, 0.0]))
  assert at.bad_outputs == ["1"]
  assert at.first.bad.tolist() == [False, True]
  assert any(made.backward for made in at.behind)


def test_a_loop_is_followed_turn_by_turn():
  def function(x):
    def body(total, row):
      return total + jnp.log(row), row * 2

    return jax.lax.scan(body, jnp.zeros(()), x)

  at = found(function, x=jnp.array([3.0, 2.0, -1.0, 4.0]))
  assert at.first.what == "log" and at.first.where == "turn_2"
  assert at.bad_outputs == ["0"]


def test_a_branch_is_followed():
  def function(x, n):
    return jax.lax.cond(n > 0, jnp.log, jnp.sin, x)

  assert found(function, x=-jnp.ones(2), n=1).first.what == "log"
  assert found(function, x=-jnp.ones(2), n=0).first is None


def test_a_layer_is_named_by_its_parameters_though_one_is_traced_for_all():
  """The weights of the upper one overflow; the layer below is sound."""
  transformer = dataclasses.replace(batches.BERT, depth=2)
  model = no_dropout(dataclasses.replace(batches.DUAL, transformer=transformer))
  params = {"encoder": jax.tree.map(of_small, shapes(model.transformer))}
  mlp = params["encoder"]["layer_1"]["mlp"]
  mlp["up"]["bias"] += 9
  mlp["down"]["kernel"] += 3e38

  def embedded(params, texts):
    return model.embed(params, texts, "query")[0]

  texts = batches.tokens(np.random.default_rng(0), 1, 4)
  at = found(embedded, params=params, texts=texts).first
  assert (at.kind, at.what) == ("operation", "dot_general")
  assert at.where == "params/encoder/layer_1/mlp/down"
  assert at.lines[0].startswith("models/transformer.py:")


def of_small(shape):
  """Small numbers that differ."""
  return np.resize(np.linspace(-0.1, 0.1, 17), shape.shape).astype(np.float32)


def test_a_term_of_a_loss_is_named_by_its_line():
  s, z = jnp.zeros((2, 3)), jnp.array([[1.0, 2, 3], [jnp.inf, 1, 2]])
  at = found(
    lambda student, teacher: listwise.kl(student, teacher), student=s, teacher=z
  )
  assert at.first.what == "teacher"
  kl = next(made for made in at.behind if made.has_nan)
  assert kl.lines[0].startswith("losses/listwise.py:")
