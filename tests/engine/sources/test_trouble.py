"""What one client does when its source is slow, limited, down or hostile; over real sockets."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest
import uvloop
from tests.engine.sources.conftest import SUBJECT, listening
from tests.engine.sources.people import person

from altcredit.engine.sources import SOURCES, Client, Clients, Outcome, Terms, wire
from altcredit.engine.sources.breaker import Breaker
from altcredit.runtime.certificates import Authority
from altcredit.runtime.settings import Settings
from altcredit.simulator.source_server import SourceServer
from altcredit.simulator.source_serving import Certificates, deployment_file, serving

Answerer = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
GOOD = b'{"situation":"regular"}'


def _answer(body: bytes = GOOD, *, status: bytes = b"200 OK", headers: bytes = b"") -> bytes:
    return b"HTTP/1.1 %s\r\n%scontent-length: %d\r\n\r\n%s" % (status, headers, len(body), body)


async def _request(reader: asyncio.StreamReader) -> bytes:
    head = await reader.readuntil(b"\r\n\r\n")
    length = next(int(line[16:]) for line in head.split(b"\r\n") if line.startswith(b"content-length: "))
    return head + await reader.readexactly(length)


def _always(*chunks: bytes) -> Answerer:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            await _request(reader)
            for chunk in chunks:
                writer.write(chunk)
                await writer.drain()

    return answer


def _once(*chunks: bytes) -> Answerer:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await _request(reader)
        writer.writelines(chunks)
        await writer.drain()

    return answer


@asynccontextmanager
async def _client(opened: Any, answerer: Answerer, **terms: Any) -> AsyncIterator[Client]:
    async with listening(answerer) as base_url:
        fields = {"base_url": base_url, "retries": 0, "timeout_seconds": 5.0, **terms}
        text = "[cpf_status]\n" + "".join(f"{name} = {msgspec.json.encode(fields[name]).decode()}\n" for name in fields)
        clients: Clients = await opened(text)
        yield clients["cpf_status"]
        await clients.close()


async def _asked(client: Client, number: int = 0) -> Outcome:
    return await client.ask(f"qry_{number:016x}", SUBJECT)


@pytest.mark.parametrize(
    ("answerer", "problem"),
    [
        (_always(b"SSH-2.0-OpenSSH_9.9\r\n"), "its answer is not HTTP"),
        (_always(b"HTTP/1.1 200 OK\r\n", b"x: " + b"a" * 40_000), "its headers are too large"),
        (_always(_answer(b" " * 300_000 + GOOD)), "its answer is larger than 256 KB"),
        (_always(_answer(headers=b"content-encoding: gzip\r\n")), "its answer is compressed, which was not asked for"),
        (_always(b"HTTP/1.1 101 Switching\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n"), "its answer is not HTTP"),
        (_once(_answer()[:-5]), "it hung up amid its answer"),
        (_once(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n17\r\n{"), "it hung up amid its answer"),
        (_once(), "it hung up without an answer"),
        (_always(_answer(status=b"302 Found", headers=b"location: http://127.0.0.1/\r\n")), "status 302"),
        (_always(_answer(b'{"cpf":"39549600017"}', status=b"401 No")), "status 401"),
        (_always(_answer(b"<html>", status=b"404 Not Found")), "status 404, and its answer is not a JSON object"),
    ],
)
async def test_a_hostile_answer_fails_with_a_reason_of_ours(opened: Any, answerer: Answerer, problem: str) -> None:
    async with _client(opened, answerer) as client:
        outcome = await _asked(client)
    assert (outcome.problem, outcome.answer, outcome.charged, outcome.tries) == (problem, None, False, 1)


@pytest.mark.parametrize(
    "answerer",
    [
        _always(_answer()),
        _always(*(bytes([byte]) for byte in _answer())),
        _always(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n", b"17\r\n" + GOOD + b"\r\n0\r\n\r\n"),
        _always(b"HTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\n" + _answer()),
        _once(b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n" + GOOD),
        _once(b"HTTP/1.0 200 OK\r\n\r\n" + GOOD),
        _once(_answer()),
        _always(_answer() + _answer(b'{"situation":"deceased"}')),
    ],
    ids=["plain", "byte by byte", "chunked", "interim", "until close", "1.0", "hangs up after", "one too many"],
)
async def test_any_way_to_send_an_answer_is_understood(opened: Any, answerer: Answerer) -> None:
    async with _client(opened, answerer) as client:
        for number in range(3):
            outcome = await _asked(client, number)
            assert (outcome.problem, outcome.answer and outcome.answer.situation) == (None, "regular")


async def test_one_connection_serves_question_after_question(opened: Any) -> None:
    connections = 0

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        await _always(_answer())(reader, writer)

    async with _client(opened, answer) as client:
        for number in range(5):
            assert (await _asked(client, number)).problem is None
    assert connections == 1


async def test_the_question_is_the_documented_one(opened: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[bytes] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.append(await _request(reader))
        writer.write(_answer(b'{"institutions":1}'))

    monkeypatch.setenv("SCR_TOKEN", "s3cret")
    async with listening(answer) as base_url:
        clients = await opened(
            f"[scr]\nbase_url = '{base_url}/api/'\npath = '/v2/scr'\n[scr.request]\ncpf = 'documento'\n"
            "[scr.credentials]\nAuthorization = 'Bearer env:SCR_TOKEN'\n"
        )
        await clients["scr"].ask("qry_0123456789abcdef", SUBJECT)
    head, body = seen[0].split(b"\r\n\r\n")
    lines = head.decode().split("\r\n")
    assert lines[0] == "POST /api/v2/scr HTTP/1.1"
    assert {
        "Authorization: Bearer s3cret",
        "idempotency-key: qry_0123456789abcdef",
        "content-type: application/json",
    } <= set(lines)
    assert msgspec.json.decode(body) == {"documento": SUBJECT.cpf, "authorisation": "aut-1"}


async def test_no_answer_in_time_is_a_failure_within_the_budget(opened: Any) -> None:
    async def silence(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()

    async with _client(opened, silence, timeout_seconds=0.2, retries=3) as client:
        started = asyncio.get_running_loop().time()
        outcome = await _asked(client)
        assert asyncio.get_running_loop().time() - started < 2
    assert (outcome.problem, outcome.tries) == ("no answer within 0.2 s", 1)


async def test_a_dripping_answer_ends_with_the_budget(opened: Any) -> None:
    async def drip(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await _request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 100000\r\n\r\n")
        while not writer.is_closing():
            writer.write(b" ")
            await writer.drain()
            await asyncio.sleep(0.01)

    async with _client(opened, drip, timeout_seconds=0.2) as client:
        assert (await _asked(client)).problem == "no answer within 0.2 s"


async def test_nobody_there_is_tried_again_and_then_a_failure(opened: Any) -> None:
    async with _client(opened, _once(), retries=1) as client:
        pass  # the listener is gone now, its port free
    clients = await opened(f"[cpf_status]\nbase_url = '{client.terms.base_url}'\nretries = 1")
    outcome = await clients["cpf_status"].ask("qry_1", SUBJECT)
    assert (outcome.problem, outcome.tries) == ("no connection (ConnectionRefusedError)", 2)


async def test_a_request_for_patience_is_honoured_and_no_failure(opened: Any) -> None:
    asked: list[float] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            await _request(reader)
            asked.append(asyncio.get_running_loop().time())
            limited = len(asked) == 1
            headers, status = (b"retry-after: 1\r\n", b"429 Slow") if limited else (b"", b"200 OK")
            writer.write(_answer(status=status, headers=headers))

    async with _client(opened, answer) as client:
        first = asyncio.create_task(_asked(client))
        while not asked:  # noqa: ASYNC110 - the condition is behind a socket
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.05)
        second = await _asked(client, 2)  # another question waits as well
        assert [(await first).problem, second.problem] == [None, None]
        assert (await first).tries == 2
        assert all(at - asked[0] >= 0.99 for at in asked[1:])
        assert client.state() == "closed"


async def test_patience_beyond_the_budget_fails_without_waiting(opened: Any) -> None:
    answerer = _always(_answer(status=b"429 Slow", headers=b"retry-after: 3600\r\n"))
    async with _client(opened, answerer) as client:
        started = asyncio.get_running_loop().time()
        assert (await _asked(client)).problem == "status 429"
        assert (await _asked(client, 2)).problem == "it asked for patience"
        assert asyncio.get_running_loop().time() - started < 2


async def test_patience_may_be_asked_for_by_a_date(opened: Any) -> None:
    """The date is read by the source's own clock, so that one that is wrong here or there changes nothing."""
    headers = b"Date: Sun, 06 Nov 1994 08:49:37 GMT\r\nRetry-After: Sun, 06 Nov 1994 09:49:37 GMT\r\n"
    async with _client(opened, _always(_answer(status=b"429 Slow", headers=headers))) as client:
        started = asyncio.get_running_loop().time()
        assert (await _asked(client)).problem == "status 429"
        assert (await _asked(client, 2)).problem == "it asked for patience"
        assert asyncio.get_running_loop().time() - started < 2


