"""Config files, and their keys, types, ranges, unions and meshes."""

import pathlib

from tests.bad_inputs import made
from tests.bad_inputs.row import OUTPUT, Line, Row

_NOTHING = "def get_config(variant=''):\n  return None\n"


def _file(
  content: made.Content, name: str = "mine.py", variant: str = ""
) -> Line:
  """A config file with this content."""

  def line(folder: pathlib.Path) -> list[str]:
    made.write(folder, {name: content})
    return [
      "run",
      f"--config={folder / name}{variant}",
      f"--workdir={folder / OUTPUT}",
    ]

  return line


def _experiment(change: str) -> Line:
  """The experiment, whose config `c` is changed."""
  return lambda folder: made.line(folder, change=change)


def _keys(*overrides: str, variant: str = "") -> Line:
  """The experiment with these keys."""
  words = [f"--config.{override}" for override in overrides]
  return lambda folder: made.line(folder, *words, variant=variant)


def _key(override: str, *says: str, variant: str = "") -> Row:
  """A row of one key, which is named."""
  key = override.partition("=")[0]
  return Row(
    f"--config.{override[:60]}",
    _keys(override, variant=variant),
    says or (f"config.{key}",),
  )


_FILES = [
  Row("a config that is not there", _file(None), ("there is no file", "mine")),
  Row("a folder as config", _file(made.folder), ("mine.py",)),
  Row("a config that is no Python file", _file("", "mine.txt"), ("mine.txt",)),
  Row("an empty config", _file(""), ("mine.py", "get_config")),
  Row("a config with a syntax error", _file("x = (\n"), ("mine.py:1",)),
  Row("a config with NUL bytes", _file(b"x = 1\0\n"), ("mine.py",)),
  Row(
    "a config in latin-1", _file("x = 'é'\n".encode("latin-1")), ("mine.py",)
  ),
  Row(
    "a config that imports what is not there",
    _file("import nix\n"),
    ("mine.py:1", "nix"),
  ),
  Row(
    "a config that raises",
    _file("def get_config():\n  return {}['a']\n"),
    ("mine.py:2", "KeyError"),
  ),
  Row(
    "a config that ends the process",
    _file("import sys\nsys.exit(0)\n"),
    ("mine.py:2", "SystemExit"),
  ),
  Row("a config that returns None", _file(_NOTHING), ("mine.py", "ConfigDict")),
  Row(
    "get_config that is no function", _file("get_config = 3\n"), ("mine.py",)
  ),
  Row(
    "a variant that get_config does not take",
    _file("def get_config():\n  return None\n", "mine.py", ":fast"),
    ("mine.py", "get_config takes no variant, and 'fast'"),
  ),
  Row(
    "an unknown variant",
    lambda folder: made.line(folder, variant="fast"),
    ("there is no variant 'fast'",),
  ),
  Row(
    "two variants",
    lambda folder: made.line(folder, variant="cross,late"),
    ("one variant",),
  ),
]
_KEYS = [
  _key("stages.mine.dept=3", "config.stages", "mine"),
  _key("stages.encode.split=3", "config.stages.encode.split is a key of"),
  _key("data", "'data' is not of the form key=value"),
  _key("=3", "key"),
  _key("data=3"),
  _key("data.path.deeper=3", "config.data.path is", "no keys of its own"),
  _key("stages.student=3"),
  _key("stages=3"),
  _key("models.student.kind.x=1", "kind"),
  _key("seed=one", "config.seed", "not int"),
  _key("seed=1.5", "config.seed", "not int"),
  _key("seed=True", "config.seed", "not int"),
  _key("seed=-1"),
  _key("seed=None"),
  _key("seed="),
  _key("seed=1e400"),
  _key("seed=" + "9" * 5000, "config.seed"),
  _key("data.packed=yes"),
  _key("data.packed=1"),
  _key("data.query_length=0"),
  _key("data.query_length=16.0"),
  _key("data.query_length=9999999999"),
  _key("data.max_passages=-1"),
  _key("data.max_queries=3"),
  _key("data.max_queries={'train': 0}", "config.data.max_queries.train"),
  _key("data.max_queries={1: 2}", "config.data.max_queries"),
  _key("data.on_error=ignore"),
  _key("data.name=msmarco"),
  _key("data.titles=rocketqa", "data.titles"),
  _key("data.max_characters=3", "data.max_characters"),
  _key("data.data_dir=/dev/null/x", "/dev/null/x"),
  _key("models.student.dropout=1"),
  _key("models.student.dropout=nan"),
  _key("models.student.dropout=-0.1"),
  _key("models.student.scale=inf"),
  _key("models.student.heads=3"),
  _key("models.student.layers=3"),
  _key("models.student.layers=(0,0)"),
  _key("models.student.width=0"),
  _key("models.student.depth=2000000000"),
  _key("models.student.dtype=float16"),
  _key("models.student.pooling=average"),
  _key("models.student.prompts=query"),
  _key("models.student.prompts={'q': 'a'}"),
  _key("models.student.prompts={'query': 3}"),
  _key("models.student.tokenizer=nowhere"),
  _key("models.late.projection=-1", variant="late"),
  _key("stages.student.batch_size=0"),
  _key("stages.student.steps=-1"),
  _key("stages.student.learning_rate=nan"),
  _key("stages.student.learning_rate=2"),
  _key("stages.student.learning_rate='1e-4'"),
  _key("stages.student.method=contrastiv", "contrastiv"),
  _key("stages.student.method=os.path", "os.path"),
  _key("stages.student.method=../x", "../x"),
  _key("stages.student.settings={'a': 1}", "config.stages.student.settings"),
  _key("stages.student.settings=3"),
  _key("stages.student.accumulation=3", "config.stages.student.batch_size"),
  _key("stages.student.sampling=simans"),
  _key("stages.student.widths=(999,)"),
  _key("stages.student.model=teacher", "config.stages.student.model"),
  _key("stages.student.init=encode", "config.stages.student.init"),
  _key("stages.encode.params=evaluate"),
  _key("stages.encode.splits=train"),
  _key("stages.encode.splits=()", "'test', but encode encodes none"),
  _key("stages.encode.splits=('train',"),
  _key("stages.evaluate.metrics=()"),
  _key("stages.evaluate.metrics=('mrr@0',)", "config.stages.evaluate"),
  _key("stages.evaluate.metrics=('mrr@-1',)", "config.stages.evaluate"),
  _key("stages.evaluate.metrics=('accuracy',)", "config.stages.evaluate"),
  _key("stages.evaluate.depth=0"),
  _key("stages.evaluate.split=dev", "config.stages.evaluate", "'dev'"),
  _key("stages.evaluate.indexes=('hnsw',)"),
  _key("stages.evaluate.relevance=answers", "answers"),
  _key("stages.evaluate.widths=(999,)"),
  _key("stages.ce.negatives=0", "config.stages.ce", variant="cross"),
  _key("stages.score.params=student", variant="cross"),
  _key("trackers=wandb"),
  _key("trackers=('mlflow',)"),
]
_UNIONS = [
  Row(
    "a stage without a kind",
    _experiment("del c.stages.encode['kind']"),
    ("config.stages.encode.kind", "known: train"),
  ),
  Row(
    "a stage of an unknown kind",
    _experiment("c.stages.encode.kind = 'embed'"),
    ("config.stages.encode.kind is 'embed'",),
  ),
  Row(
    "a kind that is a list",
    _experiment("del c.stages.encode['kind']; c.stages.encode.kind = [1]"),
    ("config.stages.encode.kind",),
  ),
  Row(
    "a model of an unknown kind",
    _keys("models.student.kind=bi"),
    ("config.models.student.kind is 'bi'",),
  ),
  Row(
    "a key of another kind",
    _keys("models.student.projection=8"),
    ("config.models.student", "projection"),
  ),
  Row(
    "a stage that is a number",
    _experiment("c.stages['extra'] = 3"),
    ("config.stages.extra",),
  ),
  Row(
    "models that are a list",
    _experiment("del c['models']; c.models = [1]"),
    ("config.models",),
  ),
  Row("no data", _experiment("del c['data']"), ("config has no key 'data'",)),
  Row("no seed", _experiment("del c['seed']"), ("config.seed is not set",)),
  Row("no stage", _experiment("c.stages = {}"), ("config.stages",)),
  Row(
    "a stage whose name leaves the working folder",
    _experiment("c.stages['x/y'] = c.stages.encode"),
    ("config.stages", "x/y"),
  ),
  Row(
    "a stage whose name is empty",
    _experiment("c.stages[''] = c.stages.encode"),
    ("config.stages", "''"),
  ),
  Row(
    "a stage whose name has a space in it",
    _experiment("c.stages['a b'] = c.stages.encode"),
    ("config.stages", "'a b'"),
  ),
  Row(
    "a model whose name is a number",
    _experiment("del c['models']; c.models = {1: dict(kind='dual')}"),
    ("config.models",),
  ),
  Row(
    "a placeholder that nobody filled in",
    _experiment(
      "from ml_collections.config_dict import placeholder as p; "
      "c.data.title_join = p(str)"
    ),
    ("config.data.title_join",),
  ),
  Row(
    "a NumPy number",
    _experiment("import numpy; del c['seed']; c.seed = numpy.int64(3)"),
    ("config.seed", "int64"),
  ),
]
_MESHES = [
  _key("mesh.data=0"),
  _key("mesh.data=-2"),
  _key("mesh.data=3", "config.mesh", "does not fit"),
  _key("mesh.fsdp=-1", "config.mesh", "at most one axis is -1"),
  _key("mesh.tensor=16", "config.mesh", "does not fit"),
  _key("mesh.model=2", "config.mesh has no key 'model'"),
  _key("mesh.data=1.0"),
  _key("mesh.data=99999999999999999999"),
]
ROWS = [*_FILES, *_KEYS, *_UNIONS, *_MESHES]
