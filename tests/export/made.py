"""Working folders as a run leaves them, with weights that nobody trained."""

import json
import pathlib

import jax
import numpy as np
import safetensors.numpy

from prod_jax import main, stages, strict
from prod_jax.config import Config
from prod_jax.export import finished
from prod_jax.models import hf, transformer
from prod_jax.models.cross import CrossEncoder, Head
from prod_jax.models.transformer_config import TransformerConfig
from prod_jax.processes import Processes
from prod_jax.stages.run import PARAMS, Run
from tests.batches.special_test import NAMES, bert, save
from tests.main_test import write_folder
from tests.models.sentence_transformers_test import TANH, modules, write

TRAIN = dict(
  kind="train", method="contrastive", steps=1, batch_size=8, learning_rate=0.1
)
WORDS = ["tea boats", "the old sea", "wind of the new sea", "a b c"]


def embedder(folder: pathlib.Path) -> pathlib.Path:
  """An encoder with a dense layer, prompts, and vectors of length 1."""
  save(folder, bert(), **NAMES["bert"])
  params = transformer.init(_shape(), jax.random.key(0))
  hf.save(folder, params, _shape())
  write(
    folder,
    modules("Pooling", "Dense", "Normalize"),
    **{
      "1_Pooling__config": {"pooling_mode": "mean"},
      "2_Dense__config": {"out_features": 4, "activation_function": TANH},
      "config_sentence_transformers": {
        "prompts": {"query": "tea ", "document": "old "}
      },
      "sentence_bert_config": {"max_seq_length": 30},
    },
  )
  kernel = np.random.default_rng(0).normal(size=(4, 8)).astype(np.float32)
  hf.save_params(
    folder / "2_Dense" / "model.safetensors",
    {"linear.weight": kernel, "linear.bias": np.ones(4, np.float32)},
  )
  return folder


def classifier(folder: pathlib.Path, labels: int = 1) -> pathlib.Path:
  """A sequence classifier."""
  save(folder, bert(), **NAMES["bert"])
  head = Head("cls", hidden="tanh", labels=labels)
  params = CrossEncoder(_shape(), "cls", head).init(jax.random.key(labels))
  head = (head, params["head"])
  hf.save(folder, params["encoder"], _shape(), head=head)
  return folder


def run_of(workdir: pathlib.Path, models: dict, **more) -> Run:
  """A run with these models, where MODEL_learns trains each but "teacher".

  Args:
    workdir: its folder, and in the one above the set.
    models: sections of the config.
    more: stages, which come first, and what MODEL_learns is besides.
  """
  if not (workdir.parent / "set").is_dir():
    write_folder(workdir.parent / "set")
  trained = {
    f"{name}_learns": (TRAIN | {"model": name} | more.pop(f"{name}_learns", {}))
    for name in models
    if name != "teacher"
  }
  config = dict(
    seed=0,
    data=dict(
      name="folder",
      path=str(workdir.parent / "set"),
      tokenizer=str(save(workdir.parent / "words", bert(), **NAMES["bert"])),
      query_length=12,
      passage_length=16,
    ),
    mesh={},
    models=models,
    stages=more | trained,
  )
  made = strict.section(Config, config, "config")
  return Run(made, Processes(workdir), may_fetch=False)


def finish(run: Run) -> None:
  """Leaves what its stages would, with random weights."""
  left = []
  for number, stage in enumerate(main.build(run)):
    stage.folder.mkdir(parents=True, exist_ok=True)
    job = stages.job_of(run, stage.name)
    if stage.kind == "train":
      params = run.model(job.stage.model).init(jax.random.key(number + 7))
      hf.save_params(stage.folder / PARAMS, params)
    done = {"hash": str(number), "fingerprint": stage.fingerprint()}
    (stage.folder / finished.DONE).write_text(json.dumps(done))
    left.append(
      {
        "name": stage.name,
        "kind": stage.kind,
        "dir": stage.folder.name,
        "status": "done",
        "seconds": 1.0,
        "inputs": stage.inputs,
        **stage.record,
      }
    )
  record = {"config": strict.plain(run.config), "dataset": "toy"}
  (run.workdir / finished.CURRICULUM).write_text(
    json.dumps(record | {"stages": left})
  )


def _shape() -> TransformerConfig:
  return TransformerConfig(
    vocab_size=bert().get_vocab_size(),
    width=8,
    depth=2,
    heads=2,
    mlp_width=16,
    max_positions=40,
  )


def more_labels(folder: pathlib.Path) -> None:
  """Gives a classifier a third label."""
  tensors = safetensors.numpy.load_file(folder / hf.WEIGHTS)
  for name in ("classifier.weight", "classifier.bias"):
    tensors[name] = np.concatenate([tensors[name], tensors[name][:1]])
  safetensors.numpy.save_file(tensors, folder / hf.WEIGHTS)