@pytest.mark.parametrize(
    ("answerer", "in_doubt"),
    [
        (_always(_answer(status=b"500 Broken")), True),
        (_always(_answer(status=b"504 Gateway")), True),
        (_once(_answer()[:-5]), True),
        (_once(), True),
        (_always(b"SSH-2.0-OpenSSH_9.9\r\n"), True),
        (_always(_answer(status=b"503 Away")), False),
        (_always(_answer(status=b"429 Slow")), False),
        (_always(_answer(status=b"401 No")), False),
        (_always(_answer(b"{}")), False),
    ],
    ids=["500", "gateway", "half an answer", "no answer", "no HTTP", "503", "429", "401", "charged for sure"],
)
async def test_a_failure_is_in_doubt_where_the_work_may_have_been_done(
    opened: Any, answerer: Answerer, in_doubt: bool
) -> None:
    async with _client(opened, answerer) as client:
        outcome = await _asked(client)
    assert outcome.problem is not None
    assert (outcome.in_doubt, outcome.charged) == (in_doubt, outcome.problem.endswith("asked for"))


async def test_a_source_that_was_never_reached_did_no_work(opened: Any) -> None:
    async with listening(_once()) as base_url:
        pass
    clients = await opened(f"[cpf_status]\nbase_url = '{base_url}'\nretries = 0\n")
    outcome = await _asked(clients["cpf_status"])
    assert (outcome.problem, outcome.in_doubt) == ("no connection (ConnectionRefusedError)", False)


