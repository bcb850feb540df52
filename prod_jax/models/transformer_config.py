"""The shape of an encoder, and what its family does its own way."""

import dataclasses
from collections.abc import Collection, Sequence

DTYPES = ("float32", "bfloat16")
REMATS = ("", "layers", "matmuls")
ACTIVATIONS = ("gelu", "gelu_new", "gelu_pytorch_tanh", "relu", "tanh")


@dataclasses.dataclass(frozen=True)
class TransformerConfig:
  """Shape and rates of an encoder.

  Attributes:
    vocab_size: rows of the word table.
    width: of the residual stream.
    depth: number of layers.
    heads: of each attention; they divide the width.
    mlp_width: of the hidden layer between two residuals.
    max_positions: rows of the position table. A position beyond it gives NaN.
    family: whose names and config.json its weights have, see families/.
    type_vocab: rows of the token type table; with fewer than two the types of
      tokens are not read, with none there is no table.
    task_row: its file holds a table of tasks (ERNIE), whose first row is added
      to each of the type table when it is read.
    position_offset: rows of the position table in front of position 0.
    embedding_width: of the tables, with a dense layer to `width`; 0 is `width`.
    relative_buckets: rows of a bias of attention by distance, one table for
      all layers; 0 is none.
    activation: of the MLP, see `activate`.
    pre_norm: LayerNorm in front of attention and MLP and behind the last layer,
      and not behind each residual. Layer 0 then has none in front of attention:
      the embeddings' stands there.
    gated: the MLP's hidden layer is multiplied by a second one.
    attention_bias, mlp_bias, norm_bias: of dense layers, and of LayerNorms.
    rotary_theta: base of rotary positions, which replace the table; 0 is none.
    local_theta: the same in local layers.
    local_layers: layers whose tokens attend to near ones only.
    local_window: tokens attend to half of it on each side.
    dropout: rate behind embeddings and before each residual.
    attention_dropout: rate on attention weights.
    layer_norm_eps: added to the variance.
    remat: what the backward pass computes again instead of storing it: "" is
      nothing, "layers" all within each layer, "matmuls" all but the outputs
      of dense layers.
    chunks: texts are encoded in so many parts, see `texts.in_chunks`.
    dtype: of the computation, "float32" or "bfloat16". Parameters are always
      float32.
  """

  vocab_size: int
  width: int
  depth: int
  heads: int
  mlp_width: int
  max_positions: int
  family: str = "bert"
  type_vocab: int = 2
  task_row: bool = False
  position_offset: int = 0
  embedding_width: int = 0
  relative_buckets: int = 0
  activation: str = "gelu"
  pre_norm: bool = False
  gated: bool = False
  attention_bias: bool = True
  mlp_bias: bool = True
  norm_bias: bool = True
  rotary_theta: float = 0.0
  local_theta: float = 0.0
  local_layers: tuple[int, ...] = ()
  local_window: int = 0
  dropout: float = 0.1
  attention_dropout: float = 0.1
  layer_norm_eps: float = 1e-12
  remat: str = ""
  chunks: int = 1
  dtype: str = "float32"

  def __post_init__(self) -> None:
    check_known("dtype", self.dtype, DTYPES)
    check_known("remat", self.remat, REMATS)
    check_known("activation", self.activation, ACTIVATIONS)
    if self.heads < 1 or self.width % self.heads:
      raise ValueError(
        f"width {self.width} does not divide by {self.heads} heads"
      )
    if self.rotary_theta and self.width // self.heads % 2:
      raise ValueError(
        f"a head of width {self.width // self.heads} is odd, and rotary "
        "positions turn pairs"
      )

  @property
  def usable_positions(self) -> int:
    """Tokens of the longest text that it can read."""
    return self.max_positions - self.position_offset

  def cut(self, layers: Sequence[int]) -> "TransformerConfig":
    """The config of an encoder of some of the layers, in this order.

    Raises:
      ValueError: it cannot be built of these.
    """
    self.check_cut(layers)
    local = (i for i, n in enumerate(layers) if n in self.local_layers)
    return dataclasses.replace(
      self, depth=len(layers), local_layers=tuple(local)
    )

  def check_cut(self, layers: Sequence[int]) -> None:
    """Raises ValueError where these layers make no encoder."""
    if self.pre_norm and (layers[0] != 0 or 0 in layers[1:]):
      raise ValueError(
        f"layers {tuple(layers)}: layer 0 of {self.family} is the only one "
        "without a norm in front of its attention; keep it, as the first one"
      )


def check_known(name: str, value: str, known: Collection[str]) -> None:
  """Raises ValueError for a value outside of `known`."""
  if value not in known:
    raise ValueError(f"{name} is {value!r}; known: {', '.join(known)}")
