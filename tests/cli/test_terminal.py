"""What `optgen explain` prints on a terminal, and that a pipe gets the same words without colour."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
COLOUR = re.compile(r"\x1b\[[0-9;]*m")


def printed(*arguments: str, terminal: bool) -> str:
    """Output of the command line, which takes its end for a terminal or for a pipe."""
    command = [sys.executable, "-m", "optgen", *arguments]
    environment = {k: v for k, v in os.environ.items() if k not in ("NO_COLOR", "FORCE_COLOR")}
    environment |= {"TERM": "xterm-256color", "COLUMNS": "160"}
    if not terminal:
        return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True).stdout
    import pty

    ours, theirs = pty.openpty()
    with subprocess.Popen(command, cwd=ROOT, env=environment, stdout=theirs, stderr=theirs, stdin=theirs) as process:
        os.close(theirs)
        parts: list[bytes] = []
        while True:
            try:
                part = os.read(ours, 65536)
            except OSError:  # how Linux says that the other end is closed
                break
            if not part:
                break
            parts.append(part)
        os.close(ours)
        assert process.wait() == 0
    return b"".join(parts).decode()


@pytest.mark.skipif(sys.platform == "win32", reason="there are no pseudo-terminals")
def test_a_terminal_gets_colour_and_tables_and_a_pipe_the_same_words() -> None:
    shown, piped = (printed("explain", "neat", terminal=terminal) for terminal in (True, False))
    assert "\x1b" not in piped
    equation = next(line for line in shown.splitlines() if "beta1" in line and "*" in line)
    assert COLOUR.search(equation)
    words = [re.findall(r"[\w.<>=*/()+-]+", COLOUR.sub("", text)) for text in (shown, piped)]
    assert sorted(words[0]) == sorted(words[1])
