"""What benchmarks/long.py makes of what it has seen."""

import itertools
import json
import os
import shutil
import subprocess
import sys
import time
import xml.etree.ElementTree

import pytest

from benchmarks import long, long_config, long_page, noisy, watched
from prod_jax import config_file

WORKS = ("prepare", *long.WORKS)


def part(**more):
  made = {"commit": "c", "machine": "m", "python": "3"}
  return {**made, **more}


def samples(first, last, each=100):
  """Of 10,000 steps, whose memory goes evenly from one number to another."""
  return [
    [i, each * i, first + (last - first) * i / 100, 9, 500, 20, 7, i]
    for i in range(100)
  ]


def corpus(rows, peak):
  process = {"own_mib": peak, "most_mib": peak, "handles": 9, "threads": 7}
  work = {"seconds": 4.0, "cpu": 2.0, "processes": [process]}
  return part(rows=rows, works=dict.fromkeys(WORKS, work))


def parts(growth=1.0):
  return {
    "steps-1": part(steps=10_000, samples=[samples(100, 100 * growth)]),
    "steps-2": part(steps=10_000, samples=[samples(90, 91)] * 2),
    "corpus-10000-1": corpus(10_000, 100),
    "corpus-1000000-1": corpus(1_000_000, 100 * growth),
    "stages-200": part(
      stages=200,
      again={"all done": {"seconds": 9.0, "cpu": 4.0}},
      samples=[samples(80, 80, each=2)],
    ),
  }


def test_what_grows_is_told(monkeypatch):
  monkeypatch.setattr(long_page, "NECESSARY", {})
  rows = long_page.page_of(parts())["rows"]
  assert {row[-1] for row in rows} == {"yes"}
  assert all(len(row) == len(long_page.COLUMNS) for row in rows)
  rows = long_page.page_of(parts(growth=1.2))["rows"]
  assert [row[0] for row in rows if row[-1] == "no"] == [
    "10,000 steps, tenth 2 to tenth 10: MiB of its own, by a line",
    *(
      f"10,000 to 1,000,000 passages: {w}, peak MiB of a process" for w in WORKS
    ),
  ]


