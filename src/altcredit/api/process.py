"""The API process: the public listener and the admin listener, on one event loop."""

import asyncio
import gc
from collections.abc import Callable, Sequence
from typing import Any

import msgspec
import uvloop

from altcredit.api.admin import surface as admin_api
from altcredit.api.altscore import surface as altscore
from altcredit.api.app import Surface, application
from altcredit.api.guard import surface as guard
from altcredit.api.service import HEALTH, METRICS
from altcredit.api.staff import surface as sign_in
from altcredit.runtime import clock, log, telemetry
from altcredit.runtime.platform import Platform, opened
from altcredit.runtime.refusal import Refusal
from altcredit.runtime.settings import Settings
from altcredit.runtime.tls import Listener, Tls, serve, signals

# What is not declared for a listener does not exist on it.
PUBLIC = (
    Surface(errors=altscore.ERROR_TABLE, routes=(*altscore.ROUTES, *HEALTH)),
    Surface(errors=guard.ERROR_TABLE, routes=guard.ROUTES, under=guard.ROOT),
)
ADMIN = (
    Surface(errors=admin_api.ERROR_TABLE, routes=(*admin_api.ROUTES, *HEALTH, METRICS)),
    Surface(errors=sign_in.ERROR_TABLE, routes=sign_in.PAGES, under="/staff"),
)


class Addresses(msgspec.Struct, frozen=True, kw_only=True):
    """Where the listeners listen."""

    public: str
    admin: str


def run(settings: Settings, dsn: str) -> None:
    """Serve until SIGTERM or SIGINT; requests under way are finished. SIGHUP reads the certificates again."""
    uvloop.run(_run(settings, dsn))


async def _run(settings: Settings, dsn: str) -> None:
    async with opened(settings, dsn) as platform:
        stop = asyncio.Event()
        tls = Tls.open(settings, keyring=platform.keyring, now=clock.now())
        fresh = asyncio.create_task(platform.keep_keys_fresh())

        def reload() -> None:
            try:
                tls.reload(now=clock.now())
                log.info("certificates_reloaded")
            except Refusal as refusal:
                log.warning("certificates_kept", error=type(refusal).__name__)

        def ready(where: Addresses) -> None:
            # What is loaded by now stays: the collector need not look through it again and again under load.
            gc.collect()
            gc.freeze()
            telemetry.READY.set(1)
            log.info("api_ready", address=where.public, environment=settings.environment)

        # What start-up made lives as long as the process: the collector need not look at it with every generation.
        gc.collect()
        gc.freeze()
        try:
            with signals(stop=stop, reload=reload):
                await serve_platform(platform, tls, stop=stop, ready=ready)
        finally:
            fresh.cancel()


async def serve_platform(
    platform: Platform, tls: Tls, *, stop: asyncio.Event, ready: Callable[[Addresses], None]
) -> None:
    """Serve both listeners until ``stop`` is set."""
    settings = platform.settings
    public: Any = application(platform, *PUBLIC)
    admin: Any = application(platform, *ADMIN)

    def bound(where: Sequence[tuple[str, int]]) -> None:
        (host, port), (admin_host, admin_port) = where
        ready(Addresses(public=f"https://{host}:{port}", admin=f"https://{admin_host}:{admin_port}"))

    await serve(
        Listener(app=public, host=settings.host, port=settings.port, context=tls.public),
        Listener(app=admin, host=settings.admin_host, port=settings.admin_port, context=tls.admin),
        stop=stop,
        ready=bound,
    )
