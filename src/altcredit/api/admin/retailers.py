"""Retailers, as staff deal with them: erasure and unmasking by two people, export (section 07; contract D1)."""

import json
from datetime import datetime
from typing import Annotated, Any

import msgspec

from altcredit.api.admin.actions import Change, actor, changing, looking, reason_of
from altcredit.api.contract import Call, Pending, Raw
from altcredit.api.staff.credentials import session_of
from altcredit.engine import compliance, identity, retailers

BASE = "/v1/admin/retailers"
EXAMPLE = "ret_7f3a92c1d4e8b051"
ERASE = "retailers.erase"
UNMASK = "retailers.unmask"

RetailerId = Annotated[str, msgspec.Meta(pattern=r"^ret_[0-9a-f]{16}$", examples=[EXAMPLE])]


class WhichRetailer(msgspec.Struct, frozen=True, kw_only=True):
    """Which retailer."""

    id: RetailerId


class Signed(Change, frozen=True, kw_only=True):
    """Which retailer: the id of the path again, so that the hardware key signs for it."""

    retailer_id: RetailerId


class ErasureStep(msgspec.Struct, frozen=True, kw_only=True):
    """A step of the erasure: when it is due, when it was done, and what it did."""

    step: compliance.Name
    due_at: datetime
    done_at: datetime | None
    facts: dict[str, Any]


class ErasureCertificate(msgspec.Struct, frozen=True, kw_only=True):
    """Verify ``signature`` (DER, hex) over the JCS form of ``record`` with ``public_key``."""

    record: dict[str, Any]
    signature: str
    public_key: str


class ErasureAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """An erasure under way, or done: then it has a certificate."""

    erasure_id: str
    retailer_id: str
    status: Annotated[str, msgspec.Meta(extra_json_schema={"enum": ["in_progress", "completed"]})]
    overdue: bool
    requested_by: str
    approved_by: str | None
    requested_at: datetime
    due_at: datetime
    completed_at: datetime | None
    steps: list[ErasureStep]
    certificate: ErasureCertificate | None


class SignedOnce(msgspec.Struct, frozen=True, kw_only=True):
    """Signed for by one person; nothing is done until a second one signs for the same."""

    retailer_id: str
    status: Annotated[str, msgspec.Meta(extra_json_schema={"enum": ["pending_second_person"]})]
    requested_by: str
    lapses_at: datetime


class Unmasked(msgspec.Struct, frozen=True, kw_only=True):
    """A retailer's identifiers in clear. They are in this answer and nowhere else: it is not kept for replay."""

    retailer_id: str
    ids: Annotated[tuple[str, ...], msgspec.Meta(description="Its ids: its own, and those merged into it.")]
    names: tuple[str, ...]
    gstins: tuple[str, ...]
    phone_hashes: Annotated[
        tuple[str, ...], msgspec.Meta(description="SHA-256 of the E.164 digits, hex: as good as the number itself.")
    ]
    requested_by: str
    approved_by: str


class ErasuresQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Which erasures."""

    open: Annotated[bool, msgspec.Meta(description="Only those under way.")] = False


class Erasures(msgspec.Struct, frozen=True, kw_only=True):
    """Those under way, the most urgent first, then those that are done."""

    erasures: list[ErasureAnswer]


class ExportPending(msgspec.Struct, frozen=True, kw_only=True):
    """The export is being made; ask again."""

    export_id: str
    retailer_id: str
    status: Annotated[str, msgspec.Meta(extra_json_schema={"enum": ["requested"]})]
    requested_at: datetime
    due_at: datetime


async def _first(call: Call, action: str, retailer_id: str) -> str | None:
    """Sign under the id that answers for the shop: its aliases are no way to sign twice. Return who signed first."""
    return await identity.sign_with(call.db, session=session_of(call), action=action, subject=retailer_id, now=call.now)


def _signed_once(call: Call, retailer_id: str) -> Pending:
    return Pending(
        SignedOnce(
            retailer_id=retailer_id,
            status="pending_second_person",
            requested_by=actor(call),
            lapses_at=call.now + identity.SIGNATURE_LASTS,
        )
    )


async def erase(call: Call, asked: Signed) -> ErasureAnswer | Pending:
    known = (await retailers.canonical(call.db, retailer_ids=(asked.retailer_id,))).get(asked.retailer_id)
    if known is None:
        raise retailers.RetailerUnknown("No retailer has this id.")
    first = await _first(call, ERASE, known)
    if first is None:
        return _signed_once(call, known)
    erasure = await compliance.request_erasure(
        call.db,
        keyring=call.platform.keyring,
        retailer_id=known,
        requested_by=f"staff:{first}",
        approved_by=actor(call),
        reason=reason_of(call, asked) or "",
        now=call.now,
    )
    return _answer(call, erasure)


async def unmask(call: Call, asked: Signed) -> Unmasked | Pending:
    known = await compliance.unmaskable(call.db, retailer_id=asked.retailer_id)
    first = await _first(call, UNMASK, known)
    if first is None:
        return _signed_once(call, known)
    shop = await compliance.unmask(
        call.db,
        keyring=call.platform.keyring,
        retailer_id=known,
        requested_by=f"staff:{first}",
        approved_by=actor(call),
        reason=reason_of(call, asked) or "",
        now=call.now,
    )
    return Unmasked(
        retailer_id=shop.retailer_id,
        ids=shop.ids,
        names=shop.names,
        gstins=shop.gstins,
        phone_hashes=shop.phone_hashes,
        requested_by=f"staff:{first}",
        approved_by=actor(call),
    )


async def show_erasure(call: Call, asked: WhichRetailer) -> ErasureAnswer:
    return _answer(call, await compliance.find_erasure(call.db, erasure_id=asked.id))


async def list_erasures(call: Call, asked: ErasuresQuery) -> Erasures:
    return Erasures(erasures=[_answer(call, one) for one in await compliance.erasures(call.db, open_only=asked.open)])


def _answer(call: Call, erasure: compliance.Erasure) -> ErasureAnswer:
    signed = erasure.certificate
    return ErasureAnswer(
        erasure_id=erasure.erasure_id,
        retailer_id=erasure.retailer_id,
        status="in_progress" if erasure.completed_at is None else "completed",
        overdue=erasure.overdue(call.now),
        requested_by=erasure.requested_by,
        approved_by=erasure.approved_by,
        requested_at=erasure.requested_at,
        due_at=erasure.due_at,
        completed_at=erasure.completed_at,
        steps=[ErasureStep(**msgspec.structs.asdict(one)) for one in erasure.steps],
        certificate=None
        if signed is None
        else ErasureCertificate(
            record=json.loads(signed.record),
            signature=signed.signature.hex(),
            public_key=call.platform.signing.public_pem(signed.key_id),
        ),
    )


async def export(call: Call, asked: WhichRetailer) -> Raw | Pending:
    found = await compliance.export(
        call.db, keyring=call.platform.keyring, retailer_id=asked.id, requested_by=actor(call), now=call.now
    )
    if found.document is not None:
        return Raw(found.document, "application/json")
    return Pending(
        ExportPending(
            export_id=found.export_id,
            retailer_id=found.retailer_id,
            status="requested",
            requested_at=found.requested_at,
            due_at=found.due_at,
        )
    )


_TWO = (
    "Two people: the first one's signature is recorded (202) and counts for seven days, as long as they are active in a"
    " role that allows it; a second one's"
)
ROUTES = (
    changing(
        method="PUT",
        path=f"{BASE}/{{id}}/erasure",
        operation="eraseRetailer",
        tag="Retailers",
        summary="Erase a retailer's data",
        description=(
            f"{_TWO} starts the erasure (200). Consents end and the identity is unlinked at once; the rest goes by"
            " dated steps within 30 days."
        ),
        permission=ERASE,
        about="id",
        signed=True,
        repeats="retailer_id",
        places={"id": EXAMPLE},
        handler=erase,
        asks=Signed,
        answers=ErasureAnswer,
        pending=SignedOnce,
        refusals=(identity.SecondPersonNeeded, retailers.RetailerUnknown),
        replays="X-Request-ID",
    ),
    changing(
        path=f"{BASE}/{{id}}/unmask",
        operation="unmaskRetailer",
        tag="Retailers",
        summary="See a retailer's identifiers in clear",
        description=(
            f"{_TWO} is answered with the identifiers (200), this once. The audit log keeps who, why and which kinds of"
            " them."
        ),
        permission=UNMASK,
        about="id",
        signed=True,
        repeats="retailer_id",
        places={"id": EXAMPLE},
        handler=unmask,
        asks=Signed,
        answers=Unmasked,
        pending=SignedOnce,
        refusals=(identity.SecondPersonNeeded, retailers.RetailerUnknown, compliance.RetailerErased),
    ),
    looking(
        path=f"{BASE}/{{id}}/erasure",
        operation="showErasure",
        tag="Retailers",
        summary="Show how far an erasure has come, and its certificate",
        permissions=(ERASE,),
        about="id",
        handler=show_erasure,
        asks=WhichRetailer,
        answers=ErasureAnswer,
        refusals=(compliance.ErasureUnknown,),
    ),
    looking(
        path="/v1/admin/erasures",
        operation="listErasures",
        tag="Retailers",
        summary="List erasures with their clocks",
        permissions=(ERASE, "compliance.report"),
        about="erasures",
        handler=list_erasures,
        asks=ErasuresQuery,
        answers=Erasures,
    ),
    looking(
        path=f"{BASE}/{{id}}/export",
        operation="exportRetailer",
        tag="Retailers",
        summary="Export all that is held of a retailer, as JSON",
        description=(
            "The first call asks for it (202); a worker makes it within minutes, and the same call then answers with"
            " the document (200). The promise is 15 days."
        ),
        permissions=("retailers.export",),
        about="id",
        handler=export,
        asks=WhichRetailer,
        answers={"type": "object"},
        pending=ExportPending,
        refusals=(retailers.RetailerUnknown,),
    ),
)
