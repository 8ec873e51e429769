"""``altcredit doctor``: is this installation in order, and what to do where it is not."""

import asyncio
import shutil
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Annotated

import cyclopts
import msgspec

from altcredit.cli.output import emit
from altcredit.cli.session import settings
from altcredit.runtime import clock, jobs, outbox, postgres, schema
from altcredit.runtime.backup import LISTED
from altcredit.runtime.db import UNAVAILABLE
from altcredit.runtime.platform import Platform, opened
from altcredit.runtime.refusal import Refusal
from altcredit.runtime.settings import Settings

# A doctor names whatever the machine refuses, too.
_FAULTS: tuple[type[Exception], ...] = (*UNAVAILABLE, OSError, Refusal)
_UNSEALED = timedelta(minutes=10)
_LOW_DISK_BYTES = 2 * 1024**3
Json = Annotated[bool, cyclopts.Parameter(negative="", help="Print JSON.")]


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One check: whether it passed, and what was found or what to do."""

    check: str
    ok: bool
    finding: str


def register(app: cyclopts.App) -> None:
    """Add the command to the tree."""
    app.command(doctor)


def doctor(*, json: Json = False) -> int:
    """Check settings, database, keys, lake, jobs, Kafka and GUARD; exit 1 if anything is wrong."""
    findings = asyncio.run(_examine())
    emit(findings, json=json)
    return 0 if all(one.ok for one in findings) else 1


async def _examine() -> list[Finding]:
    try:
        chosen = settings()
    except Refusal as refusal:
        return [Finding(check="settings", ok=False, finding=str(refusal))]
    findings = [Finding(check="settings", ok=True, finding=f"environment {chosen.environment}"), _disk(chosen)]
    try:
        dsn = await asyncio.to_thread(postgres.ensure, chosen)
        async with opened(chosen, dsn) as platform:
            findings.append(Finding(check="database", ok=True, finding=f"schema at revision {schema.head()}"))
            for name, check in _CHECKS.items():
                findings.append(await _checked(name, check, platform))
    except _FAULTS as problem:
        findings.append(Finding(check="database", ok=False, finding=str(problem) or type(problem).__name__))
    return findings


async def _checked(name: str, check: Callable[[Platform], Awaitable[Finding]], platform: Platform) -> Finding:
    try:
        return await check(platform)
    except _FAULTS as problem:
        return Finding(check=name, ok=False, finding=str(problem) or type(problem).__name__)


def _disk(chosen: Settings) -> Finding:
    place = chosen.lake_path
    while not place.exists():
        place = place.parent
    free = shutil.disk_usage(place).free
    text = f"{free / 1024**3:.1f} GiB free for the lake"
    return Finding(check="disk", ok=free > _LOW_DISK_BYTES, finding=text)


async def _clock(platform: Platform) -> Finding:
    async with platform.database.transaction() as db:
        skew = abs((await db.fetchval("SELECT clock_timestamp()") - clock.now()).total_seconds())
    return Finding(check="clock", ok=skew < 2, finding=f"{skew:.1f} s from the database's clock")


async def _keys(platform: Platform) -> Finding:
    count = len(platform.signing.jwks()["keys"])
    return Finding(check="keys", ok=count >= 2, finding=f"{count} token keys published (active and next)")


async def _custody(platform: Platform) -> Finding:
    """Production's keys may lie in clear; whether that will do is for the operator to say."""
    keks = len(platform.keyring.kek_ids)
    older = f"; {keks - 1} older key-encryption keys (keys rewrap, then keys drop-keks)" if keks > 1 else ""
    return Finding(check="custody", ok=True, finding=platform.keyring.custody + older)


