"""Dense layers, and how a CPU multiplies their matrices of bfloat16.

XLA gives a product to a CPU's units for bfloat16 (Intel's AMX) where it comes
out in float32. One that comes out in bfloat16 is taken in float32, with the
numbers turned into that first, and needs four times as long. So on a CPU
products here come out in float32 and are rounded behind it, which is what the
other kind does, too. TPUs and GPUs have one unit for both.
"""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from prod_jax import per_device
from prod_jax.models.transformer_config import TransformerConfig

PyTree = Any
_TOWERS = ("encoder", "query", "passage")
_Kept = tuple[Float[Array, "*N D"], Float[Array, "D E"]]


def dense(
  config: TransformerConfig, width: int, name: str, use_bias: bool = True
) -> nn.Dense:
  """A dense layer of an encoder, in its numbers."""
  return nn.Dense(
    width,
    use_bias=use_bias,
    dtype=config.dtype,
    name=name,
    dot_general=_dot_general if config.dtype == "bfloat16" else None,
  )


def at_rest(config: TransformerConfig, params: PyTree) -> PyTree:
  """Parameters for a model that is not trained, made for many batches.

  Each batch would turn the matrices into bfloat16 again, which on a CPU takes
  a third of its time. Here that is done once, with the same digits.

  Args:
    config: of its towers.
    params: of the model, in float32, of numpy's arrays or JAX's.
  """
  if config.dtype != "bfloat16" or not per_device.on_platform("cpu"):
    return params

  def once(path: Any, leaf: Any) -> Any:
    of_dense = path[0].key in _TOWERS and path[-1].key == "kernel"
    return leaf.astype(jnp.bfloat16) if of_dense else leaf

  return jax.tree_util.tree_map_with_path(once, params)


def _dot_general(x: Array, w: Array, axes: Any, precision: Any) -> Array:
  """`lax.dot_general`, as `nn.Dense` asks for it."""
  if per_device.on_platform("cpu"):
    return _product(x, w)
  return lax.dot_general(x, w, axes, precision=precision)


@jax.custom_vjp
def _product(
  x: Float[Array, "*N D"], w: Float[Array, "D E"]
) -> Float[Array, "*N E"]:
  return _rounded(x, w, axis=0)


def _forward(
  x: Float[Array, "*N D"], w: Float[Array, "D E"]
) -> tuple[Float[Array, "*N E"], _Kept]:
  return _product(x, w), (x, w)


def _backward(kept: _Kept, g: Float[Array, "*N E"]) -> _Kept:
  x, w = kept
  rows = tuple(range(x.ndim - 1))
  # Over rows: that is no faster by those units, as x has to be turned round.
  dw = lax.dot_general(x, g, ((rows, rows), ((), ())))
  return _rounded(g, w, axis=1), dw


_product.defvjp(_forward, _backward)


def _rounded(x: Array, w: Array, axis: int) -> Array:
  """The last axis of x by an axis of w, added up in float32."""
  axes = ((x.ndim - 1,), (axis,)), ((), ())
  made = lax.dot_general(x, w, axes, preferred_element_type=jnp.float32)
  return made.astype(x.dtype)
