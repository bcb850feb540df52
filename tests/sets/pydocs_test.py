"""Pairs from docstrings: which are taken, how they are merged and divided."""

import sys
import textwrap

import pytest

from prod_jax import config
from prod_jax.sets import dataset
from prod_jax.sets.datasets import pydocs
from prod_jax.sets.records import DataError

REST = "A rest with quite enough words to be a passage."


def pairs_of(source: str) -> list[tuple[str, str, str]]:
  found = pydocs.module_pairs("pkg.mod", textwrap.dedent(source).encode())
  assert all(pair.module == "pkg.mod" for pair in found)
  return [tuple(pair[1:]) for pair in found]


def test_summary_and_rest_of_each_definition():
  source = '''
    """Module with a summary here.

    A rest   with quite enough
      words to be a passage.
    """
    class Some:
      """Class with a summary here.

      A rest with quite enough words to be a passage."""
      async def method(self):
        """Method whose summary
        takes two lines.

        A rest with quite enough words to be a passage."""
        def inner():
          """Function that is inside another.

          A rest with quite enough words to be a passage."""
  '''
  assert pairs_of(source) == [
    ("pkg.mod", "Module with a summary here.", REST),
    ("pkg.mod.Some", "Class with a summary here.", REST),
    ("pkg.mod.Some.method", "Method whose summary takes two lines.", REST),
  ]


@pytest.mark.parametrize(
  ("name", "summary", "rest", "taken"),
  [
    ("f", "Return the sum of two.", REST, True),
    ("_f", "Return the sum of two.", REST, False),
    ("f", "Return the sum of two", REST, False),
    ("f", "Return the sum.", REST, False),
    ("f", "Return the sum. Of two it is.", REST, False),
    ("f", "Return the sum, e.g. of two.", REST, True),
    ("f", "Return the sum of two.", "Not enough words to be one here.", False),
    ("f", "Return the sum of two.", "", False),
  ],
)
def test_which_docstrings_are_taken(name, summary, rest, taken):
  source = f'def {name}():\n  """{summary}\n\n  {rest}"""\n'
  assert bool(pairs_of(source)) == taken


def test_file_that_is_no_python_is_passed_over():
  assert pairs_of('"""{{ template }}"""\ndef {{ name }}(): pass') == []
  assert pairs_of("x = 1") == []


def pair(module: str, name: str, summary: str, text: str) -> pydocs.Pair:
  return pydocs.Pair(module, f"{module}.{name}", summary, text)


@pytest.fixture
def splits_by_name(monkeypatch):
  """A module goes to the split that its name begins with."""
  monkeypatch.setattr(
    pydocs, "_split_of", lambda module: module.lstrip("_").split("_")[0]
  )


def test_same_text_is_one_passage_under_the_public_name(splits_by_name):
  docs = pydocs.assemble(
    [pair("train._a", "f", "S.", "text"), pair("train.b", "f", "S.", "text")]
  )
  assert [p.id for p in docs.passages] == ["train.b.f"]
  (query,) = docs.queries["train"]
  assert query.id == "q:train.b.f"
  assert query.positives == (("train.b.f", 1),)


def test_same_summary_is_one_query_with_all_its_passages(splits_by_name):
  docs = pydocs.assemble(
    [
      pair("test_a", "f", "Sum it.", "one"),
      pair("test_a", "g", "sum it.", "two"),
    ]
  )
  (query,) = docs.queries["test"]
  assert query.text == "Sum it."
  assert query.positives == (("test_a.f", 1), ("test_a.g", 1))


def test_same_name_twice_gets_two_ids(splits_by_name):
  docs = pydocs.assemble(
    [pair("dev_a", "f", "Get it.", "one"), pair("dev_a", "f", "Set it.", "two")]
  )
  assert [p.id for p in docs.passages] == ["dev_a.f", "dev_a.f#2"]
  assert [p.title for p in docs.passages] == ["dev_a.f", "dev_a.f"]
  assert [q.id for q in docs.queries["dev"]] == ["q:dev_a.f", "q:dev_a.f#2"]


