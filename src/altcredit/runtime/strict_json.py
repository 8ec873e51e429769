"""
JSON as the published contracts mean it: one way to read a value, and nothing let through in silence.

msgspec is fast and lenient: it keeps the last of two equal keys, takes NUL, integers of any size, broken UTF-8 in
fields it skips, a newline before the ``$`` of a pattern, and stops at the first mistake. :func:`decode` is strict. It
has two ways that accept exactly the same texts (a property test holds them to it):

* the quick way, for what is well formed: msgspec's parser and a few tests over whole buffers;
* the careful way, for all that the quick one does not pass: it looks at every value, and names every offending field.

How the quick way finds duplicates: a key that was dropped took its colon along. So the text written again from the
parsed tree has as many colons as the text that came in exactly when no key came twice (only ``\\u003a``, a colon in
disguise, could hide that, and it is left to the careful way).
"""

import json
import math
import re
from collections.abc import Hashable, Iterable, Iterator
from functools import lru_cache
from itertools import chain
from types import UnionType
from typing import Annotated, Any, Final, NoReturn, TypeVar, Union, cast, get_args, get_origin

import msgspec

from altcredit.runtime.refusal import Detail, Refusal

T = TypeVar("T")

MAX_DEPTH: Final = 32
MAX_DETAILS: Final = 200
NO_FULL_MATCH: Final = "does not match the pattern in full"
_INT64 = range(-(2**63), 2**63)
_CONTAINERS = {dict, list}
# Escapes that the quick way cannot judge: NUL, a colon in disguise, a string that ends in a newline.
_SUSPECT = (b"\\u0000", b"\\u003a", b"\\u003A", b'\\n"', b'\\u000a"', b'\\u000A"')
_PLAIN_KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,63}")
_WHERE = re.compile(r" - at `(?:key in )?\$(.*)`", re.DOTALL)

_parse = msgspec.json.Decoder().decode
_write = msgspec.json.Encoder().encode


class Malformed(Refusal):
    """The text is not JSON, or not of the shape asked for; the details name each offending field (at most 200)."""


def encode(value: Any) -> bytes:
    """Write a Struct or builtin value as compact UTF-8 JSON, in the order of its fields."""
    return _write(value)


def decode(raw: bytes, type_: type[T]) -> T:
    """
    Read ``raw``, one JSON text in UTF-8, as ``type_`` (a Struct, or any type msgspec converts from builtins).

    Refused anywhere in the text, in unknown fields too: keys that come twice in one object, NUL, lone surrogates,
    integers outside int64, NaN, Infinity and numbers too large for a double, more than 32 levels. Numbers sent as
    strings are no numbers. Unknown fields are ignored unless the Struct forbids them (additions are optional,
    API-ALTSCORE-001, section 10). Patterns must match the whole string.

    :raises Malformed: with every offending field.
    """
    _require_anchors(cast(Hashable, type_))
    try:
        raw.decode()
        if not (b"\\" in raw and any(escape in raw for escape in _SUSPECT)):
            tree = _parse(raw)
            if _write(tree).count(b":") == raw.count(b":") and _is_bounded(tree):
                return msgspec.convert(tree, type_)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        pass  # the careful way finds out all that is wrong, and says it better
    return decode_carefully(raw, type_)


def decode_carefully(raw: bytes, type_: type[T]) -> T:
    """Do what :func:`decode` does, slowly, looking at every value. Raises Malformed with every offending field."""
    document = _document(raw)
    problems = list(_flaws(document, "$", 1))
    if not problems:
        tree = _plain(document)
        problems = list(misfits(tree, type_, "$"))
        if not problems:
            return msgspec.convert(tree, type_)
    raise Malformed("The body is not of the expected form.", details=_capped(problems))


