"""Tokenizers and tokenised datasets."""

import json
import pathlib

import numpy as np
import pytest
import tokenizers

from prod_jax import config, packaged
from prod_jax.batches import rows, tokens
from prod_jax.batches.special import Special
from prod_jax.batches.store import store_of
from prod_jax.sets import dataset
from prod_jax.sets.records import DataError
from tests.batches.special_test import BERT, save, word_piece

VOCAB = [
  "[PAD]",
  "[UNK]",
  "[CLS]",
  "[SEP]",
  "[MASK]",
  "a",
  "b",
  "c",
  "d",
  "e",
  ".",
  "[",
  "]",
  "sep",
  "mask",
  "##x",
]
ID = {word: i for i, word in enumerate(VOCAB)}


@pytest.fixture
def folder(tmp_path) -> pathlib.Path:
  path = tmp_path / "tokenizer"
  path.mkdir()
  (path / "vocab.txt").write_text("\n".join(VOCAB) + "\n")
  return path


@pytest.fixture
def tokenizer(folder) -> tokens.Tokenizer:
  return tokens.load_tokenizer(folder)


def ids(words: str) -> list[int]:
  return [ID[word] for word in words.split()]


def test_vocabulary_file(tokenizer):
  assert tokenizer.special == Special((2,), (3,), (3,), pad=0, mask=4)
  assert tokenizer.vocab_size == len(VOCAB)
  found = tokenizer.encode(["A bx.", "", "zzz"])
  assert [row.tolist() for row in found] == [ids("a b ##x ."), [], ids("[UNK]")]
  assert {row.dtype for row in found} == {np.dtype(np.int32)}


@pytest.fixture
def json_folder(folder, tmp_path) -> pathlib.Path:
  """The same as tokenizer.json, with the settings that such files carry."""
  model = tokenizers.models.WordPiece.from_file(
    str(folder / "vocab.txt"), unk_token="[UNK]"
  )
  inner = tokenizers.Tokenizer(model)
  inner.normalizer = tokenizers.normalizers.BertNormalizer(lowercase=True)
  inner.pre_tokenizer = tokenizers.pre_tokenizers.BertPreTokenizer()
  inner.add_special_tokens(VOCAB[:5])
  inner.post_processor = tokenizers.processors.TemplateProcessing(
    single="[CLS] $A [SEP]",
    pair="[CLS] $A [SEP] $B:1 [SEP]:1",
    special_tokens=[("[CLS]", 2), ("[SEP]", 3)],
  )
  inner.enable_truncation(4)
  inner.enable_padding(length=6)
  path = tmp_path / "json"
  path.mkdir()
  inner.save(str(path / "tokenizer.json"))
  return path


def test_json_file_gives_content_only(json_folder, tokenizer):
  loaded = tokens.load_tokenizer(json_folder)
  texts = ["a b c d e a b c d e", "a"]
  for ours, theirs in zip(
    loaded.encode(texts), tokenizer.encode(texts), strict=True
  ):
    np.testing.assert_array_equal(ours, theirs)
  assert loaded.special == tokenizer.special
  # Cutting and padding are no part of it, nor is the kind of file.
  assert loaded.fingerprint == tokenizer.fingerprint


def test_special_tokens_in_a_text_are_text(json_folder, tokenizer):
  for which in (tokens.load_tokenizer(json_folder), tokenizer):
    (row,) = which.encode(["a [SEP] [MASK] b"])
    assert row.tolist() == ids("a [ sep ] [ mask ] b")


def test_what_is_no_tokenizer(folder, tmp_path):
  with pytest.raises(DataError, match=r"expected tokenizer\.json or vocab"):
    tokens.load_tokenizer(tmp_path)
  (folder / "vocab.txt").write_text("[PAD]\n[UNK]\n[CLS]\na\n")
  with pytest.raises(DataError, match=r"no \[SEP\] \(sep_token\) in it"):
    tokens.load_tokenizer(folder)


def test_an_unknown_word_has_to_have_a_token(json_folder):
  path = json_folder / "tokenizer.json"
  made = json.loads(path.read_text())
  made["model"]["unk_token"] = "[NONE]"
  path.write_text(json.dumps(made))
  with pytest.raises(DataError, match=r"tokenizer\.json.*add its unknown tok"):
    tokens.load_tokenizer(json_folder)


def test_packaged_tokenizer_knows_bert():
  try:
    folder = packaged.model_folder()
  except ModuleNotFoundError as error:
    pytest.skip(str(error))
  loaded = tokens.load_tokenizer(folder)
  assert loaded.special == Special((101,), (102,), (102,), pad=0, mask=103)
  assert loaded.vocab_size == 30_522
  assert loaded.encode(["Hello world"])[0].tolist() == [7592, 2088]


@pytest.fixture
def opened(tmp_path) -> dataset.Dataset:
  files = {
    "collection.tsv": "1\ta b\tc. d\n2\t\te e e e\n",
    "queries.train.tsv": "1\ta b c d e\n2\tb\n",
    "qrels.train.tsv": "1 1\n2 2\n",
  }
  source = tmp_path / "set"
  source.mkdir()
  for name, content in files.items():
    (source / name).write_text(content)
  data = config.Data(name="folder", path=str(source))
  return dataset.locate(data, str(tmp_path / "data")).open()


