"""
``kill -9`` of API process, worker and database at any moment: what was acknowledged stands, once, and all comes back.
"""

import asyncio
import hashlib
import random
import ssl
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx2
import psutil
import pyarrow.parquet as pq
import pytest
from tests.api.conftest import PURPOSE, Feed, Installation
from tests.journeys.books import bills, period, receipts
from tests.served import Served, install_expert, serving, until

from altcredit.pipeline.lake import Lake, store
from altcredit.pipeline.lake.reading import Part, read
from altcredit.pipeline.lake.tables import FOREVER

TODAY = datetime.now(UTC).date()
FIRST = TODAY - timedelta(days=250)
SHOPS = 6


class Ledger:
    """What the outside world was told, and therefore may rely on."""

    def __init__(self) -> None:
        self.batches: dict[str, tuple[str, list[str]]] = {}
        """By client's batch id: the distributor, and the ids of the batch's documents."""
        self.granted: dict[str, bool] = {}
        """By consent id: whether it has been revoked."""
        self.standing: dict[tuple[str, str], bool] = {}
        """By retailer and lender: whether there is a consent now."""
        self.faults: Counter[str] = Counter()

    async def insist(self, ask: Callable[[], Awaitable[httpx2.Response]]) -> httpx2.Response:
        """Ask until there is an answer, as a client does that follows the documentation: the same request again."""
        while True:
            try:
                answer = await ask()
            except (httpx2.TransportError, ssl.SSLError, OSError) as problem:
                self.faults[type(problem).__name__] += 1
                await asyncio.sleep(0.1)
                continue
            self.faults[str(answer.status_code)] += 1
            if answer.status_code < 500:
                return answer
            assert answer.status_code == 503, answer.text
            assert answer.headers["retry-after"] == "30"
            assert answer.json()["error"]["code"] == "SERVICE_UNAVAILABLE"
            await asyncio.sleep(0.1)


class Loader:
    """A distributor and the service that takes its shops' consents, both at work until they are told to stop."""

    def __init__(self, ledger: Ledger, feed: Feed, number: int) -> None:
        self.ledger, self.feed, self.number = ledger, feed, number
        self.sent = 0

    def phone(self, shop: int) -> str:
        return hashlib.sha256(f"9190{self.number:04d}{shop:04d}".encode()).hexdigest()

    async def send(self, **records: list[dict[str, Any]]) -> None:
        """Send one batch until it is acknowledged."""
        raw, batch_id = self.feed.body(**records, **period(FIRST, TODAY)), str(uuid.uuid4())
        answer = await self.ledger.insist(lambda: self.feed.send(raw, batch_id=batch_id))
        body = answer.json()
        if answer.status_code == 409:
            assert body["error"]["code"] == "BATCH_ALREADY_PROCESSED", answer.text
            body = body["result"]
        else:
            assert answer.status_code == 200, answer.text
        assert body["quarantined"] == 0
        documents = [one["invoice_id"] for one in records["invoices"]]
        documents += [one["payment_id"] for one in records["payments"]]
        self.ledger.batches[batch_id] = (self.feed.distributor_id, documents)
        self.sent += 1

    async def introduce(self) -> None:
        """Send the shops and most of a year of their trade."""
        for shop in range(SHOPS):
            ref = {"retailer_ref": f"K-{shop}"}
            invoices = bills(ref, first=FIRST, weeks=34, mark=f"S{shop}")
            await self.send(
                retailers=[{**ref, "retailer_phone_hash": self.phone(shop)}],
                invoices=invoices,
                payments=receipts(invoices, late=shop, until=TODAY, mark=f"S{shop}"),
            )

    async def push(self, stop: asyncio.Event) -> None:
        """Send batch after batch; every receipt is in the batch after its invoice's."""
        owed: list[dict[str, Any]] = []
        while not stop.is_set():
            ref = {"retailer_ref": f"K-{self.sent % SHOPS}"}
            invoices = bills(ref, first=FIRST, weeks=12, rupees=5000, mark=f"B{self.sent}")
            payments = receipts(owed, late=3, until=TODAY, mark=f"B{self.sent}")
            await self.send(invoices=invoices, payments=payments)
            owed = invoices
            await asyncio.sleep(0.05)  # others share the machine

    async def consent(self, shop: int, lender: str, service: httpx2.AsyncClient, reader: httpx2.AsyncClient) -> None:
        """Grant, read, revoke and read again, once."""
        grant = {
            "retailer_phone_hash": self.phone(shop),
            "distributor_id": self.feed.distributor_id,
            "lender_scope": [lender],
            "purpose": PURPOSE,
            "consent_channel": "whatsapp",
            "wa_message_id": "wamid.kill",
        }
        insist, key = self.ledger.insist, {"x-request-id": uuid.uuid4().hex}
        granted = await insist(lambda: service.post("/v1/consent/grant", json=grant, headers=key))
        assert granted.status_code == 200, granted.text
        consent_id, retailer_id = granted.json()["consent_id"], granted.json()["retailer_id"]
        self.ledger.granted[consent_id] = False
        self.ledger.standing[retailer_id, lender] = True
        asked = {"retailer_id": retailer_id, "purpose": PURPOSE}
        answer = await insist(lambda: reader.post("/v1/score", json=asked))
        assert answer.status_code in (200, 404), answer.text
        if random.random() < 0.3:
            return
        ended = {"consent_id": consent_id, "reason": "retailer_request"}
        key = {"x-request-id": uuid.uuid4().hex}
        revoked = await insist(lambda: service.post("/v1/consent/revoke", json=ended, headers=key))
        assert revoked.status_code == 200, revoked.text
        self.ledger.granted[consent_id] = True
        self.ledger.standing[retailer_id, lender] = False
        answer = await insist(lambda: reader.post("/v1/score", json=asked))
        assert answer.status_code == 403, answer.text

    async def consents(
        self, lender: str, service: httpx2.AsyncClient, reader: httpx2.AsyncClient, stop: asyncio.Event
    ) -> None:
        while not stop.is_set():
            for shop in range(SHOPS):
                await self.consent(shop, lender, service, reader)


