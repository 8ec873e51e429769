"""The client of WhatsApp's API: every answer is an outcome, and none costs more than its bounds."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from altcredit.engine.messaging.account import Account
from altcredit.engine.messaging.client import Client, judged
from altcredit.runtime.settings import Settings, SettingsInvalid

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def answering(head: bytes, body: bytes = b"", *, endless: bool = False, hang: bool = False) -> AsyncIterator[str]:
    """Serve one raw answer on loopback."""
    done = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(head + b"\r\n\r\n" + body)
        try:
            while endless:
                writer.write(b"x" * 65_536)
                await writer.drain()
            if hang:
                await done.wait()
        except ConnectionError:
            pass
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        done.set()
        server.close()


def account(base_url: str) -> Account:
    return Account(base_url=base_url, phone_number_id="1", verify_token="", app_secret="", access_token="secret")


@pytest.mark.parametrize(
    ("status", "code", "end"),
    [
        (429, 130429, "later"), (500, 131000, "later"), (503, 2, "later"), (401, 190, "later"), (403, 10, "later"),
        (400, 131056, "later"), (400, 131047, "window"), (400, 131026, "never"), (400, 132012, "never"),
        (400, 100, "never"), (404, 100, "never"), (302, -1, "never"),
    ],
)  # fmt: skip
def test_an_error_means_later_never_or_a_template(status: int, code: int, end: str) -> None:
    assert judged(status, b'{"error": {"code": %d}}' % code).end == end


@pytest.mark.parametrize("answer", [b"", b"<html>", b'{"messages": []}', b'{"messages": [{}]}', b"\xff", b"null"])
def test_a_success_without_a_message_id_is_none(answer: bytes) -> None:
    assert judged(200, answer).end == "later"


async def test_an_endless_answer_and_a_silent_one_end() -> None:
    endless = answering(b"HTTP/1.1 200 OK\r\ncontent-type: application/json", endless=True)
    async with endless as url, Client(account(url), seconds=5) as client:
        assert (await client.send({})).problem == "its answer names no message"
    silent = answering(b"HTTP/1.1 200 OK\r\ncontent-length: 10", hang=True)
    async with silent as url, Client(account(url), seconds=0.3) as client:
        assert "no answer" in (await client.send({})).problem


async def test_a_redirect_is_not_followed_and_a_closed_port_is_tried_later() -> None:
    elsewhere = answering(b"HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: 0")
    async with elsewhere as url, Client(account(url), seconds=2) as client:
        assert (await client.send({})).end == "never"
    async with Client(account("http://127.0.0.1:1"), seconds=2) as client:
        assert (await client.send({})).end == "later"


@pytest.mark.parametrize("url", ["http://graph.facebook.com", "ftp://x", "https://", "https://user@host", "//host"])
def test_an_address_that_is_not_https_is_refused(url: str, tmp_path: object) -> None:
    with pytest.raises(SettingsInvalid):
        Account.of(Settings(home=str(tmp_path), whatsapp_base_url=url))


def test_production_makes_up_no_secret_and_takes_no_webhook(tmp_path: object) -> None:
    found = Account.of(
        Settings(home=str(tmp_path), environment="production", database_url="postgresql://x", whatsapp_base_url="")
    )
    assert (found.app_secret, found.verify_token, found.access_token) == ("", "", "")
    assert not found.signs(b"{}", "sha256=")
    assert not found.verifies("")
    with pytest.raises(SettingsInvalid):
        Account.of(
            Settings(
                home=str(tmp_path),
                environment="production",
                database_url="postgresql://x",
                whatsapp_base_url="http://127.0.0.1:1",
            )
        )


def test_development_secrets_are_made_once(tmp_path: object) -> None:
    first = Account.of(Settings(home=str(tmp_path)))
    again = Account.of(Settings(home=str(tmp_path), port=9000))
    assert first.app_secret == again.app_secret
    assert len(first.app_secret) == 32
