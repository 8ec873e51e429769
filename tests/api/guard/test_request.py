from typing import Any

import httpx2
from tests.api.guard.conftest import PATH, an_application


async def test_an_application_is_accepted_at_once(partner: httpx2.AsyncClient) -> None:
    answer = await partner.post(PATH, json=an_application())
    assert answer.status_code == 202, answer.text
    body: dict[str, Any] = answer.json()
    assert body.keys() == {"requestId", "customerUuid", "status"}
    assert (body["customerUuid"], body["status"]) == ("cust-1", "processing")
    found = await partner.get(f"{PATH}/{body['requestId']}")
    assert found.status_code == 200, found.text
    assert found.json()["status"] == "processing"
