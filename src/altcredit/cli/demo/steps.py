"""The demo's steps: onboard, push, train, consent, score."""

import asyncio
import ssl
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx2
import msgspec

from altcredit.cli.clients import ACTOR
from altcredit.cli.demo import guard, result, trust, whatsapp
from altcredit.cli.demo.cast import PURPOSE, Cast, id_of, signed_in
from altcredit.cli.demo.stage import DemoRefused, Steps
from altcredit.cli.output import errors
from altcredit.engine import identity
from altcredit.runtime import clock, postgres
from altcredit.runtime.certificates import Authority
from altcredit.runtime.platform import Platform, opened
from altcredit.runtime.settings import Settings

SEED = 2026
_SCORE_SECONDS = 90


async def run(chosen: Settings, steps: Steps, *, shops: int, portfolio: int, applicants: int, began: float) -> None:
    """Play the demo against the running server."""
    dsn = await asyncio.to_thread(postgres.ensure, chosen)
    async with opened(chosen, dsn) as platform:
        with steps(f"Simulate three distributors with {shops} shops, 14 months") as note:
            world = await asyncio.to_thread(_world, shops)
            note(", ".join(f"{one.name} ({one.erp})" for one in world.distributors))
        with steps("Add lenders, a service and the distributors: certificates, keys, secrets") as note:
            cast = await _onboard(platform, world)
            note(f"lender {cast.lender.client_id}; {len(cast.distributors)} distributors with a backfill quota")
        with steps("Push Tally, SAP Business One and CSV books through the connector, over mutual TLS") as note:
            for line in await asyncio.to_thread(_push, chosen, cast):
                note(line)
        with steps(f"Train on a simulated portfolio of {portfolio} shops; promote the first champion") as note:
            note(await _train(platform, portfolio))
        async with _client(chosen, cast) as client:
            with steps("Grant the shops' consents, as the WhatsApp service does") as note:
                note(await _grant(client, cast))
            keeper = await whatsapp.ask(chosen, client, steps, cast)
            with steps("Wait for the worker to score who consented") as note:
                answer, token = await _scores(client, platform, cast)
                note("the newest model, features as of the feed's last day")
            await whatsapp.withdraw(chosen, client, steps, keeper, headers=token)
            with steps("Read history and look a GSTIN up, as the lender does") as note:
                for line in await _look_around(client, platform, cast, token):
                    note(line)
            await trust.play(
                platform,
                client,
                steps,
                score=answer,
                phone_hash=await _phone_hash(platform, cast, answer["retailer_id"]),
                headers=token,
                folder=cast.folder,
            )
            with steps(f"Train GUARD's models on {applicants} simulated card applicants; promote them") as note:
                for line in await guard.train(platform, applicants):
                    note(line)
            partner, other_partner, played = await guard.play(platform, client, steps, folder=cast.folder)
        await result.write(chosen, platform, cast, (partner, other_partner))
    result.finish(chosen, cast, answer, token)
    guard.finish(chosen, partner, played, ca_file=cast.ca_file)
    errors.print(f"\nThe demo took {time.monotonic() - began:.0f} s.")


def _world(shops: int) -> Any:
    from altcredit.simulator import demo_world

    return demo_world(SEED, today=clock.now().date(), shops=shops)


async def _onboard(platform: Platform, world: Any) -> Cast:
    folder = platform.settings.home_path / "demo"
    now, keyring = clock.now(), platform.keyring
    authority = Authority.open(platform.settings, keyring=keyring, now=now)
    ca_file = folder / "ca.pem"
    ca_file.write_text(authority.pem)
    async with platform.database.transaction() as db:
        lender = await identity.add_lender(
            db, keyring=keyring, name="Shriram Finance", client_id="lender_shriram", actor=ACTOR, now=now
        )
        other = await identity.add_lender(
            db, keyring=keyring, name="UGRO Capital", client_id="lender_ugro", actor=ACTOR, now=now
        )
        service = await identity.add_service(
            db,
            keyring=keyring,
            name="WhatsApp webhook",
            client_id="svc_whatsapp",
            scopes=sorted(identity.SCOPES),
            actor=ACTOR,
            now=now,
        )
        issued = []
        for one in world.distributors:
            issued.append(
                await identity.add_distributor(
                    db,
                    keyring=keyring,
                    authority=authority,
                    name=one.name,
                    distributor_id=one.distributor_id,
                    actor=ACTOR,
                    now=now,
                )
            )
            await identity.grant_backfill(
                db, distributor_id=one.distributor_id, limit=2000, until=now + timedelta(days=1), actor=ACTOR, now=now
            )
    return Cast(
        world=world,
        lender=lender,
        other_lender=other,
        service=service,
        distributors=issued,
        folder=folder,
        ca_file=ca_file,
    )


