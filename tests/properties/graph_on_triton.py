"""The properties of the graph rule in triton's interpreter: run as a program, prints what failed, by property."""

import json
import os

os.environ["TRITON_INTERPRET"] = "1"

from functools import partial

import numpy as np

from optgen_triton.interpreted import patch_once
from tests.properties.graph import BY_INDEX, PROPERTIES, Engine, TorchStepper, hold

#: Couplings, and the properties that hold of each; those by flat index share them out.
COUPLINGS = {"transport": tuple(PROPERTIES), "overlap": BY_INDEX[::2], "pad": BY_INDEX[1::2]}

if __name__ == "__main__":
    np.seterr(all="ignore")
    patch_once()
    found: dict[str, str] = {}
    for coupling, names in COUPLINGS.items():
        engine = Engine(partial(TorchStepper, "triton", coupling=coupling), 1, 1e-14, 1e-7)
        for name in names:
            try:
                hold(name, engine)
            except Exception as error:  # noqa: BLE001 (the test shows it)
                found[f"{name}, {coupling}"] = f"{type(error).__name__}: {error} {error.__cause__ or ''}"
    print(json.dumps(found))
