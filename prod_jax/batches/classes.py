"""Tokenizers as their classes in transformers make them.

A class takes the vocabulary of tokenizer.json and makes the rest anew, of the
settings beside it: how a text is normalised, split and put between special
tokens. `AutoTokenizer` finds the class by its name in tokenizer_config.json, or
else by the `model_type` in config.json; one that stands for any tokenizer.json
takes it as it is. We do what transformers 5 does.
"""

import pathlib
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import tokenizers
from tokenizers import models, normalizers, pre_tokenizers, processors

from prod_jax.batches.settings import name_of
from prod_jax.sets.records import DataError

Settings = Mapping[str, Any]

ANY = "PreTrainedTokenizerFast"
_ANY = ("PreTrainedTokenizer", "TokenizersBackend", "PythonBackend")
_WITHOUT = ("modernbert",)  # model types whose class is none, whatever is said


class Class(NamedTuple):
  """What a class makes of a vocabulary.

  Attributes:
    model: what its vocabulary is of.
    names: its special tokens, where the settings name no others.
    around: which of them stand in front of a text and behind it.
    twice: the latter stands twice between two texts.
    parts: sets model, normalizer and pre-tokenizer, by the settings.
  """

  model: type
  names: Mapping[str, str]
  around: tuple[str, str]
  twice: bool
  parts: Callable[[tokenizers.Tokenizer, Settings], None]


def class_of(
  folder: pathlib.Path, settings: Settings
) -> tuple[str, Class] | None:
  """The class of a folder's tokenizer, None for one of any tokenizer.json.

  Raises:
    DataError: it is one whose ways we do not know.
  """
  kind = settings.get("model_type") or ""
  name = settings.get("tokenizer_class") or _BY_TYPE.get(kind, kind)
  name = name.removesuffix("Fast")
  if not name or name in _ANY or kind in _WITHOUT:
    return None
  if name not in _CLASSES:
    raise DataError(
      f"{folder}: the class of its tokenizer is that of {name}, and known are "
      f"{', '.join(_CLASSES)}; where tokenizer.json says all of it, set "
      f"tokenizer_class to {ANY} in tokenizer_config.json"
    )
  return name, _CLASSES[name]


def gives_types(folder: pathlib.Path, settings: Settings) -> bool:
  """Whether a folder's tokenizer says of which part of a pair a token is.

  To a model whose tokenizer does not, all of a pair is of the first type. Of
  files that name no class nothing is known, and BERT's does.
  """
  given = settings.get("model_input_names")
  if isinstance(given, list):
    return "token_type_ids" in given
  if made := class_of(folder, settings):
    return made[0] in _WITH_TYPES
  return not settings.get("tokenizer_class")


def bert() -> tuple[str, Class]:
  """That of a vocab.txt of which nothing is said."""
  return "BertTokenizer", BERT


def make_anew(
  path: pathlib.Path,
  inner: tokenizers.Tokenizer,
  named: tuple[str, Class],
  settings: Settings,
) -> dict[str, Any]:
  """Makes a tokenizer what its class makes of it.

  Args:
    path: of its file, for errors.
    inner: the tokenizer, which is changed.
    named: the class, and its name.
    settings: what the files beside it say.

  Returns:
    The settings with the class's special tokens where they named none.

  Raises:
    DataError: its vocabulary is not of the class, or lacks a special token.
  """
  name, made = named
  if not isinstance(inner.model, made.model):
    raise DataError(
      f"{path}: it holds a {type(inner.model).__name__}, and its class {name} "
      f"reads a {made.model.__name__}; where it says all of the tokenizer, set "
      f"tokenizer_class to {ANY} in tokenizer_config.json"
    )
  said = {k: v for k, v in settings.items() if v is not None}
  settings = {**made.names, **said}
  ids = {key: inner.token_to_id(name_of(settings[key])) for key in made.names}
  needed = [
    *made.around,
    *(["unk_token"] if made.model in _NEED_UNKNOWN else []),
  ]
  missing = [
    f"{name_of(settings[key])} ({key})" for key in needed if ids[key] is None
  ]
  if missing:
    raise DataError(
      f"{path}: no {', no '.join(missing)} in it; fetch it again, or name its "
      "special tokens in tokenizer_config.json beside it"
    )
  made.parts(inner, settings)
  if made.model is models.Unigram:
    _check_unknown(path, inner, name, ids["unk_token"])
  front, behind = (name_of(settings[key]) for key in made.around)
  between = [behind, behind] if made.twice else [behind]
  inner.post_processor = processors.TemplateProcessing(
    single=[front, "$A", behind],
    pair=[front, "$A", *between, "$B:1", f"{behind}:1"],
    special_tokens=[
      (name_of(settings[key]), ids[key]) for key in dict.fromkeys(made.around)
    ],
  )
  return settings


