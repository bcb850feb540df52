"""A loss whose terms all have weight 0 is refused where it is set."""

import pytest

from prod_jax import strict
from prod_jax.methods import adam, lead, prod, ranking

# Of each method the settings that it needs besides, and its weights.
METHODS = [
  (prod, dict(in_batch=False, temperature=1.0), ("hard", "soft", "lwf")),
  (adam, {}, ("hard", "soft", "dark")),
  (lead, dict(in_batch=True), ("student", "teacher", "response", "layer")),
  (ranking, {}, ("hard", "soft")),
]


@pytest.mark.parametrize(("method", "needed", "weights"), METHODS)
def test_one_term_has_a_weight(method, needed, weights):
  nothing = needed | dict.fromkeys(weights, 0.0)
  with pytest.raises(strict.ConfigError) as error:
    strict.section(method.Settings, nothing, "config.stages.s.settings")
  said = str(error.value)
  assert said.startswith(f"config.stages.s.settings.{weights[0]} is 0, ")
  assert all(weight in said for weight in weights)
  for weight in weights:
    settings = strict.section(method.Settings, nothing | {weight: 0.5}, "x")
    assert getattr(settings, weight) == 0.5
