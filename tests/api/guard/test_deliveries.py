"""Callbacks seen by the partner that gets them (contract U6, U12): list, replay one, replay all since a time."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from tests.api.guard.conftest import BASE, Partner

LIST = f"{BASE}/deliveries"
NOW = datetime.now(UTC)


async def listed(partner: Partner, **filters: Any) -> dict[str, Any]:
    answer = await partner.client.get(LIST, params=filters)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def ids(partner: Partner, **filters: Any) -> list[str]:
    return [one["id"] for one in (await listed(partner, **filters))["deliveries"]]


async def delivered(partner: Partner, delivery_id: str) -> None:
    """Let a callback have failed once and arrived then, as the sender writes it."""
    async with partner.guard.platform.database.transaction() as db:
        await db.execute(
            "UPDATE delivery SET state = 'delivered', next_attempt_at = NULL, attempts = 2, tries = 2,"
            " delivered_at = created_at WHERE delivery_id = $1",
            delivery_id,
        )
        await db.execute(
            "INSERT INTO delivery_attempt (delivery_id, number, at, status, problem, latency_ms, answer)"
            " VALUES ($1, 1, now(), NULL, 'connection refused', 3, ''), ($1, 2, now(), 204, NULL, 12, 'secret')",
            delivery_id,
        )


async def test_a_callback_is_listed_with_its_attempts(partner: Partner) -> None:
    delivery_id = await partner.called_back("uw_00000000000000a1")
    (waiting,) = (await listed(partner))["deliveries"]
    assert (waiting["id"], waiting["requestId"], waiting["state"]) == (delivery_id, "uw_00000000000000a1", "pending")
    assert waiting["nextAttemptAt"] is not None
    assert waiting["attempts"] == []
    await delivered(partner, delivery_id)
    (arrived,) = (await listed(partner))["deliveries"]
    assert (arrived["state"], arrived["nextAttemptAt"]) == ("delivered", None)
    assert arrived["webhookId"] == waiting["webhookId"]
    first, second = arrived["attempts"]
    assert (first["status"], first.keys()) == (None, {"at", "status", "latencyMs", "problem"})
    assert (second["status"], second["latencyMs"], second.keys()) == (204, 12, {"at", "latencyMs", "status"})


async def test_the_list_is_filtered(partner: Partner) -> None:
    old = await partner.called_back("uw_00000000000000b1", at=NOW - timedelta(days=2))
    new = await partner.called_back("uw_00000000000000b2", at=NOW - timedelta(hours=1))
    await delivered(partner, old)
    assert await ids(partner) == [new, old]
    assert await ids(partner, requestId="uw_00000000000000b1") == [old]
    assert await ids(partner, state="pending") == [new]
    assert await ids(partner, since=(NOW - timedelta(days=1)).isoformat()) == [new]
    assert await ids(partner, state="pending", requestId="uw_00000000000000b1") == []


async def test_pages_hold_everything_once(partner: Partner) -> None:
    made = [await partner.called_back(at=NOW - timedelta(minutes=n // 2)) for n in range(7)]
    seen: list[str] = []
    cursor: dict[str, str] = {}
    while True:
        page = await listed(partner, limit=2, **cursor)
        seen += [one["id"] for one in page["deliveries"]]
        if page["nextCursor"] is None:
            break
        cursor = {"cursor": page["nextCursor"]}
    assert sorted(seen) == sorted(made)
    assert len(seen) == 7


@pytest.mark.parametrize(
    ("filters", "path"),
    [({"state": "lost"}, "$.state"), ({"limit": 0}, "$.limit"), ({"limit": 201}, "$.limit"), ({"limit": "x"}, "$.limit"),
     ({"since": "yesterday"}, "$.since"), ({"since": "2026-11-22T10:00:00"}, "$.since")],
)  # fmt: skip
async def test_a_filter_that_makes_no_sense_is_named(partner: Partner, filters: dict[str, Any], path: str) -> None:
    answer = await partner.client.get(LIST, params=filters)
    assert (answer.status_code, [one["path"] for one in answer.json()["error"]["details"]]) == (400, [path])


async def test_nobody_sees_or_replays_anothers_callbacks(partner: Partner, stranger: Partner) -> None:
    theirs = await stranger.called_back()
    assert await ids(partner) == []
    for delivery_id in (theirs, "dlv_0000000000000000", "nothing", "%00"):
        answer = await partner.client.post(f"{LIST}/{delivery_id}/replay")
        assert (answer.status_code, answer.json()["error"]["code"]) == (404, "DELIVERY_UNKNOWN"), delivery_id
        listed_by = await partner.client.get(LIST, params={"cursor": delivery_id})
        assert (listed_by.status_code, listed_by.json()["error"]["code"]) == (404, "DELIVERY_UNKNOWN")
    await stranger.client.post(f"{LIST}/replay", json={"since": "2026-01-01T00:00:00Z"})
    assert (await partner.client.post(f"{LIST}/replay", json={"since": "2026-01-01T00:00:00Z"})).json() == {
        "replayed": 0
    }


async def test_a_replay_keeps_the_webhook_id(partner: Partner) -> None:
    delivery_id = await partner.called_back()
    await delivered(partner, delivery_id)
    (before,) = (await listed(partner))["deliveries"]
    answer = await partner.client.post(f"{LIST}/{delivery_id}/replay")
    assert (answer.status_code, answer.json()) == (202, {"id": delivery_id, "state": "pending"})
    (after,) = (await listed(partner))["deliveries"]
    assert (after["state"], after["webhookId"]) == ("pending", before["webhookId"])
    assert len(after["attempts"]) == 2


async def test_all_since_a_time_are_replayed(partner: Partner) -> None:
    for hours in (1, 2, 30):
        await delivered(partner, await partner.called_back(at=NOW - timedelta(hours=hours)))
    since = (NOW - timedelta(days=1)).isoformat()
    answer = await partner.client.post(f"{LIST}/replay", json={"since": since})
    assert (answer.status_code, answer.json()) == (202, {"replayed": 2})
    assert len(await ids(partner, state="pending")) == 2
    failed = await partner.client.post(f"{LIST}/replay", json={"since": since, "state": "failed"})
    assert failed.json() == {"replayed": 0}


@pytest.mark.parametrize("body", [{}, {"since": "yesterday"}, {"since": "2026-11-22"}, {"since": 5}])
async def test_a_replay_needs_a_time_with_its_zone(partner: Partner, body: dict[str, Any]) -> None:
    answer = await partner.client.post(f"{LIST}/replay", json=body)
    assert (answer.status_code, [one["path"] for one in answer.json()["error"]["details"]]) == (400, ["$.since"])


async def test_a_repeated_replay_under_a_key_is_one(partner: Partner) -> None:
    delivery_id = await partner.called_back()
    url, key = f"{LIST}/{delivery_id}/replay", {"idempotency-key": "again"}
    assert (await partner.client.post(url, headers=key)).status_code == 202
    await delivered(partner, delivery_id)
    again = await partner.client.post(url, headers=key)
    assert (again.status_code, again.headers["idempotency-replayed"]) == (202, "true")
    assert await ids(partner, state="pending") == []
