"""The words of a query, found in a text."""

import pytest

from prod_jax.serving.words import context


@pytest.mark.parametrize(
  ("query", "text", "pieces"),
  [
    ("parse a file", "He parses files.", ["He ", "parses", " ", "files", "."]),
    ("CSV", "read_csv reads csv", ["read_", "csv", " reads ", "csv", ""]),
    ("Straße", "in der STRASSE", ["in der ", "STRASSE", ""]),
    ("cat", "concatenate cats", ["concatenate cats"]),
    ("of the", "one of the two", ["one ", "of", " ", "the", " two"]),
    ("nothing here", "other\n\twords", ["other words"]),
    ("", "a text", ["a text"]),
    ("(a|b)+ \\", "what (a b c", ["what (a ", "b", " c"]),
    ("x", "", [""]),
    ("שלום", "אז שלום לכם", ["אז ", "שלום", " לכם"]),
    # Scripts without spaces: what stands so in the query, too.
    ("日本語 検索", "日本語の検索", ["", "日本語", "の", "検索", ""]),
    ("東京都", "京都の東京都庁", ["", "京都", "の", "東京都", "庁"]),
    ("茶", "お茶を飲む茶", ["お", "茶", "を飲む", "茶", ""]),
    ("Python入門", "入門Python編", ["", "入門", "", "Python", "編"]),
    ("한국어", "한국어를 배우다", ["", "한국어", "를 배우다"]),
    ("ภาษาไทย", "พูดภาษาไทยได้", ["พูด", "ภาษาไทย", "ได้"]),
    # Marks belong to their letters.
    ("हिन्दी", "यह हिन्दी है", ["यह ", "हिन्दी", " है"]),
    ("cafe\u0301", "un cafe\u0301 noir", ["un ", "cafe\u0301", " noir"]),
  ],
)  # fmt: skip
def test_words_are_every_second_piece(query, text, pieces):
  assert context(query, text, 100) == pieces


def test_a_common_word_is_none_beside_others():
  assert context("the file", "the file", 100) == ["the ", "file", ""]


def test_the_part_with_most_different_words_is_shown():
  filler = "nothing to see here, " * 20
  text = f"tea tea tea {filler} tea and boats at sea {filler}"
  pieces = context("tea boats sea", text, 120)
  assert pieces[1::2] == ["tea", "boats", "sea"]
  whole = "".join(pieces)
  assert whole.startswith("…") and whole.endswith("…")
  assert len(whole) <= 122
  assert whole.strip("…") in " ".join(text.split())


def test_a_long_text_begins_at_its_beginning_where_no_word_is_in_it():
  (only,) = context("zebra", "word " * 100, 50)
  assert only == "word " * 9 + "word…"


def test_a_text_without_spaces_is_cut_all_the_same():
  (only,) = context("zebra", "x" * 1000, 50)
  assert only == "x" * 50 + "…"
