"""ColBERT folders: what they say, what is refused, and what is computed."""

import json
import pathlib
import string

import jax
import numpy as np
import pytest

from prod_jax import model_kinds, strict
from prod_jax.batches import rows, tokens
from prod_jax.batches.store import store_of
from prod_jax.losses import max_sim
from prod_jax.models import colbert, hf
from prod_jax.models.late import LateInteraction
from prod_jax.models.weights import WeightsError
from prod_jax.stages import folders
from prod_jax.stages import tokenizer as tokenizers
from tests.batches.special_test import BERT, bert, save, word_piece
from tests.models import tiny
from tests.models.sentence_transformers_test import NEW, write

CLASSES = {
  "Transformer": f"{NEW}transformer.Transformer",
  "Dense": f"{NEW}dense.Dense",
  "Normalize": f"{NEW}normalize.Normalize",
  "MultiVectorMask": (
    "sentence_transformers.multi_vector_encoder.modules.multi_vector_mask."
    "MultiVectorMask"
  ),
}
IDENTITY = "torch.nn.modules.linear.Identity"
CONFIG = tiny.FAMILIES["bert"]
TOKENS = dict.fromkeys(
  ("module_input_name", "module_output_name"), "token_embeddings"
)
METADATA = {
  "query_token_id": "[unused0]",
  "doc_token_id": "[unused1]",
  "query_maxlen": 12,
  "doc_maxlen": 20,
  "mask_punctuation": True,
  "attend_to_mask_tokens": False,
  "similarity": "cosine",
  "dim": 3,
}
READ = dict(
  projection=3,
  prompts={"query": "[unused0] ", "passage": "[unused1] "},
  mask_queries=True,
  hide_masks=True,
  skip=tuple(string.punctuation),
  query_length=12,
  max_length=20,
)
KERNEL = np.random.default_rng(0).normal(size=(3, CONFIG.width))
KERNEL = KERNEL.astype(np.float32)


def encoder(folder: pathlib.Path, **more: np.ndarray) -> pathlib.Path:
  """The tiny encoder, with more tensors beside it."""
  hf.save(folder, tiny.params_of("bert")["encoder"], CONFIG)
  path = folder / "model.safetensors"
  hf.save_params(path, hf.load_params(path) | more)
  return folder


def stanford(folder, **changes):
  encoder(folder, **{"linear.weight": KERNEL})
  metadata = {k: v for k, v in (METADATA | changes).items() if v is not None}
  (folder / colbert.METADATA).write_text(json.dumps(metadata))
  described = json.loads((folder / "config.json").read_text())
  described["architectures"] = ["HF_ColBERT"]
  (folder / "config.json").write_text(json.dumps(described))
  return folder


def modular(folder, *kinds, settings=None, limits=None, dense=None, mask=None):
  """A folder of modules, as sentence-transformers and PyLate write it."""
  encoder(folder)
  listed = [(CLASSES["Transformer"], "")]
  for i, kind in enumerate(kinds, 1):
    name = kind if "." in kind else CLASSES.get(kind, f"{NEW}{kind}")
    listed.append((name, f"{i}_{kind.rsplit('.', 1)[-1]}"))
  expansion = {"strategy": "fixed", "attend": False, "length": 12}
  files = {
    "config_sentence_transformers": settings
    or {
      "model_type": "MultiVectorEncoder",
      "prompts": {"query": "[unused0] ", "document": "[unused1] "},
    },
    "sentence_bert_config": {
      "document_length": 20,
      "query_expansion": expansion,
    }
    if limits is None
    else limits,
    "1_Dense__config": {
      "in_features": CONFIG.width,
      "out_features": 3,
      "bias": False,
      "activation_function": IDENTITY,
    }
    | TOKENS
    | (dense or {}),
    "2_MultiVectorMask__config": {
      "skiplist_words": list(string.punctuation),
      "skiplist_tasks": ["document"],
      "keep_only_token_ids": None,
    }
    | (mask or {}),
    "3_Normalize__config": TOKENS,
  }
  write(folder, listed, **files)
  hf.save_params(
    folder / "1_Dense" / "model.safetensors", {"linear.weight": KERNEL}
  )
  return folder


def of_sentence_transformers(folder, **changes):
  return modular(folder, "Dense", "MultiVectorMask", "Normalize", **changes)


def pylate(folder, **changes):
  settings = {
    "model_type": "ColBERT",
    "query_prefix": "[unused0] ",
    "document_prefix": "[unused1] ",
    "query_length": 12,
    "document_length": 20,
    "attend_to_expansion_tokens": False,
    "similarity_fn_name": "MaxSim",
    **changes,
  }
  return modular(
    folder, "pylate.models.Dense.Dense", settings=settings, limits={}
  )


