"""An encoder as an ONNX graph, written operator by operator.

The graph is the body of models/transformer.py over texts in rows of their own:
`input_ids`, `attention_mask` and, where the model has types, `token_type_ids`,
all int64 [batch, length] with both free. Its outputs are `last_hidden_state`,
and of a dual encoder `sentence_embedding`, of a cross-encoder `logits`. Of all
operators, only the choices that the model makes are in it.

The letters are those of that file; R is the batch.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import onnx
from flax import traverse_util
from onnx import TensorProto, helper, numpy_helper

from prod_jax.models import positions
from prod_jax.models.cross import CrossEncoder, Head
from prod_jax.models.dual import DualEncoder
from prod_jax.models.transformer_config import TransformerConfig

OPSET = 20  # the first with Gelu
_IR = 9  # what goes with it
# Operators, and how a Gelu is approximated.
_ACTIVATIONS = {
  "gelu": ("Gelu", ""),
  "gelu_new": ("Gelu", "tanh"),
  "gelu_pytorch_tanh": ("Gelu", "tanh"),
  "relu": ("Relu", ""),
  "tanh": ("Tanh", ""),
}
_ONE = np.int64(1)
_LOWEST = np.finfo(np.float32).min


class _Places(NamedTuple):
  """What the places of tokens do to attention; see models/positions.py.

  Attributes:
    mask: what is added to logits, by whether a layer is local.
    turns: cosines and sines by which queries and keys are turned, the same way;
      None where positions are a table.
  """

  mask: tuple[str, str]
  turns: tuple[tuple[str, str] | None, tuple[str, str] | None]


def of_dual(
  model: DualEncoder, encoder: Any, dense: Any = None
) -> onnx.ModelProto:
  """A tower: hidden states, and the vector of each text.

  Args:
    model: whose tower it is.
    encoder: parameters of the tower.
    dense: those of the layers behind the pooling, where there are any.
  """
  graph = _Graph(model.transformer, encoder | {"dense": dense or {}})
  hidden = graph.body()
  vector = graph.pooled(hidden, model.pooling)
  for number, layer in enumerate(model.dense):
    vector = graph.dense(f"dense/{number}", vector)
    if layer.activation:
      vector = graph.node("Tanh", vector)
  if model.similarity == "cosine":
    vector = graph.unit(vector)
  return graph.model(
    {
      "last_hidden_state": (hidden, ["batch", "length", graph.config.width]),
      "sentence_embedding": (vector, ["batch", model.width]),
    }
  )


def of_cross(model: CrossEncoder, params: Any) -> onnx.ModelProto:
  """A cross-encoder: hidden states, and the logit of each pair."""
  tree = params["encoder"] | {"head": params["head"]}
  graph = _Graph(model.transformer, tree)
  hidden = graph.body()
  pooled = graph.pooled(hidden, model.pooling)
  logits = graph.head(model.head, pooled)
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
    c = self.config
    x, position_L = self._embedded()
    places = self._places(position_L)
    for number in range(c.depth):
      x = self._layer(number, x, places)
    return self._norm("final_norm", x) if c.pre_norm else x

  def pooled(self, hidden: str, pooling: str) -> str:
    """A vector of each text, [R, D]; see `texts.pool`."""
    if pooling == "cls":
      return self.node("Gather", hidden, self.constant("first", 0), axis=1)
    there = self.node("Cast", "attention_mask", to=TensorProto.FLOAT)
    if pooling == "last":
      return self._last(hidden, there)
    there_RL1 = self.node("Unsqueeze", there, self.ints(2))
    if pooling == "max":
      is_there = self.node("Cast", there_RL1, to=TensorProto.BOOL)
      lowest = self.constant("lowest", _LOWEST)
      kept = self.node("Where", is_there, hidden, lowest)
      return self.node("ReduceMax", kept, self.ints(1), keepdims=0)
    kept = self.node("Mul", hidden, there_RL1)
    total = self.node("ReduceSum", kept, self.ints(1), keepdims=0)
    count = self.node("ReduceSum", there, self.ints(1), keepdims=1)
    if pooling == "mean_sqrt_len":
      count = self.node("Sqrt", count)
    return self.node("Div", total, count)

  def _last(self, hidden: str, there_RL: str) -> str:
    """The last token of each text, behind which there is padding alone."""
    count_R1 = self.node("ReduceSum", there_RL, self.ints(1), keepdims=1)
    number_RL = self.node("CumSum", there_RL, self.constant("int_1", _ONE))
    is_last = self.node(
      "Equal", self.node("Mul", number_RL, there_RL), count_R1
    )
    kept_RL = self.node("Cast", is_last, to=TensorProto.FLOAT)
    kept_RL1 = self.node("Unsqueeze", kept_RL, self.ints(2))
    kept = self.node("Mul", hidden, kept_RL1)
    return self.node("ReduceSum", kept, self.ints(1), keepdims=0)

  def unit(self, x: str) -> str:
    """Vectors [R, D] of length 1; see `dual.unit`."""
    square = self.node("ReduceSumSquare", x, self.ints(1), keepdims=1)
    floor = self.constant("floor", np.float32(1e-12))
    length = self.node("Sqrt", self.node("Max", square, floor))
    return self.node("Div", x, length)

  def head(self, head: Head, x: str) -> str:
    """The score of each pooled text, [R, 1]; see `cross.Head`."""
    if head.hidden:
      x = self._activated(head.hidden, self.dense("head/dense", x))
    if head.norm:
      x = self._norm("head/norm", x)
    x = self.dense("head", x)
    if head.labels == 1:
      return x
    both = np.array([[-1.0], [1.0]], np.float32)
    return self.node("MatMul", x, self.constant("difference", both))

  def _embedded(self) -> tuple[str, str]:
    """The tables' rows of each token, and the columns 0 … L - 1."""
    c = self.config
    zero, one = (self.constant(f"int_{i}", np.int64(i)) for i in (0, 1))
    length = self.node("Gather", self.node("Shape", "input_ids"), one)
    column_L = self.node("Range", zero, length, one)
    x = self._rows("word", "input_ids")
    if not c.rotary_theta:
      # A text begins in column 0, and padding lies behind it.
      offset = self.constant("offset", np.int64(c.position_offset))
      position_L = self.node("Add", column_L, offset)
      x = self.node("Add", x, self._rows("position", position_L))
    if c.type_vocab > 1:
      x = self.node("Add", x, self._rows("type", "token_type_ids"))
    elif c.type_vocab:
      x = self.node("Add", x, self._rows("type", zero))
    x = self._norm("embedding_norm", x)
    if c.embedding_width not in (0, c.width):
      x = self.dense("embedding_projection", x)
    return x, column_L

  def _places(self, column_L: str) -> _Places:
    c = self.config
    there = self.node("Cast", "attention_mask", to=TensorProto.BOOL)
    there_R11M = self.node("Unsqueeze", there, self.ints(1, 2))
    bias = is_near = ""
    if c.relative_buckets or c.local_layers:
      apart_LM = self.node(
        "Sub",
        self.node("Unsqueeze", column_L, self.ints(0)),
        self.node("Unsqueeze", column_L, self.ints(1)),
      )
      bias = self._bias(apart_LM) if c.relative_buckets else ""
      is_near = self._near(apart_LM) if c.local_layers else ""
    mask = near = self._added(there_R11M, bias)
    if is_near:
      near = self._added(self.node("And", there_R11M, is_near), bias)
    turns = (
      self._turns(c.rotary_theta, column_L),
      self._turns(c.local_theta, column_L),
    )
    return _Places((mask, near), turns)

  def _added(self, attended: str, bias: str) -> str:
    """What is added to logits: a bias, and the lowest number on what is not
    attended to.
    """
    nothing = bias or self.constant("nothing", np.float32(0))
    lowest = self.constant("lowest", _LOWEST)
    return self.node("Where", attended, nothing, lowest)

  def _near(self, apart_LM: str) -> str:
    """Which tokens those of local layers attend to."""
    half = self.constant("half_window", np.int64(self.config.local_window // 2))
    return self.node("LessOrEqual", self.node("Abs", apart_LM), half)

  def _bias(self, apart_LM: str) -> str:
    """By distance, [1, H, L, M]; from a table of all distances there are."""
    most = self.config.max_positions
    distance_1M = np.arange(-most, most + 1)[None]
    (bucket,) = positions.bucket(distance_1M, self.config.relative_buckets)
    table = self.constant("buckets", bucket.astype(np.int64))
    shifted = self.node("Add", apart_LM, self.constant("most", np.int64(most)))
    bias_LMH = self._rows("relative_bias", self.node("Gather", table, shifted))
    bias_HLM = self.node("Transpose", bias_LMH, perm=[2, 0, 1])
    return self.node("Unsqueeze", bias_HLM, self.ints(0))

  def _turns(self, theta: float, column_L: str) -> tuple[str, str] | None:
    """Cosines and sines [L, E] of rotary positions."""
    if not theta:
      return None
    E = self.config.width // self.config.heads
    rates = theta ** -(np.arange(0, E, 2, dtype=np.float32) / np.float32(E))
    rates_E = self.constant(f"rates_{theta}", np.concatenate([rates, rates]))
    place = self.node("Cast", column_L, to=TensorProto.FLOAT)
    place_L1 = self.node("Unsqueeze", place, self.ints(1))
    angle_LE = self.node("Mul", place_L1, rates_E)
    return self.node("Cos", angle_LE), self.node("Sin", angle_LE)

  def _turned(self, x: str, turns: tuple[str, str]) -> str:
    """Queries or keys [R, H, L, E], turned by their positions."""
    cos, sin = turns
    low, high = self.node("Split", x, outputs=2, axis=-1, num_outputs=2)
    across = self.node("Concat", self.node("Neg", high), low, axis=-1)
    kept = self.node("Mul", x, cos)
    return self.node("Add", kept, self.node("Mul", across, sin))

  def _layer(self, number: int, x: str, places: _Places) -> str:
    c, name = self.config, f"layer_{number}"
    local = number in c.local_layers
    seen = places.mask[local], places.turns[local]
    if not c.pre_norm:
      y = self._attention(f"{name}/attention", x, *seen)
      x = self._norm(f"{name}/attention_norm", self.node("Add", x, y))
      y = self._mlp(f"{name}/mlp", x)
      return self._norm(f"{name}/mlp_norm", self.node("Add", x, y))
    y = self._norm(f"{name}/attention_norm", x) if number else x
    x = self.node("Add", x, self._attention(f"{name}/attention", y, *seen))
    y = self._norm(f"{name}/mlp_norm", x)
    return self.node("Add", x, self._mlp(f"{name}/mlp", y))

  def _attention(
    self, name: str, x: str, mask: str, turns: tuple[str, str] | None
  ) -> str:
    c = self.config
    split = self.ints(0, 0, c.heads, c.width // c.heads)

    def heads(dense: str) -> str:
      y = self.node("Reshape", self.dense(f"{name}/{dense}", x), split)
      return self.node("Transpose", y, perm=[0, 2, 1, 3])

    q_RHLE, k_RHME, v_RHME = heads("query"), heads("key"), heads("value")
    if turns is not None:
      q_RHLE, k_RHME = (self._turned(y, turns) for y in (q_RHLE, k_RHME))
    scale = self.constant("scale", (c.width // c.heads) ** -0.5)
    k_RHEM = self.node("Transpose", k_RHME, perm=[0, 1, 3, 2])
    logits = self.node("MatMul", self.node("Mul", q_RHLE, scale), k_RHEM)
    weights = self.node("Softmax", self.node("Add", logits, mask), axis=-1)
    out = self.node("MatMul", weights, v_RHME)
    out = self.node("Transpose", out, perm=[0, 2, 1, 3])
    out = self.node("Reshape", out, self.ints(0, 0, c.width))
    return self.dense(f"{name}/output", out)

  def _mlp(self, name: str, x: str) -> str:
    hidden = self._activated(
      self.config.activation, self.dense(f"{name}/up", x)
    )
    if self.config.gated:
      hidden = self.node("Mul", hidden, self.dense(f"{name}/gate", x))
    return self.dense(f"{name}/down", hidden)

  def _activated(self, name: str, x: str) -> str:
    kind, approximate = _ACTIVATIONS[name]
    how = {"approximate": approximate} if approximate else {}
    return self.node(kind, x, outputs=1, **how)

  def dense(self, name: str, x: str) -> str:
    """A dense layer, by the name of its parameters."""
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
