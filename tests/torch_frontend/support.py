"""Two small rules with kernels written by hand, so that the torch side is tested apart from the compiler."""

from __future__ import annotations

import importlib.util
import sys
from itertools import count
from pathlib import Path
from types import ModuleType

from optgen.frontends.torch_class import torch_class
from optgen.runtime import modules
from optgen.runtime.rule_info import RuleInfo, Settled
from optgen.runtime.torch_optimizer import Optimizer
from optgen.spec.loader import loads

#: AdamW under another name.
WALKER = """
optgen: 1
name: walker
class: Walker
title: Adam with decoupled decay
hyper:
  lr: {default: 1.0e-3, domain: ">= 0"}
  beta1: {default: 0.9, domain: "[0, 1)"}
  beta2: {default: 0.999, domain: "[0, 1)"}
  eps: {default: 1.0e-8, domain: ">= 0"}
  weight_decay: {default: 1.0e-2, domain: ">= 0"}
state: {m: zeros_like(param), v: zeros_like(param)}
direction: |
  m = beta1*m + (1 - beta1)*g
  v = beta2*v + (1 - beta2)*g**2
  d = (m/(1 - beta1**t)) / (sqrt(v/(1 - beta2**t)) + eps)
update: param = param - lr*(d + weight_decay*param)
example: {lr: 0.1, weight_decay: 0.5, param: [1.0], g: [1.0], expect: {param: [0.85]}}
"""

WALKER_KERNELS = """
import math

from optgen.runtime.cpu import (
    ABSENT, ACTIVE, ADDRESS, HYPER, MEMBERS, MEMBER_COUNT, MODE, TENSORS, TENSOR_VALUE,
    {f}, {f}_stream, f8_table, i8_stream, i8_table, load_f4, segment, stage, store_f4,
)

MANIFEST = {{
    "abi": 1, "rule": "walker", "class": "Walker", "digest": "{digest}", "backend": "numba",
    "settled": {{"maximize": {maximize}}},
    "dtype": {{"compute": "{dtype}", "param": "{dtype}", "g": "{dtype}"}},
    "hypers": ["lr", "beta1", "beta2", "eps", "weight_decay"],
    "inputs": [],
    "slots": [
        {{"name": "param", "extent": "elem", "dtype": "{dtype}", "role": "param"}},
        {{"name": "g", "extent": "elem", "dtype": "{dtype}", "role": "gradient"}},
        {{"name": "m", "extent": "elem", "dtype": "{dtype}", "role": "state"}},
        {{"name": "v", "extent": "elem", "dtype": "{dtype}", "role": "state"}},
        {{"name": "step", "extent": "tensor", "dtype": "float32", "role": "counter"}},
    ],
    "values": {{"tensor": ["lr", "b1", "a1", "b2", "a2", "eps", "wd", "c1", "c2"], "layer": [], "model": [],
               "matrix": [], "row": [], "col": []}},
    "totals": [], "matrix": "trailing", "tiled": False, "graph": False, "stencil": False,
    "sweeps": 1, "barriers": ["none"], "select": None,
    "stages": [[["prepare", "tensor"]], [["count", "tensor"]]],
    "variants": [{{"name": "only", "when": "", "slots": ["m", "v"], "sweeps": [
        {{"function": "sweep", "streams": [["slot", 0, "rw"], ["slot", 1, "r"], ["slot", 2, "rw"], ["slot", 3, "rw"]],
         "totals": []}}]}}],
}}


@stage
def prepare(ctx, begin, end):
    n = ctx[TENSORS]
    members, mode = i8_stream(ctx[MEMBERS], ctx[MEMBER_COUNT]), i8_stream(ctx[MODE], n)
    hyper, value = f8_table(ctx[HYPER], n, 5), f8_table(ctx[TENSOR_VALUE], n, 9)
    address = i8_table(ctx[ADDRESS], n, 5)
    for k in range(begin, end):
        i = members[k]
        if mode[i] == ABSENT:
            continue
        t = load_f4(address[i, 4]) + 1.0
        value[i, 0] = hyper[i, 0]
        value[i, 1] = hyper[i, 1]
        value[i, 2] = 1 - hyper[i, 1]
        value[i, 3] = hyper[i, 2]
        value[i, 4] = 1 - hyper[i, 2]
        value[i, 5] = hyper[i, 3]
        value[i, 6] = hyper[i, 4]
        value[i, 7] = 1 - hyper[i, 1] ** t
        value[i, 8] = 1 - hyper[i, 2] ** t


@segment
def sweep(n, streams, scalars, totals):
    param, g = {f}_stream(streams[0], n), {f}_stream(streams[1], n)
    m, v = {f}_stream(streams[2], n), {f}_stream(streams[3], n)
    lr, b1, a1, b2 = {f}(scalars[0]), {f}(scalars[1]), {f}(scalars[2]), {f}(scalars[3])
    a2, eps, wd, c1, c2 = {f}(scalars[4]), {f}(scalars[5]), {f}(scalars[6]), {f}(scalars[7]), {f}(scalars[8])
    for i in range(n):
        x = {sign}g[i]
        m1 = b1 * m[i] + a1 * x
        v1 = b2 * v[i] + a2 * x * x
        d = (m1 / c1) / ({f}(math.sqrt(v1 / c2)) + eps)
        param[i] = param[i] - lr * (d + wd * param[i])
        m[i] = m1
        v[i] = v1


@stage
def count(ctx, begin, end):
    n = ctx[TENSORS]
    members, mode = i8_stream(ctx[MEMBERS], ctx[MEMBER_COUNT]), i8_stream(ctx[MODE], n)
    address = i8_table(ctx[ADDRESS], n, 5)
    for k in range(begin, end):
        if mode[members[k]] == ACTIVE:
            store_f4(address[members[k], 4], load_f4(address[members[k], 4]) + 1)


FUNCTIONS = {{"prepare": prepare, "sweep": sweep, "count": count}}
"""

