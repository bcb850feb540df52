"""Any bytes before each reader: a value, or an error of ours with the file."""

import logging
import pathlib

import hypothesis
import pytest

from tests.fuzz.mutations import contents
from tests.fuzz.reader import attempt, prepare
from tests.fuzz.readers import READERS, slug

CASES = pathlib.Path(__file__).parent / "cases"
EXAMPLES = 8
LONG = 200  # `make fuzz` is the long hunt
SETTINGS = {
  "deadline": None,
  "database": None,
  "suppress_health_check": list(hypothesis.HealthCheck),
}


@pytest.fixture(autouse=True)
def quiet():
  """Thousands of warnings would be kept for the report."""
  logging.disable(logging.CRITICAL)
  yield
  logging.disable(logging.NOTSET)


def cases():
  """What was found to break a reader, each in a file named after it."""
  by_slug = {slug(name): name for name in READERS}
  return [
    pytest.param(by_slug[path.parent.name], path, id=path.name)
    for path in sorted(CASES.glob("*/*"))
  ]


@pytest.mark.parametrize("name", READERS)
def test_what_can_be_read_is_read(name, tmp_path):
  reader = READERS[name]
  path = prepare(reader, tmp_path)
  for seed in reader.seeds:
    assert attempt(reader, path, seed) is not None


@pytest.mark.parametrize(("name", "case"), cases())
def test_what_was_found_is_mended(name, case, tmp_path):
  reader = READERS[name]
  attempt(reader, prepare(reader, tmp_path), case.read_bytes())


def search(reader, folder, **settings):
  path = prepare(reader, folder)

  @hypothesis.settings(**SETTINGS, **settings)
  @hypothesis.given(contents(reader.seeds))
  def any_content(content):
    attempt(reader, path, content)

  any_content()


@pytest.mark.parametrize("name", READERS)
def test_any_bytes_give_a_value_or_our_error(name, tmp_path):
  search(READERS[name], tmp_path, max_examples=EXAMPLES, derandomize=True)


@pytest.mark.long
@pytest.mark.parametrize("name", READERS)
def test_many_bytes_give_a_value_or_our_error(name, tmp_path):
  search(READERS[name], tmp_path, max_examples=LONG)
