"""The sandbox, as a partner's engineer uses it: every outcome is provoked, over real HTTPS, with real callbacks."""

import re
from collections.abc import AsyncIterator
from typing import Any

import pytest
from tests.guarding import PATH, Guard, guarding
from tests.served import until

from altcredit.engine.underwriting import examples

CARDS = PATH.removesuffix("/underwritings")
CPFS = {one.name: cpfs for one, cpfs in examples(3)}


@pytest.fixture(scope="module")
async def sandbox() -> AsyncIterator[Guard]:
    async with guarding(environment="sandbox", sandbox_delay=0) as guard:
        yield guard


def an_application(cpf: str, *, cost_saving: bool = False, **more: Any) -> dict[str, Any]:
    return {"customerUuid": f"cust-{cpf}", "cpf": cpf, "costSavingEnabled": cost_saving, **more}


async def test_the_published_filter_answers_minus_one_three_times(sandbox: Guard) -> None:
    request_id = await sandbox.accepted(an_application("41955366004", cost_saving=True))
    callback = await sandbox.callback(request_id)
    assert set(callback) == {"customerUuid", "started", "finished", "serviceType", "response"}
    assert callback["serviceType"] == "GUARD_SCORE"
    assert callback["response"] == {"costSavingEnabled": True, "score": -1, "riskBand": -1, "limit": -1}
    assert (await sandbox.standing(request_id))["outcome"] == "filtered"


async def test_the_published_filter_without_the_flag_is_an_ordinary_run(sandbox: Guard) -> None:
    callback = await sandbox.callback(await sandbox.accepted(an_application("41955366004")))
    assert callback["response"]["score"] > 0
    assert callback["response"]["limit"] > 0


async def test_the_published_rejection_has_a_real_score_and_a_limit_of_zero(sandbox: Guard) -> None:
    callback = await sandbox.callback(await sandbox.accepted(an_application("14779111030")))
    assert callback["response"]["score"] > 0
    assert callback["response"]["riskBand"] in range(1, 8)
    assert callback["response"]["limit"] == 0


async def test_the_published_approval_has_a_limit_in_whole_reais(sandbox: Guard) -> None:
    callback = await sandbox.callback(await sandbox.accepted(an_application("39549600017")))
    assert callback["response"] == {"costSavingEnabled": False, "score": 0.015, "riskBand": 3, "limit": 500}


async def test_a_callback_is_the_published_one_to_the_letter(sandbox: Guard) -> None:
    body = an_application("39549600017")
    del body["costSavingEnabled"]  # absent is false (contract U2)
    request_id = await sandbox.accepted(body)
    await sandbox.callback(request_id)
    (sent,) = sandbox.callbacks(request_id)  # which verifies both signatures
    moment = rb"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z"
    published = (
        rb'{"customerUuid":"cust-39549600017","started":"(%b)","finished":"(%b)","serviceType":"GUARD_SCORE",'
        rb'"response":{"costSavingEnabled":false,"score":0\.015,"riskBand":3,"limit":500}}'
    )
    found = re.fullmatch(published % (moment, moment), sent.body)
    assert found is not None, sent.body
    assert found[1] <= found[2]
    assert sent.line.startswith("POST ")
    assert sent.headers["content-type"] == "application/json"
    assert sent.headers["x-guard-request-id"] == request_id
    assert {"webhook-id", "webhook-timestamp", "webhook-signature"} <= sent.headers.keys()


async def test_a_replay_sends_the_same_id_and_body_again(sandbox: Guard) -> None:
    request_id = await sandbox.accepted(an_application("14779111030"))
    await sandbox.callback(request_id)
    (item,) = (await sandbox.client.get(f"{CARDS}/deliveries", params={"requestId": request_id})).json()["deliveries"]
    answer = await sandbox.client.post(f"{CARDS}/deliveries/{item['id']}/replay")
    assert answer.status_code == 202, answer.text
    await sandbox.callback(request_id, count=2)
    first, second = sandbox.callbacks(request_id)
    assert first.headers["webhook-id"] == second.headers["webhook-id"] == item["webhookId"]
    assert first.body == second.body


@pytest.mark.parametrize(
    "name", [name for name in CPFS if name.startswith(("band", "limit", "not", "slow", "filtered"))]
)
async def test_a_row_of_the_table_answers_as_documented(sandbox: Guard, name: str) -> None:
    expected = next(one for one, _ in examples(1) if one.name == name)
    request_id = await sandbox.accepted(an_application(CPFS[name][0], cost_saving=True))
    response = (await sandbox.callback(request_id))["response"]
    figures = [expected.pd, expected.risk_band, expected.limit_brl]
    wanted = [-1 if figure is None else figure for figure in figures]
    assert [response["score"], response["riskBand"], response["limit"]] == wanted
    assert (await sandbox.standing(request_id))["outcome"] == expected.outcome


