"""python -m benchmarks.peer_export FOLDER TO: sentence-transformers' export.

Runs in an environment of its own, that of requirements_onnx.txt, with nothing
of prod_jax: optimum-onnx, which sentence-transformers exports with, does not go
with the transformers of requirements.lock.
"""

import pathlib
import platform
import sys

from sentence_transformers import (
  SentenceTransformer,
  export_dynamic_quantized_onnx_model,
)


def main() -> None:
  """The command."""
  folder, to = sys.argv[1:]
  model = SentenceTransformer(
    folder,
    backend="onnx",
    device="cpu",
    model_kwargs={"export": True, "provider": "CPUExecutionProvider"},
  )
  model.save_pretrained(to)
  export_dynamic_quantized_onnx_model(model, _weights(), to, file_suffix="int8")


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