def _is_bounded(tree: Any) -> bool:
    """Tell whether every integer fits int64 and no value lies deeper than allowed, one level of the tree at a time."""
    level = [tree]
    for _ in range(MAX_DEPTH + 1):  # no container may stand on the last of these levels
        types = set(map(type, level))
        if int in types:
            integers = [value for value in level if type(value) is int]
            if max(integers) not in _INT64 or min(integers) not in _INT64:
                return False
        if types.isdisjoint(_CONTAINERS):
            return True
        objects = [value.values() for value in level if type(value) is dict]
        arrays = [value for value in level if type(value) is list]
        level = list(chain.from_iterable(chain(objects, arrays)))
    return False


# The careful way: flaws of the text itself.


class _Object(list[tuple[str, Any]]):
    """A JSON object as its pairs came."""


class _Literal(str):
    """A number that no int64 or double holds."""

    __slots__ = ()


def _integer(text: str) -> int | _Literal:
    value = int(text) if len(text) <= 20 else None
    return value if value is not None and value in _INT64 else _Literal(text)


def _float(text: str) -> float | _Literal:
    value = float(text)
    return value if math.isfinite(value) else _Literal(text)


def _document(raw: bytes) -> Any:
    try:
        text = raw.decode()
    except UnicodeDecodeError as error:
        _refuse(f"not UTF-8 (byte {error.start})")
    try:
        return json.loads(
            text,
            object_pairs_hook=_Object,
            parse_int=_integer,
            parse_float=_float,
            parse_constant=_constant,
        )
    except json.JSONDecodeError as error:
        _refuse(f"not JSON: {error.msg.lower()} (line {error.lineno}, column {error.colno})")
    except RecursionError:
        _refuse(f"nested deeper than {MAX_DEPTH} levels")


def _constant(name: str) -> NoReturn:
    _refuse(f"not JSON: {name} is not a number")


def _refuse(problem: str) -> NoReturn:
    raise Malformed("The body is not JSON.", details=(Detail("$", problem),))


def _flaws(value: Any, path: str, depth: int) -> Iterator[Detail]:
    match value:
        case _Literal():
            yield Detail(path, "number out of range")
        case str():
            yield from _string_flaws(value, path)
        case list() if depth > MAX_DEPTH:
            yield Detail(path, f"nested deeper than {MAX_DEPTH} levels")
        case _Object():
            yield from _object_flaws(value, path, depth)
        case list():
            for index, item in enumerate(value):
                yield from _flaws(item, f"{path}[{index}]", depth + 1)


def _object_flaws(pairs: _Object, path: str, depth: int) -> Iterator[Detail]:
    seen: set[str] = set()
    for key, item in pairs:
        there = _child(path, key)
        if key in seen:
            yield Detail(there, "this key comes more than once")
        seen.add(key)
        yield from _string_flaws(key, there)
        yield from _flaws(item, there, depth + 1)


def _string_flaws(text: str, path: str) -> Iterator[Detail]:
    if "\0" in text:
        yield Detail(path, "contains NUL")
    if not text.isascii() and any("\ud800" <= character <= "\udfff" for character in text):
        yield Detail(path, "contains half of a surrogate pair")


def _child(path: str, key: str) -> str:
    return f"{path}.{key}" if _PLAIN_KEY.fullmatch(key) else f"{path}[{json.dumps(key[:64])}]"


def _plain(value: Any) -> Any:
    if isinstance(value, _Object):
        return {key: _plain(item) for key, item in value}
    return [_plain(item) for item in value] if isinstance(value, list) else value


# The careful way: values that are not of the type asked for.


def matches(text: str, type_: Any) -> bool:
    """Tell whether ``text`` matches every pattern of a type in full; msgspec lets a line break before ``$`` pass."""
    return all(re.fullmatch(pattern, text) for pattern in _patterns(type_))


def misfits(value: Any, type_: Any, path: str = "$") -> Iterator[Detail]:
    """Name every part of ``value``, builtins that :func:`decode` gave, that keeps it from being a ``type_``."""
    problems = [problem for child in _children(value, type_, path) for problem in child]
    if problems:
        yield from problems
        return
    try:
        msgspec.convert(value, type_)
    except msgspec.ValidationError as error:
        yield _detail(str(error), path)
    else:
        if isinstance(value, str) and not matches(value, type_):
            yield Detail(path, NO_FULL_MATCH)