async def test_a_withheld_callback_comes_by_a_retry_that_the_list_shows(sandbox: Guard) -> None:
    request_id = await sandbox.accepted(an_application(CPFS["failing callback"][0]))
    await sandbox.callback(request_id)
    found: dict[str, Any] = {}

    async def recorded() -> bool:
        answer = await sandbox.client.get(f"{CARDS}/deliveries", params={"requestId": request_id})
        (item,) = answer.json()["deliveries"]
        found.update(item)
        return bool(item["state"] == "delivered")

    await until(recorded)
    assert [one["status"] for one in found["attempts"]] == [None, 204]


async def test_a_failing_pipeline_ends_as_failed_and_tells_who_opted_in(sandbox: Guard) -> None:
    from altcredit.engine import identity
    from altcredit.runtime import clock

    async with sandbox.platform.database.transaction() as db:
        await identity.set_partner(
            db, partner_id=sandbox.partner_id, failure_callbacks=True, actor="test", now=clock.now()
        )
    request_id = await sandbox.accepted(an_application(CPFS["failing pipeline"][0]))
    callback = await sandbox.callback(request_id)
    assert callback["outcome"] == "failed"
    assert callback["response"]["score"] == -1
    assert (await sandbox.standing(request_id))["status"] == "failed"


async def test_reasons_are_called_back_to_who_opted_in(sandbox: Guard) -> None:
    from altcredit.engine import identity
    from altcredit.runtime import clock

    async with sandbox.platform.database.transaction() as db:
        await identity.set_partner(db, partner_id=sandbox.partner_id, reason_codes=True, actor="test", now=clock.now())
    callback = await sandbox.callback(await sandbox.accepted(an_application("14779111030")))
    assert callback["response"]["reasonCodes"] == ["NEGATIVE_RECORDS", "LOW_BUREAU_SCORE"]


async def test_a_rejected_applicant_is_looked_at_by_a_person_who_may_overturn(sandbox: Guard) -> None:
    from altcredit.engine import underwriting
    from altcredit.runtime import clock

    request_id = await sandbox.accepted(an_application(CPFS["limit of zero in band 3"][1]))
    await sandbox.callback(request_id)
    asked = await sandbox.client.post(f"{PATH}/{request_id}/review", json={"reason": "The income is higher."})
    assert asked.status_code == 202, asked.text
    platform = sandbox.platform
    async with platform.database.transaction() as db:
        (waiting,) = [
            one for one in await underwriting.open_reviews(db, keyring=platform.keyring) if one.request_id == request_id
        ]
        assert waiting.reason == "The income is higher."
        await underwriting.decide_review(
            db, policy=underwriting.POLICY, keyring=platform.keyring, review_id=waiting.review_id, verdict="overturned", note="payslip seen",
            limit_brl=600, actor="person:ana", now=clock.now(),
        )  # fmt: skip
    callback = await sandbox.callback(request_id, count=2)
    assert callback["response"]["limit"] == 600
    standing = await sandbox.standing(request_id)
    assert standing["outcome"] == "approved"
    first, second = sandbox.callbacks(request_id)
    assert first.headers["webhook-id"] != second.headers["webhook-id"]


async def test_a_filtered_applicant_is_underwritten_anew_without_the_funnel_however_late(sandbox: Guard) -> None:
    from datetime import timedelta

    from altcredit.engine import underwriting
    from altcredit.runtime import clock

    request_id = await sandbox.accepted(an_application(CPFS["filtered"][1], cost_saving=True))
    await sandbox.callback(request_id)
    asked = await sandbox.client.post(f"{PATH}/{request_id}/review", json={"reason": "please"})
    platform = sandbox.platform
    async with platform.database.transaction() as db:
        await db.execute(
            "UPDATE underwriting SET accepted_at = accepted_at - interval '3 days' WHERE request_id = $1", request_id
        )
        await underwriting.decide_review(
            db, policy=underwriting.POLICY, keyring=platform.keyring, review_id=asked.json()["reviewId"], verdict="reassessed", note="",
            actor="person:ana", now=clock.now(),
        )  # fmt: skip
        assert await underwriting.fail_overdue(db, keyring=platform.keyring, now=clock.now()) == 0, "it has just begun"
    assert (await sandbox.callback(request_id, count=2))["response"]["score"] == 0.015
    late = clock.now() + timedelta(hours=25)
    async with platform.database.transaction() as db:
        assert await underwriting.fail_overdue(db, keyring=platform.keyring, now=late) == 0, "nothing waits any more"


async def test_everything_accepted_is_decided_once(sandbox: Guard) -> None:
    reads = sandbox.platform.database.reads

    async def settled() -> bool:
        return not await reads.fetchval("SELECT count(*) FROM underwriting WHERE status = 'processing'")

    await until(settled)
    rows = await reads.fetch(
        "SELECT subject, count(*) AS n FROM audit_event WHERE action = 'underwriting.decided' AND subject NOT IN"
        " (SELECT request_id FROM underwriting_review WHERE decision = 'reassessed') GROUP BY subject"
    )
    assert {row["n"] for row in rows} == {1}
