"""Where in a function the first value that is not finite arises.

The function is traced, and what each of its operations makes is looked at. Of a
value with NaN or infinity it is noted which inputs of its operation that came
from. So a result is followed back to the operation that made it of finite
numbers, or to an argument that was not finite itself. What a mask takes out is
followed nowhere.

All that is made on the way is kept, which takes more memory than the function.
"""

import dataclasses
import os
import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend import core

PyTree = Any

# Operations that are made of others, and the parameter that holds these.
_INNER = {
  **dict.fromkeys(("jit", "remat2", "checkpoint"), "jaxpr"),
  **dict.fromkeys(("closed_call", "custom_jvp_call"), "call_jaxpr"),
  "custom_vjp_call": "call_jaxpr",
}
# Operations that give an argument in another form.
_FORMS = {
  *("convert_element_type", "reshape", "transpose", "broadcast_in_dim"),
  "sharding_constraint",
}
_AROUND = re.compile(r"(?:transpose|jvp|vmap)\(([^()]*)\)")
_UNTOLD = ("rematted_computation", "checkpoint")
_LAYER = re.compile(r"layer_\d+")
_PACKAGE = f"{os.sep}prod_jax{os.sep}"


@dataclasses.dataclass(frozen=True, eq=False)
class Made:
  """A value that is not finite throughout, and how it was made.

  Attributes:
    number: in their order.
    kind: "operation"; "argument", which came in so; or "constant", a number of
      the program, such as what begins a maximum.
    what: name of the operation or the argument.
    bad: bool, where the value is not finite.
    has_nan: some of it is NaN.
    dtype: of the value.
    where: the part of a model that made it, as a path; "" for none.
    backward: on the way back, of a gradient.
    lines: of this package that it is from, "file:line function", the innermost
      first.
    of: the inputs that were not finite and had a say.
  """

  number: int
  kind: str
  what: str
  bad: np.ndarray
  has_nan: bool
  dtype: str
  where: str = ""
  backward: bool = False
  lines: tuple[str, ...] = ()
  of: "tuple[Made, ...]" = ()


class Found(NamedTuple):
  """What looking has come to.

  Attributes:
    bad_outputs: names of the outputs that are not finite.
    first: the value that the others follow from; None where all are finite.
    behind: all values on the way from there to an output, in their order.
  """

  bad_outputs: Sequence[str]
  first: Made | None
  behind: Sequence[Made]


class _Value(NamedTuple):
  """An array, its name where it is an argument, and what is wrong with it."""

  array: Any
  name: str = ""
  made: Made | None = None


class _Place(NamedTuple):
  """Where operations stand.

  Attributes:
    scope: names of the modules that they are in.
    lines: of the source that led there, the innermost first.
    module: what the parameters there have in common, as a path.
    backward: as of `Made`.
  """

  scope: tuple[str, ...] = ()
  lines: tuple[str, ...] = ()
  module: str = ""
  backward: bool = False

  def within(self, eqn: Any, inputs: Sequence[_Value], *more: str) -> "_Place":
    """The place of an operation here, or of those that it is made of."""
    name = str(eqn.source_info.name_stack)
    bare = _without_transforms(name)
    scope = (part for part in bare.split("/") if part and part not in _UNTOLD)
    own = [value.name for value in inputs if value.name]
    return _Place(
      (*self.scope, *scope, *more),
      (*_lines(eqn), *self.lines),
      os.path.commonpath(own) if own else self.module,
      self.backward or "transpose(" in name,
    )

  @property
  def where(self) -> str:
    """As of `Made`."""
    scope = list(self.scope)
    layers = [i for i, name in enumerate(scope) if _LAYER.fullmatch(name)]
    if _LAYER.search(self.module) and layers:
      # One layer is traced for all, so that its name in the trace is another's.
      scope = scope[layers[-1] + 1 :]
      inner = self.module.split("/")
      at = max(i for i, name in enumerate(inner) if _LAYER.fullmatch(name))
      return "/".join([*inner[: at + 1], *scope])
    of = f" of {self.module}" if "/" in self.module else ""
    return "/".join(scope) + of


_NOWHERE = _Place()


