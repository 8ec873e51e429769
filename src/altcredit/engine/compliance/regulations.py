"""The regulation pack: versioned data in ``regulations.toml``; what is in force is computed from the day."""

from datetime import date
from importlib.resources import files
from typing import Final, Literal

import msgspec


class Control(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """
    One thing that a law asks; ``shown`` names the sections of the report that show it.

    ``source``: where text and date are from. ``sure``: whether the wording was read, is reported alike by independent
    law firms, or is from memory and wants checking.
    """

    section: str
    title: str
    in_force: date
    how: str
    shown: tuple[str, ...]
    source: str
    sure: Literal["text", "reported", "memory"]

    def status(self, today: date) -> str:
        """Return ``in force`` or ``due in N days``."""
        days = (self.in_force - today).days
        return "in force" if days <= 0 else f"due in {days} day{'' if days == 1 else 's'}"


class Law(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    key: str
    name: str
    source: str
    control: tuple[Control, ...]


class Pack(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All laws, in the order of the file."""

    version: str
    law: tuple[Law, ...]


REGULATIONS: Final = msgspec.toml.decode(
    files("altcredit.engine.compliance").joinpath("regulations.toml").read_bytes(), type=Pack
)
