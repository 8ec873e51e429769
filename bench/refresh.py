"""
From a batch acknowledged to the new score readable, over HTTPS, with ten thousand consented retailers in the base.

    python -m bench.refresh [--batches 30] [--shops 10000] [--json FILE]

A full ``altcredit serve``. Each batch is a day's bills and receipts of 50 shops of one distributor; after its answer,
a lender asks for one of the shops until the score is another one.
"""

import argparse
import asyncio
import hmac
import random
import ssl
import statistics
import time
import uuid
from datetime import UTC, date, datetime
from pathlib import Path

import httpx2
import uvloop

from altcredit.runtime.certificates import Authority
from altcredit.runtime.keys import Keyring
from altcredit.runtime.platform import opened
from bench.figures import Figure, finish
from bench.serving.home import Home, Process, home
from bench.serving.ledger import SHOPS_PER_BATCH, Running, Site, batch, bill, populate, receipt
from bench.serving.portfolio import PURPOSE

DISTRIBUTORS = 5
PATIENCE = 60.0


def day_of(site: Site, number: int, today: date) -> tuple[bytes, str]:
    """Return a batch of today, and one of its retailers."""
    r = random.Random(f"{site.distributor_id}{number}")
    chosen = r.sample(site.shops, SHOPS_PER_BATCH)
    invoices = [bill(ref, f"{ref}-today-{number}", today, r.randrange(2_000, 60_000)) for ref, _ in chosen]
    payments = [receipt(one, today) for one in invoices[::2]]
    return batch(site.distributor_id, today, today, invoices, payments), chosen[0][1]


class Bench:
    def __init__(self, url: str, authority: str, running: Running) -> None:
        self.url = url
        self.authority = authority
        self.running = running

    def client(self, site: Site | None = None, **headers: str) -> httpx2.AsyncClient:
        context = ssl.create_default_context(cadata=self.authority)
        if site is not None:
            context.load_cert_chain(site.cert, site.key)
        return httpx2.AsyncClient(base_url=self.url, verify=context, headers=headers, timeout=30)

    async def measure(self, batches: int) -> list[float]:
        running = self.running
        senders = [self.client(site) for site in running.sites]
        lender = self.client(authorization=f"Bearer {running.token}", **{"x-client-id": running.lender_id})
        found = []
        for number in range(batches):
            place = number % len(senders)
            found.append(await self.one(lender, senders[place], running.sites[place], number))
        for client in (*senders, lender):
            await client.aclose()
        return found

    async def one(self, lender: httpx2.AsyncClient, sender: httpx2.AsyncClient, site: Site, number: int) -> float:
        body, retailer_id = day_of(site, number, datetime.now(UTC).date())
        before = await score_id(lender, retailer_id)
        headers = {
            "content-type": "application/json",
            "x-api-key": site.api_key,
            "x-batch-id": str(uuid.uuid4()),
            "x-erp-type": "csv",
            "x-payload-signature": hmac.digest(site.signing_secret.encode(), body, "sha256").hex(),
        }
        answer = await sender.post("/v1/ingest/batch", content=body, headers=headers)
        start = time.perf_counter()
        if answer.status_code not in (200, 201, 202) or answer.json()["quarantined"]:
            raise RuntimeError(answer.text)
        while await score_id(lender, retailer_id) == before:
            if time.perf_counter() - start > PATIENCE:
                raise RuntimeError(f"batch {number} was not scored within {PATIENCE:g} s")
            await asyncio.sleep(0.005)
        return time.perf_counter() - start


async def score_id(lender: httpx2.AsyncClient, retailer_id: str) -> str:
    answer = await lender.post("/v1/score", json={"retailer_id": retailer_id, "purpose": PURPOSE})
    if answer.status_code != 200:
        raise RuntimeError(answer.text)
    found: str = answer.json()["score_id"]
    return found


def stages(serve: Process) -> dict[str, float]:
    """Return the median seconds of each stage of a refresh, as the worker logged them, after the first."""
    _, *runs = [line["stages"] for line in serve.lines() if line.get("event") == "refreshed" and line["rows"]]
    return {stage: statistics.median(run[stage] for run in runs) for stage in runs[0]}


async def prepared(installation: Home, shops: int) -> tuple[Running, str]:
    async with opened(installation.settings, installation.dsn) as platform:
        running = await populate(platform, distributors=DISTRIBUTORS, shops=shops)
    settings = installation.settings
    return running, Authority.open(settings, keyring=Keyring.open(settings), now=datetime.now(UTC)).pem


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batches", type=int, default=30)
    parser.add_argument("--shops", type=int, default=10_000)
    parser.add_argument("--json", type=Path, help="write the figures there too")
    given = parser.parse_args()
    with home() as installation:
        start = time.perf_counter()
        running, authority = uvloop.run(prepared(installation, given.shops))
        print(f"{given.shops:,} retailers with consent and a score, made in {time.perf_counter() - start:.0f} s")
        with installation.process("serve", "-m", "altcredit", "serve", "--keep-database") as serve:
            url = serve.said("api_ready")["address"]
            serve.said("pipeline_loaded")  # as it is some seconds after the start
            bench = Bench(url, authority, running)
            first, *waited = uvloop.run(bench.measure(given.batches + 1))
            found = stages(serve)
    seconds = sorted(waited)
    print(f"first batch of a new worker: {first:.2f} s")
    print("of which the worker, medians: " + ", ".join(f"{name} {value:.3f} s" for name, value in found.items()))
    p50, p95 = statistics.median(seconds), seconds[min(int(len(seconds) * 0.95), len(seconds) - 1)]
    finish(
        [
            Figure("refresh: batch to readable score, p50", p50, "s"),
            Figure("refresh: batch to readable score, p95", p95, "s", at_most=(3.0, 1.0)),
        ],
        given.json,
    )


if __name__ == "__main__":
    main()