def _check_unknown(
  path: pathlib.Path,
  inner: tokenizers.Tokenizer,
  name: str,
  unknown: int | None,
) -> None:
  """Raises DataError where it reads unknown text otherwise than its class."""
  wanted = 3 if name == "XLMRobertaTokenizer" else unknown
  found = inner.encode(_UNHEARD, add_special_tokens=False).ids
  if wanted not in found:
    raise DataError(
      f"{path}: unknown text has the tokens {found}, and its class {name} "
      f"reads it as {wanted}; where it says all of the tokenizer, set "
      f"tokenizer_class to {ANY} in tokenizer_config.json"
    )


def _bert(inner: tokenizers.Tokenizer, settings: Settings) -> None:
  model = inner.model
  model.unk_token = name_of(settings["unk_token"])
  model.continuing_subword_prefix = "##"
  model.max_input_chars_per_word = 100
  inner.normalizer = normalizers.BertNormalizer(
    clean_text=True,
    handle_chinese_chars=settings.get("tokenize_chinese_chars", True),
    strip_accents=settings.get("strip_accents"),
    lowercase=settings.get("do_lower_case", True),
  )
  inner.pre_tokenizer = pre_tokenizers.BertPreTokenizer()


def _dpr(inner: tokenizers.Tokenizer, settings: Settings) -> None:
  """BERT's, which is not told of the case."""
  _bert(inner, {**settings, "do_lower_case": True})


def _roberta(inner: tokenizers.Tokenizer, settings: Settings) -> None:
  model = inner.model
  model.dropout, model.unk_token = None, None
  model.fuse_unk = model.byte_fallback = model.ignore_merges = False
  inner.normalizer = None
  inner.pre_tokenizer = pre_tokenizers.ByteLevel(
    add_prefix_space=settings.get("add_prefix_space", False)
  )


def _xlm_roberta(inner: tokenizers.Tokenizer, settings: Settings) -> None:
  found = inner.normalizer
  if isinstance(found, normalizers.Sequence):
    parts = [found[i] for i in range(len(found))]
  else:
    parts = [found]
  kept = [x for x in parts if isinstance(x, normalizers.Precompiled)]
  inner.normalizer = kept[0] if kept else None
  prepended = settings.get("add_prefix_space", True)
  inner.pre_tokenizer = pre_tokenizers.Sequence(
    [
      pre_tokenizers.WhitespaceSplit(),
      pre_tokenizers.Metaspace(
        prepend_scheme="always" if prepended else "never"
      ),
    ]
  )


_BERTS = {
  "cls_token": "[CLS]",
  "sep_token": "[SEP]",
  "pad_token": "[PAD]",
  "mask_token": "[MASK]",
  "unk_token": "[UNK]",
}
_ROBERTAS = {
  "cls_token": "<s>",
  "sep_token": "</s>",
  "bos_token": "<s>",
  "eos_token": "</s>",
  "pad_token": "<pad>",
  "mask_token": "<mask>",
  "unk_token": "<unk>",
}
_NEED_UNKNOWN = (models.WordPiece, models.Unigram)
_UNHEARD = "\ue000"  # a character of private use
_CLS, _BOS = ("cls_token", "sep_token"), ("bos_token", "eos_token")

BERT = Class(models.WordPiece, _BERTS, _CLS, False, _bert)
_DPR = BERT._replace(parts=_dpr)
_MPNET = BERT._replace(names={**_ROBERTAS, "unk_token": "[UNK]"}, twice=True)
_ROBERTA = Class(models.BPE, _ROBERTAS, _CLS, True, _roberta)
_XLM_ROBERTA = Class(models.Unigram, _ROBERTAS, _BOS, True, _xlm_roberta)
_CLASSES: Mapping[str, Class] = {
  "BertTokenizer": BERT,
  "DistilBertTokenizer": BERT,
  "ElectraTokenizer": BERT,
  "DPRQuestionEncoderTokenizer": _DPR,
  "DPRContextEncoderTokenizer": _DPR,
  "MPNetTokenizer": _MPNET,
  "RobertaTokenizer": _ROBERTA,
  "XLMRobertaTokenizer": _XLM_ROBERTA,
  "CamembertTokenizer": _XLM_ROBERTA,
}
_WITH_TYPES = (
  "BertTokenizer",
  "ElectraTokenizer",
  "DPRQuestionEncoderTokenizer",
  "DPRContextEncoderTokenizer",
)
# Where no class is named.
_BY_TYPE = {
  "bert": "BertTokenizer",
  "ernie": "BertTokenizer",
  "distilbert": "BertTokenizer",
  "electra": "BertTokenizer",
  "dpr": "DPRQuestionEncoderTokenizer",
  "mpnet": "MPNetTokenizer",
  "roberta": "RobertaTokenizer",
  "xlm-roberta": "XLMRobertaTokenizer",
  "camembert": "CamembertTokenizer",
}
