"""Status and review of an underwriting (GUARD API, Response; contract U1, U5)."""

import pytest
from tests.api.guard.conftest import PATH, Partner

APPROVED = {"pd": 0.015, "band": 3, "limit": 500}
REJECTED = {"pd": 0.12, "band": 6, "limit": 0}


async def test_an_accepted_underwriting_is_processing(partner: Partner) -> None:
    request_id = await partner.accepted(customerUuid="c-7")
    body = (await partner.read(request_id)).json()
    assert body.keys() == {"requestId", "customerUuid", "status", "accepted"}
    assert (body["requestId"], body["customerUuid"], body["status"]) == (request_id, "c-7", "processing")


async def test_an_approval_is_shown_as_the_callback_has_it(partner: Partner) -> None:
    request_id = await partner.concluded("approved", **APPROVED, reasons=("POSITIVE_HISTORY", "THIN_FILE"))
    body = (await partner.read(request_id)).json()
    assert (body["status"], body["outcome"], body["serviceType"]) == ("finished", "approved", "GUARD_SCORE")
    assert (body["started"], body["finished"]) == ("2026-11-22T12:00:00.005Z", "2026-11-22T12:00:09.999Z")
    assert body["response"] == {"costSavingEnabled": False, "score": 0.015, "riskBand": 3, "limit": 500}
    assert body["reasonCodes"] == [
        {"code": "POSITIVE_HISTORY", "label": "Good positive-registry history", "direction": "positive"},
        {"code": "THIN_FILE", "label": "Insufficient credit history", "direction": "negative"},
    ]
    assert "review" not in body


async def test_reasons_are_told_in_portuguese(partner: Partner) -> None:
    request_id = await partner.concluded("rejected", **REJECTED, reasons=("THIN_FILE",))
    (reason,) = (await partner.read(request_id, language="pt-BR")).json()["reasonCodes"]
    assert reason["label"] == "Histórico de crédito insuficiente"


async def test_a_rejection_has_its_real_score_and_no_limit(partner: Partner) -> None:
    body = (await partner.read(await partner.concluded("rejected", **REJECTED))).json()
    assert body["response"] == {"costSavingEnabled": False, "score": 0.12, "riskBand": 6, "limit": 0}


@pytest.mark.parametrize("outcome", ["filtered", "not_calculable"])
async def test_without_a_score_all_three_figures_are_minus_one(partner: Partner, outcome: str) -> None:
    body = (await partner.read(await partner.concluded(outcome))).json()
    assert (body["status"], body["outcome"]) == ("finished", outcome)
    assert body["response"] == {"costSavingEnabled": False, "score": -1, "riskBand": -1, "limit": -1}


async def test_anothers_underwriting_is_as_unknown_as_none(partner: Partner, stranger: Partner) -> None:
    theirs = await stranger.concluded("rejected", **REJECTED)
    trace = {"x-request-id": "t"}
    answers = [
        await partner.client.get(f"{PATH}/{one}", headers=trace)
        for one in (
            theirs,
            "uw_0000000000000000",
            "nothing",
            "uw_%00",
            "%F0%9F%92%A9",
            "'--",
            theirs.upper(),
            "x" * 500,
        )
    ]
    assert {answer.status_code for answer in answers} == {404}
    assert {answer.content for answer in answers} == {answers[0].content}
    assert answers[0].json()["error"]["code"] == "REQUEST_UNKNOWN"


async def ask_review(partner: Partner, request_id: str, reason: object = "The income is real.") -> tuple[int, dict]:  # type: ignore[type-arg]
    answer = await partner.client.post(f"{PATH}/{request_id}/review", json={"reason": reason})
    return answer.status_code, answer.json()


@pytest.mark.parametrize(("outcome", "figures"), [("rejected", REJECTED), ("filtered", {}), ("not_calculable", {})])
async def test_what_was_not_approved_can_be_reviewed(partner: Partner, outcome: str, figures: dict[str, float]) -> None:
    request_id = await partner.concluded(outcome, **figures)  # type: ignore[arg-type]
    status, review = await ask_review(partner, request_id)
    assert (status, review["state"]) == (202, "open")
    assert review["asked"] < review["due"]
    assert (await partner.read(request_id)).json()["review"] == review
    assert (await ask_review(partner, request_id))[1]["error"]["code"] == "NOT_REVIEWABLE"


async def test_nothing_else_can_be_reviewed(partner: Partner, stranger: Partner) -> None:
    cases = [
        (await partner.accepted(), 409, "NOT_REVIEWABLE"),
        (await partner.concluded("approved", **APPROVED), 409, "NOT_REVIEWABLE"),
        (await stranger.concluded("rejected", **REJECTED), 404, "REQUEST_UNKNOWN"),
        ("uw_0000000000000000", 404, "REQUEST_UNKNOWN"),
        ("%00", 404, "REQUEST_UNKNOWN"),
    ]
    for request_id, status, code in cases:
        answered, body = await ask_review(partner, request_id)
        assert (answered, body["error"]["code"]) == (status, code), request_id


@pytest.mark.parametrize("reason", [None, "", "x" * 4001, 5])
async def test_a_review_needs_a_reason(partner: Partner, reason: object) -> None:
    status, body = await ask_review(partner, await partner.concluded("rejected", **REJECTED), reason)
    assert (status, [one["path"] for one in body["error"]["details"]]) == (400, ["$.reason"])


async def test_a_repeated_review_under_a_key_is_one(partner: Partner) -> None:
    url = f"{PATH}/{await partner.concluded('rejected', **REJECTED)}/review"
    first, again = [
        await partner.client.post(url, json={"reason": "r"}, headers={"idempotency-key": "k"}) for _ in range(2)
    ]
    assert (first.status_code, again.status_code) == (202, 202)
    assert again.content == first.content
