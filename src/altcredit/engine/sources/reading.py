"""From a source's HTTP answer to a Struct of ours, or to the reason why not, which never holds what was answered."""

import re
from collections.abc import Mapping
from typing import Any

import msgspec

from altcredit.engine.sources.deployment import Rule, Terms
from altcredit.engine.sources.source import Source
from altcredit.runtime import strict_json

_ABSENT = object()
# Names of our own fields only: texts of the parser may quote values, which are personal data.
_WHERE = re.compile(r" - at `\$\.([a-z0-9_.]+)`$")
_MISSING = re.compile(r"missing required field `([a-z0-9_]+)`")


class Unusable(Exception):
    """The answer cannot be used; the message says why in words of ours."""


def read(status: int, body: bytes, *, source: Source, terms: Terms) -> Any:
    """
    Return the answer of status 200 or 404 as the source's Struct, or what ``source.unknown`` says of a stranger.

    :raises Unusable: the person is not known where that is a failure, or the answer is not of the promised form.
    """
    try:
        tree = strict_json.decode(body, dict[str, Any])
    except strict_json.Malformed as error:
        raise Unusable(f"status {status}, and its answer is not a JSON object") from error
    if _same(_at(tree, terms.unknown.path), terms.unknown.equals):
        if source.unknown is None:
            raise Unusable("the person is not known there")
        return source.unknown
    if status != 200:
        raise Unusable(f"status {status}")
    if not _holds_anything(tree, source, terms):
        raise Unusable("its answer holds nothing that it was asked for")  # else `{}` would mean: nothing on record
    try:
        return msgspec.convert(_mapped(tree, terms.mapping) if terms.mapping else tree, source.answer)
    except msgspec.ValidationError as error:
        raise Unusable(_problem(str(error))) from error


def _holds_anything(tree: dict[str, Any], source: Source, terms: Terms) -> bool:
    if not terms.mapping:
        return not tree.keys().isdisjoint(source.answer.__struct_fields__)
    paths = (rule if isinstance(rule, str) else rule.path for rule in terms.mapping.values())
    return any(_at(tree, path) is not _ABSENT for path in paths if path is not None)


def _problem(text: str) -> str:
    found = _WHERE.search(text) or _MISSING.search(text)
    return f"its answer's field {found[1]} is missing or not usable" if found else "its answer is not of the right form"


def _same(value: Any, expected: Any) -> bool:
    return type(value) is type(expected) and bool(value == expected)


def _at(tree: Any, path: str) -> Any:
    for step in path.split("."):
        if isinstance(tree, dict) and step in tree:
            tree = tree[step]
        elif isinstance(tree, list) and step.isdecimal() and int(step) < len(tree):
            tree = tree[int(step)]
        else:
            return _ABSENT
    return tree


def _mapped(tree: Any, mapping: Mapping[str, str | Rule]) -> dict[str, Any]:
    answer: dict[str, Any] = {}
    for name, rule in mapping.items():
        value = _value(tree, rule if isinstance(rule, Rule) else Rule(path=rule), name)
        if value is _ABSENT:
            continue
        *parents, last = name.split(".")
        place = answer
        for parent in parents:
            place = place.setdefault(parent, {})
        place[last] = value
    return answer


def _value(tree: Any, rule: Rule, name: str) -> Any:
    if rule.path is None:
        return rule.constant
    value = _at(tree, rule.path)
    if value is None or value is _ABSENT:
        return value
    if rule.values:
        key = value if isinstance(value, str) else msgspec.json.encode(value).decode()
        if key not in rule.values:
            raise Unusable(f"its answer's field {name} has a value that the mapping does not translate")
        value = rule.values[key]
    return _scaled(value, rule.scale, name) if rule.scale is not None else value


def _scaled(value: Any, scale: float, name: str) -> int | float:
    try:
        if isinstance(value, bool) or not isinstance(value, str | int | float):
            raise ValueError
        number = round(float(value) * scale, 6)  # centavos to R$ without the noise of binary fractions
        return int(number) if number.is_integer() else number
    except (ValueError, OverflowError) as error:
        raise Unusable(f"its answer's field {name} is not a number") from error
