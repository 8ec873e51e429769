import json
import math
from typing import Annotated, Any

import msgspec
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from altcredit.runtime.refusal import Detail
from altcredit.runtime.strict_json import MAX_DETAILS, Malformed, decode, decode_carefully, encode

RetailerId = Annotated[str, msgspec.Meta(pattern="^ret_[0-9a-f]{4}$")]


class Line(msgspec.Struct, frozen=True, kw_only=True):
    invoice_id: str
    amount_inr: Annotated[int, msgspec.Meta(gt=0)]


class Body(msgspec.Struct, frozen=True, kw_only=True):
    retailer_id: RetailerId
    limit: int | None = None
    rate: float | None = None
    other: RetailerId | None = None
    lines: list[Line] = []
    by_name: dict[str, Line] = {}


class Closed(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    name: str


def problems(raw: bytes, type_: Any = Body) -> dict[str, str]:
    with pytest.raises(Malformed) as refused:
        decode(raw, type_)
    return {detail.path: detail.problem for detail in refused.value.details}


def body(**fields: Any) -> bytes:
    return json.dumps({"retailer_id": "ret_00ff", **fields}, ensure_ascii=False).encode()


def test_a_good_body_is_read_and_unknown_fields_are_ignored() -> None:
    assert decode(body(limit=3, extra=[1, {"a": None}]), Body) == Body(retailer_id="ret_00ff", limit=3)


def test_encode_writes_what_decode_reads() -> None:
    value = Body(retailer_id="ret_00ff", rate=0.5, lines=[Line(invoice_id="ग", amount_inr=1)])
    assert decode(encode(value), Body) == value


@pytest.mark.parametrize(
    ("raw", "path", "problem"),
    [
        (b'{"retailer_id":"ret_00ff","retailer_id":"ret_00ff"}', "$.retailer_id", "this key comes more than once"),
        (b'{"retailer_id":"ret_00ff","\\u0072etailer_id":1}', "$.retailer_id", "this key comes more than once"),
        (b'{"retailer_id":"ret_00ff","x":{"a":1,"a":"\\u003a"}}', "$.x.a", "this key comes more than once"),
        (b'{"retailer_id":"ret_00ff","x":[0,"a\\u0000b"]}', "$.x[1]", "contains NUL"),
        (b'{"retailer_id":"ret_00ff","a\\u0000":1}', '$["a\\u0000"]', "contains NUL"),
        (b'{"retailer_id":"ret_00ff","x":"\\ud800"}', "$.x", "contains half of a surrogate pair"),
        (b'{"retailer_id":"ret_00ff","x":"\xff"}', "$", "not UTF-8 (byte 31)"),
        (b'{"retailer_id":"ret_00ff","x":"\xed\xa0\x80"}', "$", "not UTF-8 (byte 31)"),
        (b'{"retailer_id":"ret_00ff","limit":100000000000000000000000000}', "$.limit", "number out of range"),
        (b'{"retailer_id":"ret_00ff","x":9223372036854775808}', "$.x", "number out of range"),
        (b'{"retailer_id":"ret_00ff","x":-9223372036854775809}', "$.x", "number out of range"),
        (b'{"retailer_id":"ret_00ff","x":1e999}', "$.x", "number out of range"),
        (b'{"retailer_id":"ret_00ff","x":' + b"1" * 5000 + b"}", "$.x", "number out of range"),
        (b'{"retailer_id":"ret_00ff","rate":NaN}', "$", "not JSON: NaN is not a number"),
        (b'{"retailer_id":"ret_00ff","rate":-Infinity}', "$", "not JSON: -Infinity is not a number"),
        (b'{"retailer_id":"ret_00ff\\n"}', "$.retailer_id", "does not match the pattern in full"),
        (b'{"retailer_id":"ret_00ff","other":"ret_00ff\\u000A"}', "$.other", "does not match the pattern in full"),
        (b'{"retailer_id":"ret_00ff","limit":"3"}', "$.limit", "Expected `int | null`, got `str`"),
        (b'{"retailer_id":"ret_00ff","limit":3.0}', "$.limit", "Expected `int | null`, got `float`"),
        (b'{"retailer_id":"ret_00ff","limit":true}', "$.limit", "Expected `int | null`, got `bool`"),
        (b"{}", "$.retailer_id", "is required"),
        (b"[]", "$", "Expected `object`, got `array`"),
        (b"", "$", "not JSON: expecting value (line 1, column 1)"),
        (b'{"retailer_id":"ret_00ff"}\0', "$", "not JSON: extra data (line 1, column 27)"),
        (b'{"retailer_id":"a\0"}', "$", "not JSON: invalid control character at (line 1, column 18)"),
        (b"[" * 200_000, "$", "nested deeper than 32 levels"),
        (b"[" * 200_000 + b"]" * 200_000, "$", "nested deeper than 32 levels"),
    ],
)
def test_what_msgspec_alone_lets_through_is_refused_with_its_path(raw: bytes, path: str, problem: str) -> None:
    assert problems(raw)[path] == problem


def test_the_limits_themselves_are_allowed() -> None:
    assert decode(b"[" * 32 + b"]" * 32, Any)
    assert decode(b"[9223372036854775807,-9223372036854775808]", list[int]) == [2**63 - 1, -(2**63)]
    assert set(problems(b"[" * 33 + b"]" * 33, Any)) == {"$" + "[0]" * 32}


def test_every_offending_field_is_named() -> None:
    raw = body(retailer_id="x", limit="1", lines=[{"invoice_id": 1, "amount_inr": 0}, {}], by_name={"a b": {}})
    assert set(problems(raw)) == {
        "$.retailer_id",
        "$.limit",
        "$.lines[0].invoice_id",
        "$.lines[0].amount_inr",
        "$.lines[1].invoice_id",
        "$.lines[1].amount_inr",
        '$.by_name["a b"].invoice_id',
        '$.by_name["a b"].amount_inr',
    }


def test_a_struct_may_forbid_unknown_fields_and_all_are_named() -> None:
    assert set(problems(b'{"name":"a","b":1,"c":2}', Closed)) == {"$.b", "$.c"}


def test_the_list_of_problems_is_bounded() -> None:
    with pytest.raises(Malformed) as refused:
        decode(encode(["x"] * 1000), list[int])
    assert len(refused.value.details) == MAX_DETAILS + 1
    assert refused.value.details[-1] == Detail("$", "and 800 more")


def test_an_unanchored_pattern_is_a_mistake_of_the_author() -> None:
    with pytest.raises(ValueError, match="anchored"):
        decode(b'"a"', Annotated[str, msgspec.Meta(pattern="[a-z]")])


# The quick way, the careful way and a plain statement of the rules agree on every text.

scalars = st.one_of(
    st.none(), st.booleans(), st.floats(allow_nan=False, allow_infinity=False), st.text(max_size=6),
    st.integers(-(2**65), 2**65), st.sampled_from([2**63, 2**63 - 1, -(2**63), -(2**63) - 1, "a:b", ":", "\0", "x\n", "\\u0000"]),
)  # fmt: skip
keys = st.sampled_from(["a", "b", ":", "retailer_id", "limit", "lines", "", "\0", "a\n"])


class Pairs(list[tuple[str, Any]]):
    pass


trees = st.recursive(
    scalars,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4), st.lists(st.tuples(keys, inner), max_size=5).map(Pairs), inner.map(lambda t: [[t]])
    ),
    max_leaves=20,
)