def older_pylate(folder, **changes):
  """As its first versions wrote it, which did not say what it is."""
  pylate(folder, **changes)
  path = folder / "config_sentence_transformers.json"
  settings = json.loads(path.read_text())
  del settings["model_type"]
  path.write_text(json.dumps(settings))
  return folder


def test_prefixes_alone_are_pylates_too(tmp_path):
  """Whoever saved it again, whatever its modules are called."""
  prefixes = {"query_prefix": "[unused0] ", "document_prefix": "[unused1] "}
  lengths = {"query_length": 12, "document_length": 20}
  folder = modular(tmp_path, "Dense", settings=prefixes | lengths, limits={})
  found = colbert.read(folder)
  assert {key: getattr(found, key) for key in READ} == READ


FORMS = [stanford, of_sentence_transformers, pylate, older_pylate]


@pytest.mark.parametrize("form", FORMS)
def test_all_forms_say_the_same(form, tmp_path):
  found = colbert.read(form(tmp_path))
  assert {key: getattr(found, key) for key in READ} == READ
  assert found.encoder == tmp_path
  kernel = colbert.load_projection(found, len(KERNEL.T))["kernel"]
  np.testing.assert_array_equal(kernel, KERNEL.T)
  hf.check(found.encoder, CONFIG)
  named = {path.name for path in colbert.files(tmp_path)}
  assert named & {colbert.METADATA, "modules.json"}


def test_folders_of_others_say_nothing(tmp_path):
  assert colbert.read(encoder(tmp_path / "bert")) is None
  assert colbert.files(tmp_path / "bert") == []
  assert colbert.read(modular(tmp_path / "st", "Pooling", "Dense")) is None


def test_what_stanfords_leaves_out_is_its_default(tmp_path):
  found = colbert.read(stanford(tmp_path, **dict.fromkeys(METADATA)))
  assert found.prompts == READ["prompts"]
  assert (found.query_length, found.max_length) == (32, 0)
  assert found.query_limit == 32
  assert found.skip and found.hide_masks


def test_attended_masks_and_no_skipped_words(tmp_path):
  changes = dict(mask_punctuation=False, attend_to_mask_tokens=True)
  found = colbert.read(stanford(tmp_path / "a", **changes))
  assert found.skip == () and not found.hide_masks
  changes = dict(skiplist_words=[","], attend_to_expansion_tokens=True)
  found = colbert.read(pylate(tmp_path / "b", **changes))
  assert found.skip == (",",) and not found.hide_masks
  found = colbert.read(pylate(tmp_path / "c", do_query_expansion=False))
  assert not found.mask_queries and found.query_length == 0
  assert found.query_limit == 12  # they are cut, and not filled up


@pytest.mark.parametrize(
  ("form", "changes", "said"),
  [
    (stanford, dict(similarity="l2"), "similarity is 'l2'"),
    (stanford, dict(interaction="flipr"), "interaction is 'flipr'"),
    (stanford, dict(dim=128), "dim is 128, and linear.weight makes 3"),
    (pylate, dict(similarity_fn_name="meanmaxsim"), "it takes 'maxsim'"),
    (
      of_sentence_transformers,
      dict(dense={"bias": True}),
      "has a bias or an activation",
    ),
    (
      of_sentence_transformers,
      dict(dense={"use_residual": True}),
      "use_residual is true",
    ),
    (
      of_sentence_transformers,
      dict(mask={"skiplist_tasks": ["query"]}),
      "skiplist_tasks is ",
    ),
    (
      of_sentence_transformers,
      dict(mask={"keep_only_token_ids": [3]}),
      "keep_only_token_ids is ",
    ),
    (
      of_sentence_transformers,
      dict(limits={"query_expansion": {"strategy": "min", "length": 8}}),
      "it takes the strategy 'fixed'",
    ),
  ],
)
def test_what_is_not_computed_is_refused(form, changes, said, tmp_path):
  with pytest.raises(WeightsError, match=said):
    colbert.read(form(tmp_path, **changes))


def test_other_modules_and_half_a_folder_are_refused(tmp_path):
  pooled = modular(tmp_path / "a", "Dense", "MultiVectorMask", "TokenPooling")
  with pytest.raises(WeightsError, match=r"names the modules .*TokenPooling"):
    colbert.read(pooled)
  bare = encoder(tmp_path / "b", **{"linear.weight": KERNEL})
  with pytest.raises(WeightsError, match=r"has a projection, linear\.weight"):
    colbert.read(bare)
  without = encoder(tmp_path / "c")
  (without / colbert.METADATA).write_text("{}")
  with pytest.raises(WeightsError, match="without its projection"):
    colbert.read(without)


