"""An encoder as an ONNX graph, written operator by operator.

The graph is the body of models/transformer.py over texts in rows of their own:
`input_ids`, `attention_mask` and, where the model has types, `token_type_ids`,
all int64 [batch, length] with both free. Its outputs are `last_hidden_state`,
and of a dual encoder `sentence_embedding`, of a cross-encoder `logits`. Of all
operators, only the choices that the model makes are in it.

The letters are those of transformer.py; R is the batch.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx
from flax import traverse_util
from onnx import TensorProto, helper, numpy_helper

from prod_jax.models.cross import CrossEncoder
from prod_jax.models.dual import DualEncoder
from prod_jax.models.transformer import TransformerConfig

OPSET = 20  # the first with Gelu
_IR = 9  # what goes with it
_ACTIVATIONS = {
  "gelu": ("Gelu", {}),
  "gelu_new": ("Gelu", {"approximate": "tanh"}),
  "gelu_pytorch_tanh": ("Gelu", {"approximate": "tanh"}),
  "relu": ("Relu", {}),
  "tanh": ("Tanh", {}),
}
_LOWEST = np.finfo(np.float32).min


def of_dual(model: DualEncoder, encoder: Any) -> onnx.ModelProto:
  """A tower: hidden states, and the vector of each text."""
  graph = _Graph(model.transformer, encoder)
  hidden = graph.body()
  vector = graph.pooled(hidden, model.pooling)
  if model.similarity == "cosine":
    vector = graph.unit(vector)
  return graph.model(
    {
      "last_hidden_state": (hidden, ["batch", "length", graph.config.width]),
      "sentence_embedding": (vector, ["batch", graph.config.width]),
    }
  )


def of_cross(model: CrossEncoder, params: Any) -> onnx.ModelProto:
  """A cross-encoder: hidden states, and the logit of each pair."""
  graph = _Graph(model.transformer, params["encoder"])
  hidden = graph.body()
  pooled = graph.pooled(hidden, model.pooling)
  kernel, bias = (
    graph.constant(f"head/{key}", params["head"][key])
    for key in ("kernel", "bias")
  )
  logits = graph.node("Add", graph.node("MatMul", pooled, kernel), bias)
  return graph.model(
    {
      "last_hidden_state": (hidden, ["batch", "length", graph.config.width]),
      "logits": (logits, ["batch", 1]),
    }
  )


class _Graph:
  """A graph that grows by one operator at a time; a value is its name."""

  def __init__(self, config: TransformerConfig, encoder: Any):
    self.config = config
    self._params = traverse_util.flatten_dict(encoder, sep="/")
    self._nodes: list[onnx.NodeProto] = []
    self._constants: dict[str, onnx.TensorProto] = {}

  def node(self, kind: str, *inputs: str, outputs: int = 1, **how: Any) -> Any:
    """Adds an operator; returns its output, or a list of several."""
    number = len(self._nodes)
    names = [f"{kind}_{number}_{i}" for i in range(outputs)]
    name = f"{kind}_{number}"
    self._nodes.append(helper.make_node(kind, inputs, names, name=name, **how))
    return names[0] if outputs == 1 else names

  def constant(self, name: str, value: Any) -> str:
    """A tensor that is stored; floats become float32."""
    array = np.asarray(value, order="C")
    if array.dtype.kind == "f":
      array = array.astype(np.float32)
    self._constants.setdefault(name, numpy_helper.from_array(array, name))
    return name

  def ints(self, *values: int) -> str:
    """The same of integers, a list of them."""
    name = "ints_" + "_".join(map(str, values))
    return self.constant(name, np.array(values, np.int64))

  def model(
    self, outputs: Mapping[str, tuple[str, list[Any]]]
  ) -> onnx.ModelProto:
    """The whole, with its outputs under the names that readers look for."""
    for name, (value, _) in outputs.items():
      self._nodes.append(helper.make_node("Identity", [value], [name]))
    inputs = ["input_ids", "attention_mask"]
    if self.config.type_vocab > 1:
      inputs.append("token_type_ids")
    graph = helper.make_graph(
      self._nodes,
      "encoder",
      [
        helper.make_tensor_value_info(n, TensorProto.INT64, ["batch", "length"])
        for n in inputs
      ],
      [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
        for name, (_, shape) in outputs.items()
      ],
      list(self._constants.values()),
    )
    made = helper.make_model(
      graph,
      opset_imports=[helper.make_opsetid("", OPSET)],
      producer_name="prod_jax",
      ir_version=_IR,
    )
    onnx.checker.check_model(made)
    return made

  def body(self) -> str:
    """Hidden states of the last layer, [R, L, D]."""
    x = self._embedded()
    mask = self._mask()
    for layer in range(self.config.depth):
      x = self._layer(f"layer_{layer}", x, mask)
    return x

  def pooled(self, hidden: str, pooling: str) -> str:
    """A vector of each text, [R, D]; see `texts.pool`."""
    if pooling == "cls":
      return self.node("Gather", hidden, self.constant("first", 0), axis=1)
    there = self.node("Cast", "attention_mask", to=TensorProto.FLOAT)
    there_RL1 = self.node("Unsqueeze", there, self.ints(2))
    kept = self.node("Mul", hidden, there_RL1)
    total = self.node("ReduceSum", kept, self.ints(1), keepdims=0)
    count = self.node("ReduceSum", there, self.ints(1), keepdims=1)
    return self.node("Div", total, count)

  def unit(self, x: str) -> str:
    """Vectors [R, D] of length 1; see `dual.unit`."""
    square = self.node("ReduceSumSquare", x, self.ints(1), keepdims=1)
    floor = self.constant("floor", np.float32(1e-12))
    length = self.node("Sqrt", self.node("Max", square, floor))
    return self.node("Div", x, length)

  def _embedded(self) -> str:
    """The tables' rows of each token."""
    x = self._rows("word", "input_ids")
    zero, one = (self.constant(f"int_{i}", np.int64(i)) for i in (0, 1))
    length = self.node("Gather", self.node("Shape", "input_ids"), one)
    position = self.node("Range", zero, length, one)
    # A text begins in column 0, and padding lies behind it.
    x = self.node("Add", x, self._rows("position", position))
    x = self.node("Add", x, self._rows("type", "token_type_ids"))
    return self._norm("embedding_norm", x)

  def _mask(self) -> str:
    """What is added to logits: nothing, or the lowest number on padding."""
    there = self.node("Cast", "attention_mask", to=TensorProto.BOOL)
    there_R11M = self.node("Unsqueeze", there, self.ints(1, 2))
    nothing = self.constant("nothing", np.float32(0))
    lowest = self.constant("lowest", _LOWEST)
    return self.node("Where", there_R11M, nothing, lowest)

  def _layer(self, name: str, x: str, mask: str) -> str:
    y = self._attention(f"{name}/attention", x, mask)
    x = self._norm(f"{name}/attention_norm", self.node("Add", x, y))
    y = self._mlp(f"{name}/mlp", x)
    return self._norm(f"{name}/mlp_norm", self.node("Add", x, y))

  def _attention(self, name: str, x: str, mask: str) -> str:
    c = self.config
    split = self.ints(0, 0, c.heads, c.width // c.heads)

    def heads(part: str, order: list[int]) -> str:
      y = self.node("Reshape", self._dense(f"{name}/{part}", x), split)
      return self.node("Transpose", y, perm=order)

    q_RHLE = heads("query", [0, 2, 1, 3])
    k_RHEM = heads("key", [0, 2, 3, 1])
    v_RHME = heads("value", [0, 2, 1, 3])
    scale = self.constant("scale", (c.width // c.heads) ** -0.5)
    logits = self.node("MatMul", self.node("Mul", q_RHLE, scale), k_RHEM)
    weights = self.node("Softmax", self.node("Add", logits, mask), axis=-1)
    out = self.node("MatMul", weights, v_RHME)
    out = self.node("Transpose", out, perm=[0, 2, 1, 3])
    out = self.node("Reshape", out, self.ints(0, 0, c.width))
    return self._dense(f"{name}/output", out)

  def _mlp(self, name: str, x: str) -> str:
    hidden = self._dense(f"{name}/up", x)
    kind, how = _ACTIVATIONS["gelu"]
    hidden = self.node(kind, hidden, **how)
    return self._dense(f"{name}/down", hidden)

  def _dense(self, name: str, x: str) -> str:
    x = self.node("MatMul", x, self._parameter(f"{name}/kernel"))
    if f"{name}/bias" not in self._params:
      return x
    return self.node("Add", x, self._parameter(f"{name}/bias"))

  def _rows(self, name: str, ids: str) -> str:
    table = self._parameter(f"{name}/embedding")
    return self.node("Gather", table, ids)

  def _norm(self, name: str, x: str) -> str:
    scale = self._parameter(f"{name}/scale")
    inputs = [x, scale]
    if f"{name}/bias" in self._params:
      inputs.append(self._parameter(f"{name}/bias"))
    epsilon = self.config.layer_norm_eps
    return self.node("LayerNormalization", *inputs, epsilon=epsilon)

  def _parameter(self, name: str) -> str:
    return self.constant(name, self._params[name])