@asynccontextmanager
async def loaded(altscore: Installation, ledger: Ledger, stop: asyncio.Event) -> AsyncIterator[list[Loader]]:
    """Keep two distributors, a service and a lender busy while in this block; they finish what they have begun."""
    async with AsyncExitStack() as stack:
        issued = await altscore.lender(minute=1_000_000, day=10_000_000)
        reader = await stack.enter_async_context(await altscore.signed_in(issued))
        scopes = ("consent:grant", "consent:check", "consent:revoke")
        service = await stack.enter_async_context(await altscore.signed_in(await altscore.service(*scopes)))
        loaders = []
        for number in range(2):
            feed = await stack.enter_async_context(altscore.distributor(batches_per_hour=1_000_000))
            loaders.append(Loader(ledger, feed, number))
            await loaders[-1].introduce()
        async with asyncio.TaskGroup() as group:
            for loader in loaders:
                group.create_task(loader.push(stop))
                group.create_task(loader.consents(issued.client_id, service, reader, stop))
            yield loaders
            stop.set()
        for (retailer_id, lender), standing in ledger.standing.items():
            asked = {"retailer_id": retailer_id, "lender_id": lender}
            check = await ledger.insist(lambda asked=asked: service.get("/v1/consent/check", params=asked))  # type: ignore[misc]
            assert check.json()["consented"] == standing


async def kill(served: Served, victim: str) -> None:
    """Kill one of the processes, as soon as it is there to be killed."""

    async def found() -> psutil.Process | None:
        return served.postmaster() if victim == "postmaster" else served.role(victim)

    process = await until(found, seconds=90, pause=0.02)
    process.kill()