GOLDEN = [[11.924381, 11.18024, 6.963081], [11.838489, 11.078884, 6.820192]]
QUERIES = ["tea, boats", "the sea of old wind"]
PASSAGES = ["tea. and, boats!", "wind of the new sea and old tea", ""]


def vocabulary(folder, markers=False):
  """A tokenizer of BERT's kind with punctuation and perhaps added `markers`."""
  names = [*BERT, "[unused0]", "[unused1]", ",", ".", "!"]
  inner = word_piece(names)
  plain = type(inner)(inner.model)
  plain.normalizer, plain.pre_tokenizer = inner.normalizer, inner.pre_tokenizer
  plain.post_processor = bert().post_processor
  plain.add_special_tokens([*BERT, *(["[unused0]", "[unused1]"] * markers)])
  save(folder, plain)
  return folder


def ours(folder, lengths=(12, 20)):
  """Scores [query, passage] of a folder, by the stages' own steps."""
  section = model_kinds.Late(kind="late", weights=str(folder))
  settled = folders.settled("model", section)
  tokenizer = tokens.load_tokenizer(folder)
  shape = hf.read_config(settled.encoder)
  model = LateInteraction(
    shape,
    tied=True,
    projection=settled.model.projection,
    mask_id=tokenizer.special.mask,
    hide_masks=settled.model.hide_masks,
    skip_ids=tokenizers.skipped("model", settled.model, lambda: tokenizer),
  )
  tower, loaded = folders.load(settled, model)
  embedded = []
  for texts, name, length in (
    (QUERIES, "query", lengths[0]),
    (PASSAGES, "passage", lengths[1]),
  ):
    marker, prompt = tokenizer.split_prompt(settled.model.prompts[name])
    ids = tokenizer.encode([prompt + text for text in texts])
    store = store_of([np.concatenate([marker, row]) for row in ids])
    slices = store.slices(np.arange(len(texts)))
    laid = rows.padded(rows.single(slices, length, tokenizer.special), length)
    embed = jax.jit(lambda p, t, name=name: model.embed(p, t, name)[0])
    embedded.append(embed({"encoder": tower, **loaded}, laid))
  return embedded, np.asarray(
    max_sim.in_batch_scores(*embedded[0], *embedded[1])
  )


def test_a_config_that_contradicts_its_folder(tmp_path):
  folder = stanford(tmp_path)
  for key, value in (("projection", 4), ("skip", (",",))):
    section = model_kinds.Late(kind="late", weights=str(folder), **{key: value})
    with pytest.raises(
      strict.ConfigError, match=rf"model\.{key} is .*, and the folder"
    ):
      folders.settled("model", section)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("attend", [False, True])
def test_scores_are_those_of_sentence_transformers(form, attend, tmp_path):
  reason = "parity is judged by torch and sentence-transformers"
  pytest.importorskip("torch", reason=reason)
  library = pytest.importorskip("sentence_transformers", reason=reason)
  changes = {
    stanford: dict(attend_to_mask_tokens=attend),
    pylate: dict(attend_to_expansion_tokens=attend),
    older_pylate: dict(attend_to_expansion_tokens=attend),
    of_sentence_transformers: dict(
      limits={
        "document_length": 20,
        "query_expansion": {
          "strategy": "fixed",
          "attend": attend,
          "length": 12,
        },
      }
    ),
  }
  folder = vocabulary(form(tmp_path, **changes[form]), markers=form is FORMS[1])
  (query, passage), scores = ours(folder)
  model = library.MultiVectorEncoder(str(folder), device="cpu")
  theirs = (model.encode_query(QUERIES), model.encode_document(PASSAGES))
  for found, expected in zip((query, passage), theirs, strict=True):
    for vectors, where, wanted in zip(
      *map(np.asarray, found), expected, strict=True
    ):
      np.testing.assert_allclose(vectors[where], wanted, atol=1e-5)
  np.testing.assert_allclose(scores, model.similarity(*theirs), atol=1e-5)


def test_scores_stay_as_they_are(tmp_path):
  """Without torch; `test_scores_are_…` has shown that they are right."""
  (query, passage), scores = ours(vocabulary(stanford(tmp_path)))
  assert query.where.all()
  # The marker and all words, and neither the comma nor the point.
  assert passage.where.sum(axis=-1).tolist() == [6, 11, 3]
  np.testing.assert_allclose(scores, GOLDEN, atol=1e-5)
