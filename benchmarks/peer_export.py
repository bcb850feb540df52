"""python -m benchmarks.peer_export FOLDER TO: sentence-transformers' export.

Runs in an environment of its own, that of requirements_onnx.txt, with nothing
of prod_jax: optimum-onnx, which sentence-transformers exports with, does not go
with the transformers of requirements.lock. First of all it loads the graph of
our folder, as the card of an export says.
"""

import pathlib
import platform
import sys

import numpy as np
from sentence_transformers import (
  SentenceTransformer,
  export_dynamic_quantized_onnx_model,
)

SOME = ["a text", "another one, and longer than that"]


def main() -> None:
  """The command."""
  folder, to = sys.argv[1:]
  on_torch = SentenceTransformer(folder, device="cpu").encode(SOME)
  ours = _on_onnx(folder, file_name="model.onnx").encode(SOME)
  np.testing.assert_allclose(ours, on_torch, atol=1e-5)
  model = _on_onnx(folder, export=True)
  model.save_pretrained(to)
  export_dynamic_quantized_onnx_model(model, _weights(), to, file_suffix="int8")


def _on_onnx(folder: str, **how: object) -> SentenceTransformer:
  return SentenceTransformer(
    folder,
    backend="onnx",
    device="cpu",
    model_kwargs={"provider": "CPUExecutionProvider", **how},
  )


def _weights() -> str:
  """What its documentation advises for this processor."""
  if platform.machine() in ("aarch64", "arm64"):
    return "arm64"
  flags = pathlib.Path("/proc/cpuinfo").read_text().split()
  for name in ("avx512_vnni", "avx512f"):
    if name in flags:
      return name.removesuffix("f")
  return "avx2"


if __name__ == "__main__":
  main()
