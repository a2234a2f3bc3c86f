"""The properties of the graph rule in triton's interpreter: run as a program, prints what failed, by property."""

import json
import os

os.environ["TRITON_INTERPRET"] = "1"

from functools import partial

import numpy as np

from optgen_triton.interpreted import patch_once
from tests.properties.graph import PROPERTIES, Engine, TorchStepper, hold

if __name__ == "__main__":
    np.seterr(all="ignore")
    patch_once()
    engine = Engine(partial(TorchStepper, "triton"), 1, 1e-14, 1e-7)
    found: dict[str, str] = {}
    for name in PROPERTIES:
        try:
            hold(name, engine)
            found[name] = ""
        except Exception as error:  # noqa: BLE001 (the test shows it)
            found[name] = f"{type(error).__name__}: {error} {error.__cause__ or ''}"
    print(json.dumps(found))
