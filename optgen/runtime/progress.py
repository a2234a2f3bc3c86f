"""What a step stores, and when: from the manifest, so that a step that was cut can say what it left behind."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from optgen.runtime.kernel_module import Manifest, Sweep, Variant


def through_interrupts(finish: Callable[[], None]) -> None:
    """Does what an interrupt must not leave half done, and may be begun again: whoever presses on is heard after it."""
    while True:
        try:
            return finish()
        except KeyboardInterrupt:
            continue


def stores(manifest: Manifest, variant: Variant) -> list[tuple[str, ...]]:
    """Names of the slots stored up to the first sweep, then by each sweep and the stages after it."""
    found = [list(names) for names in _stored_by_stages(manifest, variant)]
    for number, sweep in enumerate(variant["sweeps"], 1):
        if sweep is not None:
            alone = sweep.get("alone", sweep)
            found[number] += [*_written(manifest, sweep), *(_written(manifest, alone) if alone is not None else ())]
    order = [slot["name"] for slot in manifest["slots"]]
    return [tuple(sorted(set(names), key=order.index)) for names in found]


def reading_sweeps(manifests: Sequence[Manifest]) -> int:
    """How many sweeps are complete before anything is stored; -1 where something is stored before the first."""
    phases = zip(
        *(stores(manifest, variant) for manifest in manifests for variant in manifest["variants"]), strict=True
    )
    return next((sweep for sweep, names in enumerate(phases) if any(names)), manifests[0]["sweeps"] + 1) - 1


def _stored_by_stages(manifest: Manifest, variant: Variant) -> Sequence[Sequence[str]]:
    """As the manifest says; where it does not, any coarse slot may be stored by any stage."""
    given = variant.get("stored")
    if given is not None:
        return given
    coarse = [s["name"] for s in manifest["slots"] if s["role"] in ("state", "counter") and s["extent"] != "elem"]
    return [coarse if stages else [] for stages in manifest["stages"]]


def _written(manifest: Manifest, sweep: Sweep) -> list[str]:
    written = [stream for stream in sweep["streams"] if stream[0] == "slot" and "w" in str(stream[2])]
    slots = [manifest["slots"][int(stream[1])] for stream in written]
    return [slot["name"] for slot in slots if slot["role"] != "scratch"]  # of which nothing outlives the step
