"""Settings: documented, and refused when they make no sense."""

from pathlib import Path

import pytest
from tools.settings_table import table

from altcredit.runtime.settings import SettingsInvalid, load

PAGE = Path(__file__).parents[2] / "docs" / "settings.md"


def test_the_page_of_settings_is_current() -> None:
    assert PAGE.read_text(encoding="utf-8") == table(), "run `make docs`"


def test_an_unknown_setting_is_refused_by_name() -> None:
    with pytest.raises(SettingsInvalid, match="prot"):
        load({"ALTCREDIT_PROT": "8443"})


@pytest.mark.parametrize(("name", "value"), [("PORT", "70000"), ("PORT", "x"), ("ENVIRONMENT", "staging")])
def test_an_unusable_value_is_refused(name: str, value: str) -> None:
    with pytest.raises(SettingsInvalid, match=name.lower()):
        load({f"ALTCREDIT_{name}": value})


def test_other_variables_are_left_alone() -> None:
    assert load({"PATH": "/bin", "ALTCREDIT_PORT": "9443"}).port == 9443


def test_production_does_not_start_a_database_by_default() -> None:
    with pytest.raises(SettingsInvalid, match="ALTCREDIT_DATABASE_URL"):
        load({"ALTCREDIT_ENVIRONMENT": "production"})
