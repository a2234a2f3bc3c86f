"""Rules written from their papers for one tensor at a time; nothing of optgen.

Each takes a parameter, its gradient, the memory of this parameter (empty at first, `t` counts the updates) and the
hyper-parameters, and gives the new parameter.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

Array = np.ndarray
Memory = dict[str, Any]
Hypers = dict[str, Any]


def lion(param: Array, g: Array, memory: Memory, h: Hypers) -> Array:
    m = memory.get("m", 0.0)
    memory["m"] = h["beta2"] * m + (1 - h["beta2"]) * g
    direction = np.sign(h["beta1"] * m + (1 - h["beta1"]) * g)
    return param - h["lr"] * (direction + h["weight_decay"] * param)


def lamb(param: Array, g: Array, memory: Memory, h: Hypers) -> Array:
    m, v = _moments(memory, g, h)
    u = m / (1 - h["beta1"] ** memory["t"]) / (np.sqrt(v / (1 - h["beta2"] ** memory["t"])) + h["eps"])
    u = u + h["weight_decay"] * param
    size, length = np.linalg.norm(param), np.linalg.norm(u)
    trust = min(size, h["max_norm"]) / length if size > 0 and length > 0 else 1.0
    return param - h["lr"] * trust * u


def signum(param: Array, g: Array, memory: Memory, h: Hypers) -> Array:
    memory["m"] = h["momentum"] * memory.get("m", 0.0) + (1 - h["momentum"]) * g
    return param * (1 - h["lr"] * h["weight_decay"]) - h["lr"] * np.sign(memory["m"])


def adabelief(param: Array, g: Array, memory: Memory, h: Hypers) -> Array:
    memory["m"] = h["beta1"] * memory.get("m", 0.0) + (1 - h["beta1"]) * g
    surprise = (g - memory["m"]) ** 2
    memory["s"] = h["beta2"] * memory.get("s", 0.0) + (1 - h["beta2"]) * surprise + h["eps"]
    root = np.sqrt(memory["s"] / (1 - h["beta2"] ** memory["t"]))
    step = memory["m"] / (1 - h["beta1"] ** memory["t"]) / (root + h["eps"])
    return param * (1 - h["lr"] * h["weight_decay"]) - h["lr"] * step


def novograd(param: Array, g: Array, memory: Memory, h: Hypers) -> Array:
    length = np.linalg.norm(g) ** 2
    first = memory["t"] == 1
    memory["v"] = length if first else h["beta2"] * memory["v"] + (1 - h["beta2"]) * length
    new = g / (math.sqrt(memory["v"]) + h["eps"]) + h["weight_decay"] * param
    share = 1 - h["beta1"] if h["grad_averaging"] else 1
    memory["m"] = new if first else h["beta1"] * memory["m"] + share * new
    return param - h["lr"] * memory["m"]


def adan(param: Array, g: Array, memory: Memory, h: Hypers) -> Array:
    difference = g - memory.get("before", g)
    memory["before"] = g
    ahead = g + h["beta2"] * difference
    for name, decay, x in (("m", "beta1", g), ("u", "beta2", difference), ("n", "beta3", ahead**2)):
        memory[name] = h[decay] * memory.get(name, 0.0) + (1 - h[decay]) * x
    m, u, n = (memory[k] / (1 - h[b] ** memory["t"]) for k, b in (("m", "beta1"), ("u", "beta2"), ("n", "beta3")))
    step = h["lr"] * (m + h["beta2"] * u) / (np.sqrt(n) + h["eps"])
    decay = h["lr"] * h["weight_decay"]
    return (1 - decay) * param - step if h["no_prox"] else (param - step) / (1 + decay)


def ademamix(param: Array, g: Array, memory: Memory, h: Hypers) -> Array:
    t, alpha, beta3 = memory["t"], h["alpha"], h["beta3"]
    if t < h["alpha_warmup"]:
        alpha = t / h["alpha_warmup"] * alpha
    if t < h["beta3_warmup"]:
        begin, end = (math.log(0.5) / math.log(b + 1e-8) - 1 for b in (h["beta1"], h["beta3"]))
        done = t / h["beta3_warmup"]
        beta3 = 0.5 ** (1 / ((1 - done) * begin + done * end + 1))
    fast, v = _moments(memory, g, h)
    memory["slow"] = beta3 * memory.get("slow", 0.0) + (1 - beta3) * g
    root = np.sqrt(v) / math.sqrt(1 - h["beta2"] ** t) + h["eps"]
    step = (fast / (1 - h["beta1"] ** t) + alpha * memory["slow"]) / root
    return param - h["lr"] * (step + h["weight_decay"] * param)


def laprop(param: Array, g: Array, memory: Memory, h: Hypers) -> Array:
    memory["v"] = h["beta2"] * memory.get("v", 0.0) + (1 - h["beta2"]) * g * g
    normal = g / (np.sqrt(memory["v"] / (1 - h["beta2"] ** memory["t"])) + h["eps"])
    memory["m"] = h["beta1"] * memory.get("m", 0.0) + (1 - h["beta1"]) * normal
    return param * (1 - h["lr"] * h["weight_decay"]) - h["lr"] * memory["m"] / (1 - h["beta1"] ** memory["t"])


def adopt(param: Array, g: Array, memory: Memory, h: Hypers) -> Array:
    if memory["t"] == 1:
        memory["v"] = g * g
        return param
    bound = (memory["t"] - 1) ** 0.25
    normal = np.clip(g / np.maximum(np.sqrt(memory["v"]), h["eps"]), -bound, bound)
    memory["m"] = h["beta1"] * memory.get("m", 0.0) + (1 - h["beta1"]) * normal
    memory["v"] = h["beta2"] * memory["v"] + (1 - h["beta2"]) * g * g
    return param * (1 - h["lr"] * h["weight_decay"]) - h["lr"] * memory["m"]


def _moments(memory: Memory, g: Array, h: Hypers) -> tuple[Array, Array]:
    memory["m"] = h["beta1"] * memory.get("m", 0.0) + (1 - h["beta1"]) * g
    memory["v"] = h["beta2"] * memory.get("v", 0.0) + (1 - h["beta2"]) * g * g
    return memory["m"], memory["v"]
