"""Tokenizers as AutoTokenizer makes them, and what is none of them."""

import json

import pytest
import tokenizers
from tokenizers import models, normalizers, pre_tokenizers, processors

from prod_jax.batches import tokens
from prod_jax.sets.records import DataError
from tests.batches.special_test import (
  BERT,
  ROBERTA,
  bert,
  mpnet,
  roberta,
  save,
  xlm_roberta,
)

FULL_WIDTH_A = "\N{FULLWIDTH LATIN SMALL LETTER A}"
TEXTS = [
  "tea and boats",
  "  the  sea\n and\twind ",
  f"old {FULL_WIDTH_A} Tea",
  "tea newest boats \ue000",
  "of",
  "",
]
BERT_NAMES = ("pad", "unk", "cls", "sep", "mask")


def named(names, keys=BERT_NAMES):
  return {f"{key}_token": name for key, name in zip(keys, names, strict=True)}


def with_normalizer(inner, *parts):
  inner.normalizer = normalizers.Sequence(list(parts))
  return inner


def odd(inner):
  """With parts that no class makes."""
  inner.pre_tokenizer = pre_tokenizers.Whitespace()
  inner.post_processor = processors.TemplateProcessing(
    single="$A", pair="$A $B:1", special_tokens=[]
  )
  return inner


def with_added(inner):
  inner.add_tokens(["newest"])
  return inner


def with_space(inner):
  inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
  return inner


def any_whitespace(inner):
  inner.normalizer = normalizers.Replace(tokenizers.Regex(" {2,}"), " ")
  return inner


def camembert():
  inner = xlm_roberta()
  pieces = [("<s>NOTUSED", 0.0), ("<pad>", 0.0), ("</s>NOTUSED", 0.0)]
  pieces += [("<unk>", 0.0), ("<unk>NOTUSED", -100.0), ("<s>", 0), ("</s>", 0)]
  pieces += [(f"\N{LOWER ONE EIGHTH BLOCK}{x}", -1.0) for x in ("tea", "sea")]
  inner.model = models.Unigram(pieces, unk_id=3)
  return inner


FOLDERS = {
  "bert": (bert, "bert", "BertTokenizer", {}),
  "bert, a Sequence": (
    lambda: with_normalizer(
      bert(), normalizers.NFKC(), normalizers.BertNormalizer()
    ),
    "bert",
    "BertTokenizerFast",
    {},
  ),
  "bert, by its type": (lambda: odd(bert()), "bert", None, {}),
  "bert, cased": (
    lambda: with_added(bert()),
    "distilbert",
    "DistilBertTokenizer",
    dict(do_lower_case=False),
  ),
  "electra": (bert, "electra", "ElectraTokenizer", {}),
  "dpr": (
    bert,
    "dpr",
    "DPRQuestionEncoderTokenizer",
    dict(do_lower_case=False),
  ),
  "any": (
    lambda: with_normalizer(
      bert(), normalizers.NFKC(), normalizers.BertNormalizer()
    ),
    "bert",
    "PreTrainedTokenizerFast",
    dict(do_lower_case=False),
  ),
  "modernbert": (
    lambda: with_normalizer(bert(), normalizers.NFKC()),
    "modernbert",
    "BertTokenizer",
    {},
  ),
  "mpnet": (lambda: odd(mpnet()), "mpnet", "MPNetTokenizer", {}),
  "roberta": (lambda: with_space(roberta()), "roberta", None, {}),
  "roberta, a space": (
    roberta,
    "roberta",
    "RobertaTokenizer",
    dict(add_prefix_space=True),
  ),
  "roberta, no space": (
    lambda: odd(with_space(roberta())),
    "roberta",
    "RobertaTokenizerFast",
    dict(add_prefix_space=False),
  ),
  "xlm-roberta": (xlm_roberta, "xlm-roberta", "XLMRobertaTokenizer", {}),
  "xlm-roberta, no space": (
    lambda: any_whitespace(xlm_roberta()),
    "bert",
    "XLMRobertaTokenizer",
    dict(add_prefix_space=False),
  ),
  "xlm-roberta, any": (
    xlm_roberta,
    "xlm-roberta",
    "PreTrainedTokenizerFast",
    {},
  ),
  "camembert": (camembert, "camembert", None, {}),
}


