"""deploy/nginx/altcredit.conf on a real nginx in front of a real AltCredit: certificates arrive, forged ones do not."""

import asyncio
import base64
import os
import shutil
import ssl
import subprocess
import uuid
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import httpx2
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from tests.api.conftest import Feed, Installation, installed
from tests.served import free_ports, until

from altcredit.api.process import Addresses
from altcredit.runtime.certificates import Authority

CONFIGURATION = Path(__file__).parents[2] / "deploy" / "nginx" / "altcredit.conf"
MAIN = """
{user}
daemon off;
worker_processes 1;
pid {folder}/nginx.pid;
error_log {folder}/error.log;
events {{}}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    include {folder}/altcredit.conf;
}}
"""


@pytest.fixture(scope="module")
async def behind(server: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Installation]:
    """An installation that trusts a proxy on loopback; ``base_url`` is the proxy's."""
    program = shutil.which("nginx", path="/usr/sbin:/usr/local/sbin:" + os.defpath)
    assert program, "`make system` installs it"
    folder = tmp_path_factory.mktemp("nginx")
    async with installed(server, tmp_path_factory.mktemp("home"), trusted_proxies="127.0.0.1") as altscore:
        (port,) = free_ports(1)
        _configure(folder, altscore, port)
        command = [program, "-c", str(folder / "nginx.conf"), "-e", str(folder / "error.log")]
        checked = await asyncio.to_thread(subprocess.run, [*command, "-t"], capture_output=True, text=True)
        assert checked.returncode == 0, checked.stderr
        with await asyncio.to_thread(subprocess.Popen, command) as nginx:
            altscore.base_url = f"https://localhost:{port}"

            async def ready() -> bool:
                assert nginx.poll() is None, (folder / "error.log").read_text()
                async with altscore.client() as client:
                    try:
                        return (await client.get("/readyz")).status_code == 200
                    except httpx2.TransportError:
                        return False

            try:
                await until(ready)
                yield altscore
            finally:
                nginx.terminate()
                await asyncio.to_thread(nginx.wait, 30)


def _configure(folder: Path, altscore: Installation, port: int) -> None:
    home = altscore.platform.settings.home_path
    (folder / "ca.pem").write_text(altscore.authority.pem)
    text = CONFIGURATION.read_text()
    for wanted, given in {
        "listen 443 ssl;": f"listen 127.0.0.1:{port} ssl;",
        "server 127.0.0.1:8443;": f"server {altscore.base_url.removeprefix('https://')};",
        "/etc/altcredit/tls.crt": str(home / "certificates" / "server.pem"),
        "/etc/altcredit/tls.key": str(home / "certificates" / "server.pem"),
        "/etc/altcredit/client-ca.pem": str(folder / "ca.pem"),
        "/etc/altcredit/server-ca.pem": str(folder / "ca.pem"),
    }.items():
        assert text.count(wanted) == 1, wanted
        text = text.replace(wanted, given)
    (folder / "altcredit.conf").write_text(text)
    user = "user root;" if os.geteuid() == 0 else ""
    (folder / "nginx.conf").write_text(MAIN.format(folder=folder, user=user))


def batch(feed: Feed) -> tuple[bytes, dict[str, str]]:
    raw = feed.body(invoices=[])
    return raw, feed.headers(raw, str(uuid.uuid4()))


async def test_a_distributor_s_certificate_arrives_through_nginx(behind: Installation) -> None:
    async with behind.distributor() as feed:
        raw, headers = batch(feed)
        answer = await feed.client.post("/v1/ingest/batch", content=raw, headers=headers)
        assert answer.status_code == 200, answer.text


async def test_a_certificate_in_a_header_of_the_client_s_own_counts_for_nothing(behind: Installation) -> None:
    async with behind.distributor() as feed, behind.client() as stranger:
        raw, headers = batch(feed)
        der = x509.load_pem_x509_certificate(feed.issued.certificate.pem.encode()).public_bytes(Encoding.DER)
        forged = {"client-cert": f":{base64.b64encode(der).decode()}:"}
        answer = await stranger.post("/v1/ingest/batch", content=raw, headers={**headers, **forged})
        assert answer.status_code == 401
        async with behind.distributor() as other:  # a certificate of one's own does not make another's count
            answer = await other.client.post("/v1/ingest/batch", content=raw, headers={**headers, **forged})
            assert answer.status_code in (401, 403)


async def test_a_certificate_of_another_authority_ends_at_nginx(behind: Installation, tmp_path: Path) -> None:
    async with behind.distributor() as feed:
        raw, headers = batch(feed)
        where = Addresses(public=behind.base_url, admin=behind.admin_url)
        foreign = Installation(behind.platform, where, Authority.create(now=datetime.now(UTC)))
        async with foreign.distributor() as other:
            context = ssl.create_default_context(cadata=behind.authority.pem)
            pem = tmp_path / "foreign.pem"
            pem.write_text(other.issued.certificate.pem + (other.issued.certificate.key_pem or ""))
            context.load_cert_chain(pem)
        async with httpx2.AsyncClient(base_url=behind.base_url, verify=context) as client:
            answer = await client.post("/v1/ingest/batch", content=raw, headers=headers)
    assert answer.status_code == 400


async def test_a_partner_s_address_is_the_one_that_nginx_saw(behind: Installation) -> None:
    partner = await behind.partner("203.0.113.7/32")
    async with behind.client() as client:
        for claimed in ({"x-forwarded-for": "203.0.113.7"}, {"forwarded": "for=203.0.113.7"}):
            answer = await client.get(
                "/api/partner/credit/cards/deliveries", headers={"x-partner-auth": partner.token, **claimed}
            )
            assert answer.status_code == 401
    here = await behind.partner("127.0.0.1/32")
    async with behind.client() as client:
        answer = await client.get("/api/partner/credit/cards/deliveries", headers={"x-partner-auth": here.token})
        # nginx is a trusted proxy at the same address here: whoever it names is taken for the client.
        assert answer.status_code == 200, answer.text
