"""--only_skipped runs what an earlier run has skipped, and nothing else."""

import os
import pathlib
import subprocess
import sys

REPO = pathlib.Path(__file__).parents[1]

PASSED = "test_each_python_gets_one_version_of_each_package[3.12]"
SKIPPED = "test_each_python_gets_one_version_of_each_package[3.13]"
REPORT = f"""
<testsuites><testsuite>
  <testcase classname="tests.makefile_test" name="{PASSED}"/>
  <testcase classname="tests.makefile_test" name="{SKIPPED}"><skipped/>
  </testcase>
  <testcase classname="" name="tests.packaged_test"><skipped/></testcase>
</testsuite></testsuites>
"""


def test_modules_and_tests_that_were_skipped_are_run(tmp_path):
  path = tmp_path / "report.xml"
  path.write_text(REPORT)
  done = subprocess.run(
    [
      *(sys.executable, "-m", "pytest", "--collect-only", "-q", "-n", "0"),
      *("tests/makefile_test.py", "tests/packaged_test.py"),
      f"--only_skipped={path}",
    ],
    cwd=REPO,
    env={**os.environ, "PYTEST_ADDOPTS": ""},
    capture_output=True,
    text=True,
  )
  first, *others = [x for x in done.stdout.splitlines() if "::" in x]
  assert first == f"tests/makefile_test.py::{SKIPPED}"
  assert len(others) > 1
  assert {x.partition("::")[0] for x in others} == {"tests/packaged_test.py"}
