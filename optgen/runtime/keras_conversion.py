"""Between Keras's own optimizers and ours: settings and state taken over, and given back.

A rule says how Keras names its state, and its class is called as Keras's is; nothing else is known of either. What one
side has and the other has not must be at its default, so that no option is lost on the way.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

from optgen.errors import StateError, UsageError
from optgen.runtime.keras_arrays import unrecorded
from optgen.runtime.keras_untyped import keras, ops

if TYPE_CHECKING:
    from optgen.runtime.keras_optimizer import Optimizer

_DECAY = "weight_decay"


def counterpart(cls: type[Optimizer]) -> type[Any]:
    """Keras's class of a rule. StateError where Keras has none, or keeps other state."""
    found = getattr(keras.optimizers, cls.RULE.class_name, None)
    if found is None:
        raise StateError(f"keras.optimizers has no {cls.RULE.class_name}: there is nothing to convert from or to")
    return found


def taken_over(cls: type[Optimizer], optimizer: Any, arguments: Mapping[str, Any]) -> Optimizer:
    """Ours, built on the same variables, in the middle of their training."""
    wanted = counterpart(cls)
    if not isinstance(optimizer, wanted) or not optimizer.built:
        what = "one that is not built" if isinstance(optimizer, wanted) else f"a {type(optimizer).__name__}"
        raise StateError(f"{cls.__name__} continues a built keras.optimizers.{wanted.__name__}, not {what}")
    config, takes = dict(optimizer.get_config()), cast(Any, cls)().get_config()
    for name in arguments:
        if name in config:
            raise UsageError(f"{name} comes with the optimizer; change it there")
    config = _decay(config, wanted)
    kept = _options(config, takes, wanted().get_config(), f"keras.optimizers.{wanted.__name__}", cls.__name__)
    made = cls.from_config({**kept, **arguments})
    _exempt(made, optimizer)
    made.build(optimizer._trainable_variables)
    _copy(made, optimizer, forth=True)
    return made


def given_back(ours: Optimizer) -> Any:
    """Keras's own, built on the same variables."""
    cls = counterpart(type(ours))
    if not ours.built:
        raise StateError(f"{type(ours).__name__} is not built: there is nothing to give back")
    config, takes = {k: v for k, v in ours.get_config().items() if k != "backend"}, cls().get_config()
    fresh = ours.from_config({}).get_config()
    config = _decay(config, cls)
    kept = _options(config, takes, fresh, type(ours).__name__, f"keras.optimizers.{cls.__name__}")
    made = cls.from_config(kept)
    _exempt(made, ours)
    made.build(ours._trainable_variables)
    _copy(ours, made, forth=False)
    return made


def _decay(config: dict[str, Any], theirs: type[Any]) -> dict[str, Any]:
    """Settings without a decay of 0. Keras's decay is decoupled; only a class of Keras's that has one by default is
    sure to mean the same as the rule of its name."""
    if not config.get(_DECAY):
        return {name: value for name, value in config.items() if name != _DECAY}
    if theirs().get_config().get(_DECAY) is None:
        raise StateError(
            f"weight_decay of keras.optimizers.{theirs.__name__} is decoupled, that of the rule need not be: "
            "set it to 0 to convert"
        )
    return config


def _exempt(made: Any, optimizer: Any) -> None:
    """The same exclusions from weight decay."""
    for name in ("_exclude_from_weight_decay", "_exclude_from_weight_decay_pattern"):
        if hasattr(optimizer, name):
            setattr(made, name, getattr(optimizer, name))


def _options(
    config: Mapping[str, Any], takes: Mapping[str, Any], default: Mapping[str, Any], own: str, other: str
) -> dict[str, Any]:
    """The options that the other side takes; StateError for one that it has not and that is set."""
    for name, value in config.items():
        if name not in takes and value != default.get(name):
            raise StateError(f"{own} has {name}={value!r}, which {other} has not")
    return {name: value for name, value in config.items() if name in takes and name != "name"}


def _copy(ours: Optimizer, theirs: Any, *, forth: bool) -> None:
    """Copies state, averages, accumulators and counts; all of it is found before any is written."""
    layout = ours.layout()
    pairs: list[tuple[Any, Any]] = [(ours._iterations, theirs._iterations)]
    if isinstance(getattr(theirs, "_learning_rate", None), keras.Variable):
        pairs.append((ours._learning_rate, theirs._learning_rate))
    for group in ("_model_variables_moving_average", "_accumulated_gradients"):
        pairs += [p for p in zip(getattr(ours, group, []), getattr(theirs, group, []), strict=True) if None not in p]
    names = {name for slots in layout.slots for name in slots}
    if unknown := names - ours.STATE.keys():
        raise StateError(f"Keras's {type(ours).__name__} keeps no {', '.join(sorted(unknown))}")
    for name in sorted(names):
        mine = [slots[name] for slots in layout.slots if name in slots]
        yours = [v for v in theirs.variables if v.name.endswith(f"_{ours.STATE[name]}")]
        _check_shapes(mine, yours, ours.STATE[name])
        pairs += zip(mine, yours, strict=True)
    with unrecorded():
        for mine, yours in pairs:
            target, source = (mine, yours) if forth else (yours, mine)
            target.assign(ops.cast(ops.convert_to_tensor(source), target.dtype))
        if forth and layout.updates is not None:
            count = ops.cast(ops.convert_to_tensor(theirs.iterations), layout.updates.dtype)
            layout.updates.assign(ops.broadcast_to(count, layout.updates.shape))


def _check_shapes(mine: Sequence[Any], yours: Sequence[Any], name: str) -> None:
    shapes = [[tuple(v.shape) for v in side] for side in (mine, yours)]
    if shapes[0] != shapes[1]:
        raise StateError(f"Keras's {name} has the shapes {shapes[1]}, ours {shapes[0]}: they are not the same state")