async def test_the_doubt_of_one_try_outlives_a_clear_refusal_of_the_next(opened: Any) -> None:
    statuses = iter((b"500 Broken", b"503 Away", b"500 Broken", b"200 OK"))

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            await _request(reader)
            writer.write(_answer(status=next(statuses)))

    async with _client(opened, answer, retries=1) as client:
        outcome = await _asked(client)
        assert (outcome.problem, outcome.in_doubt, outcome.tries) == ("status 503", True, 2)
        outcome = await _asked(client, 2)
        assert (outcome.problem, outcome.in_doubt, outcome.charged) == (None, False, True)


async def test_the_breaker_opens_fails_at_once_and_recovers() -> None:
    replies = [wire.Reply(503, b"")] * 3 + [wire.Reply(200, GOOD)]
    asked = 0

    async def exchange(request: bytes) -> wire.Reply:
        nonlocal asked
        asked += 1
        reply = replies[min(asked, 4) - 1]
        await asyncio.sleep(0.01)
        return reply

    terms = Terms(base_url="http://x", timeout_seconds=5.0, price_centavos=1, valid_for_hours=1, retries=0)
    client = Client(
        SOURCES["cpf_status"],
        terms,
        head=b"",
        exchange=exchange,
        random=lambda: 0.5,
        breaker=Breaker(failures=3, pause=0.1),
    )
    for number in range(3):
        assert (await _asked(client, number)).problem == "status 503"
    assert client.state() == "open"
    assert (await _asked(client)).problem == "it kept failing and is left alone for now"
    assert asked == 3
    async with asyncio.timeout(5):
        while client.state() != "half_open":  # noqa: ASYNC110 - time itself is the condition
            await asyncio.sleep(0.01)
    together = await asyncio.gather(*(_asked(client, number) for number in range(5)))
    assert sum(one.problem is None for one in together) == 1  # one trial; the others fail at once
    assert client.state() == "closed"
    assert asked == 4


