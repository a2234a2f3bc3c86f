"""Runs all checks of Keras optimizers, or those named, under one backend; prints a line per check."""

from __future__ import annotations

import sys
import time
import traceback

from tests.keras_frontend import checks, distributed, kernels, matrices, published, weights


def main() -> None:
    """All checks of the modules, in order."""
    failed = 0
    found = {
        name: check
        for part in (checks, published, matrices, weights, kernels, distributed)
        for name, check in vars(part).items()
    }
    for name, check in found.items():
        if not name.startswith("check_") or (sys.argv[1:] and name not in sys.argv[1:]):
            continue
        begun = time.process_time()
        try:
            check()
        except Exception:  # noqa: BLE001  # all are told
            failed += 1
            print(f"FAILED {name}\n{traceback.format_exc()}", flush=True)
        else:
            print(f"ok {name} {time.process_time() - begun:.1f} s", flush=True)
    sys.exit(bool(failed))


if __name__ == "__main__":
    main()
