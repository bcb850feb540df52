"""The kinds of model that a config can name, as frozen dataclasses.

All have what `_Base` has, and each only those keys beside it that it has a use
for. What cannot be built is refused here, where the config is read; what only
the folder of the weights or the lengths of texts can tell, in
`stages/encoders.py`.
"""

import dataclasses
from collections.abc import Mapping
from typing import Literal

from prod_jax.ranges import Positive, ShareBelow1, Whole
from prod_jax.strict import FieldError

# The shape, as config.json says it too. All but the last three are needed
# where there are no weights.
NEEDED = ("width", "depth", "heads", "mlp_width")
SHAPE = (*NEEDED, "vocab_size", "type_vocab", "max_positions")
_MOST_LAYERS = 1000  # each has weights of its own names
PROMPTS = ("query", "passage")  # the texts that may have one

Pooling = Literal["", "cls", "mean", "max", "mean_sqrt_len", "last"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Base:
  """An encoder and where its first weights come from.

  Attributes:
    weights: "" draws random ones, "packaged" takes those of the `quickstart`
      extra, anything else is a folder with config.json and model.safetensors
      (whole or in shards), or a hub's NAME/MODEL or NAME/MODEL@REVISION.
    tokenizer: folder with tokenizer.json or vocab.txt, or "packaged"; "" is
      that of the weights, and where they have none `config.data.tokenizer`;
      a model that is used as it is needs its own.
    layers: indices of the weights' layers to keep; () keeps all.
    width, depth, heads, mlp_width, vocab_size, type_vocab, max_positions: the
      shape; 0 is not given. The first four are needed where `weights` is "";
      with weights, what is given must agree with their config.json, and is
      what a plan compiles on a machine without them. `depth` counts the layers
      kept. Without weights, a `vocab_size` of 0 is the tokenizer's, a
      `type_vocab` of 0 is 2, and a `max_positions` of 0 the longest row that
      the model reads.
    dropout: rate in hidden layers and attention.
    remat: what the backward pass computes again instead of storing it: "" is
      nothing, "layers" all within each layer, "matmuls" all but the outputs
      of dense layers.
    dtype: of the computation; masters are float32.
  """

  weights: str = ""
  tokenizer: str = ""
  layers: tuple[Whole, ...] = ()
  width: Whole = 0
  depth: Whole = 0
  heads: Whole = 0
  mlp_width: Whole = 0
  vocab_size: Whole = 0
  type_vocab: Whole = 0
  max_positions: Whole = 0
  dropout: ShareBelow1 = 0.1
  remat: Literal["", "layers", "matmuls"] = ""
  dtype: Literal["float32", "bfloat16"] = "float32"

  def __post_init__(self) -> None:
    for key in NEEDED:
      if not self.weights and not getattr(self, key):
        raise FieldError(
          key,
          "is 0, and without weights it is needed: give "
          f"{', '.join(NEEDED)}, or weights",
        )
    if self.depth > _MOST_LAYERS:
      raise FieldError(
        "depth", f"is {self.depth}; it is at most {_MOST_LAYERS}"
      )
    if self.heads and self.width % self.heads:
      raise FieldError(
        "heads", f"is {self.heads}, which does not divide width={self.width}"
      )
    self._check_layers()

  def _check_layers(self) -> None:
    if not self.layers:
      return
    if not self.weights:
      raise FieldError(
        "layers",
        f"is {self.layers}, layers of weights to keep, and there are none; "
        "leave it out, and give depth",
      )
    if len(set(self.layers)) < len(self.layers):
      raise FieldError(
        "layers", f"is {self.layers}; it names each layer once, from 0 on"
      )
    if self.depth not in (0, len(self.layers)):
      raise FieldError(
        "depth",
        f"is {self.depth}, but {len(self.layers)} layers are kept: "
        f"{self.layers}",
      )


@dataclasses.dataclass(frozen=True, kw_only=True)
class Dual(_Base):
  """Embeds a text as one vector.

  Attributes:
    tied: one tower for queries and passages.
    pooling: how the states of a text become one vector, see `texts.pool`; ""
      is as modules.json beside the weights says, and "cls" where it does not.
    similarity: "dot" or "cosine"; "" is as the folder says, and "dot" where it
      does not.
    scale: what a cosine is multiplied by.
    prompts: texts put in front of each `query` and each `passage` before it is
      tokenised, such as E5's "query: " and "passage: "; where the config names
      none, those of the folder.
  """

  kind: Literal["dual"]
  tied: bool = True
  pooling: Pooling = ""
  similarity: Literal["", "dot", "cosine"] = ""
  scale: Positive = 1.0
  prompts: Mapping[str, str] = dataclasses.field(default_factory=dict)

  def __post_init__(self) -> None:
    super().__post_init__()
    _check_prompts(self.prompts)
    if self._is_dot and self.scale != 1:
      raise FieldError(
        "scale",
        f"is {self.scale}, and similarity='dot' is not scaled; set it to 1, "
        "or similarity to 'cosine'",
      )

  @property
  def _is_dot(self) -> bool:
    """Whether it is one for certain, whatever a folder says."""
    return self.similarity == "dot" or not (self.similarity or self.weights)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Late(_Base):
  """Embeds a text as one vector for each token.

  Attributes:
    tied: one tower for queries and passages.
    projection: width of the vectors; 0 is as a ColBERT folder of weights says,
      and leaves them at the encoder's where it does not.
    mask_queries: pads queries with [MASK] tokens that take part. False, too, is
      as such a folder says, and so is what follows where it is left out.
    hide_masks: no token attends to these, as in ColBERT.
    skip: words that take no part in passages, each a token of the vocabulary,
      such as "," and ".".
    prompts: texts put in front of each `query` and each `passage` before it is
      tokenised. A marker such as [unused0] is one token.
  """

  kind: Literal["late"]
  tied: bool = True
  projection: Whole = 0
  mask_queries: bool = False
  hide_masks: bool = False
  skip: tuple[str, ...] = ()
  prompts: Mapping[str, str] = dataclasses.field(default_factory=dict)

  def __post_init__(self) -> None:
    super().__post_init__()
    _check_prompts(self.prompts)
    if self.hide_masks and not (self.mask_queries or self.weights):
      raise FieldError(
        "hide_masks", "is True, and there are no masks; set mask_queries=True"
      )


@dataclasses.dataclass(frozen=True, kw_only=True)
class Cross(_Base):
  """Reads a query and a passage together.

  Attributes:
    pooling: of the states that the head reads, see `texts.pool`; "" is that of
      the head in the weights' folder, and "cls" where there is none.
    difference: a head of two labels is taken, the score being their difference.
  """

  kind: Literal["cross"]
  pooling: Pooling = ""
  difference: bool = False


@dataclasses.dataclass(frozen=True, kw_only=True)
class Pairwise(_Base):
  """Reads a query and two passages together.

  Attributes:
    pooling, difference: as of kind "cross".
  """

  kind: Literal["pairwise"]
  pooling: Pooling = ""
  difference: bool = False


def _check_prompts(prompts: Mapping[str, str]) -> None:
  for key in prompts:
    if key not in PROMPTS:
      raise FieldError(
        "prompts", f"has a key {key!r}; its keys are {' and '.join(PROMPTS)}"
      )


Model = Dual | Late | Cross | Pairwise
