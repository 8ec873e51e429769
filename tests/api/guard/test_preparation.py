"""GUARD API, Preparation (contract U1, U9): token, addresses, quota."""

import re
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx2
import pytest
from tests.api.conftest import Installation
from tests.api.guard.conftest import PATH, Partner, an_application, joined

from altcredit.engine import identity

UNKNOWN = "0" * 64


def essence(answer: httpx2.Response) -> tuple[int, bytes, list[tuple[str, str]]]:
    """All that a client can see, but for the time."""
    return answer.status_code, answer.content, [(k, v) for k, v in answer.headers.multi_items() if k != "date"]


async def ask(installation: Installation, token: str | bytes | None, **headers: str) -> httpx2.Response:
    """Ask for an underwriting with a trace id that is always the same."""
    proof: dict[str, Any] = {} if token is None else {"x-partner-auth": token}
    async with installation.client(**proof, **{"x-request-id": "trace-1"}, **headers) as client:
        return await client.post(PATH, json=an_application())


async def changed(installation: Installation, operation: Any, **arguments: Any) -> Any:
    async with installation.platform.database.transaction() as db:
        return await operation(db, actor="test", now=datetime.now(UTC), **arguments)


async def test_a_token_is_64_letters_and_digits_and_lets_its_partner_in(guard: Installation) -> None:
    issued = await guard.partner()
    assert re.fullmatch(r"[0-9A-Za-z]{64}", issued.token)
    assert (await ask(guard, issued.token)).status_code == 202


async def test_nobody_learns_what_is_wrong_with_a_token_or_an_address(guard: Installation) -> None:
    good, suspended, revoked, elsewhere = [await guard.partner() for _ in range(4)]
    await changed(guard, identity.set_partner, partner_id=suspended.partner_id, status="suspended")
    keyring = guard.platform.keyring
    rotated: dict[str, Any] = {"keyring": keyring, "partner_id": revoked.partner_id, "overlap": timedelta()}
    await changed(guard, identity.rotate_partner_token, **rotated)
    await changed(guard, identity.set_partner_addresses, partner_id=elsewhere.partner_id, addresses=["203.0.113.0/24"])
    wrong = (UNKNOWN, None, "", "x", good.token[:-1], f"{good.token}, {good.token}", b"\xe9" * 64)
    answers = [await ask(guard, token) for token in (*wrong, suspended.token, revoked.token, elsewhere.token)]
    first = essence(answers[0])
    assert (answers[0].status_code, answers[0].json()["error"]["code"]) == (401, "NOT_AUTHORIZED")
    assert [essence(answer) for answer in answers] == [first] * len(answers)
    assert not any(name.startswith("x-ratelimit") for name in answers[0].headers)


@pytest.mark.parametrize("body", [b"", b"{", b"x" * 100_000, b'{"cpf": 1}'])
async def test_credentials_are_judged_before_any_body(guard: Installation, body: bytes) -> None:
    async with guard.client(**{"x-partner-auth": UNKNOWN}) as client:
        assert (await client.post(PATH, content=body)).status_code == 401


async def test_two_tokens_live_at_once_and_never_three(guard: Installation) -> None:
    first = await guard.partner()
    rotated: dict[str, Any] = {"keyring": guard.platform.keyring, "partner_id": first.partner_id}
    second = await changed(guard, identity.rotate_partner_token, **rotated)
    assert [(await ask(guard, one.token)).status_code for one in (first, second)] == [202, 202]
    third = await changed(guard, identity.rotate_partner_token, **rotated)
    assert [(await ask(guard, one.token)).status_code for one in (first, second, third)] == [401, 202, 202]


async def test_a_suspension_and_its_end_count_from_the_next_request_on(partner: Partner) -> None:
    for status, expected in (("suspended", 401), ("active", 202)):
        await changed(partner.guard, identity.set_partner, partner_id=partner.partner_id, status=status)
        assert (await partner.ask()).status_code == expected


async def test_new_addresses_count_from_the_next_request_on(partner: Partner) -> None:
    for network, expected in (("192.0.2.0/24", 401), ("::ffff:127.0.0.0/104", 202), ("::1/128", 401)):
        await changed(partner.guard, identity.set_partner_addresses, partner_id=partner.partner_id, addresses=[network])
        assert (await partner.ask()).status_code == expected, network


