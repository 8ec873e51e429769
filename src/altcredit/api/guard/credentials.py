"""Who may call GUARD, how they prove it, and how often (GUARD API, Preparation; contract U1, U9)."""

from typing import Any

from altcredit.api.contract import Call, Caller, Credential, Scheme
from altcredit.engine import identity
from altcredit.runtime import quotas
from altcredit.runtime.peer import client_address
from altcredit.runtime.quotas import Allowance, Quota

MINUTE_LIMIT = 600  # published; an operator may set others per partner


async def _partner(call: Call) -> Caller:
    partner = await identity.partner_by_token(
        call.platform.database,
        keyring=call.platform.keyring,
        token=call.headers.get("x-partner-auth", ""),
        address=client_address(call.scope, call.platform.trusted_proxies),
        now=call.now,
    )
    return Caller(kind="partner", id=partner.partner_id, subject=partner)


PARTNER = Credential(
    schemes=(
        Scheme(
            name="partnerAuth",
            openapi={
                "type": "apiKey",
                "in": "header",
                "name": "X-Partner-Auth",
                "description": (
                    "The partner's token, 64 letters and digits. Counts only from an address in the partner's list;"
                    " a wrong token and a wrong address are answered alike."
                ),
            },
        ),
    ),
    identify=_partner,
    refusals=(identity.PartnerNotAuthorized,),
)


def partner_of(call: Call) -> identity.Partner:
    """Return the partner that calls."""
    assert call.caller is not None
    partner: identity.Partner = call.caller.subject
    return partner


def _window(call: Call) -> dict[str, Any]:
    partner = partner_of(call)
    quota = Quota(name="minute", limit=partner.minute_limit, seconds=60)
    return {"quota": quota, "subject": f"partner|{partner.partner_id}", "now": call.now}


async def _take(call: Call) -> Allowance:
    # Not in the request's transaction: that would let a partner's requests wait for each other's commits.
    async with call.platform.database.reads.acquire() as db:
        return await quotas.take(db, **_window(call))


async def _peek(call: Call) -> Allowance | None:
    async with call.platform.database.reads.acquire() as db:
        return await quotas.peek(db, **_window(call))


# What all operations of a partner have in common.
OF_PARTNERS: dict[str, Any] = {
    "credentials": (PARTNER,),
    "takes": _take,
    "peeks": _peek,
    "limits": {"minute": MINUTE_LIMIT},
}
