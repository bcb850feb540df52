"""Special tokens of tokenizers of several families, against the library."""

import json
import pathlib

import numpy as np
import pytest
import tokenizers
from tokenizers import (
  AddedToken,
  models,
  normalizers,
  pre_tokenizers,
  processors,
)

from prod_jax.batches import packing, rows, tokens
from prod_jax.batches.special import Special
from prod_jax.batches.store import store_of
from prod_jax.sets.records import DataError, Passage

WORDS = ["tea", "boats", "are", "old", "new", "the", "of", "and", "sea"]
WORDS += ["wind", "a", "b", "c"]
TEXTS = [
  "tea and boats",
  "the sea",
  "wind of the new sea and old tea boats are a b c",
]
BERT = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
ROBERTA = ("<s>", "<pad>", "</s>", "<unk>", "<mask>")


def word_piece(names) -> tokenizers.Tokenizer:
  vocab = {word: i for i, word in enumerate([*names, *WORDS])}
  unknown = next(name for name in names if "unk" in name.lower())
  inner = tokenizers.Tokenizer(models.WordPiece(vocab, unk_token=unknown))
  inner.normalizer = normalizers.BertNormalizer(lowercase=True)
  inner.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
  inner.add_special_tokens(list(names))
  return inner


def bert() -> tokenizers.Tokenizer:
  inner = word_piece(BERT)
  inner.post_processor = processors.TemplateProcessing(
    single="[CLS] $A [SEP]",
    pair="[CLS] $A [SEP] $B:1 [SEP]:1",
    special_tokens=[("[CLS]", 2), ("[SEP]", 3)],
  )
  return inner


def mpnet() -> tokenizers.Tokenizer:
  """A vocabulary of BERT's kind, RoBERTa's template, as all-mpnet-base-v2."""
  inner = word_piece(ROBERTA)
  inner.post_processor = processors.RobertaProcessing(
    sep=("</s>", 2), cls_token=("<s>", 0), add_prefix_space=False
  )
  return inner


def roberta() -> tokenizers.Tokenizer:
  letters = sorted(pre_tokenizers.ByteLevel.alphabet())
  vocab = {x: i for i, x in enumerate([*ROBERTA, *letters])}
  inner = tokenizers.Tokenizer(models.BPE(vocab, [], unk_token="<unk>"))
  inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
  inner.post_processor = processors.RobertaProcessing(
    sep=("</s>", 2), cls_token=("<s>", 0), add_prefix_space=False
  )
  plain = [AddedToken(x, special=True) for x in ROBERTA[:-1]]
  inner.add_special_tokens([*plain, AddedToken("<mask>", lstrip=True)])
  return inner


def xlm_roberta() -> tokenizers.Tokenizer:
  names = ("<s>", "<pad>", "</s>", "<unk>")
  pieces = [(name, 0.0) for name in names]
  pieces += [(f"\N{LOWER ONE EIGHTH BLOCK}{word}", -1.0) for word in WORDS]
  inner = tokenizers.Tokenizer(models.Unigram(pieces, unk_id=3))
  inner.pre_tokenizer = pre_tokenizers.Metaspace()
  inner.add_special_tokens([*names, "<mask>"])
  inner.post_processor = processors.TemplateProcessing(
    single="<s> $A </s>",
    pair="<s> $A </s> </s> $B </s>",
    special_tokens=[("<s>", 0), ("</s>", 2)],
  )
  return inner


FAMILIES = {
  "bert": (bert, Special((2,), (3,), (3,), pad=0, mask=4)),
  "mpnet": (mpnet, Special((0,), (2, 2), (2,), pad=1, mask=4)),
  "roberta": (roberta, Special((0,), (2, 2), (2,), pad=1, mask=4)),
  "xlm_roberta": (xlm_roberta, Special((0,), (2, 2), (2,), pad=1, mask=17)),
}
NAMES = {
  "bert": dict(pad_token="[PAD]", mask_token="[MASK]"),
  "roberta": dict(pad_token="<pad>", mask_token={"content": "<mask>"}),
}


def save(
  folder: pathlib.Path, inner: tokenizers.Tokenizer, **settings
) -> pathlib.Path:
  """A folder with tokenizer.json, and tokenizer_config.json for settings."""
  folder.mkdir(exist_ok=True)
  inner.save(str(folder / "tokenizer.json"))
  if settings:
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
  return folder


@pytest.fixture(params=FAMILIES)
def family(request, tmp_path):
  """The library's tokenizer, ours of its file, and what is to be found."""
  make, special = FAMILIES[request.param]
  names = NAMES["bert" if request.param == "bert" else "roberta"]
  folder = save(tmp_path / "model", make(), **names)
  return make(), tokens.load_tokenizer(folder), special


def stored(ours: tokens.Tokenizer, texts) -> tuple:
  return store_of(ours.encode(texts)).slices(np.arange(len(texts)))


def test_what_stands_around_texts_is_read_off_the_post_processor(family):
  _, ours, special = family
  assert ours.special == special