#: Momentum that is settled away at 0, a requirement, a choice, a preset and a value per parameter.
ROLLER = """
optgen: 1
name: roller
class: Roller
title: Gradient descent with momentum
hyper:
  lr: {default: 1.0e-3, domain: ">= 0"}
  momentum: {default: 0.0, domain: "[0, 1)"}
  every: {default: 1, domain: "int >= 1"}
  heavy: {default: false}
require: ["not heavy or momentum > 0"]
presets: {fast: {lr: 0.5, momentum: 0.5}}
state: {m: zeros_like(param)}
direction: |
  d = g
  if momentum != 0:
      m = momentum*m + g
      d = where(heavy, 2*m, m)
update: param = param - lr*d/every
example: {lr: 0.5, param: [1.0], g: [1.0], expect: {param: [0.5]}}
"""

ROLLER_KERNELS = """
from optgen.runtime.cpu import (
    ABSENT, ACTIVE, ADDRESS, HYPER, MEMBERS, MEMBER_COUNT, MODE, TENSORS, TENSOR_VALUE,
    {f}, {f}_stream, f8_table, i8_stream, i8_table, load_f4, segment, stage, store_f4,
)

MANIFEST = {{
    "abi": 1, "rule": "roller", "class": "Roller", "digest": "{digest}", "backend": "numba",
    "settled": {settled},
    "dtype": {{"compute": "{dtype}", "param": "{dtype}", "g": "{dtype}"}},
    "hypers": ["lr", "momentum", "every", "heavy"],
    "inputs": [],
    "slots": [
        {{"name": "param", "extent": "elem", "dtype": "{dtype}", "role": "param"}},
        {{"name": "g", "extent": "elem", "dtype": "{dtype}", "role": "gradient"}},
        {state_slot}
        {{"name": "step", "extent": "tensor", "dtype": "float32", "role": "counter"}},
    ],
    "values": {{"tensor": ["rate", "momentum"], "layer": [], "model": [], "matrix": [], "row": [], "col": []}},
    "totals": [], "matrix": "trailing", "tiled": False, "graph": False, "stencil": False,
    "sweeps": 1, "barriers": ["none"], "select": None,
    "stages": [[["prepare", "tensor"]], [["count", "tensor"]]],
    "variants": [{{"name": "{variant}", "when": "", "slots": {states}, "sweeps": [
        {{"function": "sweep", "streams": {streams}, "totals": []}}]}}],
}}


@stage
def prepare(ctx, begin, end):
    n = ctx[TENSORS]
    members, mode = i8_stream(ctx[MEMBERS], ctx[MEMBER_COUNT]), i8_stream(ctx[MODE], n)
    hyper, value = f8_table(ctx[HYPER], n, 4), f8_table(ctx[TENSOR_VALUE], n, 2)
    for k in range(begin, end):
        i = members[k]
        if mode[i] != ABSENT:
            value[i, 0] = hyper[i, 0] / hyper[i, 2] * (1 + hyper[i, 3])
            value[i, 1] = hyper[i, 1]


@segment
def sweep(n, streams, scalars, totals):
    param, g = {f}_stream(streams[0], n), {f}_stream(streams[1], n)
    rate, momentum = {f}(scalars[0]), {f}(scalars[1])
    {state_stream}
    for i in range(n):
        x = {sign}g[i]
        {body}
        param[i] = param[i] - rate * x


@stage
def count(ctx, begin, end):
    n = ctx[TENSORS]
    members, mode = i8_stream(ctx[MEMBERS], ctx[MEMBER_COUNT]), i8_stream(ctx[MODE], n)
    address = i8_table(ctx[ADDRESS], n, {slots})
    for k in range(begin, end):
        if mode[members[k]] == ACTIVE:
            store_f4(address[members[k], {counter}], load_f4(address[members[k], {counter}]) + 1)


FUNCTIONS = {{"prepare": prepare, "sweep": sweep, "count": count}}
"""

