"""Writes golden_families.json: what torch makes of the encoders of tiny.py.

    python -m tests.models.make_golden_families

with torch and transformers installed; the tests that read it need neither.
"""

import json
import pathlib
import tempfile

import torch
import transformers

from prod_jax.models import hf
from tests.models import tiny

GOLDEN = pathlib.Path(__file__).with_name("golden_families.json")
DISTANCES = (*range(-3, 4), -9, 11, 15, 16, 31, 32, 63, 64, 127, 128, 500)


def golden(name):
  """(states of the tokens that are no padding, scores), in float64."""
  config, head = tiny.FAMILIES[name], tiny.HEADS[name]
  params, tokens = tiny.params_of(name), tiny.tokens(12, 5)
  with tempfile.TemporaryDirectory() as folder:
    hf.save(folder, params["encoder"], config, head=(head, params["head"]))
    model = transformers.AutoModelForSequenceClassification.from_pretrained(
      folder, dtype=torch.float64
    ).eval()
  with torch.no_grad():
    inputs = tiny.torch_inputs(config, tokens)
    states = model.base_model(**inputs).last_hidden_state
    logits = model(**inputs).logits
  score = logits[:, 0] if head.labels == 1 else logits[:, 1] - logits[:, 0]
  return states.numpy()[tokens.segment > 0], score.numpy()


def main():
  found = {
    "note": f"Of torch {torch.__version__.split('+')[0]} and transformers "
    f"{transformers.__version__}, in float64, by make_golden_families.py."
  }
  for name in tiny.FAMILIES:
    states, score = golden(name)
    found[name] = {
      # Each token's first numbers tell it from all others.
      "states": states[:, :4].round(7).tolist(),
      "score": score.round(7).tolist(),
    }
  bucket = transformers.models.mpnet.modeling_mpnet.MPNetEncoder
  found["buckets"] = {
    str(d): int(bucket.relative_position_bucket(torch.tensor([d])))
    for d in DISTANCES
  }
  lines = [f"{json.dumps(k)}: {json.dumps(v)}" for k, v in found.items()]
  GOLDEN.write_text("{\n" + ",\n".join(lines) + "\n}\n")


if __name__ == "__main__":
  main()
