"""sentence-transformers as the benchmarks use it: all calls into it."""

import json
import math
import pathlib
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from datasets import Dataset
from sentence_transformers import (
  CrossEncoder,
  SentenceTransformer,
  SentenceTransformerTrainer,
  SentenceTransformerTrainingArguments,
)
from sentence_transformers.base.modules import Normalize, Transformer
from sentence_transformers.base.sampler import DefaultBatchSampler
from sentence_transformers.sentence_transformer.losses import DistillKLDivLoss
from sentence_transformers.sentence_transformer.modules import Pooling
from sentence_transformers.util import (
  dot_score,
  mine_hard_negatives,
  pairwise_dot_score,
  semantic_search,
)
from transformers import TrainerCallback

from benchmarks import side, texts
from prod_jax import packaged

torch.set_num_threads(side.THREADS)
DEFAULT = 32
BATCH_SIZES = (1, 2, 4, 8, 16, DEFAULT, 64)  # the fastest is measured
TRIED = 96  # texts for each of them
NO_DROPOUT = {
  "hidden_dropout_prob": 0.0,
  "attention_probs_dropout_prob": 0.0,
}


def dual(folder: str = "", device: str = "cpu") -> SentenceTransformer:
  """The packaged encoder, or another, with mean pooling and unit vectors."""
  encoder = Transformer(
    folder or str(packaged.model_folder()),
    max_seq_length=texts.PASSAGE_LENGTH,
    config_kwargs=NO_DROPOUT,
  )
  pooling = Pooling(encoder.get_embedding_dimension(), "mean")
  return SentenceTransformer(
    modules=[encoder, pooling, Normalize()], device=device
  )


def vectors(
  folder: pathlib.Path, found: Sequence[str], batch_size: int
) -> np.ndarray:
  """What an exported folder makes of texts, on torch."""
  model = SentenceTransformer(str(folder), device="cpu")
  return encoder(model)(found, batch_size)


class FirstToken(torch.nn.Module):
  """In place of BERT's pooler, whose dense layer prod_jax has not."""

  def forward(self, hidden_BLD: torch.Tensor) -> torch.Tensor:
    return hidden_BLD[:, 0]


def cross(folder: pathlib.Path, device: str = "cpu") -> CrossEncoder:
  """A sequence classifier that reads the first token itself."""
  model = CrossEncoder(
    str(folder),
    num_labels=1,
    max_length=texts.QUERY_LENGTH + texts.PASSAGE_LENGTH,
    activation_fn=torch.nn.Identity(),
    device=device,
  )
  model.model.base_model.pooler = FirstToken()
  return model


def encoder(model: SentenceTransformer) -> Callable[[Sequence, int], Any]:
  """Embeds some texts in batches of a size."""
  return lambda some, size: model.encode(
    some, batch_size=size, show_progress_bar=False
  )


def scorer(model: CrossEncoder) -> Callable[[Sequence, int], Any]:
  """Scores some pairs in batches of a size."""
  return lambda some, size: model.predict(
    some, batch_size=size, show_progress_bar=False
  )


def tune(
  run: Callable[[Sequence, int], Any],
  found: Sequence,
  kept: pathlib.Path,
  sizes: Sequence[int] = BATCH_SIZES,
  tried: int = TRIED,
) -> dict[str, float]:
  """Texts a second with each batch size, written for `fastest`.

  Args:
    run: encodes or scores some texts, in batches of a size.
    found: all texts.
    kept: file of the answer.
    sizes: of batches.
    tried: how many texts.
  """
  some = found[:tried]
  run(some, DEFAULT)
  seconds = dict.fromkeys(sizes, math.inf)
  for size in 2 * tuple(sizes):  # twice: a machine has slow moments
    took = side.seconds_of(lambda n=size: run(some, n))
    seconds[size] = min(seconds[size], took)
  rates = {str(size): len(some) / took for size, took in seconds.items()}
  kept.write_text(json.dumps(rates))
  return rates


def fastest(kept: pathlib.Path) -> tuple[int, dict[str, float]]:
  """The batch size that `tune` found fastest, and the rates of all."""
  rates = json.loads(kept.read_text())
  return int(max(rates, key=rates.get)), rates