_number = count()
_DTYPES = (("float32", "f4"), ("float64", "f8"))


def make_walker(folder: Path) -> type[Optimizer]:
    """The class of the first rule, with kernels for both dtypes and both signs beside it."""
    cls = _class(folder, WALKER)
    for dtype, f in _DTYPES:
        for maximize in (False, True):
            text = WALKER_KERNELS.format(
                digest=cls.RULE.digest, dtype=dtype, f=f, maximize=maximize, sign="-" if maximize else ""
            )
            _write(folder, cls.RULE, {"maximize": maximize}, dtype, text)
    return cls


def make_roller(folder: Path, per_parameter: str = "") -> type[Optimizer]:
    """The class of the second rule, with kernels with and without momentum beside it.

    With `per_parameter`, the hyper `every` can be given per parameter through the argument of that name.
    """
    cls = _class(folder, ROLLER, ("every", per_parameter) if per_parameter else None)
    for dtype, f in _DTYPES:
        for momentum in (False, True):
            settled: Settled = {"momentum != 0": momentum, "maximize": False}
            slot = {"name": "m", "extent": "elem", "dtype": dtype, "role": "state"}
            streams = [["slot", 0, "rw"], ["slot", 1, "r"], *([["slot", 2, "rw"]] if momentum else [])]
            text = ROLLER_KERNELS.format(
                digest=cls.RULE.digest,
                dtype=dtype,
                f=f,
                settled=settled,
                sign="",
                state_slot=f"{slot}," if momentum else "",
                variant="rolling" if momentum else "plain",
                states=["m"] if momentum else [],
                streams=streams,
                state_stream=f"m = {f}_stream(streams[2], n)" if momentum else "",
                body="x = momentum * m[i] + x; m[i] = x" if momentum else "",
                slots=4 if momentum else 3,
                counter=3 if momentum else 2,
            )
            _write(folder, cls.RULE, settled, dtype, text)
    return cls


def _class(folder: Path, text: str, per_parameter: tuple[str, str] | None = None) -> type[Optimizer]:
    spec = loads(text)
    if per_parameter is not None:
        name, argument = per_parameter
        names = {**spec.hypers[name].names, "per_parameter": argument}
        from dataclasses import replace

        spec = replace(spec, hypers={**spec.hypers, name: replace(spec.hypers[name], names=names)})
    return getattr(load(folder, torch_class(spec)), spec.class_name)


def load(folder: Path, text: str) -> ModuleType:
    """Imports generated text under a name of its own."""
    path = folder / "torch_side.py"
    path.write_text(text, encoding="utf-8")
    name = f"generated_for_test_{next(_number)}"
    found = importlib.util.spec_from_file_location(name, path)
    assert found is not None
    assert found.loader is not None
    module = importlib.util.module_from_spec(found)
    sys.modules[name] = module
    found.loader.exec_module(module)
    return module


def _write(folder: Path, rule: RuleInfo, settled: Settled, dtype: str, text: str) -> None:
    (folder / modules.file_name(rule, settled, dtype, "numba")).write_text(text, encoding="utf-8")