def test_what_is_tied_across_splits_goes_to_train(splits_by_name):
  # f and g share a text, f and h a summary, h and k a text: all four stay
  # together, though k on its own would be of the split test.
  docs = pydocs.assemble(
    [
      pair("test_a", "f", "F.", "one"),
      pair("dev_b", "g", "G.", "one"),
      pair("test_c", "h", "F.", "two"),
      pair("test_c", "k", "K.", "two"),
      pair("test_c", "i", "I.", "three"),
      pair("dev_b", "j", "J.", "four"),
    ]
  )
  texts = {k: [q.text for q in v] for k, v in docs.queries.items()}
  assert texts == {"train": ["G.", "F.", "K."], "dev": ["J."], "test": ["I."]}


def test_order_of_the_files_does_not_matter():
  pairs = [
    pair(f"m{i % 7}", f"f{i}", f"Summary {i % 11}.", f"text {i % 13}")
    for i in range(60)
  ]
  assert pydocs.assemble(pairs) == pydocs.assemble(pairs[::-1])


def test_share_of_the_splits():
  found = [pydocs._split_of(f"pkg.module{i}") for i in range(4000)]
  assert found.count("train") / 4000 == pytest.approx(0.75, abs=0.03)
  assert found.count("dev") / 4000 == pytest.approx(0.08, abs=0.02)
  assert pydocs._split_of("numpy.linalg") == "train"  # fixed for good


def test_modules_are_found_and_not_imported():
  imported = set(sys.modules)
  modules = dict(pydocs._modules())
  assert len(modules) > 1000
  assert {"json", "json.decoder", "numpy", "optax", "scipy.stats"} <= set(
    modules
  )
  assert not [m for m in modules if "site-packages" in m or ".tests." in m]
  assert not [m for m in modules if m.endswith(("_test", "test_util"))]
  assert set(sys.modules) == imported


def test_missing_package_names_the_extra(monkeypatch):
  monkeypatch.setattr(pydocs, "PACKAGES", ("no_such_package",))
  with pytest.raises(DataError, match=r"no_such_package.*\[quickstart\]"):
    list(pydocs._modules())


@pytest.fixture
def only_optax(monkeypatch):
  """Takes a real package, but a small one."""
  spec = pydocs.importlib.util.find_spec("optax")
  (folder,) = spec.submodule_search_locations
  monkeypatch.setattr(
    pydocs,
    "_modules",
    lambda: pydocs._walk("optax", pydocs.pathlib.Path(folder)),
  )
  pydocs.extract.cache_clear()
  yield
  pydocs.extract.cache_clear()


def test_real_docstrings_to_an_open_dataset(only_optax, tmp_path):
  opened = dataset.locate(config.Data(), str(tmp_path)).open()
  docs = pydocs.extract()
  assert list(opened.passages) == docs.passages
  assert opened.queries == docs.queries
  assert len(opened.passages) > 100
  assert len({passage.text for passage in docs.passages}) == len(docs.passages)
  positives = [
    {name for query in queries for name, _ in query.positives}
    for queries in docs.queries.values()
  ]
  assert not positives[0] & positives[1] | positives[1] & positives[2]
  assert not positives[0] & positives[2]
  rows = opened.positive_rows("train")
  found = opened.passages[rows[0][0]]
  assert found.id == opened.queries["train"][0].positives[0][0]


def test_changed_source_is_a_new_config(only_optax, monkeypatch, tmp_path):
  before = pydocs._fingerprint()
  assert before == pydocs._fingerprint()
  file = tmp_path / "module.py"
  file.write_text("x = 1")
  monkeypatch.setattr(pydocs, "_modules", lambda: [("module", file)])
  one = pydocs._fingerprint()
  file.write_text("x = 2")
  assert len({before, one, pydocs._fingerprint()}) == 3