def count(model: torch.nn.Sequential, seen: list[tuple[int, int]]) -> None:
  """From now on, notes the tokens and the places of rows that go to a model."""

  def note(module: torch.nn.Module, args: tuple) -> None:
    mask = args[0]["attention_mask"]
    seen.append((int(mask.sum()), mask.numel()))

  model[0].register_forward_pre_hook(note)


class Marks(TrainerCallback):
  """Calls back behind step `warmup`."""

  def __init__(self, warmup: int, begin: Callable[[], None]):
    self._warmup, self._begin = warmup, begin

  def on_step_end(self, args, state, control, **kwargs):
    if state.global_step == self._warmup:
      self._begin()


def trainer(
  model: SentenceTransformer,
  loss: DistillKLDivLoss,
  dataset: Any,
  folder: pathlib.Path,
  *,
  batch: int,
  steps: int,
  **arguments: Any,
) -> SentenceTransformerTrainer:
  """Its trainer with AdamW; lists in their order."""
  return quiet_trainer(
    model,
    loss,
    dataset,
    folder,
    per_device_train_batch_size=batch,
    max_steps=steps,
    learning_rate=side.RATE,
    weight_decay=side.DECAY,
    max_grad_norm=side.CLIP,
    batch_sampler=_in_order,
    seed=texts.SEED,
    **arguments,
  )


def quiet_trainer(
  model: SentenceTransformer,
  loss: torch.nn.Module,
  dataset: Any,
  folder: pathlib.Path,
  **arguments: Any,
) -> SentenceTransformerTrainer:
  """A trainer with linear decay, on a CPU unless told; it logs nothing."""
  return SentenceTransformerTrainer(
    model=model,
    args=SentenceTransformerTrainingArguments(
      output_dir=str(folder),
      lr_scheduler_type="linear",
      logging_strategy="no",
      save_strategy="no",
      report_to="none",
      disable_tqdm=True,
      **{"use_cpu": True, **arguments},
    ),
    train_dataset=dataset,
    loss=loss,
  )


def one_step(trainer: SentenceTransformerTrainer, rows: list[dict]) -> None:
  """One more step of a trainer that has trained, on other rows."""
  trainer.model.train()
  trainer.training_step(trainer.model_wrapped, trainer.data_collator(rows))
  trainer.accelerator.clip_grad_norm_(trainer.model.parameters(), side.CLIP)
  trainer.optimizer.step()
  trainer.optimizer.zero_grad()


def _in_order(dataset: Any, **settings: Any) -> DefaultBatchSampler:
  return DefaultBatchSampler(
    torch.utils.data.SequentialSampler(dataset),
    batch_size=settings["batch_size"],
    drop_last=settings["drop_last"],
  )


def distillation(model: SentenceTransformer) -> DistillKLDivLoss:
  """KL of listwise scores, which are scaled cosines."""
  return DistillKLDivLoss(
    model, similarity_fct=lambda q, p: side.SCALE * pairwise_dot_score(q, p)
  )


def pairs_of(pairs: Sequence[tuple[str, str]]) -> Dataset:
  """What `mine` takes: a query and a positive a row."""
  queries, positives = zip(*pairs, strict=True)
  return Dataset.from_dict({"query": queries, "positive": positives})


def mine(
  model: SentenceTransformer,
  dataset: Dataset,
  passages: list[str],
  batch_size: int,
  use_faiss: bool = True,
) -> Dataset:
  """Columns query, positive, negative_1, ...; on a CPU faiss is advised."""
  return mine_hard_negatives(
    dataset,
    model,
    corpus=passages,
    num_negatives=side.NEGATIVES,
    batch_size=batch_size,
    output_format="n-tuple",
    use_faiss=use_faiss,
    verbose=False,
  )


def searcher(
  passages: np.ndarray, queries: np.ndarray, device: str, neighbours: int
) -> Callable[[], Any]:
  """What searches passages for queries, both on a device in bfloat16."""
  there = [
    torch.from_numpy(x).to(device, torch.bfloat16) for x in (queries, passages)
  ]
  return lambda: semantic_search(
    *there,
    query_chunk_size=len(queries),
    top_k=neighbours,
    score_function=dot_score,
  )
