"""GUARD API, Request (contract U1 to U5, U7): what is accepted, what is refused, and what a repetition does."""

import asyncio
import json
import re
import uuid
from typing import Any

import httpx2
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from tests.api.conftest import Installation
from tests.api.guard.conftest import CPF, PATH, Partner, an_application, joined

SRD = an_application()["srd"]


async def count(partner: Partner) -> int:
    async with partner.guard.platform.database.reads.acquire() as db:
        found: int = await db.fetchval("SELECT count(*) FROM underwriting WHERE partner_id = $1", partner.partner_id)
        return found


def paths(answer: httpx2.Response) -> list[str]:
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "INVALID_REQUEST"), answer.text
    return sorted(detail["path"] for detail in answer.json()["error"]["details"])


async def test_an_application_is_accepted_at_once(partner: Partner) -> None:
    answer = await partner.ask(customerUuid="6f1c2a34-9a51-4c2b-8a0e-3d5b7c9e1f20")
    assert answer.status_code == 202, answer.text
    body: dict[str, Any] = answer.json()
    assert body.keys() == {"requestId", "customerUuid", "status"}
    assert re.fullmatch(r"uw_[0-9a-f]{16}", body["requestId"])
    assert (body["customerUuid"], body["status"]) == ("6f1c2a34-9a51-4c2b-8a0e-3d5b7c9e1f20", "processing")


@pytest.mark.parametrize(
    "changes",
    [
        {"costSavingEnabled": None},
        {"costSavingEnabled": True},
        {"srd": None},
        {"srd": {"grossIncome": 0}},
        {"srd": {**SRD, "address": {**SRD["address"], "zipCode": "01310-100"}}},
        {"srd": {**SRD, "address": {}}},
        {"authorizations": {"scr": "a-1", "positiveHistory": "a-2"}},
        {"contact": {"phone": "+5511987654321", "deviceId": "d"}},
        {"somethingNew": {"of": ["another", "version"]}, "srd": {**SRD, "alsoNew": 1}},
        *({"srd": {**SRD, "occupation": one}} for one in (
            "Company Employee", "Retired", "Self-Employment", "Public Sector", "Multiple sources of income", "Other")),
    ],
)  # fmt: skip
async def test_what_is_optional_may_be_left_out_and_what_is_unknown_is_ignored(
    partner: Partner, changes: dict[str, Any]
) -> None:
    assert (await partner.ask(**changes)).status_code == 202


@pytest.mark.parametrize("flag", [0, 1, "true", "", [], {}, 0.0])
async def test_the_flag_is_a_boolean_or_absent(partner: Partner, flag: Any) -> None:
    assert paths(await partner.ask(costSavingEnabled=flag)) == ["$.costSavingEnabled"]


async def test_the_flag_may_not_be_null(partner: Partner) -> None:
    answer = await partner.client.post(PATH, json={**an_application(), "costSavingEnabled": None})
    assert paths(answer) == ["$.costSavingEnabled"]


@pytest.mark.parametrize(
    "cpf",
    [CPF[:-1] + "8", CPF[:-2] + "27", "0" * 11, "1" * 11, "9" * 11, "", CPF + "0", CPF[:-1], "395.496.000-17",
     f" {CPF}", f"{CPF}\n", "٣٩٥٤٩٦٠٠٠١٧", int(CPF), ["39549600017"]],
)  # fmt: skip
async def test_a_cpf_is_eleven_digits_with_valid_check_digits(partner: Partner, cpf: Any) -> None:
    assert paths(await partner.ask(cpf=cpf)) == ["$.cpf"]


@pytest.mark.parametrize("name", ["grossIncome", "housingSpends", "cardSpends", "loanSpends", "desiredCreditLimit"])
@pytest.mark.parametrize("amount", [-0.01, "10", True, 1e300, [1]])
async def test_an_amount_is_a_number_that_is_not_negative(partner: Partner, name: str, amount: Any) -> None:
    assert paths(await partner.ask(srd={**SRD, name: amount})) == [f"$.srd.{name}"]


async def test_every_wrong_field_is_named_at_once_check_digits_too(partner: Partner) -> None:
    answer = await partner.client.post(
        PATH,
        json={
            "cpf": "39549600018",
            "costSavingEnabled": "yes",
            "srd": {
                "housingSpends": -1,
                "cardSpends": "600",
                "occupation": "Pirate",
                "address": {"street": 5, "zipCode": "x"},
                "desiredCreditLimit": -5,
            },
            "authorizations": {"scr": ""},
            "contact": {"phone": "call me"},
        },
    )
    assert paths(answer) == [
        "$.authorizations.scr",
        "$.contact.phone",
        "$.costSavingEnabled",
        "$.cpf",
        "$.customerUuid",
        "$.srd.address.street",
        "$.srd.address.zipCode",
        "$.srd.cardSpends",
        "$.srd.desiredCreditLimit",
        "$.srd.grossIncome",
        "$.srd.housingSpends",
        "$.srd.occupation",
    ]
    assert await count(partner) == 0


