"""Every call leaves a row: who, in which roles, why, before and after; those that were refused, too."""

import asyncio
import ssl
from datetime import UTC, datetime, timedelta
from urllib.parse import urlsplit

import pytest
from tests.api.admin.conftest import Desks
from tests.api.conftest import Installation

from altcredit.api.admin.actions import differences
from altcredit.api.admin.surface import OPERATIONS
from altcredit.api.contract import Route
from altcredit.engine import audit

ROUTES = [pytest.param(route, id=route.operation) for route in OPERATIONS]


@pytest.mark.parametrize("route", ROUTES)
def test_every_operation_is_recorded_in_its_own_transaction_and_changes_ask_for_a_reason(route: Route) -> None:
    assert route.credentials, route.path
    assert route.handler.__qualname__ == "_recorded.<locals>.run"
    assert route.refused is not None
    assert route.method == "GET" or "X-Reason" in [header.name for header in route.headers]


async def test_a_look_is_recorded_as_a_change_is(altscore: Installation, desk: Desks) -> None:
    auditor = await desk("auditor")
    auditor.client.headers["x-request-id"] = "look-1"
    assert (await auditor.get("/audit/events", limit=1)).status_code == 200
    (row,) = await auditor.recorded("listAuditEvents")
    assert row.details == {
        "roles": ["auditor"],
        "session_id": auditor.who.session.session_id,
        "reason": None,
        "request_id": "look-1",
    }


async def test_a_change_says_why_or_is_not_made(desk: Desks) -> None:
    ops = await desk("ops")
    for reason in (None, "  ", "ab"):
        refused = await ops.post("/distributors", name="Why", distributor_id="dist_why", reason=reason)
        assert refused.status_code == 400, reason
        assert refused.json()["error"]["details"][0]["path"] == "$.reason"
    ops.client.headers["x-reason"] = "in the header"
    made = await ops.post("/distributors", name="Why", distributor_id="dist_why", reason=None)
    assert made.status_code == 201
    (row, *refusals) = await ops.recorded("addDistributor")
    assert (row.subject, row.details["reason"]) == ("dist_why", "in the header")
    assert row.details["after"]["name"] == "Why"
    assert [one.details["refused"] for one in refusals] == ["BodyMalformed"] * 3


async def test_who_may_not_is_told_so_before_the_body_is_read_and_it_is_recorded(
    altscore: Installation, desk: Desks
) -> None:
    auditor = await desk("auditor")
    denied = await auditor.client.post("/v1/admin/distributors", content=b"{not json")
    assert (denied.status_code, denied.json()["error"]["code"]) == (403, "PERMISSION_DENIED")
    (row,) = await auditor.recorded("addDistributor")
    assert row.details["refused"] == "PermissionDenied"


async def test_credentials_are_judged_before_any_body_is_sent(altscore: Installation) -> None:
    where = urlsplit(altscore.admin_url)
    context = ssl.create_default_context(cadata=altscore.authority.pem)
    reader, writer = await asyncio.open_connection(where.hostname, where.port, ssl=context)
    writer.write(
        b"POST /v1/admin/distributors HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
        b"content-length: 1000000\r\n\r\n"
    )
    await writer.drain()
    status = await asyncio.wait_for(reader.readline(), timeout=5)
    assert status.startswith(b"HTTP/1.1 401"), status
    writer.close()


async def test_the_log_is_read_by_filters_page_by_page(altscore: Installation, desk: Desks) -> None:
    dpo = await desk("dpo")
    start = datetime.now(UTC)
    async with altscore.platform.database.transaction() as db:
        for number in range(7):
            await audit.append(
                db, actor="test:pages", action="thing.done", subject=f"thing_{number % 2}", details={"n": number},
                now=start + timedelta(seconds=number // 2),
            )  # fmt: skip
    found, cursor = [], None
    while True:
        page = (
            await dpo.get("/audit/events", actor="test:pages", limit=3, **({"cursor": cursor} if cursor else {}))
        ).json()
        assert len(page["events"]) <= 3
        found += [one["details"]["n"] for one in page["events"]]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert found == [6, 5, 4, 3, 2, 1, 0]
    one = (await dpo.get("/audit/events", actor="test:pages", subject="thing_1", action="thing.done")).json()["events"]
    assert [event["details"]["n"] for event in one] == [5, 3, 1]
    since = {"since": (start + timedelta(seconds=1)).isoformat(), "until": (start + timedelta(seconds=3)).isoformat()}
    between = (await dpo.get("/audit/events", actor="test:pages", **since)).json()["events"]
    assert [event["details"]["n"] for event in between] == [5, 4, 3, 2]
    for bad in ("nonsense", "W10", "WyIyMDI2LTAxLTAxVDAwOjAwOjAwIiwxXQ"):
        refused = await dpo.get("/audit/events", cursor=bad)
        assert (refused.status_code, refused.json()["error"]["code"]) == (400, "INVALID_REQUEST")


def test_only_what_changed_is_kept() -> None:
    assert differences({"a": 1, "b": 2}, {"a": 1, "b": 3}) == {"before": {"b": 2}, "after": {"b": 3}}
    assert differences({}, {"a": 1}) == {"after": {"a": 1}}
    assert differences({"a": 1}, {"a": 1}) == {}


async def test_a_nul_is_no_part_of_any_name(desk: Desks) -> None:
    dpo, ops = await desk("dpo"), await desk("ops")
    for query in ({"actor": "a\0b"}, {"cursor": "\0"}):
        refused = await dpo.get("/audit/events", **query)
        assert (refused.status_code, refused.json()["error"]["code"]) == (400, "INVALID_REQUEST"), query
    assert (await dpo.get("/grievances/grv%00")).status_code == 404
    for path in ("/distributors/d%00/revoke", "/lenders/%00/rotate-secret"):
        assert (await ops.post(path)).status_code == 404
    assert (await ops.post("/distributors", name="a\0b")).status_code == 400
