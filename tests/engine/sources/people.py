"""
People without a story: for any source, an answer that fits the form of its declaration, drawn by hash from the CPF.

For tests of how sources are asked, where what they say does not matter, of sources yet to be declared, too.
Applicants with known truth are in ``altcredit.simulator.applicants``.
"""

import zlib
from typing import Annotated, Any, Literal, get_args, get_origin

import msgspec

from altcredit.engine.sources import SOURCES, Subject


def person(source: str, subject: Subject, *, seed: int = 0) -> Any:
    """Return the source's Struct about a subject; the same for the same CPF and seed."""
    return _drawn(SOURCES[source].answer, f"{seed}|{subject.cpf}|{source}")


def _drawn(kind: Any, key: str) -> Any:
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        return kind(**{field.name: _drawn(field.type, f"{key}.{field.name}") for field in msgspec.structs.fields(kind)})
    luck = zlib.crc32(key.encode()) / 2**32
    if kind is bool:
        return luck < 0.5
    if kind is type(None):
        return None
    if get_origin(kind) is Literal:
        choices = get_args(kind)
        return choices[int(luck * len(choices))]
    if get_origin(kind) is Annotated:
        base, *metas = get_args(kind)
        return _number(base, metas, luck)
    known = [one for one in get_args(kind) if one is not type(None)]
    return None if luck < 0.1 else _drawn(known[0], key + "?")


def _number(base: type[int] | type[float], metas: list[Any], luck: float) -> int | float:
    low = max((meta.ge for meta in metas if isinstance(meta, msgspec.Meta) and meta.ge is not None), default=0)
    high = min((meta.le for meta in metas if isinstance(meta, msgspec.Meta) and meta.le is not None), default=1000)
    drawn = low + (high - low) * luck
    return int(drawn) if base is int else round(drawn, 6)