@pytest.mark.parametrize("body", [b"", b"null", b"[]", b'"x"', b"{", b'{"cpf":', b"\xff", b'{"cpf": NaN}',
                                  b"[" * 5000, b'{"a":' * 5000])  # fmt: skip
async def test_what_is_no_json_object_is_refused(partner: Partner, body: bytes) -> None:
    answer = await partner.client.post(PATH, content=body, headers={"content-type": "application/json"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "INVALID_REQUEST")


async def test_a_field_may_not_come_twice(partner: Partner) -> None:
    body = json.dumps(an_application())[:-1] + ', "cpf": "14779111030"}'
    answer = await partner.client.post(PATH, content=body, headers={"content-type": "application/json"})
    assert paths(answer) == ["$.cpf"]


@pytest.mark.parametrize("media", ["text/plain", "application/x-www-form-urlencoded", "application/jsonx", ""])
async def test_only_json_is_read(partner: Partner, media: str) -> None:
    body = json.dumps(an_application())
    answer = await partner.client.post(PATH, content=body, headers={"content-type": media})
    assert (answer.status_code, answer.json()["error"]["code"]) == (415, "UNSUPPORTED_MEDIA_TYPE")


@pytest.mark.parametrize(("size", "expected"), [(64 * 1024, 202), (64 * 1024 + 1, 413), (5_000_000, 413)])
async def test_a_body_has_64_kilobytes_at_most(partner: Partner, size: int, expected: int) -> None:
    body = json.dumps(an_application()).encode()
    answer = await partner.client.post(
        PATH, content=body + b" " * (size - len(body)), headers={"content-type": "application/json"}
    )
    assert answer.status_code == expected


async def test_errors_speak_portuguese_to_whoever_asks(partner: Partner) -> None:
    english = await partner.ask(cpf="1")
    portuguese = await partner.ask(cpf="1", headers={"accept-language": "pt-BR,pt;q=0.9,en;q=0.8"})
    assert english.json()["error"]["message"] == "The request is malformed or lacks a field."
    assert portuguese.json()["error"]["message"] == "A requisição está malformada ou falta um campo."


async def test_the_trace_id_is_echoed(partner: Partner) -> None:
    for answer in (
        await partner.ask(headers={"x-request-id": "my-trace"}),
        await partner.ask(headers={"x-request-id": "my-trace"}, cpf="1"),
    ):
        assert answer.headers["x-request-id"] == "my-trace"
    assert await count(partner) == 1


async def test_the_same_customer_twice_is_two_runs(partner: Partner) -> None:
    trace = {"x-request-id": str(uuid.uuid4())}  # traces: only Idempotency-Key makes two requests one
    first, second = [await partner.ask(headers=trace) for _ in range(2)]
    assert first.json()["requestId"] != second.json()["requestId"]
    assert await count(partner) == 2


async def test_a_repetition_under_a_key_gets_the_stored_answer(partner: Partner) -> None:
    key = {"idempotency-key": str(uuid.uuid4())}
    first, again = await partner.ask(headers=key), await partner.ask(headers=key)
    assert (again.status_code, again.content) == (first.status_code, first.content)
    assert "idempotency-replayed" not in first.headers
    assert again.headers["idempotency-replayed"] == "true"
    assert await count(partner) == 1


async def test_another_body_under_a_used_key_is_a_conflict(partner: Partner) -> None:
    key = {"idempotency-key": "k-1"}
    assert (await partner.ask(headers=key)).status_code == 202
    answer = await partner.ask(headers=key, customerUuid="cust-2")
    assert (answer.status_code, answer.json()["error"]["code"]) == (409, "IDEMPOTENCY_CONFLICT")
    assert "Idempotency-Key" in answer.json()["error"]["message"]
    assert await count(partner) == 1


async def test_a_key_counts_for_24_hours_and_is_free_after(partner: Partner) -> None:
    key = {"idempotency-key": "k-day"}
    first = await partner.ask(headers=key)
    for hours, replayed in ((23, True), (2, False)):  # together more than a day
        async with partner.guard.platform.database.transaction() as db:
            await db.execute(
                "UPDATE idempotent_answer SET created_at = created_at - make_interval(hours => $2) WHERE caller = $1",
                partner.partner_id, hours,
            )  # fmt: skip
        again = await partner.ask(headers=key)
        assert (again.json() == first.json(), "idempotency-replayed" in again.headers) == (replayed, replayed)
    assert await count(partner) == 2


async def test_a_key_is_its_partners_own(partner: Partner, stranger: Partner) -> None:
    key = {"idempotency-key": "shared"}
    mine, theirs = await partner.ask(headers=key), await stranger.ask(headers=key, customerUuid="other")
    assert (mine.status_code, theirs.status_code) == (202, 202)


async def test_a_refused_request_leaves_its_key_free(partner: Partner) -> None:
    key = {"idempotency-key": "k-2"}
    assert (await partner.ask(headers=key, cpf="1")).status_code == 400
    assert (await partner.ask(headers=key)).status_code == 202


@pytest.mark.parametrize("key", ["", "a b", "x" * 256, "ä", "a\tb"])
async def test_what_is_no_key_is_refused_and_not_ignored(partner: Partner, key: str) -> None:
    headers = [(b"idempotency-key", key.encode("latin-1")), (b"content-type", b"application/json")]
    answer = await partner.client.post(PATH, content=json.dumps(an_application()), headers=headers)
    assert paths(answer) == ["Idempotency-Key"]
    assert await count(partner) == 0


async def test_twenty_equal_requests_at_once_are_one_application(guard: Installation) -> None:
    async with joined(guard) as partner:
        key = {"idempotency-key": str(uuid.uuid4())}
        answers = await asyncio.gather(*(partner.ask(headers=key) for _ in range(20)))
        assert {answer.status_code for answer in answers} == {202}
        assert len({answer.content for answer in answers}) == 1
        assert sum("idempotency-replayed" in answer.headers for answer in answers) == 19
        assert await count(partner) == 1
        async with guard.platform.database.reads.acquire() as db:
            queued = await db.fetchval(
                "SELECT count(*) FROM pgqueuer WHERE entrypoint = 'underwriting.run' AND convert_from(payload, 'UTF8') LIKE $1",
                f"%{answers[0].json()['requestId']}%",
            )
        assert queued == 1


async def test_what_the_partner_sent_is_nowhere_in_clear(partner: Partner) -> None:
    await partner.accepted(srd={**SRD, "address": {"street": "Rua do Canario"}})
    async with partner.guard.platform.database.reads.acquire() as db:
        rows = await db.fetch("SELECT u::text FROM underwriting u WHERE partner_id = $1", partner.partner_id)
        answers = await db.fetch("SELECT i::text FROM idempotent_answer i WHERE caller = $1", partner.partner_id)
    text = "".join(row[0] for row in (*rows, *answers))
    for secret in (CPF, "Canario"):
        assert secret not in text
        assert secret.encode().hex() not in text


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda children: st.lists(children, max_size=4) | st.dictionaries(st.text(max_size=12), children, max_size=4),
    max_leaves=12,
)
_field = st.sampled_from(["customerUuid", "cpf", "costSavingEnabled", "srd", "authorizations", "contact", "\u0000"])
_within = st.sampled_from([*SRD, "zipCode"])


