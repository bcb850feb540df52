"""Configs: strictness, overrides, and every file in configs/."""

import pathlib

import pytest

from prod_jax import config, config_file, kinds, strict

REPO = pathlib.Path(__file__).parents[1]
QUICKSTART = str(REPO / "configs" / "quickstart.py")
FILES = sorted((REPO / "configs").glob("*.py"))


@pytest.mark.parametrize(
  ("path", "variant"),
  [
    (path, variant)
    for path in FILES
    # Models that one has cannot be random ones.
    for variant in ("", "labels" if path.stem == "own_models" else "runlocal")
  ],
  ids=lambda x: x.stem if isinstance(x, pathlib.Path) else x,
)
def test_every_config_loads(path, variant):
  loaded = config_file.load(f"{path}:{variant}")
  assert loaded.stages and loaded.models


def test_overrides_reach_every_type_and_the_last_one_wins():
  loaded = config_file.load(
    f"{QUICKSTART}:runlocal,seed=3,models.student.layers=(1,),seed=4",
    [
      "models.student.tied=false",
      "models.student.weights=packaged",
      "stages.mine_1.depth=7",
      "stages.mine_1.index=scann",
      "stages.student_de.learning_rate=1",
      "stages.student_de.settings.temperature=2",
      "data.max_queries.test=5",
      "data.path=7",
    ],
  )
  assert loaded.seed == 4
  assert loaded.models["student"].layers == (1,)
  assert loaded.models["student"].tied is False
  assert loaded.stages["mine_1"] == kinds.Mine(
    kind="mine", encoded="encode_teacher_de", depth=7, index="scann"
  )
  assert loaded.stages["student_de"].learning_rate == 1.0
  assert loaded.stages["student_de"].settings["temperature"] == 2
  assert loaded.data.max_queries["test"] == 5
  assert loaded.data.path == "7"


def test_spaces_of_a_text_are_its_own_and_others_are_nobodys():
  prompts = "models.student.prompts="
  loaded = config_file.load(
    f"{QUICKSTART}: runlocal , seed = 3 ,data.title_join=, ",
    [
      "data.title_join= ",
      f"{prompts} {{'query': 'q: '}} ",
      "models.student.prompts.passage=p: ",
      "stages.mine_1.index= scann ",
      "stages.mine_1.depth= 7 ",
    ],
  )
  assert (loaded.seed, loaded.data.title_join) == (3, " ")
  assert loaded.models["student"].prompts == {"query": "q: ", "passage": "p: "}
  assert loaded.stages["mine_1"].index == "scann"
  assert loaded.stages["mine_1"].depth == 7


@pytest.mark.parametrize(
  ("override", "message"),
  [
    ("stages.student_de.stepz=3", "did you mean config.stages.student_de.step"),
    ("stages.studnt_de.steps=3", "did you mean config.stages.student_de?"),
    ("stages.student_de.steps=many", "steps is 'many' (str), not int"),
    ("stages.student_de.steps=1.5", "steps is 1.5 (float), not int"),
    ("stages.mine_1.kind=mien", "known: train, encode, mine"),
    ("models.student.layers=3", "layers is 3, not a tuple, such as (3,)"),
    ("models.student.layers=a,b", "not a tuple, such as ('a', 'b')"),
    ("models.student.layers=(0,'a')", "layers[1] is 'a' (str), not int"),
    ("models.student.pooling=sum", "it takes one of ['', 'cls', 'mean', 'max'"),
    ("models.student.tied=1", "tied is 1 (int), not bool"),
    ("stages.evaluate_teacher_de.indexes=('faiss',)", "one of ['exact', 'scan"),
    ("sed=1", "did you mean config.seed?"),
    ("seed", "not of the form key=value"),
    ("seed.x=1", "config.seed is 42, and has no keys of its own"),
    ("dat.path=x", "did you mean config.data?"),
    ("stages.mine_1.settings.hard=1", "settings is a key of kind train"),
  ],
)
def test_a_wrong_override_names_the_key_and_the_remedy(override, message):
  with pytest.raises(strict.ConfigError) as error:
    config_file.load(QUICKSTART, [override])
  assert message in str(error.value)


def test_an_override_adds_to_a_mapping_that_another_one_has_set():
  words = ["data.max_queries={'train': 5}", "data.max_queries.dev=3"]
  loaded = config_file.load(QUICKSTART, words)
  assert loaded.data.max_queries == {"train": 5, "dev": 3}


def test_an_override_sets_what_is_in_no_section_yet():
  loaded = config_file.load(QUICKSTART, ["stages.ce_1.settings.soft=0.5"])
  assert loaded.stages["ce_1"].settings["soft"] == 0.5
  ours = config_file.load(QUICKSTART, ["stages.ce_1.sampling_settings.power=2"])
  assert ours.stages["ce_1"].sampling_settings["power"] == 2


def test_a_missing_file_and_a_missing_key_are_named(tmp_path):
  with pytest.raises(strict.ConfigError, match=r"did you mean .*quickstart.py"):
    config_file.load(str(REPO / "configs" / "quickstrt.py"))
  (tmp_path / "short.py").write_text(
    "from ml_collections import ConfigDict\n"
    "def get_config(variant=''):\n"
    "  return ConfigDict(dict(seed=1, data={}, mesh={}, models={}))\n"
  )
  with pytest.raises(strict.ConfigError, match=r"config\.stages is not set"):
    config_file.load(str(tmp_path / "short.py"))


@pytest.mark.parametrize(
  ("body", "line"),
  [("return dict()['a']", "3: KeyError: 'a'"), ("return (", "3: SyntaxError")],
)
def test_an_error_of_a_file_has_its_line(tmp_path, monkeypatch, body, line):
  """Also where it is named from the folder that one is in."""
  (tmp_path / "own.py").write_text(f"\ndef get_config(variant=''):\n  {body}\n")
  monkeypatch.chdir(tmp_path)
  for path in ("own.py", "./own.py", str(tmp_path / "own.py")):
    with pytest.raises(strict.ConfigError, match=rf"own\.py:{line}"):
      config_file.load(path)


def test_a_variant_of_a_config_that_takes_none(tmp_path):
  (tmp_path / "own.py").write_text("def get_config():\n  return {}\n")
  with pytest.raises(strict.ConfigError, match="takes no variant, and 'small'"):
    config_file.load(f"{tmp_path / 'own.py'}:small")


def test_an_unknown_variant_names_the_known_one():
  with pytest.raises(strict.ConfigError, match="'runlocl'; known: runlocal"):
    config_file.load(f"{QUICKSTART}:runlocl")


def test_plain_is_the_way_back():
  loaded = config_file.load(QUICKSTART)
  again = strict.section(config.Config, strict.plain(loaded), "config")
  assert again == loaded
