"""POSTs to addresses that somebody else chose: where they go, and that no receiver can harm the sender."""

import asyncio
import ssl
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.receivers import Behaviour, Receiver, Request, context_for, hangs, raw, receiving, says, sending

from altcredit.runtime.certificates import Authority
from altcredit.runtime.destinations import NotSent, Rules, is_allowed, parsed
from altcredit.runtime.http import ANSWER_BYTES, Answer, Sender
from altcredit.runtime.peer import Network
from altcredit.runtime.settings import SettingsInvalid, load

# Hosts that mean this machine, its networks or nothing, whatever the port; {port} is a live listener's on loopback.
HOSTS = """
127.0.0.1 127.0.0.2 127.255.255.254 0.0.0.0 0 127.1 127.0.1 2130706433 0x7f000001 0x7f.0.0.1 0x7F.0x0.0x0.0x1 0177.0.0.1
017700000001 00000177.0.0.1 0127.0.0.1 127.0.0.01 127.0.0.0x1 127.0.0.1. 127.0.0.1.. 1.2.3.4.5 127.0.0.256 localhost.
localhost localhost.localdomain LOCALHOST [::1] [::] [0:0:0:0:0:0:0:1] [::ffff:127.0.0.1] [::ffff:7f00:1] [::127.0.0.1]
[::7f00:1] [0:0:0:0:0:ffff:127.0.0.1] [64:ff9b::7f00:1] [64:ff9b::127.0.0.1] [64:ff9b:1::7f00:1] [2002:7f00:1::]
[2002:7f00:1::1] [2001:0:7f00:1::] [2001::1] [2001:10::1] [2001:20::1] [2001:db8::1] [3fff::1] [3ffe::1] [fe80::1]
[fe80::1%25lo] [fe80::1%lo] [::1%lo] [fec0::1] [fc00::1] [fd00:ec2::254] [ff02::1] [ff0e::1] [100::1] [5f00::1]
[v1.::1] [::1 [:::1] [1] [] [::ffff:0:127.0.0.1] [::ffff:169.254.169.254] 10.0.0.1 10.255.255.255 172.16.0.1
172.31.255.255 192.168.1.1 100.64.0.1 100.127.255.255 169.254.169.254 169.254.170.2 192.0.0.1 192.0.0.170 192.0.2.1
192.31.196.1 192.52.193.1 192.88.99.1 192.175.48.1 198.18.0.1 198.19.255.255 198.51.100.1 203.0.113.1 224.0.0.1
239.255.255.255 240.0.0.1 255.255.255.255 2852039166 0xa9fea9fe 025177524776 ①②⑦.⓪.⓪.① 127。0。0。1 127.0.0.１
１２７.0.0.1 ١٢٧.0.0.1 ⓛocalhost localhoſt ʟocalhost loca\u00adlhost user@127.0.0.1 user:pw@127.0.0.1 @127.0.0.1
1.1.1.1@127.0.0.1 1.1.1.1%40127.0.0.1 127.0.0.1%00.example.com 127.0.0.1\\@1.1.1.1 1.1.1.1\\@127.0.0.1 -localhost
local_host-.example .localhost local..host *.localhost ${{host}} localhost%2e %6c%6f%63%61%6c%68%6f%73%74
""".replace("\\u00ad", "\u00ad").split()
WHOLE = [
    "http://127.0.0.1:{port}/",
    "HTTP://127.0.0.1:{port}/",
    "ftp://127.0.0.1:{port}/",
    "file:///etc/passwd",
    "gopher://127.0.0.1:{port}/_POST",
    "dict://127.0.0.1:{port}/",
    "//127.0.0.1:{port}/",
    "https:127.0.0.1:{port}",
    "https:/127.0.0.1:{port}/",
    "https:///127.0.0.1:{port}/",
    "https:\\\\127.0.0.1:{port}\\",
    "https://1.1.1.1:22/",
    "https://1.1.1.1:0/",
    "https://1.1.1.1:65536/",
    "https://1.1.1.1:99999999/",
    "https://1.1.1.1:+443/",
    "https://1.1.1.1:-1/",
    "https://1.1.1.1:4４3/",
    "https://1.1.1.1:443:{port}/",
    "https://1.1.1.1#@127.0.0.1:{port}/",
    "https://1.1.1.1?@127.0.0.1:{port}/#",
    "https://127.0.0.1:{port}#",
    " https://127.0.0.1:{port}/",
    "https://127.0.0.1:{port}/ ",
    "https://127.0.0.1\n:{port}/",
    "https://127.0.0.1\t:{port}/",
    "https://127.0.0.1:{port}/\r\nX-Injected: 1",
    "https://127.0.0.1:{port}/\x00",
    "https://127.0.0.1:{port}/a b",
    "https://:{port}/",
    "https://",
    "https://?",
    "",
    "https://127.0.0.1:{port}/" + "a" * 2_000,
]
HOSTILE = [f"https://{host}:{{port}}/" for host in HOSTS] + WHOLE


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority.create(now=datetime.now(UTC))


