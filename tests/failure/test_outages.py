"""What the installation needs is away for a while: it says so, loses nothing, and recovers by itself."""

import asyncio
import os
import shutil
import signal
import ssl
import subprocess
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx2
import psutil
import pyarrow.parquet as pq
import pytest
from tests.api.conftest import PURPOSE, Feed, Installation, Shop
from tests.conftest import new_database
from tests.journeys.books import bills, period
from tests.runtime.test_kafka import attribute, broker, consume
from tests.served import free_ports, serving, until

from altcredit.runtime.postgres import Server

TODAY = datetime.now(UTC).date()
INVOICES = bills({"retailer_ref": "K-1"}, first=TODAY - timedelta(days=60), weeks=8)
WINDOW = period(TODAY - timedelta(days=60), TODAY)


def grant_body(shop: Shop, lender: str) -> dict[str, object]:
    return {"retailer_phone_hash": shop.phone_hash, "distributor_id": shop.distributor_id, "lender_scope": [lender],
            "purpose": PURPOSE, "consent_channel": "whatsapp", "wa_message_id": "wamid.outage"}  # fmt: skip


@pytest.fixture
def database_server() -> Iterator[Server]:
    """A database server of its own, that nobody starts again."""
    home = Path(tempfile.mkdtemp(prefix="altcredit-outage-"))
    home.chmod(0o755)
    server = Server(home)
    yield server
    server.stop()
    shutil.rmtree(home)


async def test_without_its_database_everything_is_refused_and_comes_back_by_itself(database_server: Server) -> None:
    dsn = await asyncio.to_thread(database_server.start)
    async with serving(database_url=dsn) as (served, altscore), altscore.distributor() as feed:
        lender, shop = await altscore.lender(), await altscore.shop()
        await altscore.consent(shop, lender.client_id)
        await altscore.score(shop)
        service = await altscore.service("consent:grant", "consent:check", "consent:revoke")
        processes = {role: (served.role(role) or psutil.Process()).pid for role in ("api", "worker")}
        async with await altscore.signed_in(lender) as reader, await altscore.signed_in(service) as granter:
            asked = {"retailer_id": shop.retailer_id, "purpose": PURPOSE}
            checked = {"retailer_id": shop.retailer_id, "lender_id": lender.client_id}
            batch_id, raw = str(uuid.uuid4()), feed.body(invoices=INVOICES, **WINDOW)

            async def all_of_it() -> list[httpx2.Response]:
                return [
                    await reader.post("/v1/score", json=asked),
                    await reader.get(f"/v1/score/{shop.retailer_id}/history"),
                    await reader.get("/v1/retailers/lookup", params={"gst": shop.gstin}),
                    await granter.post("/v1/consent/grant", json=grant_body(shop, lender.client_id)),
                    await granter.get("/v1/consent/check", params=checked),
                    await feed.send(raw, batch_id=batch_id),
                    await granter.get("/readyz"),
                ]

            assert {answer.status_code for answer in await all_of_it()} == {200}
            await asyncio.to_thread(database_server.stop)
            for _ in range(3):
                for answer in await all_of_it():
                    assert answer.status_code == 503, answer.text
                    assert answer.headers["retry-after"] == "30"
                    assert answer.json()["error"]["code"] == "SERVICE_UNAVAILABLE"
                    assert answer.elapsed < timedelta(seconds=6)
            assert (await reader.get("/healthz")).status_code == 200, "alive, though not ready"
            unknown = await reader.get("/v1/nothing")
            assert unknown.status_code == 404

            assert await asyncio.to_thread(database_server.start) == dsn

            async def recovered() -> bool:
                answers = await all_of_it()
                # The batch was sent before: its original result, or that it has been processed meanwhile.
                return {answer.status_code for answer in answers} <= {200, 409}

            await until(recovered)
            new = str(uuid.uuid4())
            assert (await feed.send(batch_id=new, invoices=INVOICES, **WINDOW)).status_code == 200

            async def complete() -> bool:
                return bool((await feed.status(new)).json()["status"] == "complete")

            await until(complete)
        assert {role: (served.role(role) or psutil.Process()).pid for role in processes} == processes
        assert served.lines('"event":"bug"') == []
        assert served.lines('"event":"process_died"') == []


async def test_without_kafka_all_works_and_events_wait_until_it_is_back(server: str) -> None:
    (port,) = free_ports(1)
    unpublished = "SELECT count(*) FROM outbox WHERE published_at IS NULL"
    async with (
        new_database(server) as dsn,
        serving(database_url=dsn, kafka_bootstrap=f"127.0.0.1:{port}") as (_, altscore),
        altscore.distributor() as feed,
    ):
        reads = altscore.platform.database.reads
        lender, shop = await altscore.lender(), await altscore.shop()
        async with await altscore.signed_in(await altscore.service("consent:grant")) as granter:
            granted = await granter.post("/v1/consent/grant", json=grant_body(shop, lender.client_id))
            assert granted.status_code == 200
        sent = await feed.send(invoices=INVOICES, **WINDOW)

        async def complete() -> bool:
            return bool((await feed.status(sent.json()["batch_id"])).json()["status"] == "complete")

        await until(complete)
        assert (await feed.client.get("/readyz")).status_code == 200

        waiting = await reads.fetch("SELECT event_id, type FROM outbox ORDER BY id")
        assert [row["type"] for row in waiting] == ["consent.granted", "batch.accepted"]
        assert await reads.fetchval(unpublished) == 2
        with broker(port) as bootstrap:

            async def flowed() -> bool:
                return await reads.fetchval(unpublished) == 0

            await until(flowed)
            messages = await asyncio.to_thread(consume, bootstrap, 2)
        found = dict.fromkeys((attribute(one, "ce_id"), attribute(one, "ce_type")) for one in messages)
        assert list(found) == [(row["event_id"], row["type"]) for row in waiting]


