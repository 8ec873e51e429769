"""A key assertion counts for one action on one request, once, within a minute."""

import base64
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from tests.staffing import FLAG, TOUCHED, SoftKey, b64, staff_member

from altcredit.engine import identity
from altcredit.runtime.db import Database
from altcredit.runtime.keys import Keyring

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
BODY = b'{"version":"altscore-xgb-v2"}'


async def use(
    database: Database, session: identity.StaffSession, assertion: str | None, *,
    action: str = "models.promote", request: bytes = BODY, now: datetime = NOW,
) -> identity.SignedRequest:  # fmt: skip
    async with database.transaction() as db:
        return await identity.require_assertion(
            db, session=session, action=action, request=request, assertion=assertion, now=now
        )


async def test_a_fresh_assertion_counts_once(database: Database, keyring: Keyring) -> None:
    who = await staff_member(database, keyring, "model_owner", now=NOW)
    assertion = await who.assertion("models.promote", BODY, now=NOW)
    signed = await use(database, who.session, assertion)
    assert signed.key_id.startswith("sky_")
    with pytest.raises(identity.AssertionInvalid):
        await use(database, who.session, assertion)


async def test_it_counts_for_no_other_action_request_or_person(database: Database, keyring: Keyring) -> None:
    who = await staff_member(database, keyring, "model_owner", now=NOW)
    other = await staff_member(database, keyring, "model_owner", now=NOW)
    assertion = await who.assertion("models.promote", BODY, now=NOW)
    for changed in ({"action": "models.rollback"}, {"request": BODY + b" "}):
        with pytest.raises(identity.AssertionInvalid):
            await use(database, who.session, assertion, **changed)  # type: ignore[arg-type]
    with pytest.raises(identity.AssertionInvalid):
        await use(database, other.session, assertion)
    again = await staff_member(database, keyring, "ops", now=NOW)
    with pytest.raises(identity.AssertionInvalid):
        await use(database, again.session, assertion)
    await use(database, who.session, assertion)


@pytest.mark.parametrize("late", [timedelta(seconds=61), timedelta(seconds=-1)])
async def test_it_is_stale_after_a_minute_and_before_it_was_asked_for(
    database: Database, keyring: Keyring, late: timedelta
) -> None:
    who = await staff_member(database, keyring, "ops", now=NOW)
    assertion = await who.assertion("models.promote", BODY, now=NOW)
    with pytest.raises(identity.AssertionStale):
        await use(database, who.session, assertion, now=NOW + late)
    await use(database, who.session, assertion, now=NOW + timedelta(seconds=60))


async def test_without_one_the_action_is_refused(database: Database, keyring: Keyring) -> None:
    who = await staff_member(database, keyring, "ops", now=NOW)
    for nothing in (None, ""):
        with pytest.raises(identity.AssertionMissing):
            await use(database, who.session, nothing)


@pytest.mark.parametrize(
    "how",
    [
        {"flags": FLAG.UP},
        {"flags": FLAG.UV},
        {"flags": TOUCHED | FLAG.BE},
        {"flags": TOUCHED | FLAG.BE | FLAG.BS},
        {"rp_id": "example.com"},
        {"origin": "https://evil.example"},
        {"origin": "https://localhost:8444.evil.example"},
        {"crossOrigin": True},
        {"type": "webauthn.create"},
        {"challenge": b64(b"\x00" * 64)},
    ],
    ids=str,
)
async def test_what_the_key_or_the_browser_says_otherwise_is_refused(
    database: Database, keyring: Keyring, how: dict[str, Any]
) -> None:
    who = await staff_member(database, keyring, "ops", now=NOW)
    assertion = await who.assertion("models.promote", BODY, now=NOW, **how)
    with pytest.raises(identity.AssertionInvalid):
        await use(database, who.session, assertion)


async def test_a_counter_that_does_not_rise_is_that_of_a_copied_key(database: Database, keyring: Keyring) -> None:
    who = await staff_member(database, keyring, "ops", now=NOW)
    await use(database, who.session, await who.assertion("models.promote", BODY, now=NOW))
    who.key.counter -= 1
    copied = await who.assertion("models.promote", BODY, now=NOW)
    with pytest.raises(identity.AssertionInvalid, match="copied"):
        await use(database, who.session, copied)


async def test_another_key_over_the_same_challenge_is_refused(database: Database, keyring: Keyring) -> None:
    who = await staff_member(database, keyring, "ops", now=NOW)
    enrolled = who.key
    who.key = SoftKey(enrolled.party)
    foreign = await who.assertion("models.promote", BODY, now=NOW)
    with pytest.raises(identity.AssertionInvalid):
        await use(database, who.session, foreign)
    who.key.credential = enrolled.credential
    forged = await who.assertion("models.promote", BODY, now=NOW)
    with pytest.raises(identity.AssertionInvalid):
        await use(database, who.session, forged)


@pytest.mark.parametrize("garbage", ["!", "e30", b64(b"[]"), b64(b"\xff"), "A" * 20_000, b64(b"[" * 5000)])
async def test_garbage_is_refused(database: Database, keyring: Keyring, garbage: str) -> None:
    who = await staff_member(database, keyring, "ops", now=NOW)
    with pytest.raises(identity.AssertionInvalid):
        await use(database, who.session, garbage)


async def test_every_cut_of_a_genuine_answer_is_refused(database: Database, keyring: Keyring) -> None:
    who = await staff_member(database, keyring, "ops", now=NOW)
    assertion = json.loads(_decoded(await who.assertion("models.promote", BODY, now=NOW)))
    for part in ("clientDataJSON", "authenticatorData", "signature"):
        whole = assertion["response"][part]
        for length in (0, 1, 4, len(whole) // 2, len(whole) - 4):
            cut = {**assertion, "response": {**assertion["response"], part: whole[:length]}}
            with pytest.raises(identity.AssertionInvalid):
                await use(database, who.session, b64(json.dumps(cut).encode()))


def _decoded(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


async def test_an_action_is_used_up_only_with_what_it_was_for(database: Database, keyring: Keyring) -> None:
    """A transaction that is refused afterwards leaves the assertion as it was."""
    who = await staff_member(database, keyring, "ops", now=NOW)
    assertion = await who.assertion("models.promote", BODY, now=NOW)
    async with database.transaction() as db:
        transaction = db.transaction()
        await transaction.start()
        await identity.require_assertion(
            db, session=who.session, action="models.promote", request=BODY, assertion=assertion, now=NOW
        )
        await transaction.rollback()
    await use(database, who.session, assertion)