async def verify(altscore: Installation, ledger: Ledger) -> None:
    """Compare everything that was acknowledged with what is stored."""
    reads = altscore.platform.database.reads

    async def done() -> bool:
        return await reads.fetchval("SELECT count(*) FROM ingest_batch WHERE status <> 'complete'") == 0

    await until(done, seconds=120)
    stored = await reads.fetch("SELECT client_batch_id::text, batch_id, distributor_id FROM ingest_batch")
    assert {row["client_batch_id"]: row["distributor_id"] for row in stored} == {
        batch_id: distributor_id for batch_id, (distributor_id, _) in ledger.batches.items()
    }
    assert await reads.fetchval("SELECT count(*) FROM outbox WHERE type = 'batch.accepted'") == len(stored)

    # Bronze: one whole file a batch, on the manifest once.
    listed = await reads.fetch("SELECT batch_id, path, sha256, rows FROM lake_file WHERE layer = 'bronze'")
    assert Counter(row["batch_id"] for row in listed) == Counter(row["batch_id"] for row in stored)
    client_id = {row["batch_id"]: row["client_batch_id"] for row in stored}
    lake = altscore.platform.settings.lake_path
    for row in listed:
        content = (lake / row["path"]).read_bytes()
        assert hashlib.sha256(content).hexdigest() == row["sha256"]
        documents = pq.read_table(lake / row["path"])["document_id"].to_pylist()
        assert documents == ledger.batches[client_id[row["batch_id"]]][1]

    # Silver: each document once, and with its shop.
    async with altscore.platform.database.transaction() as db:
        snapshot = await store.snapshot(db)
    opened = Lake(lake, threads=2)
    with opened.session() as session:
        read(session, opened, snapshot, Part())
        current = f"SELECT distributor_id, document_id FROM silver WHERE until_us = {FOREVER}"
        rows = session.fetch(current).to_pylist()
        waiting = session.fetch("SELECT count(*) AS n FROM unresolved").to_pylist()[0]["n"]
    opened.close()
    expected = Counter(
        (distributor_id, document) for distributor_id, documents in ledger.batches.values() for document in documents
    )
    assert Counter((row["distributor_id"], row["document_id"]) for row in rows) == expected
    assert waiting == 0

    # Consents: every one that was acknowledged, none besides, and ended where that was acknowledged.
    consents = await reads.fetch("SELECT consent_id, revoked_at FROM consent")
    assert {row["consent_id"]: row["revoked_at"] is not None for row in consents} == ledger.granted
    heads = await reads.fetch("SELECT retailer_id, lender_id FROM consent_head")
    live = {where for where, standing in ledger.standing.items() if standing}
    assert {(row["retailer_id"], row["lender_id"]) for row in heads} == live


async def storm(kills: int) -> None:
    random.seed(kills)
    victims = [("postmaster", "api", "worker")[n % 3] for n in range(kills)]
    random.shuffle(victims)
    ledger, stop = Ledger(), asyncio.Event()
    began = asyncio.get_running_loop().time()
    async with serving() as (served, altscore):
        await install_expert(altscore.platform)
        async with loaded(altscore, ledger, stop) as loaders:
            for victim in victims:
                target = sum(loader.sent for loader in loaders) + 2

                async def progress(target: int = target) -> bool:
                    return sum(loader.sent for loader in loaders) >= target

                await until(progress, seconds=90, pause=0.01)
                await asyncio.sleep(random.random() * 0.4)
                await kill(served, victim)
        await served.ready()
        await verify(altscore, ledger)

        async def working() -> bool:
            return served.role("worker") is not None and served.role("api") is not None

        await until(working)
        assert served.lines('"event":"bug"') == []
        assert not any(code.startswith("5") for code in ledger.faults if code != "503"), ledger.faults
        died = len(served.lines('"event":"process_died"')), len(served.lines('"event":"database_died"'))
    seconds = asyncio.get_running_loop().time() - began
    print(  # noqa: T201 - shown with -rP
        f"{kills} kills, {died} seen by the supervisor; {len(ledger.batches)} batches, {len(ledger.granted)} consents,"
        f" {sum(ledger.granted.values())} revoked; {dict(ledger.faults)}; {seconds:.0f} s"
    )


async def test_twenty_kills_lose_nothing_that_was_acknowledged_and_double_nothing() -> None:
    await storm(21)


@pytest.mark.long
async def test_two_hundred_kills_lose_nothing_that_was_acknowledged_and_double_nothing() -> None:
    await storm(201)