def folder_of(path, make, kind, name, settings):
  names = named(BERT)
  inner = make()
  if "<s>" in inner.get_vocab():
    names = named(ROBERTA, ("bos", "pad", "eos", "unk", "mask"))
    names |= dict(cls_token="<s>", sep_token="</s>")
  if name:
    settings = settings | dict(tokenizer_class=name)
  save(path, inner, **settings, **names)
  (path / "config.json").write_text(json.dumps({"model_type": kind}))
  return path


@pytest.mark.parametrize("case", FOLDERS)
def test_ids_are_those_of_auto_tokenizer(case, tmp_path):
  transformers = pytest.importorskip("transformers")
  folder = folder_of(tmp_path, *FOLDERS[case])
  theirs = transformers.AutoTokenizer.from_pretrained(folder)
  ours = tokens.load_tokenizer(folder)
  prefix, between, suffix, pad, mask = ours.special
  found = [x.tolist() for x in ours.encode(TEXTS)]
  wanted = theirs(TEXTS, add_special_tokens=False)["input_ids"]
  assert found == wanted
  around = theirs(TEXTS)["input_ids"]
  assert [[*prefix, *x, *suffix] for x in found] == around
  pair = theirs(TEXTS[0], TEXTS[1])["input_ids"]
  assert [*prefix, *found[0], *between, *found[1], *suffix] == pair
  assert (pad, mask) == (theirs.pad_token_id, theirs.mask_token_id)


ADDED = {
  "<url>": {"special": False, "normalized": True, "lstrip": True},
  "brandname": {"special": False, "normalized": False},
}


@pytest.mark.parametrize("file", ["added_tokens.json", "tokenizer_config.json"])
@pytest.mark.parametrize("vocabulary", ["tokenizer.json", "vocab.txt"])
def test_tokens_that_stand_beside_a_vocabulary_are_read(
  tmp_path, file, vocabulary
):
  """As a tokenizer of Python saves what somebody has added to it."""
  transformers = pytest.importorskip("transformers")
  folder = folder_of(tmp_path, bert, "bert", "BertTokenizer", {})
  size = bert().get_vocab_size()
  ids = dict(zip(ADDED, (size, size + 1), strict=True))
  if vocabulary == "vocab.txt":
    words = sorted(bert().get_vocab().items(), key=lambda item: item[1])
    (folder / "tokenizer.json").unlink()
    (folder / vocabulary).write_text("\n".join(word for word, _ in words))
  if file == "added_tokens.json":
    (folder / file).write_text(json.dumps(ids))
  else:
    settings = json.loads((folder / file).read_text())
    decoder = {str(ids[word]): {"content": word, **ADDED[word]} for word in ids}
    settings["added_tokens_decoder"] = decoder
    (folder / file).write_text(json.dumps(settings))
  text = ["how <url> brandname is", "<url>brandname", "Brandname <URL>"]
  theirs = transformers.AutoTokenizer.from_pretrained(folder)
  ours = tokens.load_tokenizer(folder)
  assert ours.vocab_size == size + 2
  found = [x.tolist() for x in ours.encode(text)]
  assert {*ids.values()} <= {*found[0]}
  assert found == theirs(text, add_special_tokens=False)["input_ids"]


@pytest.mark.parametrize(
  ("added", "message"),
  [
    ({"5": {}}, r"added_tokens_decoder\.5 has no content"),
    ({"five": {"content": "x"}}, "has keys that are no ids"),
    ([], "added_tokens_decoder is \\[.*, not an object"),
    ({"5": {"content": "x", "special": "no"}}, "special is 'no', not true"),
  ],
)
def test_added_tokens_of_another_shape_are_named(tmp_path, added, message):
  settings = dict(added_tokens_decoder=added or ["x"])
  folder = folder_of(tmp_path, bert, "bert", "BertTokenizer", settings)
  with pytest.raises(DataError, match=r"tokenizer_config\.json: .*" + message):
    tokens.load_tokenizer(folder)


@pytest.mark.parametrize(
  ("make", "name", "message"),
  [
    (bert, "RobertaTokenizer", "holds a WordPiece, and its .* reads a BPE"),
    (xlm_roberta, "BertTokenizer", "holds a Unigram, .* reads a WordPiece"),
    (bert, "AlbertTokenizer", "is that of AlbertTokenizer, and known are Bert"),
    (mpnet, "BertTokenizer", r"no \[CLS\] \(cls_token\), no \[SEP\]"),
    (mpnet, "MPNetTokenizer", r"no \[UNK\] \(unk_token\) in it"),
  ],
)
def test_a_class_of_another_vocabulary_is_refused(
  make, name, message, tmp_path
):
  folder = save(tmp_path, make(), tokenizer_class=name)
  with pytest.raises(DataError, match=message):
    tokens.load_tokenizer(folder)
  save(
    tmp_path, make(), tokenizer_class="PreTrainedTokenizerFast", cls_token="<s>"
  )
  tokens.load_tokenizer(folder)


