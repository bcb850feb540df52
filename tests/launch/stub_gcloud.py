"""Stands for gcloud on PATH: records what it is asked, answers as it is told.

In the folder $STUB: `calls.jsonl` gets one list of arguments a call;
`answers.json` holds, by verb, a list of answers of which the last is repeated.
With `homes` in the answer, ssh and scp do their work, once in each home, as if
it were that of a VM. Imports little, since tests start it often.
"""

import json
import os
import sys


def verb(argv: list[str]) -> str:
  words = argv[2:4]
  command = next((a for a in argv if a.startswith("--command=")), "")
  for told in ("start", "stop", "status"):
    if f"worker.sh {told}" in command:
      words.append(told)
  return " ".join(words)


def main(argv: list[str]) -> int:
  folder = os.environ["STUB"]
  with open(f"{folder}/calls.jsonl", "r+") as file:
    before = [json.loads(line) for line in file]
    file.write(json.dumps(argv) + "\n")
  with open(f"{folder}/answers.json") as file:
    mine = json.load(file).get(verb(argv), [{}])
  count = sum(verb(call) == verb(argv) for call in before)
  answer = mine[min(count, len(mine) - 1)]
  sys.stdout.write(answer.get("out", ""))
  sys.stderr.write(answer.get("err", ""))
  codes = [on_host(home, argv) for home in answer.get("homes", [])]
  return max([answer.get("code", 0), *codes])


def on_host(home: str, argv: list[str]) -> int:
  import shutil
  import subprocess

  if argv[3] == "scp":
    shutil.copy(argv[4], f"{home}/{argv[5].partition(':')[2]}")
    return 0
  command = next(a for a in argv if a.startswith("--command="))
  return subprocess.run(
    ["bash", "-c", command.removeprefix("--command=")],
    cwd=home,
    env={**os.environ, "HOME": home, "FAKE_HOST": os.path.basename(home)},
  ).returncode


if __name__ == "__main__":
  sys.exit(main(sys.argv[1:]))