@pytest.fixture(scope="module")
def context(authority: Authority, tmp_path_factory: pytest.TempPathFactory) -> ssl.SSLContext:
    folder = Path(tmp_path_factory.mktemp("certificates"))
    return context_for(authority, folder, "localhost", "127.0.0.1", "partner.example")


@pytest.fixture
async def receiver(context: ssl.SSLContext) -> AsyncIterator[Receiver]:
    async with receiving(context) as one:
        yield one


@pytest.fixture
async def sender(authority: Authority) -> AsyncIterator[Sender]:
    async with sending(authority, seconds=10) as one:
        yield one


async def post(sender: Sender, url: str, body: bytes = b"{}", pool: str = "p") -> Answer:
    return await sender.post(url, body=body, headers={"X-Test": "1"}, pool=pool)


async def refused(sender: Sender, url: str) -> NotSent:
    with pytest.raises(NotSent) as problem:
        await post(sender, url)
    return problem.value


# Where a POST may go


def test_there_are_enough_hostile_urls() -> None:
    assert len(set(HOSTILE)) >= 130


async def test_no_hostile_url_reaches_a_listener(authority: Authority) -> None:
    async with receiving(None) as plain, receiving(None, "::1") as sixth:
        for port in (plain.port, sixth.port):
            rules = Rules(ports=frozenset({443, 8443, port}))
            async with sending(authority, ports=rules.ports) as sender:
                for url in HOSTILE:
                    problem = await refused(sender, url.replace("{port}", str(port)))
                    assert problem.cause in ("url", "dns", "address"), url
        assert (plain.connections, sixth.connections) == (0, 0)


async def test_production_sends_to_no_other_port(authority: Authority) -> None:
    rules = Rules.of(load({"ALTCREDIT_ENVIRONMENT": "sandbox"}))
    async with receiving(None) as plain, sending(authority, ports=rules.ports, networks=rules.networks) as sender:
        assert (await refused(sender, plain.url())).cause == "url"
        assert plain.connections == 0


@pytest.mark.parametrize(
    ("answers", "cause"),
    [
        (["127.0.0.1"], "address"),
        (["1.1.1.1", "127.0.0.1"], "address"),
        (["127.0.0.1", "1.1.1.1"], "address"),
        (["2606:4700:4700::1111", "::ffff:127.0.0.1"], "address"),
        (["fe80::1%lo"], "address"),
        (["nonsense"], "address"),
        ([], "dns"),
    ],
)
async def test_every_address_of_a_host_must_be_allowed(authority: Authority, answers: list[str], cause: str) -> None:
    async with receiving(None) as plain:

        async def resolve(_host: str, _port: int) -> list[str]:
            return answers

        made = Sender(
            rules=Rules(ports=frozenset({plain.port})), context=ssl.create_default_context(), resolve=resolve, seconds=5
        )
        problem = await refused(made, plain.url(host="partner.example"))
        assert problem.cause == cause
        assert not any(answer in str(problem) for answer in answers), "what a name means here is nobody's business"
        await made.close()
        assert plain.connections == 0


async def test_a_name_that_is_bound_anew_after_the_check_is_not_asked_again(
    authority: Authority, context: ssl.SSLContext
) -> None:
    """The first answer is allowed, all later ones name a private listener: the connection goes to the first."""
    network: tuple[Network, ...] = Rules.of(load({"ALTCREDIT_CALLBACK_NETWORKS": "127.0.0.9/32"})).networks[:1]
    async with receiving(None) as private:
        asked = 0

        async def resolve(_host: str, _port: int) -> list[str]:
            nonlocal asked
            asked += 1
            return ["127.0.0.9" if asked == 1 else "127.0.0.1"]

        made = Sender(rules=Rules(ports=None, networks=network), context=context, resolve=resolve, seconds=5)
        url = private.url(host="partner.example")
        assert (await refused(made, url)).cause == "connect", "nobody listens at the first address"
        assert asked == 1
        assert (await refused(made, url)).cause == "address", "the second send looks it up, and sees what it is now"
        assert private.connections == 0
        await made.close()