@pytest.fixture
def small_disk() -> Iterator[Path]:
    """A file system of 256 kB."""
    if os.geteuid() != 0:
        pytest.skip("mounting needs root")
    folder = Path(tempfile.mkdtemp(prefix="altcredit-small-"))
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", folder], capture_output=True)
    if mounted.returncode:
        folder.rmdir()
        pytest.skip(f"no tmpfs here: {mounted.stderr.decode().strip()}")
    yield folder
    subprocess.run(["umount", "-l", folder], check=True)
    folder.rmdir()


def fill(filler: Path) -> None:
    """Take all the space that is left."""
    with filler.open("wb", buffering=0) as file, suppress(OSError):
        while True:
            file.write(b"x" * 4096)


async def test_on_a_full_disk_batches_are_refused_and_nothing_is_torn(server: str, small_disk: Path) -> None:
    lake = small_disk / "lake"
    async with (
        new_database(server) as dsn,
        serving(database_url=dsn, lake=lake) as (served, altscore),
        altscore.distributor() as feed,
    ):
        first = await feed.send(invoices=INVOICES, **WINDOW)
        assert first.status_code == 200

        async def processed() -> bool:
            return bool((await feed.status(first.json()["batch_id"])).json()["status"] == "complete")

        await until(processed)
        filler = small_disk / "filler"
        fill(filler)
        batch_id, raw = str(uuid.uuid4()), feed.body(invoices=INVOICES, **WINDOW)
        for _ in range(3):
            refused = await feed.send(raw, batch_id=batch_id)
            assert (refused.status_code, refused.json()["error"]["code"]) == (503, "SERVICE_UNAVAILABLE")
            assert refused.headers["retry-after"] == "30"
        assert (await feed.status(batch_id)).status_code == 404
        whole = [path for path in (lake / "bronze").rglob("*") if path.is_file()]
        assert [pq.read_table(path).num_rows for path in whole] == [len(INVOICES)]
        filler.unlink()
        taken = await feed.send(raw, batch_id=batch_id)
        assert taken.status_code == 200, taken.text
        files = [path for path in (lake / "bronze").rglob("*") if path.is_file()]
        assert [pq.read_table(path).num_rows for path in files] == [len(INVOICES)] * 2
        assert served.lines('"event":"bug"') == []


async def slowly(feed: Feed, altscore: Installation, begun: asyncio.Event, go_on: asyncio.Event) -> str:
    """Send a batch with a pause in its middle; return what the server said."""
    raw = feed.body(invoices=INVOICES, **WINDOW)
    headers = {**feed.headers(raw, str(uuid.uuid4())), "host": "localhost", "content-length": str(len(raw))}
    context = ssl.create_default_context(cadata=altscore.authority.pem)
    with tempfile.NamedTemporaryFile("w") as chain:
        chain.write(feed.issued.certificate.pem + (feed.issued.certificate.key_pem or ""))
        chain.flush()
        context.load_cert_chain(chain.name)
    port = int(altscore.base_url.rsplit(":", 1)[1])
    reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context, server_hostname="localhost")
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    writer.write(f"POST /v1/ingest/batch HTTP/1.1\r\n{lines}\r\n".encode() + raw[:100])
    await writer.drain()
    begun.set()
    await go_on.wait()
    writer.write(raw[100:])
    answer = await reader.read()
    writer.close()
    return answer.decode()


async def test_a_stop_lets_requests_in_flight_finish_and_takes_no_more(server: str) -> None:
    async with (
        new_database(server) as dsn,
        serving(database_url=dsn) as (served, altscore),
        altscore.distributor() as feed,
        altscore.client() as idle,
    ):
        assert (await idle.get("/healthz")).status_code == 200
        begun, go_on = asyncio.Event(), asyncio.Event()
        sending = asyncio.create_task(slowly(feed, altscore, begun, go_on))
        await begun.wait()
        assert served.supervisor is not None
        served.supervisor.send_signal(signal.SIGTERM)

        async def closed() -> bool:
            async with altscore.client() as late:
                try:
                    await late.get("/healthz")
                except httpx2.TransportError:
                    return True
            return False

        await until(closed)
        go_on.set()
        answer = await asyncio.wait_for(sending, 30)
        assert answer.startswith("HTTP/1.1 200"), answer
        assert '"accepted":8' in answer
        assert await asyncio.to_thread(served.stop) == 0
        assert served.lines('"event":"process_killed"') == []
        count = "SELECT count(*) FROM ingest_batch WHERE distributor_id = $1"
        assert await altscore.platform.database.reads.fetchval(count, feed.distributor_id) == 1


async def test_a_stopped_installation_starts_again_over_the_same_data() -> None:
    """With the embedded database: what was stored is there, and tokens and certificates still count."""
    async with serving() as (served, altscore), altscore.distributor() as feed:
        sent = await feed.send(invoices=INVOICES, **WINDOW)
        async with await altscore.signed_in(await altscore.lender()) as reader:
            assert await asyncio.to_thread(served.stop) == 0
            assert served.postmaster() is None
            served.start()
            await served.ready()
            status = await feed.status(sent.json()["batch_id"])
            assert (status.status_code, status.json()["accepted"]) == (200, len(INVOICES))
            answer = await reader.post("/v1/score", json={"retailer_id": "ret_0000000000000000", "purpose": PURPOSE})
            assert answer.json()["error"]["code"] == "CONSENT_NOT_GRANTED"
