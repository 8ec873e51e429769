"""docs/sources.md tells the truth."""

import re
from pathlib import Path

import pytest

from altcredit.engine.sources import SOURCES, Source
from altcredit.engine.sources.deployment import load

PAGE = (Path(__file__).parents[3] / "docs" / "sources.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("source", SOURCES.values(), ids=lambda source: source.name)
def test_a_source_is_listed_with_its_terms(source: Source) -> None:
    row = next(line for line in PAGE.splitlines() if line.startswith(f"| `{source.name}` |"))
    name, tier, asks, needs, price, seconds, valid, stranger = (cell.strip() for cell in row.strip("|").split("|"))
    assert (name, tier) == (f"`{source.name}`", source.tier)
    assert re.findall(r"`(\w+)`", asks) == list(source.asks)
    assert re.findall(r"authorizations\.(\w+)", needs) == [one for one in (source.needs, source.extends) if one]
    assert price == f"R${source.price_centavos / 100:.2f}"
    assert seconds == f"{source.timeout_seconds:g} s"
    assert valid.split()[0] == str(source.valid_for.days)
    assert (stranger == "fails") == (source.unknown is None)


def test_the_example_of_a_file_of_sources_can_be_read(tmp_path: Path) -> None:
    (example,) = re.findall(r"```toml\n(.*?)```", PAGE, re.DOTALL)
    file = tmp_path / "sources.toml"
    file.write_text(example)
    assert load(file, SOURCES, production=True)["scr"].price_centavos == 85