def find(function: Callable[..., PyTree], **arguments: PyTree) -> Found:
  """Calls a function with arrays by name, operation by operation."""
  closed, shape = jax.make_jaxpr(
    lambda arguments: function(**arguments), return_shape=True
  )(arguments)
  walk = _Walk()
  given = [
    walk.argument(leaf, name)
    for name, leaf in zip(
      _names(arguments), jax.tree.leaves(arguments), strict=True
    )
  ]
  out = walk.run(closed.jaxpr, closed.consts, given, _NOWHERE)
  bad = [
    (name, value.made)
    for name, value in zip(_names(shape), out, strict=True)
    if value.made
  ]
  behind = _behind(made for _, made in bad)
  return Found([name for name, _ in bad], _first(behind), behind)


class _Walk:
  """Goes from operation to operation, and counts what is not finite."""

  def __init__(self) -> None:
    self._count = 0
    self._compiled: dict[core.Jaxpr, Callable[..., Any]] = {}

  def argument(self, array: Any, name: str) -> _Value:
    """An argument of the function."""
    return _Value(array, name, self._made(array, "argument", name))

  def run(
    self,
    program: core.Jaxpr,
    consts: Sequence[Any],
    given: Sequence[_Value],
    place: _Place,
  ) -> list[_Value]:
    """The outputs of a program."""
    values = dict(zip(program.invars, given, strict=True))
    values |= zip(program.constvars, map(self._constant, consts), strict=True)
    every = self._every(program)
    arrays, finite = every(consts, [value.array for value in given])

    def read(atom: Any) -> _Value:
      if isinstance(atom, core.Literal):
        return self._constant(atom.val)
      return values[atom]

    done = zip(program.eqns, arrays, np.asarray(finite).tolist(), strict=True)
    for eqn, made, sound in done:
      inputs = [*map(read, eqn.invars)]
      if sound:
        name = inputs[0].name if eqn.primitive.name in _FORMS else ""
        out: Sequence[_Value] = [_Value(array, name) for array in made]
      else:
        out = self._followed(eqn, inputs, made, place)
      values |= zip(eqn.outvars, out, strict=True)
    return [*map(read, program.outvars)]

  def _every(self, program: core.Jaxpr) -> Callable[..., Any]:
    """(constants, inputs) to what each operation of a program makes, compiled.

    And which of the operations have made finite numbers only.
    """
    # One program for all is compiled far sooner than one for each of them.
    if program not in self._compiled:
      outvars = [var for eqn in program.eqns for var in eqn.outvars]
      whole = core.jaxpr_as_fun(
        core.ClosedJaxpr(_returning(program, outvars), [])
      )

      def every(consts: Sequence[Any], given: Sequence[Any]) -> Any:
        left = iter(whole(*consts, *given))
        made = [[next(left) for _ in eqn.outvars] for eqn in program.eqns]
        finite = [
          jnp.array(
            [jnp.isfinite(x).all() for x in out if _has_floats(x)], bool
          ).all()
          for out in made
        ]
        return made, finite

      self._compiled[program] = jax.jit(every)
    return self._compiled[program]

  def _followed(
    self,
    eqn: Any,
    inputs: Sequence[_Value],
    arrays: Sequence[Any],
    place: _Place,
  ) -> Sequence[_Value]:
    """The outputs of an operation that has made something not finite."""
    name, params = eqn.primitive.name, eqn.params
    place = place.within(eqn, inputs)
    if name in _INNER:
      inner = params[_INNER[name]]
      program = getattr(inner, "jaxpr", inner)
      return self.run(program, getattr(inner, "consts", ()), inputs, place)
    if name == "cond":
      index, *rest = inputs
      branch = params["branches"][int(index.array)]
      return self.run(branch.jaxpr, branch.consts, rest, place)
    if name == "scan":
      return self._scan(params, inputs, place)
    of = tuple(_had_a_say(name, inputs))
    constant = name in _FORMS and all(made.kind == "constant" for made in of)
    told = ("constant" if of and constant else "operation", name)
    return [_Value(x, "", self._made(x, *told, place, of)) for x in arrays]

  def _scan(
    self, params: Any, inputs: Sequence[_Value], place: _Place
  ) -> Sequence[_Value]:
    """The outputs of a loop, turn by turn."""
    if "ft_in" in params:  # from JAX 0.12 on
      consts, carries, _ = map(len, params["ft_in"].unpack())
    else:
      consts, carries = params["num_consts"], params["num_carry"]
    inner, start = params["jaxpr"], consts + carries
    carry, stacked = list(inputs[consts:start]), []
    turns = range(params["length"])
    for turn in reversed(turns) if params["reverse"] else turns:
      rows = [self._one(value, turn, place) for value in inputs[start:]]
      given = [*inputs[:consts], *carry, *rows]
      of_turn = place._replace(scope=(*place.scope, f"turn_{turn}"))
      out = self.run(inner.jaxpr, inner.consts, given, of_turn)
      carry, rows = out[: len(carry)], out[len(carry) :]
      stacked.append(rows)
    if params["reverse"]:
      stacked.reverse()
    return [*carry, *(self._all(x, place) for x in zip(*stacked, strict=True))]

  def _one(self, value: _Value, turn: int, place: _Place) -> _Value:
    """What a turn of a loop gets of a value."""
    array, of = value.array[turn], (value.made,) if value.made else ()
    made = self._made(array, "operation", "slice", place, of)
    return _Value(array, value.name, made)

  def _all(self, turns: Sequence[_Value], place: _Place) -> _Value:
    """What the turns of a loop have made, as one value."""
    array = jnp.stack([value.array for value in turns])
    of = tuple(value.made for value in turns if value.made)
    return _Value(array, "", self._made(array, "operation", "stack", place, of))

  def _constant(self, array: Any) -> _Value:
    return _Value(array, "", self._made(array, "constant", "constant"))

  def _made(
    self,
    array: Any,
    kind: str,
    what: str,
    place: _Place = _NOWHERE,
    of: tuple[Made, ...] = (),
  ) -> Made | None:
    if not _has_floats(array):
      return None
    wide = np.asarray(array, np.float32)
    if np.isfinite(wide).all():
      return None
    self._count += 1
    return Made(
      number=self._count,
      kind=kind,
      what=what,
      bad=np.asarray(~np.isfinite(wide)),
      has_nan=bool(np.isnan(wide).any()),
      dtype=str(jnp.asarray(array).dtype),
      where=place.where,
      backward=place.backward,
      lines=place.lines,
      of=of,
    )