def _push(chosen: Settings, cast: Cast) -> list[str]:
    """Run one connector a distributor, all at once, each with its own configuration and secrets."""
    from altcredit.simulator import sap_collections, write_world
    from altcredit.simulator.service_layer import service_layer

    program = Path(sys.executable).with_name("altcredit-connector")
    if not program.exists():
        raise DemoRefused("The connector is not installed: pip install altcredit-connector")
    write_world(cast.world, cast.folder / "books")
    with ExitStack() as stack:
        running = []
        for distributor, issued in zip(cast.world.distributors, cast.distributors, strict=True):
            site = cast.folder / issued.distributor_id
            _hand_over(site, issued)
            source: list[str]
            if distributor.erp == "sap_b1":
                address = stack.enter_context(service_layer(sap_collections(cast.world, distributor.number)))
                source = ["--erp-url", address, "--company", "SBODEMOIN", "--user", "altscore_ro"]
                source += ["--erp-password-file", str(site / "erp-password"), "--start", cast.world.start.isoformat()]
            else:
                books = sorted(str(one) for one in _books(cast, distributor))
                source = [part for one in books for part in ("--file", one)]
                source += ["--preset", "bill-receipt-return"] if distributor.erp == "csv" else []
            _init(program, site, chosen, cast, issued, distributor.erp, source)
            running.append(_start_push(program, site))
        return [_pushed(one, child) for one, child in zip(cast.world.distributors, running, strict=True)]


def _books(cast: Cast, distributor: Any) -> Sequence[Path]:
    folder = cast.folder / "books" / distributor.distributor_id
    return [one for one in folder.iterdir() if one.suffix in (".csv", ".xml")]


def _hand_over(site: Path, issued: identity.IssuedDistributor) -> None:
    site.mkdir(mode=0o700)
    files = {
        "cert.pem": issued.certificate.pem,
        "key.pem": issued.certificate.key_pem or "",
        "api-key": issued.api_key,
        "signing-secret": issued.signing_secret,
        "erp-password": "demo",
    }
    for name, content in files.items():
        (site / name).touch(mode=0o600)
        (site / name).write_text(content)


def _init(
    program: Path,
    site: Path,
    chosen: Settings,
    cast: Cast,
    issued: identity.IssuedDistributor,
    erp: str,
    source: list[str],
) -> None:
    arguments = [
        *(str(program), "init", "--config", str(site / "connector.toml"), "--erp", erp),
        *("--base-url", chosen.base_url, "--distributor-id", issued.distributor_id),
        *("--cert", str(site / "cert.pem"), "--key", str(site / "key.pem"), "--ca", str(cast.ca_file)),
        *("--secrets-file", str(site / "secrets.toml"), "--api-key-file", str(site / "api-key")),
        *("--signing-secret-file", str(site / "signing-secret"), *source),
    ]
    done = subprocess.run(arguments, check=False, capture_output=True, text=True)
    if done.returncode != 0:
        raise DemoRefused(f"altcredit-connector init failed:\n{done.stdout}{done.stderr}")


def _start_push(program: Path, site: Path) -> subprocess.Popen[str]:
    arguments = [str(program), "push", "--config", str(site / "connector.toml"), "--json", "--no-wait"]
    return subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def _pushed(distributor: Any, child: subprocess.Popen[str]) -> str:
    output, said = child.communicate(timeout=600)
    if child.returncode != 0:
        raise DemoRefused(f"altcredit-connector push failed for {distributor.name}:\n{output}{said}")
    result = msgspec.json.decode(output)
    batches, records = result["read"]["batches"], result["read"]["records"]
    aside = len(result["quarantined_records"])
    return f"{distributor.name}: {records:,} records in {batches} batches, {aside} put aside"


