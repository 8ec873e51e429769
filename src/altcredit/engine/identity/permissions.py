"""Which role may do what: read once from ``permissions.toml``, which is the only place that says so."""

from collections.abc import Iterable, Mapping
from importlib.resources import files
from types import MappingProxyType
from typing import Annotated, Literal, get_args

import msgspec

Role = Literal["ops", "dpo", "legal", "model_owner", "auditor", "admin"]
ROLES: tuple[Role, ...] = get_args(Role)


class Permission(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a permission allows, in a sentence, and the roles that have it."""

    does: Annotated[str, msgspec.Meta(min_length=1)]
    roles: Annotated[frozenset[Role], msgspec.Meta(min_length=1)]


def _read() -> dict[str, Permission]:
    text = files("altcredit.engine.identity").joinpath("permissions.toml").read_text(encoding="utf-8")
    return msgspec.toml.decode(text, type=dict[str, Permission])


PERMISSION_TABLE: Mapping[str, Permission] = MappingProxyType(_read())
PERMISSIONS: Mapping[str, frozenset[Role]] = MappingProxyType(
    {name: permission.roles for name, permission in PERMISSION_TABLE.items()}
)


def permissions_of(roles: Iterable[Role]) -> list[str]:
    """Return what somebody with these roles may do, in the order of the table."""
    held = frozenset(roles)
    return [name for name, allowed in PERMISSIONS.items() if allowed & held]
