"""Generated pages are current, and every command and local link that a page names exists."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from tools import command_pages, feature_table, sandbox_table

ROOT = Path(__file__).parents[2]
PAGES = [
    ROOT / "README.md",
    ROOT / "ARCHITECTURE.md",
    ROOT / "CONTRIBUTING.md",
    *sorted((ROOT / "docs").glob("**/*.md")),
]


@pytest.mark.parametrize(
    ("name", "made"),
    [("commands", command_pages.page), ("features", feature_table.page), ("sandbox", sandbox_table.page)],
)
def test_a_generated_page_is_current(name: str, made: Callable[[], str]) -> None:
    assert (ROOT / "docs" / f"{name}.md").read_text(encoding="utf-8") == made(), "run `make docs`"


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.name)
def test_local_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text(encoding="utf-8")):
        if "://" not in target:
            assert (page.parent / target).exists(), target


def test_every_command_that_a_page_shows_exists() -> None:
    known = {line.split("`")[1] for line in command_pages.page().splitlines() if line.startswith("| `altcredit")}
    groups = {name.rsplit(" ", 1)[0] for name in known}
    for page in PAGES:
        for shown in re.findall(
            r"(?:^|[`/ ])altcredit ([a-z][a-z-]+(?: [a-z][a-z-]+)?)", page.read_text(encoding="utf-8")
        ):
            words = shown.split()
            alone, both = f"altcredit {words[0]}", f"altcredit {shown}"
            assert {alone, both} & known or both in groups or (alone in groups and len(words) == 1), (page.name, shown)