def written(tree: Any, draw: Any) -> str:
    """Write a tree with duplicates, needless escapes, and space wherever it is allowed."""
    space = draw(st.sampled_from(["", "", "", " ", "\n\t\r "]))
    match tree:
        case Pairs():
            parts = (f"{space}{text(key, draw)}{space}:{written(value, draw)}" for key, value in tree)
            return space + "{" + ",".join(parts) + space + "}"
        case list():
            return space + "[" + ",".join(written(value, draw) for value in tree) + space + "]" + space
        case str():
            return space + text(tree, draw) + space
        case _:
            return space + json.dumps(tree) + space


def text(value: str, draw: Any) -> str:
    if draw(st.booleans()):
        return (
            '"' + "".join(f"\\u{ord(c):04{draw(st.sampled_from('xX'))}}" if ord(c) < 65536 else c for c in value) + '"'
        )
    return json.dumps(value, ensure_ascii=draw(st.booleans()))


@st.composite
def texts(draw: Any) -> bytes:
    raw = written(draw(trees), draw).encode("utf-8", "surrogatepass")
    if draw(st.integers(0, 3)) == 0:
        at = draw(st.integers(0, len(raw)))
        raw = raw[:at] + draw(st.binary(max_size=2)) + raw[at + draw(st.integers(0, 3)) :]
    return raw


def sound(value: Any, depth: int = 1) -> None:
    match value:
        case str():
            value.encode()  # a UnicodeEncodeError is a ValueError
            if "\0" in value:
                raise ValueError
        case int() if not -(2**63) <= value < 2**63:
            raise ValueError
        case float() if not math.isfinite(value):
            raise ValueError
        case list() | dict():
            if depth > 32:
                raise ValueError
            for item in value.values() if isinstance(value, dict) else value:
                sound(item, depth + 1)


def is_acceptable(raw: bytes) -> bool:
    """State the rules plainly: what a JSON text must be to be taken, whatever its type."""

    def objects(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        if len({key for key, _ in pairs}) != len(pairs):
            raise ValueError
        for key, _ in pairs:
            sound(key)
        return dict(pairs)

    try:
        sound(json.loads(raw.decode(), object_pairs_hook=objects))
    except (ValueError, RecursionError):
        return False
    return True


def outcome(read: Any, raw: bytes, type_: Any) -> Any:
    try:
        return read(raw, type_)
    except Malformed as refused:
        return Malformed if refused.details else None


@settings(max_examples=1500, deadline=None)
@example(b'{"a":1,"a":"\\u003a"}')
@example(b'{":":1,":":[]}')
@example(b"\xef\xbb\xbf1")
@example(b'"\\udc00\\ud800"')
@example(b"-0")
@example(b'{"a":{"b":1},"a" :2,"c":":"}')
@given(texts())
def test_quick_careful_and_plain_rules_agree(raw: bytes) -> None:
    quick, careful = outcome(decode, raw, Any), outcome(decode_carefully, raw, Any)
    assert (careful is not Malformed) == is_acceptable(raw)
    assert repr(quick) == repr(careful)


class Loose(msgspec.Struct, omit_defaults=True):
    a: int | str | None = None
    b: list["Loose | int"] | None = None
    limit: float = 0.0
    retailer_id: RetailerId = "ret_0000"


@settings(max_examples=700, deadline=None)
@given(texts())
def test_quick_and_careful_agree_on_typed_values_too(raw: bytes) -> None:
    for type_ in (Loose, list[Loose], dict[str, Loose | str | None], list[RetailerId]):
        assert repr(outcome(decode, raw, type_)) == repr(outcome(decode_carefully, raw, type_))


@settings(max_examples=500, deadline=None)
@given(st.binary(max_size=60))
def test_garbage_is_refused_and_never_fails_otherwise(raw: bytes) -> None:
    outcome(decode, raw, Body)