_bodies = st.one_of(
    st.binary(max_size=200),
    _json.map(lambda tree: json.dumps(tree).encode()),
    st.dictionaries(_field, _json).map(lambda changed: json.dumps({**an_application(), **changed}).encode()),
    st.dictionaries(_within, _json).map(lambda changed: json.dumps(an_application(srd={**SRD, **changed})).encode()),
)


def generated(number: int) -> list[bytes]:
    """Return so many bodies, from wild bytes to applications with a few wrong fields; the same in every run."""
    bodies: list[bytes] = []

    @settings(max_examples=number, deadline=None, derandomize=True, database=None, phases=[Phase.generate],
              suppress_health_check=list(HealthCheck))  # fmt: skip
    @given(_bodies)
    def one(body: bytes) -> None:
        bodies.append(body)

    one()
    return bodies


async def test_no_body_whatever_makes_an_error_of_ours(guard: Installation) -> None:
    bodies = generated(400)
    async with joined(guard, minute_limit=100_000) as partner:
        headers = {"content-type": "application/json"}
        answers = [await partner.client.post(PATH, content=body, headers=headers) for body in bodies]
    seen = {answer.status_code for answer in answers}
    assert len(bodies) >= 400
    assert seen <= {202, 400}, seen
    assert all(answer.json()["error"]["details"] for answer in answers if answer.status_code == 400)