def test_unknown_text_as_no_class_reads_it_is_refused(tmp_path):
  inner = xlm_roberta()
  pieces = [("<unk>", 0.0), ("<s>", 0.0), ("</s>", 0.0), ("a", -1.0)]
  inner.model = models.Unigram(pieces, unk_id=0)
  inner.post_processor = None
  folder = save(tmp_path, inner, tokenizer_class="XLMRobertaTokenizer")
  with pytest.raises(DataError, match=r"unknown text has .* reads it as 3"):
    tokens.load_tokenizer(folder)


POINTER = "version https://git-lfs.github.com/spec/v1\n"


@pytest.mark.parametrize(
  ("file", "content", "message"),
  [
    ("vocab.txt", b"\xff\xfe[PAD]", r"vocab.txt: no text .* fetch it again"),
    ("vocab.txt", b"", r"vocab.txt: no \[CLS\]"),
    ("vocab.txt", b"[CLS]\n[SEP]\na\n", r"vocab.txt: no \[UNK\] \(unk_token\)"),
    ("vocab.txt", POINTER.encode(), r"vocab.txt is a Git-LFS pointer, .* pull"),
    ("tokenizer.json", POINTER.encode(), r"tokenizer.json is a Git-LFS poin"),
    ("tokenizer.json", b"\xff", r"tokenizer.json: no text"),
    ("tokenizer.json", b"[]", r"tokenizer.json: no tokenizer .* fetch"),
    ("tokenizer_config.json", b"[]", r"config.json: no JSON object; correct"),
    ("tokenizer_config.json", b"\xff", r"config.json: no text"),
    ("tokenizer_config.json", POINTER.encode(), r"config.json is a Git-LFS p"),
    ("special_tokens_map.json", b"{", r"map.json: no JSON \(.*; correct it"),
  ],
)
def test_a_damaged_file_is_named(file, content, message, tmp_path):
  if file != "tokenizer.json":
    (tmp_path / "vocab.txt").write_text("\n".join([*BERT, "a"]))
    tokens.load_tokenizer(tmp_path)
  (tmp_path / file).write_bytes(content)
  with pytest.raises(DataError, match=message) as caught:
    tokens.load_tokenizer(tmp_path)
  assert str(tmp_path) in str(caught.value)
  assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
  ("file", "setting", "message"),
  [
    ("tokenizer_config", {"do_lower_case": "yes"}, "'yes'; it takes true or f"),
    ("tokenizer_config", {"do_lower_case": None}, "None; it takes true or f"),
    ("tokenizer_config", {"strip_accents": 1}, "is 1; it takes true, false or"),
    ("tokenizer_config", {"add_prefix_space": 0}, "is 0; it takes true or fal"),
    ("tokenizer_config", {"cls_token": 5}, "cls_token is 5; it takes a token"),
    ("tokenizer_config", {"tokenizer_class": 5}, "class is 5; it takes a name"),
    ("special_tokens_map", {"unk_token": {"content": 1}}, "unk_token is {'con"),
    ("config", {"model_type": ["bert"]}, "model_type is .*; it takes a name"),
    ("config", {"pad_token_id": "0"}, "pad_token_id is '0'; it takes a number"),
  ],
)
def test_a_setting_of_another_type_is_named(file, setting, message, tmp_path):
  save(tmp_path, bert())
  (tmp_path / f"{file}.json").write_text(json.dumps(setting))
  with pytest.raises(DataError, match=rf"{file}\.json: .*{message}"):
    tokens.load_tokenizer(tmp_path)


@pytest.mark.parametrize("name", ["BertJapaneseTokenizer", "RobertaTokenizer"])
def test_a_vocabulary_that_is_no_berts_is_refused(name, tmp_path):
  (tmp_path / "vocab.txt").write_text("\n".join([*BERT, "a"]))
  (tmp_path / "config.json").write_text(f'{{"tokenizer_class": "{name}"}}')
  with pytest.raises(DataError, match=name):
    tokens.load_tokenizer(tmp_path)
