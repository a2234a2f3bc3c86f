"""State as JAX keeps it, in a safetensors file: the leaves of the state's tree, by their paths.

`count`, `slots/STATE/PARAMETER` and `updates/PARAMETER`, as `safetensors.flax.load_file` gives them; entries of a short
vector are states of their own (`w[0]`). The description is that of a neutral file.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, cast

import numpy as np

from optgen.runtime.neutral_state import Array, NeutralState, SlotInfo
from optgen.runtime.storage import NARROW

#: What the description of such a file says of its form.
FORM = "jax"


def arrays_of(state: NeutralState) -> tuple[NeutralState, dict[str, Array]]:
    """The state with names joined by `/`, and its leaves: no state is kept in less than float32."""
    named = state.renamed(lambda name: name.replace(".", "/"))
    arrays: dict[str, Array] = {"count": np.asarray(state.global_step, np.int32)}
    for p in named.parameters:
        arrays[f"updates/{p.name}"] = np.asarray(p.updates, np.int32)
        for name, x in apart(state.slots, p.state).items():
            arrays[f"slots/{name}/{p.name}"] = x.astype(np.float32) if str(x.dtype) in NARROW else x
    return replace(named, framework=FORM), arrays


def by_state(about: Mapping[str, Any], arrays: Mapping[str, Array]) -> dict[str, Array]:
    """The leaves as a neutral file has them: by `STATE:PARAMETER`."""
    slots = {name: SlotInfo(**info) for name, info in about["slots"].items()}
    found: dict[str, Array] = {}
    for p in cast("list[dict[str, Any]]", about["parameters"]):
        end = f"/{p['name']}"
        leaves = {key[6 : -len(end)]: x for key, x in arrays.items() if key.startswith("slots/") and key.endswith(end)}
        kept = {name: x for name, x in leaves.items() if name.partition("[")[0] in p["state"]}
        found |= {f"{name}:{p['name']}": x for name, x in joined(slots, kept).items()}
    return found


def joined(slots: Mapping[str, SlotInfo], kept: Mapping[str, Array]) -> dict[str, Array]:
    """State by the rule's names: entries of a short vector in one array."""
    found: dict[str, Array] = {}
    for name, info in slots.items():
        if not info.vector:
            found |= {name: kept[name]} if name in kept else {}
        elif f"{name}[0]" in kept:
            count = sum(1 for key in kept if key.startswith(f"{name}["))
            found[name] = np.stack([kept[f"{name}[{entry}]"] for entry in range(count)])
    return found


def apart(slots: Mapping[str, SlotInfo], kept: Mapping[str, Array]) -> dict[str, Array]:
    """The inverse: entries of a short vector by names of their own."""
    found: dict[str, Array] = {}
    for name, x in kept.items():
        found |= {f"{name}[{i}]": entry for i, entry in enumerate(x)} if slots[name].vector else {name: x}
    return found
