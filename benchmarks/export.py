"""A student as a graph for onnxruntime, ours beside sentence-transformers' own.

Both write the same two layers of the packaged encoder, in float32 and with
weights of 8 bits. Each graph embeds the same tokens in the same batches, texts
of a length together. Our graph ends in unit vectors; the peer's ends in hidden
states, which are averaged here as its modules would. Our own model on JAX reads
the same tokens in rows of its own.
"""

import functools
import pathlib
import shutil
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks import side, texts

PASSAGES = 256
BATCH = 32  # the default of both
FLOAT, INT8 = "model.onnx", "model_int8.onnx"
FOLDER, OURS, PEER = "export", "ours", "peer"
TOKENS, TORCH = "tokens.npz", "torch.npy"


def write(cache: pathlib.Path) -> dict[str, Any]:
  """Both exports, the tokens, and the vectors of torch."""
  from benchmarks import ours_export, peer

  folder = cache / FOLDER
  shutil.rmtree(folder, ignore_errors=True)
  folder.mkdir()
  found = _texts(cache)
  np.savez(folder / TOKENS, **ours_export.tokens(cache, found))
  ours_export.write(cache, folder / OURS)
  command = [peer_python(), "-m", "benchmarks.peer_export"]
  subprocess.run([*command, folder / OURS, folder / PEER], check=True)
  np.save(folder / TORCH, peer.vectors(folder / OURS, found, BATCH))
  return {}


def peer_python() -> str:
  """Python of the environment where the peer can export.

  Raises:
    FileNotFoundError: there is none.
  """
  path = pathlib.Path(f"{sys.prefix}-onnx", "bin", "python")
  if not path.exists():
    raise FileNotFoundError(
      f"there is no {path}: an environment beside this one, with what "
      "benchmarks/requirements_onnx.txt names; make bench makes it"
    )
  return str(path)


def graph(of: str, file: str, cache: pathlib.Path) -> dict[str, Any]:
  """A graph of one of the exports."""
  import onnxruntime

  options = onnxruntime.SessionOptions()
  options.intra_op_num_threads = side.THREADS
  path = cache / FOLDER / of / "onnx" / file
  session = onnxruntime.InferenceSession(
    path, options, providers=["CPUExecutionProvider"]
  )
  with np.load(cache / FOLDER / TOKENS) as found:
    offsets = found["offsets"]
    rows = np.split(found["ids"], offsets[1:-1])
  return _measured(cache, path, lambda: embed(session, rows))


def jax(cache: pathlib.Path) -> dict[str, Any]:
  """Our own model, which the graphs are of."""
  from benchmarks import ours_export

  path = cache / FOLDER / OURS / "model.safetensors"
  return _measured(cache, path, ours_export.embedder(cache, _texts(cache)))


def embed(session: Any, rows: list[np.ndarray]) -> np.ndarray:
  """Unit vectors of texts, each the ids of one."""
  output = session.get_outputs()[-1].name
  order = np.argsort([len(ids) for ids in rows], kind="stable")
  out = {}
  for start in range(0, len(order), BATCH):
    chosen = order[start : start + BATCH]
    ids_BL, mask_BL = padded([rows[i] for i in chosen])
    (made,) = session.run(
      [output],
      {
        "input_ids": ids_BL,
        "attention_mask": mask_BL,
        "token_type_ids": np.zeros_like(ids_BL),
      },
    )
    if made.ndim == 3:
      made = unit_means(made, mask_BL)
    out.update(zip(chosen.tolist(), made, strict=True))
  return np.stack([out[i] for i in range(len(rows))])


def padded(rows: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
  """Ids and mask of a batch, as long as its longest text."""
  sizes = np.array([len(ids) for ids in rows])
  mask = np.arange(sizes.max()) < sizes[:, None]
  ids = np.zeros(mask.shape, np.int64)
  ids[mask] = np.concatenate(rows)
  return ids, mask.astype(np.int64)


def unit_means(hidden_BLD: np.ndarray, mask_BL: np.ndarray) -> np.ndarray:
  """Means over the tokens of each text, of length 1."""
  weight_B1L = mask_BL[:, None].astype(np.float32)
  mean_BD = (weight_B1L @ hidden_BLD)[:, 0] / mask_BL.sum(1, keepdims=True)
  return mean_BD / np.linalg.norm(mean_BD, axis=1, keepdims=True)


def _measured(
  cache: pathlib.Path, path: pathlib.Path, call: Callable[[], np.ndarray]
) -> dict[str, Any]:
  """How fast it is behind a first call, and how far from torch."""
  vectors = call()
  seconds = side.seconds_of(call)
  torch = np.load(cache / FOLDER / TORCH)
  return {
    "seconds": seconds,
    "rate": len(vectors) / seconds,
    "bytes": path.stat().st_size,
    "difference": float(np.abs(vectors - torch).max()),
    "proof": vectors,
  }


def _texts(cache: pathlib.Path) -> list[str]:
  return texts.read(cache / "texts").sample(PASSAGES)


SIDES: dict[str, side.Side] = {
  "ours_float32": functools.partial(graph, OURS, FLOAT),
  "peer_float32": functools.partial(graph, PEER, FLOAT),
  "ours_int8": functools.partial(graph, OURS, INT8),
  "peer_int8": functools.partial(graph, PEER, INT8),
  "jax": jax,
  "write": write,
}

if __name__ == "__main__":
  side.main("export", SIDES)