@pytest.mark.parametrize(
  ("title_join", "first"),
  [(". ", "a b . c"), (" ", "a b c ."), ("[SEP]", "a b [SEP] c")],
)
def test_titles_and_cut(tmp_path, opened, tokenizer, title_join, first):
  found = tokens.tokenise_dataset(
    opened,
    tokenizer,
    tmp_path / "t",
    title_join=title_join,
    max_tokens=4,
    prompts={},
  )
  assert found.passages[0].tolist() == ids(first)
  assert found.passages[1].tolist() == ids("e e e e")
  assert found.queries["train"][0].tolist() == ids("a b c d")
  assert found.queries["train"][1].tolist() == ids("b")
  assert found.special == tokenizer.special


def test_stores_follow_what_decides_them(
  tmp_path, opened, tokenizer, json_folder
):
  def tokenise(tokenizer=tokenizer, **options):
    tokens.tokenise_dataset(
      opened,
      tokenizer,
      tmp_path / "t",
      **{"title_join": ". ", "max_tokens": 4, "prompts": {}} | options,
    )
    return len(list((tmp_path / "t").iterdir()))

  assert tokenise() == tokenise() == 2
  assert tokenise(title_join="[SEP]") == 3  # queries have no title
  assert tokenise(max_tokens=5) == 5
  assert tokenise(tokens.load_tokenizer(json_folder)) == 5
  assert tokenise(prompts={"query": "a "}) == 6
  assert tokenise(prompts={"query": "a ", "passage": "b "}) == 7
  (json_folder / "tokenizer_config.json").write_text(
    '{"tokenizer_class": "BertTokenizer", "do_lower_case": false}'
  )
  assert tokenise(tokens.load_tokenizer(json_folder)) == 9


def test_pair_agrees_with_the_library(json_folder):
  inner = tokenizers.Tokenizer.from_file(str(json_folder / "tokenizer.json"))
  inner.enable_truncation(12, strategy="only_second")
  inner.enable_padding(length=12)
  ours = tokens.load_tokenizer(json_folder)
  texts = [("a b", "c d e"), ("a", "b c d e . a b c d e . a"), ("b c d", "e")]
  queries, passages = (ours.encode(side) for side in zip(*texts, strict=True))
  both = (store_of(side).slices(np.arange(3)) for side in (queries, passages))
  found = rows.padded(rows.pair(*both, 6, 12, ours.special), 12)
  for i, theirs in enumerate(inner.encode_batch(texts)):
    assert found.ids[i].tolist() == theirs.ids
    assert found.type[i].tolist() == theirs.type_ids
    assert found.segment[i].tolist() == theirs.attention_mask


@pytest.mark.parametrize(
  ("prompt", "marker", "text"),
  [
    ("[unused0] ", [5], " "),
    ("[Q] ", [10], ""),
    ("[Q] so: ", [10], "so: "),
    ("[unused7] ", [], "[unused7] "),
    ("tea ", [], "tea "),
    ("", [], ""),
  ],
)
def test_a_marker_is_one_token_and_another_prompt_is_text(
  tmp_path, prompt, marker, text
):
  names = [*BERT, "[unused0]", "[unused1]", "x", "y", "z", "[Q] "]
  made = tokens.load_tokenizer(save(tmp_path, word_piece(names)))
  found, rest = made.split_prompt(prompt)
  assert (found.tolist(), rest) == (marker, text)
  assert made.special_within(prompt) == ""


@pytest.mark.parametrize("prompt", ["tea [SEP] ", "[Q] [SEP]", "[SEP]: "])
def test_a_special_token_within_a_prompt_is_found(tmp_path, prompt):
  inner = word_piece([*BERT, "x", "y", "[Q] "])
  inner.add_special_tokens(["[SEP]", "[Q] "])
  made = tokens.load_tokenizer(save(tmp_path, inner))
  assert made.special_within(prompt) == "[SEP]"
  plain = word_piece([*BERT, "x"])
  plain.add_tokens(["newword"])  # which is read in any text
  made = tokens.load_tokenizer(save(tmp_path / "plain", plain))
  assert made.special_within("a newword of ") == ""


def test_special_tokens_that_only_a_prompt_takes_tell_tokenizers_apart(
  tmp_path,
):
  """They have no place in a text, and their ids are those of a marker."""
  found = []
  for number, behind in enumerate([[], ["[Q] "], ["[D] ", "[Q] "]]):
    inner = word_piece([*BERT, "x", "y"])
    inner.add_special_tokens([tokenizers.AddedToken(name) for name in behind])
    made = tokens.load_tokenizer(save(tmp_path / str(number), inner))
    found.append((made.split_prompt("[Q] ")[0].tolist(), made.fingerprint))
  markers, fingerprints = zip(*found, strict=True)
  assert not markers[0] and markers[2] == [markers[1][0] + 1]
  assert len({*fingerprints}) == 3
