"""The properties of the graph rule on a simulated device: `python -m tests.properties.graph_simulated BACKEND`, with
its simulator asked for in the environment, prints what failed, by property."""

import json
import sys
from functools import partial

import numpy as np

from optgen.backend.protocol import Interpreted
from optgen.backend.registry import backend
from tests.properties.graph import BY_INDEX, PROPERTIES, Engine, TorchStepper, hold

#: Couplings, and the properties that hold of each; those by flat index share them out.
COUPLINGS = {"transport": tuple(PROPERTIES), "overlap": BY_INDEX[::2], "pad": BY_INDEX[1::2]}

if __name__ == "__main__":
    device = backend(sys.argv[1])
    assert isinstance(device, Interpreted)
    np.seterr(all="ignore")
    device.interpret()
    found: dict[str, str] = {}
    for coupling, names in COUPLINGS.items():
        engine = Engine(partial(TorchStepper, device.name, coupling=coupling), 1, 1e-14, 1e-7)
        for name in names:
            try:
                hold(name, engine)
            except Exception as error:  # noqa: BLE001 (the test shows it)
                found[f"{name}, {coupling}"] = f"{type(error).__name__}: {error} {error.__cause__ or ''}"
    print(json.dumps(found))