def test_what_goes_up_and_down_has_not_grown():
  found = parts()
  sways = [
    [i, at, own + 12 * (-1) ** (i // 10), *rest]
    for i, at, own, *rest in samples(100, 100)
  ]
  assert sways[25][2] > 1.2 * sways[15][2]
  found["steps-1"] = part(steps=10_000, samples=[sways])
  assert {row[-1] for row in long_page.steps_rows(found)} == {"yes"}


def test_what_grows_while_a_corpus_is_embedded_is_told():
  found = parts()
  works = dict(found["corpus-1000000-1"]["works"])
  grows = samples(100, 120, each=10_000)
  works["encode"] = {**works["encode"], "samples": [grows]}
  found["corpus-1000000-1"] = part(rows=1_000_000, works=works)
  said = [row for row in long_page.steps_rows(found) if row[-1] == "no"]
  assert [row[0] for row in said] == [
    "1,000,000 passages embedded, tenth 2 to tenth 10: MiB of its own, "
    "by a line",
  ]


def test_what_a_corpus_needs_is_taken_off(monkeypatch):
  # 20 MiB of 990,000 passages
  needs = {work: (22, "its copy") for work in WORKS}
  monkeypatch.setattr(long_page, "NECESSARY", needs)
  rows = long_page.corpus_rows(parts(growth=1.2))
  assert {row[-1] for row in rows} == {"yes"}
  assert "less 22 bytes a passage: its copy" in rows[0][0]


def test_each_machine_is_told_with_its_parts():
  found = parts()
  assert long_page.page_of(found)["machine"] == "m"
  found["steps-2"]["machine"] = "another"
  assert long_page.page_of(found)["machine"] == (
    "m (steps-1, corpus-10000-1, corpus-1000000-1, stages-200); "
    "another (steps-2)"
  )


def test_what_is_kept_is_made_of_its_parts(tmp_path):
  shutil.copytree(long.RELIABILITY / "memory", tmp_path / "memory")
  long_page.write(tmp_path, [*itertools.chain(*long.UNITS.values())])
  for name in ("memory.json", "memory.svg"):
    made, kept = (x / name for x in (tmp_path, long.RELIABILITY))
    assert made.read_text() == kept.read_text()


def test_files_for_the_page(tmp_path):
  folder = tmp_path / "memory"
  folder.mkdir()
  for name, made in parts().items():
    (folder / f"{name}.json").write_text(json.dumps(made))
  long_page.write(tmp_path, ["steps-1", "corpus-5-1"])
  page = json.loads((tmp_path / "memory.json").read_text())
  assert {"title", "command", "commit", "notes", "plot"} <= page.keys()
  assert page["notes"][-1] == "Not measured yet: corpus-5-1."
  drawn = (tmp_path / page["plot"]).read_text()
  assert "peak of memory" in drawn.lower()
  xml.etree.ElementTree.fromstring(drawn)


def test_a_look_at_this_process():
  seen = watched.look(os.getpid(), 1.0, 5)
  assert seen.own_mib > 10 and seen.most_mib > seen.own_mib
  assert seen.handles > 2 and seen.threads > 0 and seen.cpu > 0
  assert watched.look(2**30, 1.0, 5) is None
  thin = watched.thinned([seen] * 1000, most=10)
  assert len(thin) == 11 and watched.Sample(*thin[0]).at == 5


def test_a_child_that_has_more_is_what_is_told():
  more = watched.look(os.getpid(), 1.0, 5).most_mib + 100
  code = f"import time; x = b'1' * {round(more) << 20}; time.sleep(60)"
  with subprocess.Popen([sys.executable, "-c", code]) as child:
    told, began = 0.0, time.monotonic()
    while told <= more and time.monotonic() < began + 30:
      told = watched.look(os.getpid(), 1.0, 5).most_mib
    child.kill()
  assert told > more


def test_passages_that_are_embedded_are_those_of_whole_blocks(tmp_path):
  assert long.embedded(tmp_path) == 0
  for block in ("000000000-000002500", "000002500-000005000"):
    folder = tmp_path / "01-encode/passages" / block
    folder.mkdir(parents=True)
    (folder / "vectors.npy").touch()
  (folder / "FILES.json").touch()
  assert long.embedded(tmp_path) == long_config.SHARD_ROWS


def test_the_last_step_is_that_of_a_whole_line(tmp_path):
  path = tmp_path / "metrics.jsonl"
  assert long.last_step(path) == 0
  path.write_text(
    '{"step": 20, "loss": 1}\n{"step": 40, "loss": 1}\n{"step": 6'
  )
  assert long.last_step(path) == 40


def test_a_smaller_corpus_is_the_beginning_of_a_larger_one(tmp_path):
  found = [f"{i} " + " ".join("abcdefghij") * 3 for i in range(50)]
  for rows in (60, 120):
    noisy.write(tmp_path / str(rows), rows, found)
  small, large = (
    (tmp_path / str(rows) / "collection.tsv").read_text() for rows in (60, 120)
  )
  assert large.startswith(small) and large.count("\n") == 120
  texts = [line.split("\t")[1] for line in large.splitlines()]
  assert len({*texts}) == 120 and texts[:50] == found
  assert all(
    len(one.split()) == len(other.split())
    for one, other in zip(texts[:50], texts[50:100], strict=True)
  )


def test_a_corpus_goes_on_behind_what_was_measured(tmp_path, monkeypatch):
  made = []

  def work(folder, workdir, name, processes):
    if name == "encode" and name not in made:
      made.append(name)
      raise KeyboardInterrupt
    made.append(name)
    return {"name": name}

  monkeypatch.setattr(long, "_work", work)
  monkeypatch.setattr(noisy, "real", lambda: ["a text " * 20] * 60)
  with pytest.raises(KeyboardInterrupt):
    long.corpus(tmp_path, 100, 1)
  found = long.corpus(tmp_path, 100, 1)
  assert {*found["works"]} == {*WORKS}
  assert made == [*WORKS[:2], "encode", *WORKS[2:]]
  assert not [*tmp_path.glob("*.json")]


def test_the_runs_are_configs():
  for variant in ("steps", "corpus", "stages-8"):
    made = config_file.load(f"{long.CONFIG}:{variant}", [])
    assert made.stages
  assert len(long_config.stages(200)) == 200
  assert {*long.WORKS} == {*long_config.corpus()}
  units = itertools.chain(*long.UNITS.values())
  assert len({*units}) == 8
