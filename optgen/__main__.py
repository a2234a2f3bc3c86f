"""``python -m optgen`` is the command line."""

from __future__ import annotations

from optgen.cli import main

if __name__ == "__main__":
    main()
