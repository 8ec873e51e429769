"""The compliance report of a date range, recomputed from the ledgers (API-ALTSCORE-001, section 07)."""

from datetime import UTC, datetime
from typing import Annotated, Literal

import msgspec

from altcredit.api.admin.actions import actor, looking
from altcredit.api.contract import BodyMalformed, Call, Raw
from altcredit.engine import compliance, consent
from altcredit.runtime.refusal import Detail

# A page of its own: printable, with its style and charts inside, and nothing that runs.
_PAGE_HEADERS = (
    (
        b"content-security-policy",
        b"default-src 'none'; style-src 'unsafe-inline'; img-src data:; frame-ancestors 'none'",
    ),
)

Moment = Annotated[
    str,
    msgspec.Meta(
        pattern=r"^\d{4}-\d{2}-\d{2}(T\d{2}:\d{2}(:\d{2}(\.\d{1,6})?)?(Z|[+-]\d{2}:\d{2})?)?$",
        examples=["2026-10-01"],
    ),
]


class ReportQuery(msgspec.Struct, frozen=True, kw_only=True, rename={"since": "from", "until": "to"}):
    """Which period, and in which form."""

    since: Annotated[Moment, msgspec.Meta(description="First day, or moment (UTC unless it says otherwise).")]
    until: Annotated[Moment, msgspec.Meta(description="First day or moment that is no longer part of it.")]
    format: Annotated[
        Literal["json", "html"], msgspec.Meta(description="JSON, or one printable HTML page with charts.")
    ] = "json"


def _moment(name: str, text: str) -> datetime:
    try:
        found = datetime.fromisoformat(text)
    except ValueError as error:
        raise BodyMalformed(details=(Detail(f"$.{name}", "is no such day or moment"),)) from error
    return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)


async def report(call: Call, asked: ReportQuery) -> compliance.Report | Raw:
    settings = call.platform.settings
    made = await compliance.report(
        call.db,
        keyring=call.platform.keyring,
        since=_moment("from", asked.since),
        until=_moment("to", asked.until),
        residency=settings.residency,
        fiduciary=consent.Fiduciary.of(settings).name,
        environment=settings.environment,
        actor=actor(call),
        now=call.now,
    )
    if asked.format == "html":
        return Raw(compliance.report_page(made).encode(), "text/html; charset=utf-8", _PAGE_HEADERS)
    return made


ROUTES = (
    looking(
        path="/v1/admin/compliance/report",
        operation="reportCompliance",
        tag="Compliance",
        summary="Generate the compliance report of a period",
        description=(
            "Fifteen sections, each figure recomputed from the ledgers; regulation is versioned data. `format=html`"
            " answers with one printable page instead (`text/html`)."
        ),
        permissions=("compliance.report",),
        about="compliance",
        handler=report,
        asks=ReportQuery,
        answers=compliance.Report,
        refusals=(compliance.PeriodInvalid,),
    ),
)
