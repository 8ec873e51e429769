"""Connections that are kept: who gets them again, and when they end."""

import asyncio
from collections.abc import AsyncIterator
from functools import partial

import pytest

from altcredit.runtime.wire import Connection, Idle

REQUEST = b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\n\r\n"
ANSWER = b"HTTP/1.1 200 OK\r\nX-One: 1\r\ncontent-length: 2\r\n\r\nok"


class Listener:
    """Answers every request with what it is told to, and counts its connections."""

    def __init__(self) -> None:
        self.port = 0
        self.answer = ANSWER
        self.closes = False
        self.open = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.open += 1
        try:
            while await reader.readuntil(b"\r\n\r\n"):
                writer.write(self.answer)
                await writer.drain()
                if self.closes:
                    break
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            self.open -= 1
            writer.close()

    async def connected(self, *, head: int = 1_000, most: int = 2_000) -> Connection:
        make = partial(Connection, head=head, most=most)
        _, connection = await asyncio.get_running_loop().create_connection(make, "127.0.0.1", self.port)
        return connection

    async def gone(self, count: int) -> None:
        """Wait until only so many connections are left."""
        async with asyncio.timeout(5):
            while self.open > count:  # noqa: ASYNC110 - the condition is behind a socket
                await asyncio.sleep(0.01)


@pytest.fixture
async def listener() -> AsyncIterator[Listener]:
    one = Listener()
    server = await asyncio.start_server(one.serve, "127.0.0.1", 0)
    one.port = server.sockets[0].getsockname()[1]
    yield one
    server.close()


async def exchanged(listener: Listener) -> Connection:
    connection = await listener.connected()
    await connection.exchange(REQUEST)
    return connection


@pytest.mark.parametrize(
    ("answer", "closes", "end", "status", "body", "reusable"),
    [
        (ANSWER, False, "complete", 200, b"ok", True),
        (ANSWER + ANSWER.replace(b"X-One", b"X-Two"), False, "complete", 200, b"ok", False),
        (ANSWER + b"garbage", False, "complete", 200, b"ok", False),
        (ANSWER.replace(b"X-One: 1", b"Connection: close"), False, "complete", 200, b"ok", False),
        (b"HTTP/1.1 103 Early\r\nX: 1\r\n\r\n" + ANSWER, False, "complete", 200, b"ok", True),
        (b"HTTP/1.1 200 OK\r\n\r\nok", True, "closed", 200, b"ok", False),
        (ANSWER[:-1], True, "closed", 200, b"o", False),
        (b"HTTP/1.1 200 OK\r\nX", True, "closed", 0, b"", False),
        (b"HTTP/1.1 101 Switching\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n", False, "malformed", 101, b"", False),
        (b"SSH-2.0-OpenSSH\r\n", False, "malformed", 0, b"", False),
        (b"HTTP/1.1 200 OK\r\nX: " + b"y" * 1_000, False, "too_large", 0, b"", False),
        (b"HTTP/1.1 100 Continue\r\n\r\n" * 90, False, "too_large", 0, b"", False),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 1000000\r\n\r\n" + b"z" * 1_000_000, False, "too_large", 200, None, False),
    ],
    ids=["whole", "two", "garbage", "close", "interim", "until close", "cut", "head cut", "switch", "ssh", "head",
         "interims", "large"],
)  # fmt: skip
async def test_an_answer_ends_in_one_of_four_ways(
    listener: Listener, answer: bytes, closes: bool, end: str, status: int, body: bytes | None, reusable: bool
) -> None:
    listener.answer, listener.closes = answer, closes
    connection = await exchanged(listener)
    assert (connection.end, connection.status, connection.reusable) == (end, status, reusable)
    assert body is None or connection.body == body
    Idle[Connection](seconds=1).give("a", connection)
    if not reusable:
        await listener.gone(0)


async def test_a_kept_connection_serves_its_own_key_alone(listener: Listener) -> None:
    idle: Idle[Connection] = Idle(seconds=30)
    first, second = await exchanged(listener), await exchanged(listener)
    idle.give("a", first)
    idle.give("a", second)
    assert idle.take("b") is None
    assert idle.take("a") is second, "the one used last comes first"
    assert idle.take("a") is first
    assert idle.take("a") is None
    for one in (first, second):
        idle.give("a", one)
    idle.close()
    await listener.gone(0)


async def test_no_more_are_kept_than_wanted(listener: Listener) -> None:
    idle: Idle[Connection] = Idle(seconds=30, most=2)
    made = [await exchanged(listener) for _ in range(3)]
    for one in made:
        idle.give("a", one)
    await listener.gone(2)
    assert [idle.take("a"), idle.take("a"), idle.take("a")] == [made[2], made[1], None]
    for one in made:
        one.transport.abort()


async def test_what_nobody_uses_is_closed_and_forgotten(listener: Listener) -> None:
    idle: Idle[Connection] = Idle(seconds=0.1)
    for key in range(5):
        idle.give(key, await exchanged(listener))
    await listener.gone(0)
    assert idle._kept == {}, "a key that is never named again takes no memory"
    assert idle._sweep is None


async def test_a_kept_connection_that_its_peer_closed_is_not_lent(listener: Listener) -> None:
    idle: Idle[Connection] = Idle(seconds=30)
    connection = await exchanged(listener)
    idle.give("a", connection)
    connection.transport.abort()
    await asyncio.wait_for(connection.closed, 5)
    assert idle.take("a") is None
    idle.close()


async def test_a_request_on_a_connection_that_is_gone_ends_at_once(listener: Listener) -> None:
    connection = await exchanged(listener)
    connection.transport.abort()
    await asyncio.wait_for(connection.exchange(REQUEST), 5)
    assert (connection.end, connection.heard) == ("closed", 0)


async def test_a_cancelled_exchange_spends_its_connection(listener: Listener) -> None:
    listener.answer = b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf"
    connection = await listener.connected()
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(connection.exchange(REQUEST), 0.2)
    assert (connection.end, connection.status, connection.body) == (None, 200, b"half")
    Idle[Connection](seconds=30).give("a", connection)
    await listener.gone(0)


async def test_a_deadline_ends_the_exchange_and_spends_the_connection(listener: Listener) -> None:
    listener.answer = b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf"
    connection = await listener.connected()
    loop = asyncio.get_running_loop()
    began = loop.time()
    await connection.exchange(REQUEST, deadline=began + 0.2)
    assert 0.19 <= loop.time() - began < 2
    assert (connection.end, connection.status, connection.body, connection.reusable) == (None, 200, b"half", False)
    connection.transport.abort()