def _returning(program: core.Jaxpr, outvars: Sequence[Any]) -> core.Jaxpr:
  """A program that returns these of its variables; constants go in first."""
  return core.Jaxpr(
    [],
    [*program.constvars, *program.invars],
    outvars,
    program.eqns,
    program.effects,
    debug_info=core.DebugInfo(__name__, "every", None, None),
  )


def _had_a_say(name: str, inputs: Sequence[_Value]) -> Iterable[Made]:
  """What of an operation's inputs was not finite, and not taken out by it."""
  bad = [value for value in inputs if value.made]
  if name == "select_n":
    which, *cases = inputs
    chosen = [np.asarray(which.array) == i for i in range(len(cases))]
    bad = [
      value
      for at, value in zip(chosen, cases, strict=True)
      if value.made and (value.made.bad & at).any()
    ]
  return (value.made for value in bad if value.made)


def _has_floats(array: Any) -> bool:
  return bool(jnp.issubdtype(jnp.result_type(array), jnp.inexact))


def _behind(ends: Iterable[Made]) -> Sequence[Made]:
  """All that some values follow from, and these, in their order."""
  found: dict[int, Made] = {}
  left = list(ends)
  while left:
    made = left.pop()
    if made.number not in found:
      found[made.number] = made
      left.extend(made.of)
  return [found[number] for number in sorted(found)]


def _first(behind: Sequence[Made]) -> Made | None:
  """The first that came from nothing that was not finite.

  Where all begins with infinite constants of the program, which are meant to be
  there, it is the first NaN.
  """
  roots = [made for made in behind if not made.of and made.kind != "constant"]
  of_constants = [
    made
    for made in behind
    if made.has_nan and not any(x.has_nan for x in made.of)
  ]
  others = [made for made in behind if made.kind != "constant"]
  return next(iter([*roots, *of_constants, *others, *behind]), None)


def _names(tree: PyTree) -> list[str]:
  """The path of each leaf."""
  return [
    jax.tree_util.keystr(path, simple=True, separator="/")
    for path, _ in jax.tree.leaves_with_path(tree)
  ]


def _without_transforms(name: str) -> str:
  """The name of a place without what JAX has made of the function there."""
  while (bare := _AROUND.sub(r"\1", name)) != name:
    name = bare
  return name


def _lines(eqn: Any) -> tuple[str, ...]:
  """The lines of this package that an operation is from."""
  traceback = eqn.source_info.traceback
  found = []
  for frame in traceback.frames if traceback else ():
    _, within, file = frame.file_name.rpartition(_PACKAGE)
    if within and file != "train/nonfinite.py":
      found.append(f"{file}:{frame.line_num} {frame.function_name}")
  return tuple(found)
