"""Models in a config: what each kind takes, and what is refused by its key."""

import re

import pytest

from prod_jax import config, model_kinds, strict

SHAPE = dict(width=8, depth=2, heads=2, mlp_width=16)


def read(**model):
  """The model of a config, read as the command reads it."""
  raw = dict(seed=1, data={}, mesh={}, models={"m": model}, stages={})
  return strict.section(config.Config, raw, "config").models["m"]


@pytest.mark.parametrize(
  ("cls", "own"),
  [
    (
      model_kinds.Dual,
      dict(tied=False, pooling="mean", similarity="cosine", scale=20.0),
    ),
    (model_kinds.Late, dict(tied=False, projection=4, mask_queries=True)),
    (model_kinds.Cross, dict(pooling="mean")),
    (model_kinds.Pairwise, dict(pooling="mean")),
  ],
)
def test_a_kind_has_its_own_keys_and_the_shared_ones(cls, own):
  kind = cls.__name__.lower()
  model = read(kind=kind, **SHAPE, **own)
  assert model == cls(kind=kind, **SHAPE, **own)
  assert read(**strict.plain(model)) == model


def test_a_shape_is_needed_only_without_weights():
  assert read(kind="dual", weights="folder", layers=(0, 5)).width == 0
  assert read(kind="dual", weights="folder", **SHAPE).width == 8


LOADED = dict(weights="folder")
REFUSED = [
  ("dual", dict(projection=128), "projection is a key of kind late, and"),
  ("dual", dict(mask_queries=True), "mask_queries is a key of kind late"),
  ("late", dict(pooling="mean"), "pooling is a key of kind dual or cross or"),
  ("late", dict(scale=2.0), "scale is a key of kind dual"),
  ("cross", dict(tied=False), "tied is a key of kind dual or late"),
  ("pairwise", dict(similarity="dot"), "similarity is a key of kind dual"),
  ("dual", dict(scal=2.0), "did you mean config.models.m.scale?"),
  ("duel", {}, "kind is 'duel'; known: dual, late, cross, pairwise"),
  ("dual", dict(width=0), "width is 0, and without weights it is needed"),
  ("dual", dict(depth=0), "depth is 0, and without weights it is needed"),
  ("late", dict(heads=0), "heads is 0, and without weights it is needed"),
  ("cross", dict(mlp_width=0), "mlp_width is 0, and without weights it is"),
  ("dual", dict(heads=3), "heads is 3, which does not divide width=8"),
  ("dual", dict(LOADED, heads=3), "heads is 3, which does not divide width=8"),
  ("dual", dict(heads=-2), "heads is -2; it is 0 or more"),
  ("dual", dict(LOADED, width=-8), "width is -8; it is 0 or more"),
  ("dual", dict(depth=-1), "depth is -1; it is 0 or more"),
  ("dual", dict(mlp_width=-1), "mlp_width is -1; it is 0 or more"),
  ("dual", dict(vocab_size=-1), "vocab_size is -1; it is 0 or more"),
  ("dual", dict(type_vocab=-1), "type_vocab is -1; it is 0 or more"),
  ("dual", dict(max_positions=-1), "max_positions is -1; it is 0 or more"),
  ("dual", dict(layers=(0, 1)), "layers is (0, 1), layers of weights to keep"),
  ("dual", dict(LOADED, layers=(1, 1)), "layers is (1, 1); it names each"),
  ("dual", dict(LOADED, layers=(0, -1)), "layers[1] is -1; it is 0 or more"),
  ("dual", dict(LOADED, layers=(0, 1, 2)), "depth is 2, but 3 layers are kept"),
  ("cross", dict(dropout=1.0), "dropout is 1.0; it is 0 or more and below 1"),
  ("dual", dict(dropout=-0.1), "dropout is -0.1; it is 0 or more and below 1"),
  ("dual", dict(dropout=float("nan")), "dropout is nan; it is 0 or more"),
  ("dual", dict(scale=20.0), "scale is 20.0, and similarity='dot' is not"),
  ("dual", dict(similarity="cosine", scale=0.0), "scale is 0.0; it is above 0"),
  ("dual", dict(similarity="cosine", scale=-1.0), "scale is -1.0; it is"),
  ("late", dict(projection=-1), "projection is -1; it is 0 or more"),
]


@pytest.mark.parametrize(("kind", "keys", "message"), REFUSED)
def test_what_cannot_be_built_is_refused_by_its_key(kind, keys, message):
  where = "" if message.startswith("did you") else "config.models.m."
  with pytest.raises(strict.ConfigError, match=re.escape(where + message)):
    read(**(SHAPE | keys), kind=kind)