@pytest.mark.parametrize("length", [4, 7, 40])
def test_a_text_is_that_of_the_library(family, length):
  theirs, ours, special = family
  theirs.enable_truncation(length)
  joined = rows.single(stored(ours, TEXTS), length, special)
  found = rows.padded(joined, length)
  for i, text in enumerate(TEXTS):
    wanted = theirs.encode(text).ids
    assert joined.lengths[i] == len(wanted)
    assert found.ids[i, : len(wanted)].tolist() == wanted
    assert (found.ids[i, len(wanted) :] == special.pad).all()
    assert found.segment[i].sum() == len(wanted)
    assert not found.type[i].any()


@pytest.mark.parametrize("length", [24, 80])
def test_a_pair_is_that_of_the_library(family, length):
  theirs, ours, special = family
  theirs.enable_truncation(length, strategy="only_second")
  queries, passages = ["the sea", "old tea", "a"], TEXTS
  both = stored(ours, queries), stored(ours, passages)
  joined = rows.pair(*both, 12, length, special)
  found = rows.padded(joined, length)
  shape = packing.Shape(3, length)
  packed = packing.pack(joined, np.arange(3), packing.Grouping(1, 1), shape)
  for i, (query, passage) in enumerate(zip(queries, passages, strict=True)):
    wanted = theirs.encode(query, passage)
    n = len(wanted.ids)
    assert joined.lengths[i] == n
    assert found.ids[i, :n].tolist() == wanted.ids
    second = wanted.sequence_ids.index(1)
    assert joined.first_length[i] == second
    assert found.type[i, :n].tolist() == [0] * second + [1] * (n - second)
    row, segment = divmod(packed.place[i], packed.start_GRS.shape[-1])
    begin = packed.start_GRS[0, row, segment]
    assert packed.ids[0, row, begin : begin + n].tolist() == wanted.ids
    assert packed.first_length_GRS[0, row, segment] == second


def test_a_query_is_cut_before_its_passage(family):
  theirs, ours, special = family
  both = stored(ours, TEXTS[2:]), stored(ours, TEXTS[2:])
  joined = rows.pair(*both, 6, 14, special)
  assert joined.kept[0] == 4 and joined.lengths == 14
  (ids,) = rows.padded(joined, 14).ids
  content = theirs.encode(TEXTS[2], add_special_tokens=False).ids
  rest = 14 - 4 - 2 - len(special.between)
  wanted = [*special.prefix, *content[:4], *special.between]
  assert ids.tolist() == [*wanted, *content[:rest], *special.suffix]


def test_a_triple_has_what_stands_between_two_parts_twice(family):
  _, ours, special = family
  parts = ours.encode(["tea", "the sea", TEXTS[2]])
  slices = (store_of([part]).slices(np.arange(1)) for part in parts)
  length = 12 + 2 * (8 - 1)
  joined = rows.triple(*slices, (12, 8), special)
  (ids,) = rows.padded(joined, length).ids
  most = 8 - 1 - len(special.between)
  wanted = [*special.prefix, *parts[0], *special.between]
  wanted += [*parts[1][:most], *special.between, *parts[2][:most]]
  wanted += special.suffix
  assert ids[: len(wanted)].tolist() == wanted
  assert joined.lengths == len(wanted) <= length
  assert joined.first_length == len(parts[0]) + 1 + len(special.between)


@pytest.mark.parametrize("name", ["bert", "mpnet", "roberta"])
def test_special_tokens_in_a_text_are_text(tmp_path, name):
  """A SentencePiece vocabulary has them as pieces of text itself."""
  ours = tokens.load_tokenizer(save(tmp_path / "model", FAMILIES[name][0]()))
  special = ours.special
  names = "[CLS] [SEP] <s> </s> <mask> [MASK] <pad>"
  (ids,) = ours.encode([names])
  everything = {*special.prefix, *special.between, *special.suffix}
  assert len(ids) and not {*everything, special.pad, special.mask} & {*ids}


def test_a_title_is_joined_by_what_stands_between_two_texts(family):
  _, ours, special = family
  passages = [
    Passage("1", "tea", "the sea"),
    Passage("2", "", "a"),
  ]
  first, second = tokens.with_titles(ours, passages, "[SEP]", "")
  title, text, alone = ours.encode(["tea", "the sea", "a"])
  assert first.tolist() == [*title, *special.between, *text]
  assert second.tolist() == alone.tolist()


def without_template(names) -> tokenizers.Tokenizer:
  inner = word_piece(names)
  inner.post_processor = None
  return inner


