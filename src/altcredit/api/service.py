"""What operators and their tools ask of a process: is it alive, is it ready, what has it counted."""

import msgspec

from altcredit.api.contract import Call, Nothing, Raw, Route, Unavailable
from altcredit.runtime import schema, telemetry


class Health(msgspec.Struct, frozen=True, kw_only=True):
    """The process answers."""

    status: str


async def live(_call: Call, _asked: Nothing) -> Health:
    return Health(status="ok")


async def ready(call: Call, _asked: Nothing) -> Health:
    async with call.platform.database.transaction() as db:
        try:
            await schema.require(db)
        except schema.SchemaOutdated as outdated:
            raise Unavailable(str(outdated)) from outdated
    if not call.platform.signing.jwks()["keys"]:
        raise Unavailable("no signing key")
    return Health(status="ready")


async def metrics(_call: Call, _asked: Nothing) -> Raw:
    body, media = telemetry.exposition()
    return Raw(body, media)


HEALTH = (
    Route(
        method="GET",
        path="/healthz",
        operation="readHealth",
        tag="Service",
        summary="Is the process alive",
        handler=live,
        answers=Health,
    ),
    Route(
        method="GET",
        path="/readyz",
        operation="readReadiness",
        tag="Service",
        summary="Can the process serve: database, schema, keys",
        handler=ready,
        answers=Health,
        refusals=(Unavailable,),
    ),
)
METRICS = Route(
    method="GET",
    path="/metrics",
    operation="readMetrics",
    tag="Service",
    summary="Prometheus metrics",
    handler=metrics,
    hidden=True,
)
