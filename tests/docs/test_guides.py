"""Every guide under docs/ is followed to the letter."""

import re
import runpy
import sys
from pathlib import Path

import pytest

from tests.docs.guide import ROOT, blocks, follow

GUIDES = sorted((ROOT / "docs").glob("*.md"))
WORKED = [page for page in GUIDES if any(block.language == "console" for block in blocks(page))]


@pytest.mark.parametrize("page", WORKED, ids=lambda page: page.stem)
def test_a_guide(page: Path, tmp_path: Path) -> None:
    assert follow(page, tmp_path) > 0


def test_every_extension_is_shown() -> None:
    assert {"add-a-rule", "add-an-op", "add-a-pass", "add-a-backend"} <= {page.stem for page in WORKED}


def test_pages_of_rules_are_up_to_date(monkeypatch: pytest.MonkeyPatch) -> None:
    """In this process, whose kernels of rules other tests ask for, too; exits with words if a page is not."""
    monkeypatch.setattr(sys, "argv", ["rule_pages.py", "--check"])
    runpy.run_path(str(ROOT / "tools" / "rule_pages.py"), run_name="__main__")


def test_links_lead_somewhere() -> None:
    pages = [*GUIDES, ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs" / "rules").glob("*.md")]
    for page in pages:
        prose = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
        for target in re.findall(r"\]\((?!https?:)([^)#]+)[^)]*\)", prose):
            assert (page.parent / target).exists(), f"{page.relative_to(ROOT)}: {target}"