async def test_no_more_questions_are_under_way_than_allowed(opened: Any) -> None:
    now = most = 0

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal now, most
        while True:
            await _request(reader)
            now += 1
            most = max(most, now)
            await asyncio.sleep(0.01)
            now -= 1
            writer.write(_answer())

    async with _client(opened, answer, at_once=3) as client:
        outcomes = await asyncio.gather(*(_asked(client, number) for number in range(20)))
    assert {one.problem for one in outcomes} == {None}
    assert most == 3


async def test_a_client_certificate_is_shown_and_without_it_nothing_goes(opened: Any, tmp_path: Path) -> None:
    now = datetime.now(UTC)
    authority = Authority.create(now=now)
    server = authority.issue_server(["127.0.0.1"], now=now)
    client = authority.issue_server(["client"], now=now)
    ours = authority.issue_client("dist_1", public_key=None, lifetime=server.not_after - now, now=now)
    files = {
        "ca.pem": authority.pem,
        "server.pem": (server.key_pem or "") + server.pem + authority.pem,
        "client.pem": ours.pem,
        "client-key.pem": ours.key_pem or "",
        "wrong.pem": client.pem,
        "wrong-key.pem": client.key_pem or "",
    }
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    certificates = Certificates(cert=tmp_path / "server.pem", client_ca=tmp_path / "ca.pem")
    async with serving(SourceServer(person), certificates=certificates) as base_url:
        start = f"[cpf_status]\nbase_url = '{base_url}'\npath = '/cpf_status'\nretries = 0\n"
        trusting = start + "ca_file = 'ca.pem'\n"
        outcomes = []
        for text in (
            trusting + "cert_file = 'client.pem'\nkey_file = 'client-key.pem'\n",
            trusting,
            trusting + "cert_file = 'wrong.pem'\nkey_file = 'wrong-key.pem'\n",
            start + "cert_file = 'client.pem'\nkey_file = 'client-key.pem'\n",
        ):
            clients = await opened(text)
            outcomes.append(await clients["cpf_status"].ask("qry_1", SUBJECT))
            await clients.close()
        assert "ca_file" in deployment_file(base_url, certificates=certificates)
    assert outcomes[0].problem is None
    for refused in outcomes[1:]:
        assert refused.problem is not None
        assert refused.answer is None
    assert outcomes[3].problem == "no TLS connection (CERTIFICATE_VERIFY_FAILED)"


async def test_all_of_it_holds_on_the_workers_event_loop(opened: Any, tmp_path: Path) -> None:
    """Processes run on uvloop, whose transports are of a kind of their own; tests run on asyncio's loop."""
    now = datetime.now(UTC)
    authority = Authority.create(now=now)
    server = authority.issue_server(["127.0.0.1"], now=now)
    (tmp_path / "ca.pem").write_text(authority.pem)
    (tmp_path / "server.pem").write_text((server.key_pem or "") + server.pem)

    async def scenario() -> list[str | None]:
        problems = []
        certificates = Certificates(cert=tmp_path / "server.pem")
        for tls in (None, certificates):
            app = SourceServer(person)
            async with serving(app, certificates=tls) as base_url:
                file = tmp_path / "uvloop.toml"
                ca = f"ca_file = '{tmp_path}/ca.pem'" if tls else ""
                file.write_text(
                    f"[cpf_status]\nbase_url = '{base_url}'\npath = '/cpf_status'\ntimeout_seconds = 1\n{ca}"
                )
                clients = await Clients.open(Settings(sources=str(file)))
                for change in (b'{"latency_ms": 0}', b'{"latency_ms": 1300}', b'{"latency_ms": 0, "error_rate": 1}'):
                    app.control(change)
                    outcomes = await asyncio.gather(*(_asked(clients["cpf_status"], number) for number in range(3)))
                    problems += [one.problem for one in outcomes[:1]]
                await clients.close()
        return problems

    expected = [None, "no answer within 1 s", "status 500"]
    assert await asyncio.to_thread(uvloop.run, scenario()) == expected * 2
