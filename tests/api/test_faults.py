"""What goes wrong inside: an outage is an outage, a bug is a bug, and no answer tells more than that."""

import json
from collections.abc import Callable
from typing import Any

import asyncpg
import pytest
from tests.api.conftest import Installation

from altcredit.api.altscore.surface import ERROR_TABLE
from altcredit.api.app import Surface, application
from altcredit.api.contract import Call, Nothing, Route
from altcredit.runtime.db import DatabaseAway

Answer = tuple[int, dict[str, str], dict[str, Any]]


async def ask(altscore: Installation, problem: Callable[[], Exception], *, writes: bool) -> Answer:
    """Return how a route answers whose handler raises."""

    async def handler(_call: Call, _asked: Nothing) -> Nothing:
        raise problem()

    route = Route(
        method="POST", path="/fault", operation="fault", tag="Test", summary="Fail", handler=handler, writes=writes
    )
    app = application(altscore.platform, Surface(errors=ERROR_TABLE, routes=[route]))
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b""}

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    await app({"type": "http", "method": "POST", "path": "/fault", "query_string": b"", "headers": []}, receive, send)
    start, body = sent
    headers = {name.decode(): value.decode() for name, value in start["headers"]}
    return start["status"], headers, json.loads(body["body"])


@pytest.mark.parametrize("writes", [False, True])
@pytest.mark.parametrize(
    "problem",
    [
        lambda: FileNotFoundError(2, "No such file or directory", "/secret/path"),
        lambda: PermissionError(13, "Permission denied"),
        lambda: ConnectionResetError("somebody else's connection"),
        lambda: asyncpg.InterfaceError("another operation is in progress"),
        lambda: asyncpg.UniqueViolationError("duplicate key"),
        lambda: KeyError("nothing"),
    ],
)
async def test_a_bug_answers_500_and_is_logged_with_its_place(
    altscore: Installation, problem: Callable[[], Exception], writes: bool, capfd: pytest.CaptureFixture[str]
) -> None:
    status, headers, body = await ask(altscore, problem, writes=writes)
    assert (status, body["error"]["code"], body["error"]["details"]) == (500, "INTERNAL_ERROR", [])
    assert "retry-after" not in headers
    assert "secret" not in json.dumps(body)
    lines = [json.loads(line) for line in "".join(capfd.readouterr()).splitlines() if line.startswith("{")]
    (bug,) = [line for line in lines if line["event"] == "bug"]
    assert bug["error"] == type(problem()).__name__
    assert any("test_faults.py" in place for place in bug["traceback"])


@pytest.mark.parametrize("writes", [False, True])
@pytest.mark.parametrize(
    "problem",
    [
        lambda: DatabaseAway("the connection was lost"),
        lambda: asyncpg.ConnectionDoesNotExistError("connection was closed in the middle of operation"),
        lambda: asyncpg.TooManyConnectionsError("sorry, too many clients already"),
        lambda: asyncpg.CannotConnectNowError("the database system is starting up"),
    ],
)
async def test_an_outage_answers_503_and_says_when_to_come_back(
    altscore: Installation, problem: Callable[[], Exception], writes: bool
) -> None:
    status, headers, body = await ask(altscore, problem, writes=writes)
    assert (status, body["error"]["code"], headers["retry-after"]) == (503, "SERVICE_UNAVAILABLE", "30")
