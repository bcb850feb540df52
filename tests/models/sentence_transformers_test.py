"""Folders of sentence-transformers: what they say, and what is refused."""

import json

import numpy as np
import pytest

from prod_jax.models import hf, sentence_transformers
from prod_jax.models.dual import Dense
from prod_jax.models.weights import WeightsError

NEW = "sentence_transformers.base.modules."
TANH = "torch.nn.modules.activation.Tanh"


def write(folder, modules, **files):
  """A folder of such modules; files by their path with / as __."""
  folder.mkdir(exist_ok=True)
  listed = [
    {"idx": i, "name": str(i), "path": path, "type": kind}
    for i, (kind, path) in enumerate(modules)
  ]
  (folder / "modules.json").write_text(json.dumps(listed))
  for name, content in files.items():
    path = folder / f"{name.replace('__', '/')}.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(content))
  return folder


def modules(*kinds, first=""):
  own = [(f"{NEW}{kind}", f"{i}_{kind}") for i, kind in enumerate(kinds, 1)]
  return [(f"{NEW}T.Transformer", first), *own]


MEAN = {"pooling_mode": "mean", "embedding_dimension": 4}


def test_a_folder_without_modules_says_nothing(tmp_path):
  assert sentence_transformers.read(tmp_path) is None
  assert sentence_transformers.encoder_folder(tmp_path) == tmp_path
  assert sentence_transformers.files(tmp_path) == []


def test_all_that_a_folder_says_is_read(tmp_path):
  write(
    tmp_path,
    modules("Pooling", "Dense", "Normalize", first="0_Transformer"),
    **{
      "1_Pooling__config": {"pooling_mode_max_tokens": True},
      "2_Dense__config": {
        "in_features": 4,
        "out_features": 3,
        "bias": False,
        "activation_function": TANH,
      },
      "0_Transformer__sentence_bert_config": {
        "max_seq_length": 64,
        "do_lower_case": True,
      },
      "config_sentence_transformers": {
        "prompts": {"query": "q: ", "document": "d: ", "code": "c: "},
        "similarity_fn_name": "dot",
      },
    },
  )
  kernel = np.arange(12, dtype=np.float32).reshape(3, 4)
  layer = tmp_path / "2_Dense"
  hf.save_params(layer / "model.safetensors", {"linear.weight": kernel})
  found = sentence_transformers.read(tmp_path)
  assert found.encoder == tmp_path / "0_Transformer"
  assert (found.pooling, found.normalize, found.similarity) == (
    "max",
    True,
    "dot",
  )
  assert found.dense == ((Dense(3, False, "tanh"), layer),)
  assert found.prompts == {"query": "q: ", "passage": "d: "}
  assert (found.max_length, found.lower_case) == (64, True)
  params = sentence_transformers.load_dense(found, 4)
  np.testing.assert_array_equal(params["0"]["kernel"], kernel.T)
  assert {f.name for f in sentence_transformers.files(tmp_path)} == {
    "modules.json",
    "config_sentence_transformers.json",
    "sentence_bert_config.json",
    "config.json",
    "model.safetensors",
  }


@pytest.mark.parametrize(
  ("kinds", "files", "message"),
  [
    (["Pooling", "LSTM"], {}, "Transformer, Pooling, LSTM; it takes"),
    (["Dense", "Pooling"], {}, "Transformer, Dense, Pooling; it takes"),
    (
      ["Pooling"],
      {"1_Pooling__config": {"pooling_mode": ["cls", "mean"]}},
      "cls and mean; it takes one",
    ),
    (
      ["Pooling"],
      {"1_Pooling__config": {"pooling_mode": "weightedmean"}},
      "weightedmean; it takes one",
    ),
    (
      ["Pooling"],
      {"1_Pooling__config": MEAN | {"include_prompt": False}},
      "include_prompt is false",
    ),
    (["Pooling"], {}, "1_Pooling/config.json is not there"),
    (
      ["Pooling", "Dense"],
      {
        "1_Pooling__config": MEAN,
        "2_Dense__config": {
          "out_features": 2,
          "activation_function": "os.system",
        },
      },
      "activation_function is 'os.system'; it takes",
    ),
    (
      ["Pooling"],
      {
        "1_Pooling__config": MEAN,
        "config_sentence_transformers": {"similarity_fn_name": "euclidean"},
      },
      "similarity_fn_name is 'euclidean'",
    ),
  ],
)
def test_what_we_do_not_compute_is_refused(tmp_path, kinds, files, message):
  write(tmp_path, modules(*kinds), **files)
  with pytest.raises(WeightsError, match=message):
    sentence_transformers.read(tmp_path)


