"""What pip-audit says, and what hostile files came to, as reports."""

import io
from xml.etree import ElementTree

from tests import audit, hostile


def test_what_was_not_looked_up_is_not_called_sound():
  unknown = {"name": "a", "skip_reason": "not found"}
  assert audit.report([unknown]) is None
  sound = {"name": "b", "version": "1", "vulns": []}
  said = audit.report([unknown, sound])
  assert said["rows"] == []
  assert said["notes"] == ["0 in 1 packages", "a was not looked up: not found"]


def test_a_weakness_is_a_row():
  weakness = {"id": "PYSEC-1", "fix_versions": ["2", "3"]}
  weak = {"name": "b", "version": "1", "vulns": [weakness]}
  assert audit.report([weak])["rows"] == [["b", "1", "PYSEC-1", "2, 3"]]


def test_cases_of_hostile_files_are_counted_by_test():
  report = """<testsuites><testsuite>
    <testcase name="test_a_zip_is_refused[up]" />
    <testcase name="test_a_zip_is_refused[link]"><failure /></testcase>
    <testcase name="test_no_key_is_read"><skipped /></testcase>
  </testsuite></testsuites>"""
  assert hostile.table(ElementTree.parse(io.StringIO(report))) == [
    ["a zip is refused", 2, 1, 0],
    ["no key is read", 1, 0, 1],
  ]