@pytest.mark.parametrize("header", ["x-forwarded-for", "forwarded", "x-real-ip", "client-ip", "true-client-ip"])
async def test_without_a_trusted_proxy_no_header_moves_a_caller(guard: Installation, header: str) -> None:
    issued = await guard.partner("203.0.113.0/24")
    value = "for=203.0.113.5" if header == "forwarded" else "203.0.113.5"
    assert (await ask(guard, issued.token, **{header: value})).status_code == 401


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({"x-forwarded-for": "203.0.113.5"}, 202),
        ({"x-forwarded-for": "203.0.113.5:51213"}, 202),
        ({"x-forwarded-for": "garbage, 203.0.113.5"}, 202),
        ({"x-forwarded-for": "198.51.100.9, 203.0.113.5, 10.1.2.3"}, 202),
        ({"x-forwarded-for": "::ffff:203.0.113.5"}, 202),
        ({"x-forwarded-for": "2001:db8:0:1::7"}, 202),
        ({"x-forwarded-for": "[2001:db8:0:1::7]:443"}, 202),
        ({"forwarded": 'for="[2001:DB8:0:1::7]:443";proto=https'}, 202),
        ({"forwarded": "by=10.0.0.1;for=203.0.113.5, for=10.0.0.2"}, 202),
        ({"x-forwarded-for": "203.0.113.5", "forwarded": "for=203.0.113.5"}, 202),
        # Spoofed: what the client wrote stands left of what the proxy added.
        ({"x-forwarded-for": "203.0.113.5, 198.51.100.9"}, 401),
        ({"x-forwarded-for": "203.0.113.5, garbage"}, 401),
        ({"x-forwarded-for": "203.0.113.5,"}, 401),
        ({"x-forwarded-for": ""}, 401),
        ({"x-forwarded-for": "203.0.113.05"}, 401),
        ({"x-forwarded-for": "203.0.113.5/32"}, 401),
        ({"x-forwarded-for": "2001:db8:0:2::7"}, 401),
        ({"x-forwarded-for": "2001:db8:0:1::7%eth0"}, 401),
        ({"x-forwarded-for": "198.51.100.9", "forwarded": "for=203.0.113.5"}, 401),
        ({"x-forwarded-for": "203.0.113.5", "forwarded": "for=198.51.100.9"}, 401),
        ({"forwarded": "for=203.0.113.5, for=unknown"}, 401),
        ({"forwarded": "for=203.0.113.5, proto=https"}, 401),
        ({"forwarded": 'for=203.0.113.5;host=", for=198.51.100.9'}, 401),
        ({"forwarded": "for=203.0.113.5 for=203.0.113.5"}, 401),
        ({}, 401),
    ],
)  # fmt: skip
async def test_behind_a_proxy_the_right_most_stranger_is_the_caller(
    proxied: Installation, headers: dict[str, str], expected: int
) -> None:
    issued = await proxied.partner("203.0.113.0/24", "2001:db8:0:1::/64")
    assert (await ask(proxied, issued.token, **headers)).status_code == expected


async def test_forwarding_headers_come_in_several_lines(proxied: Installation) -> None:
    issued = await proxied.partner("203.0.113.0/24")
    lines = [("x-forwarded-for", "203.0.113.5"), ("x-forwarded-for", "198.51.100.9")]
    for order, expected in ((lines, 401), (lines[::-1], 202)):
        async with proxied.client() as client:
            headers = [("x-partner-auth", issued.token), *order]
            assert (await client.post(PATH, json=an_application(), headers=headers)).status_code == expected


async def test_a_partner_has_its_own_quota_and_is_told_what_is_left_of_it(guard: Installation) -> None:
    async with joined(guard, minute_limit=3) as partner, joined(guard, minute_limit=3) as other:
        answers = [await partner.ask() for _ in range(7)]
        # The minute may turn over once on the way: three, then refusals, then at most three again.
        refused = next(answer for answer in answers if answer.status_code == 429)
        assert [answer.status_code for answer in answers[:3]] == [202] * 3
        assert answers[0].headers["x-ratelimit-limit"] == "3"
        assert answers[0].headers["x-ratelimit-policy"] == "minute"
        assert refused.json()["error"]["code"] == "RATE_LIMIT_EXCEEDED"
        assert refused.headers["x-ratelimit-remaining"] == "0"
        assert 1 <= int(refused.headers["retry-after"]) <= 61
        assert (await other.ask()).status_code == 202


async def test_a_malformed_request_uses_no_quota(guard: Installation) -> None:
    async with joined(guard, minute_limit=5) as partner:
        left = [int((await partner.ask(cpf="1")).headers["x-ratelimit-remaining"]) for _ in range(3)]
    assert left == [5, 5, 5]


@pytest.mark.parametrize(
    ("path", "language", "code", "message"),
    [
        ("/api/partner", "pt-BR", "NOT_FOUND", "Não há nada neste caminho."),
        ("/api/partner/credit/cards", "en", "NOT_FOUND", "There is nothing at this path."),
        ("/api/partner/credit/cards/underwritings/a/b", "hi, pt;q=0.5", "NOT_FOUND", "Não há nada neste caminho."),
        ("/api/partnership", "hi", "NOT_FOUND", "इस पते पर कुछ नहीं है।"),
        ("/v1/nothing", "pt", "NOT_FOUND", "There is nothing at this path."),
    ],
)
async def test_each_product_answers_unknown_paths_in_its_own_languages(
    guard: Installation, path: str, language: str, code: str, message: str
) -> None:
    async with guard.client(**{"accept-language": language}) as client:
        answer = await client.get(path)
    assert answer.status_code == 404
    assert answer.json()["error"] == {"code": code, "message": message, "details": []}


async def test_a_method_that_a_path_does_not_know(partner: Partner) -> None:
    answer = await partner.client.get(PATH)
    assert (answer.status_code, answer.headers["allow"]) == (405, "POST")