def test_a_module_of_ones_own_code_is_named_and_refused(tmp_path):
  listed = [*modules("Pooling"), ("my_package.Reranker", "2_Reranker")]
  write(tmp_path, listed, **{"1_Pooling__config": MEAN})
  with pytest.raises(WeightsError, match=r"my_package\.Reranker; it takes"):
    sentence_transformers.read(tmp_path)


@pytest.mark.parametrize("path", ["../elsewhere", "/etc", "..", "a/b"])
def test_a_module_elsewhere_is_refused(tmp_path, path):
  write(tmp_path, modules("Pooling", first=path))
  with pytest.raises(WeightsError, match="not a folder beside it"):
    sentence_transformers.encoder_folder(tmp_path)


@pytest.mark.parametrize("text", ["", "{}", "[1]", "[]", '[{"type": "x"}]'])
def test_a_damaged_list_of_modules_is_named(tmp_path, text):
  (tmp_path / "modules.json").write_text(text)
  with pytest.raises(WeightsError, match=r"modules\.json"):
    sentence_transformers.read(tmp_path)


def test_a_dense_layer_of_another_shape_is_refused(tmp_path):
  write(
    tmp_path,
    modules("Pooling", "Dense"),
    **{
      "1_Pooling__config": MEAN,
      "2_Dense__config": {"out_features": 3, "activation_function": TANH},
    },
  )
  tensors = {"linear.weight": np.zeros((2, 4)), "linear.bias": np.zeros(2)}
  hf.save_params(tmp_path / "2_Dense" / "model.safetensors", tensors)
  found = sentence_transformers.read(tmp_path)
  with pytest.raises(
    WeightsError, match=r"linear.weight \[2, 4\].* ask for \[3, 4\]"
  ):
    sentence_transformers.load_dense(found, 4)


def test_prompts_are_chosen_as_there(tmp_path):
  """The first of the names of a text; the default is for neither."""
  path = tmp_path / "config_sentence_transformers.json"
  for prompts, default, found in (
    ({"document": "d", "passage": "p"}, None, {"passage": "d"}),
    ({"corpus": "c", "query": ""}, None, {"passage": "c"}),
    ({"all": "a", "query": "q"}, "all", {"query": "q"}),
    ({"query": "q"}, "query", {"query": "q"}),
    (None, "query", {}),
  ):
    said = {"prompts": prompts, "default_prompt_name": default}
    assert sentence_transformers.prompts_of(path, said) == found
  with pytest.raises(WeightsError, match=r"is 'al', and there is no such pro"):
    sentence_transformers.prompts_of(
      path, {**said, "default_prompt_name": "al"}
    )


@pytest.mark.parametrize(
  ("file", "content", "length"),
  [
    ("sentence_bert_config.json", {"max_seq_length": 7}, 7),
    ("sentence_roberta_config.json", {"max_seq_length": 8}, 8),
    ("tokenizer_config.json", {"model_max_length": 9}, 9),
    ("tokenizer_config.json", {"model_max_length": 1e30}, 0),
    ("sentence_bert_config.json", {"max_seq_length": None}, 0),
  ],
)
def test_a_length_is_found_in_old_files_and_new(
  tmp_path, file, content, length
):
  (tmp_path / file).write_text(json.dumps(content))
  assert sentence_transformers.max_length(tmp_path) == length


@pytest.mark.parametrize(
  ("file", "content"),
  [
    ("sentence_bert_config", {"max_seq_length": "64"}),
    ("sentence_bert_config", {"do_lower_case": "yes"}),
    ("config_sentence_transformers", {"prompts": ["q: "]}),
    ("config_sentence_transformers", {"prompts": {"query": 5}}),
    ("1_Pooling__config", {"pooling_mode": 5}),
    ("1_Pooling__config", {"pooling_mode": [["mean"]]}),
    ("2_Dense__config", {"out_features": True, "activation_function": TANH}),
  ],
)
def test_a_value_of_another_type_is_named(tmp_path, file, content):
  files = {
    "1_Pooling__config": MEAN,
    "2_Dense__config": {"out_features": 3, "activation_function": TANH},
  }
  kinds = modules("Pooling", "Dense")
  write(tmp_path, kinds, **(files | {file: content}))
  with pytest.raises(WeightsError, match=file.replace("__", "/")):
    sentence_transformers.read(tmp_path)
