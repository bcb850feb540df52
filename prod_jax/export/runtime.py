"""A graph as onnxruntime runs it: the files, and what they make of texts."""

import contextlib
import logging
import pathlib
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
import onnx
import onnxruntime
from onnxruntime import quantization

from prod_jax import progress
from prod_jax.batch import Tokens
from prod_jax.batches import rows as layout
from prod_jax.batches.rows import Joined
from prod_jax.export import graph
from prod_jax.export.finished import Trained
from prod_jax.export.folder import Part
from prod_jax.models.cross import CrossEncoder
from prod_jax.models.dual import DualEncoder

FOLDER, FLOAT, INT8 = "onnx", "model.onnx", "model_int8.onnx"
# Advice for graphs of other makers, which onnxruntime gives the root logger.
_HINT = "pre-processing before quantization"
_ROWS = 32  # texts that are run at once


class Session(NamedTuple):
  """A loaded graph.

  Attributes:
    inner: of onnxruntime, on a CPU.
    output: the name of what is made of each text.
    inputs: names.
  """

  inner: Any
  output: str
  inputs: frozenset[str]


def write(folder: pathlib.Path, trained: Trained, part: Part) -> None:
  """Writes the graph of a part, where sentence-transformers looks for it."""
  encoder = trained.encoder
  if isinstance(encoder, CrossEncoder):
    made = graph.of_cross(encoder, trained.params)
  else:
    assert isinstance(encoder, DualEncoder)  # as `folder.parts` has checked
    dense = trained.params.get("dense")
    made = graph.of_dual(encoder, part.params, dense)
  (folder / FOLDER).mkdir()
  onnx.save(made, folder / FOLDER / FLOAT)


def quantise(folder: pathlib.Path) -> None:
  """Writes the same graph with weights of 8 bits, a scale a column.

  Matrices are signed, which onnxruntime multiplies fastest, and from -64 to 64:
  two products of more would overflow 16 bits on processors without VNNI. Tables
  are looked up alone, and unsigned.
  """
  with _without_hint():
    quantization.quantize_dynamic(
      folder / FOLDER / FLOAT,
      folder / FOLDER / INT8,
      per_channel=True,
      weight_type=quantization.QuantType.QInt8,
      reduce_range=True,
    )


def load(path: pathlib.Path) -> Session:
  """Opens a graph."""
  inner = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
  inputs = frozenset(x.name for x in inner.get_inputs())
  return Session(inner, inner.get_outputs()[-1].name, inputs)


def over_texts(session: Session, texts: Joined) -> np.ndarray:
  """What a graph makes of texts [n]: float32 [n, D], or [n, 1] of logits."""
  out, total = None, -(-len(texts.lengths) // _ROWS)
  for rows in progress.shown(
    _batches(texts.lengths), "the graph", "batches", total, only_long=True
  ):
    batch = texts.at(rows)
    tokens = layout.padded(batch, int(batch.lengths.max()))
    (found,) = session.inner.run([session.output], _feed(session, tokens))
    if out is None:
      out = np.empty((len(texts.lengths), found.shape[1]), np.float32)
    out[rows] = found
  return np.empty((0, 0), np.float32) if out is None else out


@contextlib.contextmanager
def _without_hint() -> Iterator[None]:
  def other(said: logging.LogRecord) -> bool:
    return _HINT not in said.getMessage()

  root = logging.getLogger()
  root.addFilter(other)
  try:
    yield
  finally:
    root.removeFilter(other)


def _batches(text_lengths: np.ndarray) -> Iterator[np.ndarray]:
  """Numbers of texts, those of a length together."""
  order = np.argsort(text_lengths, kind="stable")
  for start in range(0, len(order), _ROWS):
    yield order[start : start + _ROWS]


def _feed(session: Session, tokens: Tokens) -> Mapping[str, np.ndarray]:
  said = {
    "input_ids": tokens.ids,
    "attention_mask": tokens.segment,
    "token_type_ids": tokens.type,
  }
  return {
    name: value.astype(np.int64)
    for name, value in said.items()
    if name in session.inputs
  }
