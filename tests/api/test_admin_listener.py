"""What is on the admin listener is not on the public one, and the other way round."""

import pytest
from tests.api.conftest import Installation

from altcredit.api.altscore.surface import ROUTES


@pytest.mark.parametrize("path", ["/metrics", "/v1/admin/distributors", "/v1/admin/audit/events"])
async def test_what_is_for_operators_does_not_exist_in_public(altscore: Installation, path: str) -> None:
    async with altscore.client() as client:
        for method in ("GET", "POST", "PUT"):
            answer = await client.request(method, path)
            assert (answer.status_code, answer.json()["error"]["code"]) == (404, "NOT_FOUND")


async def test_what_is_for_partners_does_not_exist_on_the_admin_listener(altscore: Installation) -> None:
    async with altscore.client() as client:
        for route in ROUTES:
            path = route.path.replace("{", "").replace("}", "")
            answer = await client.request(route.method, altscore.admin_url + path)
            assert (answer.status_code, answer.json()["error"]["code"]) == (404, "NOT_FOUND"), path


async def test_both_listeners_say_that_they_live_and_are_ready(altscore: Installation) -> None:
    async with altscore.client() as client:
        for url in (altscore.base_url, altscore.admin_url):
            assert (await client.get(f"{url}/healthz")).json() == {"status": "ok"}
            assert (await client.get(f"{url}/readyz")).json() == {"status": "ready"}
            head = await client.head(f"{url}/healthz")
            assert (head.status_code, head.content) == (200, b"")


async def test_metrics_count_requests_by_template_and_name_nobody(altscore: Installation) -> None:
    issued = await altscore.lender()
    async with await altscore.signed_in(issued) as client:
        await client.get("/v1/score/ret_00000000deadbeef/history")
        metrics = await client.get(f"{altscore.admin_url}/metrics")
    assert metrics.headers["content-type"].startswith("text/plain")
    assert "/v1/score/{retailer_id}/history" in metrics.text
    assert "deadbeef" not in metrics.text
    assert issued.client_id not in metrics.text


async def test_the_admin_listener_asks_for_no_certificate_and_keeps_the_same_manners(altscore: Installation) -> None:
    async with altscore.client(**{"x-request-id": "trace-7"}) as client:
        answer = await client.get(f"{altscore.admin_url}/nothing")
        other = await client.post(f"{altscore.admin_url}/healthz")
    assert answer.headers["x-request-id"] == "trace-7"
    assert answer.json()["request_id"] == "trace-7"
    assert answer.headers["strict-transport-security"].startswith("max-age=")
    assert (other.status_code, other.headers["allow"]) == (405, "GET, HEAD")