def _children(value: Any, type_: Any, path: str) -> Iterator[Iterable[Detail]]:
    """Yield, for each part of ``value`` whose type is known, what is wrong with it."""
    fitting = [member for member in _members(type_) if _holds(member) is type(value)]
    if len(fitting) != 1 or type(value) not in _CONTAINERS:
        return
    member, arguments = fitting[0], get_args(fitting[0])
    if _is_struct(member):
        yield from _fields(value, member, path)
    elif type(value) is list and arguments and get_origin(member) is not tuple:
        for index, item in enumerate(value):
            yield misfits(item, arguments[0], f"{path}[{index}]")
    elif type(value) is dict and arguments:
        for key, item in value.items():
            yield misfits(item, arguments[1], _child(path, key))


def _fields(value: dict[str, Any], struct: type[msgspec.Struct], path: str) -> Iterator[Iterable[Detail]]:
    fields = {field.encode_name: field for field in msgspec.structs.fields(struct)}
    config = struct.__struct_config__
    for name, field in fields.items():
        if name in value:
            yield misfits(value[name], field.type, _child(path, name))
        elif field.required:
            yield (Detail(_child(path, name), "is required"),)
    if config.forbid_unknown_fields:
        for name in value.keys() - fields.keys() - {config.tag_field}:
            yield (Detail(_child(path, name), "is not a known field"),)


def _members(type_: Any) -> list[Any]:
    """Return the alternatives of a type, without annotations."""
    if get_origin(type_) is Annotated:
        return _members(get_args(type_)[0])
    if get_origin(type_) in (Union, UnionType):
        return [member for argument in get_args(type_) for member in _members(argument)]
    return [type_]


def _is_struct(type_: Any) -> bool:
    return isinstance(type_, type) and issubclass(type_, msgspec.Struct)


def _holds(member: Any) -> type | None:
    """Return the kind of JSON container that ``member`` is read from, if any."""
    if _is_struct(member):
        return dict
    base = get_origin(member) or member
    if not isinstance(base, type) or issubclass(base, str | bytes):
        return None
    if issubclass(base, dict):
        return dict
    return list if issubclass(base, list | tuple | set | frozenset) else None


def _patterns(type_: Any) -> list[str]:
    """Return the patterns that a string of this type must match."""
    if get_origin(type_) is Annotated:
        base, *metadata = get_args(type_)
        own = [item.pattern for item in metadata if isinstance(item, msgspec.Meta) and item.pattern]
        return own + _patterns(base)
    if get_origin(type_) in (Union, UnionType):
        return [pattern for argument in get_args(type_) for pattern in _patterns(argument)]
    return []


@lru_cache(maxsize=1024)
def _require_anchors(type_: Hashable) -> None:
    """Raise ValueError where a pattern lacks ``^`` or ``$``: the quick way could not keep to full matches."""
    seen: set[Any] = set()
    waiting: list[Any] = [type_]
    while waiting:
        current = waiting.pop()
        for pattern in _patterns(current):
            if not (pattern.startswith("^") and pattern.endswith("$")):
                raise ValueError(f"The pattern {pattern!r} must be anchored by ^ and $.")
        for member in _members(current):
            if _is_struct(member) and member not in seen:
                seen.add(member)
                waiting += [field.type for field in msgspec.structs.fields(member)]
            elif _holds(member):
                waiting += get_args(member)


def _detail(message: str, path: str) -> Detail:
    where = _WHERE.search(message)
    problem: str = message[: where.start()] if where else message
    return Detail(path + (where[1] if where else ""), problem[:200])


def _capped(problems: list[Detail]) -> tuple[Detail, ...]:
    rest = len(problems) - MAX_DETAILS
    return tuple(problems) if rest <= 0 else (*problems[:MAX_DETAILS], Detail("$", f"and {rest} more"))