async def _lake(platform: Platform) -> Finding:
    folder = platform.settings.lake_path
    folder.mkdir(parents=True, exist_ok=True)
    probe = folder / f".doctor-{clock.now().timestamp():.0f}"
    try:
        probe.write_bytes(b"ok")
    except OSError as problem:
        return Finding(check="lake", ok=False, finding=f"{folder} cannot be written: {problem.strerror}")
    probe.unlink()
    async with platform.database.transaction() as db:
        listed = [row["path"] for row in await db.fetch(LISTED)]
    missing = await asyncio.to_thread(lambda: [path for path in listed if not (folder / path).exists()])
    if missing:
        text = f"{len(missing)} of {len(listed)} listed files are not in {folder}, {missing[0]} the first"
        return Finding(check="lake", ok=False, finding=text)
    return Finding(check="lake", ok=True, finding=f"{folder} can be written, and has all {len(listed)} listed files")


async def _jobs(platform: Platform) -> Finding:
    async with platform.database.transaction() as db:
        held = await jobs.held(db)
        events = await outbox.held(db)
    text = f"{len(held)} jobs gave up: {', '.join(sorted({one.job for one in held}))}" if held else "no job gave up"
    if events:
        text += f"; {len(events)} events have reactions that failed"
    return Finding(check="jobs", ok=not held and not events, finding=text)


async def _kafka(platform: Platform) -> Finding:
    """Events go nowhere, or to a topic that brokers answer for. Blocks for seconds where none does."""
    if not platform.settings.kafka_bootstrap:
        return Finding(check="kafka", ok=True, finding="events are not relayed")
    from altcredit.runtime import kafka

    topic = platform.settings.kafka_topic
    try:
        count = await asyncio.to_thread(kafka.partitions, platform.settings)
    except kafka.KafkaAway as away:
        return Finding(check="kafka", ok=False, finding=f"no broker answers ({away}); events wait")
    return Finding(check="kafka", ok=True, finding=f"topic {topic} has {count} partitions")


async def _notice(platform: Platform) -> Finding:
    """Shops can be asked for consent where the operator has said who asks, and where rights are claimed."""
    from altcredit.engine import consent

    missing = consent.Fiduciary.of(platform.settings).missing
    text = f"nobody can be asked for consent: set {', '.join(missing)}" if missing else "it says who asks for consent"
    return Finding(check="notice", ok=not missing, finding=text)


async def _audit(platform: Platform) -> Finding:
    from altcredit.engine import audit

    async with platform.database.transaction() as db:
        rows, oldest = await audit.waiting(db, path=platform.settings.audit_heads_path)
    if oldest is not None and clock.now() - oldest > _UNSEALED:
        text = f"{rows} rows wait to be sealed, the oldest since {oldest:%Y-%m-%d %H:%M} UTC: is a worker running?"
        return Finding(check="audit", ok=False, finding=text)
    return Finding(check="audit", ok=True, finding=f"both places of signed heads agree; {rows} rows wait to be sealed")


async def _guard(platform: Platform) -> Finding:
    """GUARD's part is in order where there is no partner to serve, or all that an application needs is there."""
    from altcredit.engine import delivery, identity, registry, sources

    async with platform.database.transaction() as db:
        partners = await identity.list_partners(db, now=clock.now())
        waiting = await delivery.held(db)
        models = await registry.list_versions(db, product="guard")
    if not partners:
        return Finding(check="guard", ok=True, finding="no partner yet")
    clients = await sources.Clients.open(platform.settings)
    await clients.close()
    missing = []
    if not any("champion" in one.aliases for one in models):
        missing.append("no model is promoted (altcredit train --product guard)")
    if not clients.configured and platform.settings.environment == "production":
        missing.append("no data source is configured (ALTCREDIT_SOURCES)")
    text = (
        f"{len(partners)} partners, {len(clients.configured)} data sources; callbacks: {waiting.pending} pending,"
        f" {waiting.failed} given up; receivers: {waiting.endpoints_failing} failing, {waiting.endpoints_disabled} off"
    )
    return Finding(check="guard", ok=not missing, finding="; ".join((*missing, text)))


_CHECKS: dict[str, Callable[[Platform], Awaitable[Finding]]] = {
    "clock": _clock,
    "keys": _keys,
    "custody": _custody,
    "lake": _lake,
    "jobs": _jobs,
    "kafka": _kafka,
    "notice": _notice,
    "audit": _audit,
    "guard": _guard,
}