@pytest.mark.parametrize(
  ("names", "settings", "wanted"),
  [
    (BERT, {}, Special((2,), (3,), (3,), 0, 4)),
    (
      ROBERTA,
      dict(cls_token="<s>", sep_token="</s>", pad_token="<pad>"),
      Special((0,), (2,), (2,), 1, None),
    ),
    (
      ROBERTA,
      dict(
        tokenizer_class="MPNetTokenizer",
        cls_token="<s>",
        sep_token=dict(content="</s>"),
        unk_token="<unk>",
      ),
      Special((0,), (2, 2), (2,), 1, 4),
    ),
  ],
)
def test_without_a_post_processor_the_files_beside_it_name_them(
  tmp_path, names, settings, wanted
):
  folder = save(tmp_path / "model", without_template(names), **settings)
  assert tokens.load_tokenizer(folder).special == wanted


def test_padding_and_mask_are_looked_for_in_each_file(tmp_path):
  inner = mpnet()
  inner.enable_padding(pad_id=7, pad_token="tea")
  folder = save(tmp_path / "model", inner)
  found = tokens.load_tokenizer(folder).special
  assert (found.pad, found.mask) == (7, None)
  save(folder, mpnet())
  (folder / "config.json").write_text('{"pad_token_id": 9}')
  assert tokens.load_tokenizer(folder).special.pad == 9
  named = dict(pad_token="<pad>", mask_token="<mask>")
  (folder / "special_tokens_map.json").write_text(json.dumps(named))
  found = tokens.load_tokenizer(folder).special
  assert (found.pad, found.mask) == (1, 4)


def test_what_says_nothing_or_two_things_is_an_error(tmp_path):
  folder = save(tmp_path / "model", without_template(ROBERTA))
  message = r"no \[CLS\] \(cls_token\), no \[SEP\] \(sep_token\) in it"
  with pytest.raises(DataError, match=message):
    tokens.load_tokenizer(folder)
  inner = bert()
  inner.post_processor = processors.TemplateProcessing(
    single="[CLS] $A",
    pair="[CLS] $A [SEP] $B:1 [SEP]:1",
    special_tokens=[("[CLS]", 2), ("[SEP]", 3)],
  )
  with pytest.raises(DataError, match="around a pair; they must be the same"):
    tokens.load_tokenizer(save(folder, inner))
  (folder / "tokenizer.json").write_text("{")
  with pytest.raises(DataError, match=r"tokenizer\.json: no tokenizer"):
    tokens.load_tokenizer(folder)
  save(folder, bert())
  (folder / "tokenizer_config.json").write_text("{")
  with pytest.raises(DataError, match=r"tokenizer_config\.json: no JSON"):
    tokens.load_tokenizer(folder)


def test_the_largest_id_counts_added_tokens_too(tmp_path):
  inner = bert()
  words = inner.get_vocab_size()
  inner.add_tokens(["newest"])
  ours = tokens.load_tokenizer(save(tmp_path / "model", inner))
  assert ours.vocab_size == words + 1
  assert ours.encode(["newest"])[0].tolist() == [words]


CASES = [
  {},
  dict(tokenizer_class="BertTokenizer"),
  dict(tokenizer_class="BertTokenizer", do_lower_case=False),
  dict(tokenizer_class="BertTokenizerFast", strip_accents=False),
  dict(do_lower_case=False),
  dict(tokenizer_class="PreTrainedTokenizerFast", do_lower_case=False),
  dict(tokenizer_class="BertTokenizer", tokenize_chinese_chars=False),
]


@pytest.mark.parametrize("lowercase", [True, False])
@pytest.mark.parametrize(
  ("file", "settings"),
  # It reads no vocab.txt for the class of any tokenizer.json.
  [("tokenizer.json", case) for case in CASES]
  + [("vocab.txt", case) for case in CASES if case != CASES[5]],
)
def test_case_and_accents_are_those_of_auto_tokenizer(
  tmp_path, settings, lowercase, file
):
  transformers = pytest.importorskip("transformers")
  inner = bert()
  inner.normalizer = normalizers.BertNormalizer(lowercase=lowercase)
  more = ["Tea", "\N{LATIN SMALL LETTER E WITH ACUTE}", "e", "\u4e2d", "\u6587"]
  vocab = {**inner.get_vocab()}
  vocab |= {x: len(vocab) + i for i, x in enumerate(more)}
  inner.model = models.WordPiece(vocab, unk_token="[UNK]")
  settings = settings | dict(
    zip(
      ("pad_token", "unk_token", "cls_token", "sep_token", "mask_token"),
      BERT,
      strict=True,
    )
  )
  folder = save(tmp_path / "model", inner, **settings)
  if file == "vocab.txt":
    (folder / "tokenizer.json").unlink()
    words = sorted(vocab, key=vocab.get)
    (folder / "vocab.txt").write_text("\n".join(words) + "\n")
  (folder / "config.json").write_text('{"model_type": "bert"}')
  text = "Tea tea TEA \N{LATIN SMALL LETTER E WITH ACUTE} \u4e2d\u6587 e"
  theirs = transformers.AutoTokenizer.from_pretrained(folder)
  ours = tokens.load_tokenizer(folder)
  wanted = theirs(text, add_special_tokens=False)["input_ids"]
  assert ours.encode([text])[0].tolist() == wanted
  assert ours.special.prefix == (theirs.cls_token_id,)