async def _train(platform: Platform, shops: int) -> str:
    from altcredit.pipeline.learning import learn
    from altcredit.simulator.portfolio import portfolio_frame

    today = clock.now().date()
    frame = await asyncio.to_thread(lambda: portfolio_frame(seed=11, shops=shops, today=today))
    done = await learn(platform, frame, data_origin="simulated", promote=True, actor=ACTOR, now=clock.now())
    return f"{done.version}: {done.rows:,} rows, {done.bad} bad shops to learn from"


def _client(chosen: Settings, cast: Cast) -> httpx2.AsyncClient:
    context = ssl.create_default_context(cafile=str(cast.ca_file))
    return httpx2.AsyncClient(base_url=chosen.base_url, verify=context, timeout=30)


async def _grant(client: httpx2.AsyncClient, cast: Cast) -> str:
    """Grant consent for every shop but the unconsented; the scored ones also allow their data to improve models."""
    headers = await signed_in(client, cast.service)
    shops = [shop for shop in cast.world.shops if shop.group != "unconsented"]
    limit = asyncio.Semaphore(8)
    counts: dict[str, int] = {}

    async def one(shop: Any, purpose: str, lenders: list[str]) -> None:
        account = next((a for a in shop.accounts if a.phone), None)
        if account is None:
            return
        body = {
            "retailer_phone_hash": shop.phone_hash,
            "distributor_id": cast.world.distributors[account.distributor].distributor_id,
            "lender_scope": lenders,
            "purpose": purpose,
            "consent_channel": "whatsapp",
            "wa_message_id": f"wamid.demo.{shop.number}.{purpose}",
            "retailer_ref": account.retailer_ref,
        }
        async with limit:
            answer = await client.post("/v1/consent/grant", json=body, headers=headers)
        outcome = "granted" if answer.is_success else answer.json()["error"]["code"]
        counts[outcome] = counts.get(outcome, 0) + 1

    await asyncio.gather(*(one(shop, PURPOSE, [cast.lender.client_id]) for shop in shops))
    improving = cast.world.group("scored")
    await asyncio.gather(*(one(shop, "model_development", []) for shop in improving))
    return ", ".join(f"{count} {outcome}" for outcome, count in sorted(counts.items()))


async def _scores(client: httpx2.AsyncClient, platform: Platform, cast: Cast) -> tuple[dict[str, Any], dict[str, str]]:
    headers = await signed_in(client, cast.lender)
    answer: httpx2.Response | None = None
    deadline = time.monotonic() + _SCORE_SECONDS
    best: dict[str, Any] = {}
    for shop in cast.world.group("scored"):
        body = {"retailer_id": await id_of(platform, shop.gstin), "purpose": PURPOSE}
        while True:
            answer = await client.post("/v1/score", json=body, headers=headers)
            if answer.status_code != 404 or time.monotonic() > deadline:
                break
            await asyncio.sleep(1.0)
        if answer.status_code == 200 and answer.json()["altscore"] > best.get("altscore", 0):
            best = answer.json()
    if best:
        return best, headers
    raise DemoRefused(f"No score came: {answer.text if answer is not None else 'no shop'}")


async def _phone_hash(platform: Platform, cast: Cast, retailer_id: str) -> str:
    for shop in cast.world.group("scored"):
        if await id_of(platform, shop.gstin) == retailer_id:
            phone_hash: str = shop.phone_hash
            return phone_hash
    raise DemoRefused(f"{retailer_id} is no simulated shop.")


async def _look_around(
    client: httpx2.AsyncClient, platform: Platform, cast: Cast, headers: dict[str, str]
) -> list[str]:
    shop = cast.world.group("scored")[0]
    found = await client.get("/v1/retailers/lookup", params={"gst": shop.gstin}, headers=headers)
    found.raise_for_status()
    retailer_id = found.json()["retailer_id"]
    history = await client.get(f"/v1/score/{retailer_id}/history", headers=headers)
    refused = await client.post(
        "/v1/score",
        json={
            "retailer_id": await id_of(platform, cast.world.group("unconsented")[0].gstin),
            "purpose": PURPOSE,
        },
        headers=headers,
    )
    months = history.json().get("history", [])
    return [
        f"GSTIN → {retailer_id}; history: " + ", ".join(f"{one['month']} {one['altscore']}" for one in months),
        f"a shop that did not consent: {refused.status_code} {refused.json()['error']['code']}",
    ]
