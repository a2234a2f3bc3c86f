"""Generated text as a module, for compilers of kernels that need not run here."""

from __future__ import annotations

import hashlib
import importlib.util
import sys
import tempfile
from pathlib import Path
from types import ModuleType


def imported(source: str) -> ModuleType:
    """The module that a text is. It comes from a file: compilers look for a function's lines there on import."""
    name = f"optgen_offline_{hashlib.sha256(source.encode()).hexdigest()[:16]}"
    with tempfile.TemporaryDirectory(prefix="optgen-") as folder:
        path = Path(folder) / "kernels.py"
        path.write_text(source, encoding="utf-8")
        spec = importlib.util.spec_from_file_location(name, path)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        spec.loader.exec_module(module)
    return module
