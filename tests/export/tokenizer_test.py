"""Tokenizers that go out: a vocab.txt of any family gives the ids of before."""

import json

import pytest

from prod_jax.batches import tokens
from prod_jax.export import tokenizer
from tests.batches.special_test import BERT, ROBERTA, WORDS

TEXTS = ["tea boats", "old\u2028sea", "wind\x85of the sea"]
OF_MPNET = dict(
  tokenizer_class="MPNetTokenizer",
  cls_token="<s>",
  sep_token={"__type": "AddedToken", "content": "</s>"},
  pad_token="<pad>",
  mask_token="<mask>",
)


def written(tmp_path, special, settings, words=WORDS, end="\n"):
  """Our tokenizer of a vocab.txt, and the folder that it goes out to."""
  source, to = tmp_path / "source", tmp_path / "to"
  source.mkdir()
  to.mkdir()
  text = end.join([*special, *words]) + end
  (source / "vocab.txt").write_bytes(text.encode())
  (source / "tokenizer_config.json").write_text(json.dumps(settings))
  ours = tokens.load_tokenizer(source)
  tokenizer.write(to, source, longest=20, ours=ours, types=special == BERT)
  return ours, to


@pytest.mark.parametrize(
  ("special", "settings", "around"),
  [
    (BERT, {}, ((2,), (3,), (3,))),
    # Unknown words have one name in every WordPiece of transformers.
    ((*ROBERTA, "[UNK]"), OF_MPNET, ((0,), (2, 2), (2,))),
    (
      (*ROBERTA, "[UNK]"),
      OF_MPNET | dict(tokenizer_class="BertTokenizer"),
      ((0,), (2,), (2,)),
    ),
  ],
)
def test_a_vocabulary_alone(tmp_path, special, settings, around):
  ours, to = written(tmp_path, special, settings)
  assert ours.special[:3] == around
  again = tokens.load_tokenizer(to)
  assert again.special == ours.special
  for one, other in zip(ours.encode(TEXTS), again.encode(TEXTS), strict=True):
    assert one.tolist() == other.tolist()
  library = pytest.importorskip("transformers", reason="it is not in the lock")
  theirs = library.AutoTokenizer.from_pretrained(to)
  prefix, between, suffix = around
  first, second = (x.tolist() for x in ours.encode(["tea", "old sea"]))
  expected = [*prefix, *first, *between, *second, *suffix]
  found = theirs("tea", "old sea")
  assert found["input_ids"] == expected
  if special == BERT:
    assert found["token_type_ids"] == [0, 0, 0, 1, 1, 1]
  else:
    assert "token_type_ids" not in found


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_characters_that_end_lines_elsewhere_are_tokens(tmp_path, end):
  words = ["x\u2028y", "x\x85y", "x\x0cy", *WORDS]
  ours, to = written(tmp_path, BERT, {}, words, end)
  vocab = json.loads((to / "tokenizer.json").read_text())["model"]["vocab"]
  assert vocab["x\u2028y"] == 5
  assert vocab["sea"] == ours.id_of("sea") == len(BERT) + words.index("sea")
