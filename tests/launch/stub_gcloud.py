"""Stands for gcloud on PATH: records what it is asked, answers as it is told.

In the folder $STUB: `calls.jsonl` gets one list of arguments a call;
`answers.json` holds, by verb, a list of answers of which the last is repeated.
With `homes` in the answer, ssh and scp do their work, once in each home, as if
it were that of a VM.
"""

import json
import os
import pathlib
import shutil
import subprocess
import sys


def verb(argv: list[str]) -> str:
  words = argv[2:4]
  command = next((a for a in argv if a.startswith("--command=")), "")
  for told in ("start", "stop", "status"):
    if f"worker.sh {told}" in command:
      words.append(told)
  return " ".join(words)


def main(argv: list[str]) -> int:
  folder = pathlib.Path(os.environ["STUB"])
  log = folder / "calls.jsonl"
  before = [json.loads(x) for x in log.read_text().splitlines()]
  with log.open("a") as file:
    file.write(json.dumps(argv) + "\n")
  answers = json.loads((folder / "answers.json").read_text())
  mine = answers.get(verb(argv), [{}])
  count = sum(verb(call) == verb(argv) for call in before)
  answer = mine[min(count, len(mine) - 1)]
  sys.stdout.write(answer.get("out", ""))
  sys.stderr.write(answer.get("err", ""))
  codes = [answer.get("code", 0)]
  for home in map(pathlib.Path, answer.get("homes", [])):
    if argv[3] == "scp":
      shutil.copy(argv[4], home / argv[5].partition(":")[2])
    else:
      codes.append(on_host(home, argv))
  return max(codes)


def on_host(home: pathlib.Path, argv: list[str]) -> int:
  command = next(a for a in argv if a.startswith("--command="))
  return subprocess.run(
    ["bash", "-c", command.removeprefix("--command=")],
    cwd=home,
    env={**os.environ, "HOME": str(home), "FAKE_HOST": home.name},
  ).returncode


if __name__ == "__main__":
  sys.exit(main(sys.argv[1:]))