async def test_a_kept_connection_is_of_no_use_once_its_name_leads_elsewhere(
    authority: Authority, receiver: Receiver
) -> None:
    answers = [["127.0.0.1"], ["127.0.0.1"], ["10.0.0.1"]]

    async def resolve(_host: str, _port: int) -> list[str]:
        return answers.pop(0)

    async with sending(authority) as sender:
        sender._resolve = resolve
        url = receiver.url(host="partner.example")
        assert (await post(sender, url)).status == 204
        assert (await post(sender, url)).status == 204
        assert receiver.connections == 1
        assert (await refused(sender, url)).cause == "address"
        assert len(receiver.requests) == 2


@given(st.ip_addresses(v=4) | st.ip_addresses(v=6))
def test_no_mapped_or_special_address_is_allowed(address: object) -> None:
    if is_allowed(str(address), networks=()):
        assert address.is_global  # type: ignore[attr-defined]
        assert not address.is_multicast  # type: ignore[attr-defined]
    if "." in str(address):
        for form in ("::ffff:{}", "::{}", "64:ff9b::{}", "64:ff9b:1::{}"):
            assert not is_allowed(form.format(address), networks=())


@pytest.mark.parametrize("address", ["1.1.1.1", "8.8.8.8", "93.184.216.34", "2606:4700:4700::1111", "2a00:1450::1"])
def test_a_global_address_is_allowed(address: str) -> None:
    assert is_allowed(address, networks=())


@pytest.mark.parametrize(
    ("url", "host", "port", "path", "authority"),
    [
        ("https://partner.example", "partner.example", 443, "/", "partner.example"),
        (
            "HTTPS://Partner.Example:8443/a/b?c=d&e=%20",
            "partner.example",
            8443,
            "/a/b?c=d&e=%20",
            "partner.example:8443",
        ),
        ("https://xn--bcher-kva.example/", "xn--bcher-kva.example", 443, "/", "xn--bcher-kva.example"),
        ("https://1.1.1.1?x", "1.1.1.1", 443, "/?x", "1.1.1.1"),
        ("https://[2606:4700:4700:0::1111]:443/", "2606:4700:4700::1111", 443, "/", "[2606:4700:4700::1111]"),
    ],
)
def test_an_acceptable_url_is_taken_apart(url: str, host: str, port: int, path: str, authority: str) -> None:
    target = parsed(url, ports=frozenset({443, 8443}))
    assert (target.host, target.port, target.path, target.authority) == (host, port, path, authority)


@pytest.mark.parametrize(
    ("url", "says_"),
    [
        ("http://a.example/", "must begin with https://"),
        ("https://u:p@a.example/", "names a user"),
        ("https://a.example/#x", "fragment"),
        ("https://bücher.example/", "xn--"),
        ("https://a.example:22/", "port 22 is not allowed; allowed: 443, 8443"),
        ("https://127.1/", "neither a host name nor an IPv4 address"),
        ("https://[::g]/", "not a URL"),
    ],
)
def test_a_refusal_says_what_is_wrong(url: str, says_: str) -> None:
    with pytest.raises(NotSent, match=says_):
        parsed(url, ports=frozenset({443, 8443}))


def test_private_networks_are_open_by_setting_alone() -> None:
    sandbox = Rules.of(load({"ALTCREDIT_ENVIRONMENT": "sandbox"}))
    assert (sandbox.ports, sandbox.networks) == (frozenset({443, 8443}), ())
    opened = Rules.of(load({"ALTCREDIT_ENVIRONMENT": "sandbox", "ALTCREDIT_CALLBACK_NETWORKS": "10.1.0.0/16"}))
    assert is_allowed("10.1.2.3", networks=opened.networks)
    assert not is_allowed("10.2.2.3", networks=opened.networks)
    assert not is_allowed("127.0.0.1", networks=opened.networks)
    assert is_allowed("127.0.0.1", networks=Rules.of(load({})).networks)
    for name, value in (("PORTS", "https"), ("NETWORKS", "10.0.0.1/8"), ("CA", "/nowhere.pem")):
        with pytest.raises(SettingsInvalid, match=f"ALTCREDIT_CALLBACK_{name}"):
            Sender.open(load({f"ALTCREDIT_CALLBACK_{name}": value}))


