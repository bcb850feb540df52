"""What pip-audit says, as a report."""

from tests import audit


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
