"""Keras as a checker of types should see it: its annotations are few, and wrong where they are guessed."""

from __future__ import annotations

import importlib
from typing import Any, Final

keras: Final[Any] = importlib.import_module("keras")
ops: Final[Any] = keras.ops
backend: Final[Any] = keras.backend