# What a receiver may do


async def test_a_post_is_answered_and_its_connection_kept(sender: Sender, receiver: Receiver) -> None:
    receiver.behave = says(202, b"taken")
    for _ in range(3):
        assert await post(sender, receiver.url("/x?y=1"), b"body") == Answer(status=202, body=b"taken")
    assert receiver.connections == 1
    assert [(one.line, one.body, one.headers["x-test"]) for one in receiver.requests] == [
        ("POST /x?y=1 HTTP/1.1", b"body", "1")
    ] * 3
    await post(sender, receiver.url(), pool="somebody else")
    assert receiver.connections == 2, "partners share no connection"


async def test_a_kept_connection_that_was_closed_meanwhile_is_replaced(sender: Sender, receiver: Receiver) -> None:
    async def closes_after(request: Request, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if len(receiver.requests) == 2:
            writer.transport.abort()
        else:
            await says(200)(request, reader, writer)

    receiver.behave = closes_after
    assert (await post(sender, receiver.url())).status == 200
    assert (await post(sender, receiver.url())).status == 200
    assert receiver.connections == 2


async def test_a_redirect_is_an_answer_and_leads_nowhere(sender: Sender, receiver: Receiver) -> None:
    async with receiving(None) as elsewhere:
        for status in (301, 302, 303, 307, 308):
            receiver.behave = says(status, b"", f"Location: http://127.0.0.1:{elsewhere.port}/")
            assert (await post(sender, receiver.url())).status == status
        assert elsewhere.connections == 0


async def test_cookies_and_proxies_of_the_environment_do_not_exist(
    sender: Sender, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with receiving(None) as proxy:
        for name in ("https_proxy", "HTTPS_PROXY", "all_proxy"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.port}")
        receiver.behave = says(200, b"", "Set-Cookie: a=b")
        await post(sender, receiver.url())
        await post(sender, receiver.url())
        assert proxy.connections == 0
    assert all("cookie" not in request.headers for request in receiver.requests)


@pytest.mark.parametrize(
    ("behaviour", "cause"),
    [
        (raw(b"SSH-2.0-OpenSSH_9.6\r\n"), "answer"),
        (raw(b"\x00\xff" * 5_000), "answer"),
        (raw(b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 100_000), "answer"),
        (raw(b"HTTP/1.1 200 OK\r\nX: " + b"y" * 1_000_000), "answer"),
        (raw(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello"), "answer"),
        (raw(b"HTTP/1.1 200 OK\r\nContent-Len"), "answer"),
        (raw(b"HTTP/1.1 100 Continue\r\n\r\n" * 10_000), "answer"),
        (raw(b""), "connect"),
        (hangs, "timeout"),
    ],
    ids=["ssh", "bytes", "headers", "header", "lengths", "cut", "continue", "closed", "silent"],
)
async def test_what_is_no_answer_is_said_to_be_none(
    authority: Authority, receiver: Receiver, behaviour: Behaviour, cause: str
) -> None:
    receiver.behave = behaviour
    async with sending(authority, seconds=1) as sender:
        assert (await refused(sender, receiver.url())).cause == cause
        receiver.behave = says(200)
        assert (await post(sender, receiver.url())).status == 200, "the sender goes on"


async def test_a_drip_ends_with_the_time(authority: Authority, receiver: Receiver) -> None:
    async def drips(_request: Request, _reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for byte in b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 100_000:
            writer.write(bytes([byte]))
            await writer.drain()
            await asyncio.sleep(0.05)

    receiver.behave = drips
    async with sending(authority, seconds=0.5) as sender:
        began = time.monotonic()
        assert (await refused(sender, receiver.url())).cause == "timeout"
        assert time.monotonic() - began < 1.5


async def test_a_status_counts_though_the_body_never_ends(authority: Authority, receiver: Receiver) -> None:
    receiver.behave = raw(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhel", close=False)
    async with sending(authority, seconds=0.5) as sender:
        assert await post(sender, receiver.url()) == Answer(status=200, body=b"hel")


async def test_a_hundred_megabytes_are_not_read(sender: Sender, receiver: Receiver) -> None:
    written = 0

    async def floods(_request: Request, _reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal written
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100000000\r\n\r\n")
        while written < 100_000_000:
            writer.write(b"x" * 100_000)
            await writer.drain()
            written += 100_000

    receiver.behave = floods
    answer = await post(sender, receiver.url())
    assert (answer.status, len(answer.body) <= ANSWER_BYTES) == (200, True)
    assert written < 20_000_000, "the rest was refused, not swallowed"


async def test_interim_answers_are_passed_over_and_a_switch_is_no_success(sender: Sender, receiver: Receiver) -> None:
    receiver.behave = raw(
        b"HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", close=False
    )
    assert await post(sender, receiver.url()) == Answer(status=200, body=b"ok")
    receiver.behave = raw(b"HTTP/1.1 101 Switching\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\nwhatever")
    assert (await post(sender, receiver.url(), pool="q")).status == 101


async def test_what_nobody_asked_for_does_not_answer_the_next_request(sender: Sender, receiver: Receiver) -> None:
    receiver.behave = raw(
        b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\nHTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n", close=False
    )
    for _ in range(3):
        assert (await post(sender, receiver.url())).status == 200
    assert receiver.connections == 3


async def test_a_certificate_must_be_the_hosts(
    authority: Authority, sender: Sender, receiver: Receiver, tmp_path: Path
) -> None:
    foreign = Authority.create(now=datetime.now(UTC))
    old = Authority.create(now=datetime.now(UTC) - timedelta(days=200))
    async with receiving(context_for(authority, tmp_path, "other.example")) as misnamed:
        problem = await refused(sender, misnamed.url())
        assert (problem.cause, "mismatch" in str(problem)) == ("tls", True)
    async with receiving(context_for(foreign, tmp_path, "localhost")) as stranger:
        problem = await refused(sender, stranger.url())
        assert (problem.cause, "certificate is not accepted" in str(problem)) == ("tls", True)
    issued = old.issue_server(["localhost"], now=datetime.now(UTC) - timedelta(days=180))
    expired = tmp_path / "expired.pem"
    expired.write_text((issued.key_pem or "") + issued.pem)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(expired)
    sender._context.load_verify_locations(cadata=old.pem)
    async with receiving(context) as late:
        problem = await refused(sender, late.url())
        assert (problem.cause, "expired" in str(problem)) == ("tls", True)
    assert misnamed.requests + stranger.requests + late.requests == []


async def test_a_receiver_without_tls_gets_no_callback(sender: Sender) -> None:
    received = b""

    async def speaks_plainly(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal received
        received += await reader.read(1_000)
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        writer.close()

    async with await asyncio.start_server(speaks_plainly, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        assert (await refused(sender, f"https://127.0.0.1:{port}/")).cause == "tls"
    assert b"POST" not in received


async def test_nobody_listening_is_said(sender: Sender) -> None:
    async with receiving(None) as gone:
        pass
    problem = await refused(sender, gone.url(host="127.0.0.1"))
    assert (problem.cause, "refused" in str(problem).lower()) == ("connect", True)


async def test_another_address_of_the_host_is_tried(authority: Authority, receiver: Receiver) -> None:
    async def resolve(_host: str, _port: int) -> list[str]:
        return ["127.0.0.9", "127.0.0.1"]

    async with sending(authority) as sender:
        sender._resolve = resolve
        assert (await post(sender, receiver.url(host="partner.example"))).status == 204


async def test_a_name_server_that_hangs_delays_only_its_own_names(authority: Authority, receiver: Receiver) -> None:
    async def resolve(host: str, _port: int) -> list[str]:
        if host == "slow.example":
            await asyncio.Event().wait()
        return ["127.0.0.1"]

    async with sending(authority, seconds=1) as sender:
        sender._resolve = resolve
        slow = [asyncio.create_task(refused(sender, "https://slow.example/")) for _ in range(50)]
        began = time.monotonic()
        assert (await post(sender, receiver.url(host="partner.example"))).status == 204
        assert time.monotonic() - began < 0.9
        assert {(await one).cause for one in slow} == {"timeout"}
