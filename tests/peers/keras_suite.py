"""Runs the tests of Keras's own optimizers on ours; prints a line for each that fails, and how many ran."""

from __future__ import annotations

import importlib
import unittest
import warnings
from types import SimpleNamespace

import keras

import optgen.keras

NAMES = ("Adadelta", "Adafactor", "Adagrad", "Adam", "Adamax", "AdamW", "Lamb", "Lion", "Nadam", "RMSprop", "SGD")


def ours(name: str) -> type | None:
    """Our class of one of Keras's, whatever case its name is in."""
    found = {known.lower(): known for known in dir(optgen.keras)}.get(name.lower())
    return None if found is None else getattr(optgen.keras, found)


def main() -> None:
    """All suites that test a class which we have too, and the one of what all optimizers share."""
    suite = unittest.TestSuite()
    for name in NAMES:
        module = importlib.import_module(f"keras.src.optimizers.{name.lower()}_test")
        if ours(name) is not None:
            setattr(module, name, ours(name))
            suite.addTests(unittest.defaultTestLoader.loadTestsFromModule(module))
    shared = importlib.import_module("keras.src.optimizers.optimizer_test")
    replaced = {name: ours(name) for name in NAMES if ours(name) is not None}
    shared.optimizers = SimpleNamespace(**{**vars(keras.optimizers), **replaced})
    suite.addTests(unittest.defaultTestLoader.loadTestsFromModule(shared))
    result = unittest.TestResult()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        suite.run(result)
    for test, trace in (*result.failures, *result.errors):
        print("FAILED", ".".join(test.id().split(".")[-2:]), trace.strip().splitlines()[-1][:160])
    print("ran", result.testsRun)


if __name__ == "__main__":
    main()
