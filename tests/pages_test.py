"""Pages of docs/ and beside the README: their links, tables and words."""

import importlib
import pathlib
import re

import pytest
import yaml

from prod_jax import batch
from tests.layers_test import LEVELS, NEIGHBOURS, ONLY_IN

REPO = pathlib.Path(__file__).parents[1]
PAGES = sorted([*REPO.glob("*.md"), *(REPO / "docs").rglob("*.md")])
ARCHITECTURE = (REPO / "docs" / "ARCHITECTURE.md").read_text()
DECISIONS = (REPO / "docs" / "DECISIONS.md").read_text()
FIDELITY = (REPO / "docs" / "FIDELITY.md").read_text()
FIELDS = ["Official", "Ours", "Why", "Setting", "Tests"]


def section(page: str, heading: str) -> str:
  """What stands under a heading, down to the next one of any level."""
  (found,) = re.findall(
    rf"^#+ {re.escape(heading)}\n(.*?)(?=^#+ |\Z)", page, flags=re.M | re.S
  )
  return found


def rows(text: str) -> list[list[str]]:
  """The cells of a table, without its head."""
  lines = [line for line in text.splitlines() if line.startswith("|")]
  return [[x.strip() for x in line.strip("|").split("|")] for line in lines[2:]]


def prose(page: str) -> str:
  """A page without its fenced blocks."""
  return re.sub(r"^```.*?^```$", "", page, flags=re.M | re.S)


def quoted(text: str) -> list[str]:
  """What stands in backticks."""
  return re.findall(r"`([^`]+)`", prose(text))


def anchors(page: str) -> set[str]:
  """What a link may name behind #, as GitHub makes it of headings."""
  return {slug(title) for title in re.findall(r"^#+ (.*)$", prose(page), re.M)}


def slug(title: str) -> str:
  return re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-")


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(REPO)))
def test_links_lead_somewhere(page):
  text = page.read_text()
  for target in re.findall(r"\]\(([^)\s]+)\)", text):
    if "://" in target:
      continue
    file, _, anchor = target.partition("#")
    path = page.parent / file if file else page
    assert path.exists(), f"{page.name}: {target}"
    if anchor:
      assert anchor in anchors(path.read_text()), f"{page.name}: {target}"


def test_levels_of_rooms_are_those_that_are_checked():
  drawn: dict[str, int] = {}
  text = section(ARCHITECTURE, "Rooms and levels")
  for level, rooms, _ in rows(text):
    drawn |= dict.fromkeys(quoted(rooms), int(level))
  assert drawn == LEVELS
  arrows = re.findall(r"`(\w+)`\s+→\s+`(\w+)`", text)
  assert sorted(arrows) == sorted(NEIGHBOURS)
  picture = re.search(r"```\n(.*?)```", text, re.S)[1]
  drawn, level = {}, 0
  for line in picture.splitlines():
    number, _, rooms = re.match(r" *(\d?) *([│▼])(.*)", line).groups()
    level = int(number or level)
    drawn |= dict.fromkeys(re.findall(r"\w+", rooms), level)
  assert drawn == LEVELS


def test_what_a_line_may_touch_is_what_is_checked():
  table = rows(section(ARCHITECTURE, "What a line may touch"))
  for (words, places), (pattern, allowed) in zip(
    table, ONLY_IN.items(), strict=True
  ):
    assert quoted(places) == allowed, words
    for word in quoted(words):
      assert re.search(pattern, word), f"{word} is not what {pattern} finds"


def test_names_of_code_on_the_page_exist():
  for name in quoted(ARCHITECTURE):
    if re.fullmatch(r"\w+(\.\w+)+", name) and name.split(".")[0] in LEVELS:
      assert name.endswith(".py") or exists(name), f"there is no {name}"


def exists(name: str) -> bool:
  """Whether it names a module of ours, or something or a field in one."""
  *parts, last = f"prod_jax.{name}".split(".")
  try:
    importlib.import_module(".".join([*parts, last]))
    return True
  except ModuleNotFoundError:
    pass
  rest = []
  while True:
    try:
      found = importlib.import_module(".".join(parts))
      break
    except ModuleNotFoundError:
      rest.insert(0, parts.pop())
  for part in rest:
    found = getattr(found, part, None)
  return hasattr(found, last) or last in getattr(found, "__annotations__", {})


def test_each_axis_has_its_letter():
  legend = re.findall(
    r"(?:^|\s{2,})([A-Z])  (\S.*?)(?=\s{2,}[A-Z]  |$)", batch.__doc__, re.M
  )
  drawn = rows(section(ARCHITECTURE, "Letters of axes"))
  assert dict(drawn) == dict(legend) and len(drawn) == len(legend) == 15


def test_the_index_of_decisions_has_each_of_them():
  index, *_ = DECISIONS.split("\n## ")
  linked = re.findall(r"^ *- \[(.*)\]\(#(.*)\)$", index, flags=re.M)
  titles = re.findall(r"^###? (.*)$", DECISIONS, flags=re.M)
  assert linked == [(title, slug(title)) for title in titles]
  assert len(set(titles)) == len(titles)
  assert not re.search(r"^\*\*", DECISIONS, flags=re.M), "a heading, please"


def fidelity() -> dict[str, dict[str, str]]:
  """The fields of each entry of the page, by its heading."""
  found = {}
  for title in re.findall(r"^### (.*)$", FIDELITY, flags=re.M):
    fields = re.findall(
      r"^- \*\*(\w+):\*\* (.*?)(?=^- \*\*|\Z)",
      section(FIDELITY, title),
      flags=re.M | re.S,
    )
    found[title] = dict(fields)
    assert list(found[title]) == FIELDS, title
  return found


def named_in(fields: dict[str, str]) -> list[tuple[str, str]]:
  """(file, test) of an entry."""
  return re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", fields["Tests"])


def functions_of(file: str) -> set[str]:
  return set(re.findall(r"^def (\w+)", (REPO / file).read_text(), flags=re.M))


@pytest.mark.parametrize(("title", "fields"), fidelity().items())
def test_an_entry_of_fidelity_has_tests_and_a_setting_or_none(title, fields):
  assert named_in(fields)
  for file, test in named_in(fields):
    there = test.startswith("test_") and test in functions_of(file)
    assert there, f"{title}: {file} has no {test}"
  setting = fields["Setting"]
  assert setting.startswith("not offered") or "`" in setting


def test_fidelity_names_each_test_that_is_made_for_it():
  named = {test for x in fidelity().values() for _, test in named_in(x)}
  made = functions_of("tests/fidelity_test.py")
  assert {test for test in made if test.startswith("test_")} <= named


def test_versions_and_licence_agree():
  cited = yaml.safe_load((REPO / "CITATION.cff").read_text())
  setup = (REPO / "setup.py").read_text()
  assert f'version="{cited["version"]}"' in setup
  assert f'license="{cited["license"]}"' in setup
  assert {"cff-version", "message", "title", "authors"} <= set(cited)
  versions = re.findall(
    r"^## \[(.*?)\](?: - (.*))?$", (REPO / "CHANGELOG.md").read_text(), re.M
  )
  assert versions[0] == ("Unreleased", "")
  assert (cited["version"], cited["date-released"]) == versions[1]
