"""What sentence-transformers' modules say of a cross-encoder."""

import json

import pytest

from prod_jax.models import cross_modules
from prod_jax.models.weights import WeightsError


@pytest.fixture
def folder(tmp_path):
  """Of a classifier, whose head is with its weights, and its settings."""

  def made(**settings):
    (tmp_path / "modules.json").write_text(
      '[{"idx": 0, "name": "0", "path": "", '
      '"type": "sentence_transformers.base.modules.transformer.Transformer"}]'
    )
    (tmp_path / "config_sentence_transformers.json").write_text(
      json.dumps(settings)
    )
    return tmp_path

  return made


def test_a_prompt_of_a_cross_encoder_is_refused(folder):
  said = dict(prompts={"q": "old new "}, default_prompt_name="q")
  named = folder(model_type="CrossEncoder", **said)
  message = "config_sentence_transformers.json: default_prompt_name is 'q', whi"
  with pytest.raises(WeightsError, match=message):
    cross_modules.read(named)
  # Of an encoder, an empty one, and one that has to be asked for.
  assert cross_modules.read(folder(**said)) is None
  for prompt, name in (("", "q"), ("old ", None)):
    other = dict(prompts={"q": prompt}, default_prompt_name=name)
    named = folder(model_type="CrossEncoder", **other)
    assert cross_modules.read(named) is None
