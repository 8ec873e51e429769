from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from altcredit.engine import audit, identity
from altcredit.runtime import signing
from altcredit.runtime.db import Database
from altcredit.runtime.keys import Keyring

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
BY: dict[str, Any] = {"actor": "cli:root", "now": NOW}


async def add_lender(database: Database, keyring: Keyring, **changes: Any) -> identity.IssuedClient:
    async with database.transaction() as db:
        return await identity.add_lender(db, keyring=keyring, **({"name": "Shriram"} | BY | changes))


async def authenticate(
    database: Database, keyring: Keyring, issued: identity.IssuedClient, now: datetime = NOW
) -> identity.Client:
    async with database.reads.acquire() as db:
        return await identity.authenticate_client(
            db, keyring=keyring, client_id=issued.client_id, client_secret=issued.client_secret, now=now
        )


async def actions(database: Database) -> list[tuple[str, str]]:
    async with database.reads.acquire() as db:
        return [(event.action, event.subject) for event in reversed(await audit.read(db))]


async def test_a_new_lender_authenticates_with_the_secret_it_was_given(database: Database, keyring: Keyring) -> None:
    issued = await add_lender(database, keyring, max_limit_inr=500_000)
    assert issued.client_id.startswith("lender_")
    assert len(issued.client_id) == len("lender_") + 16
    assert len(bytes.fromhex(issued.client_secret)) == 32
    client = await authenticate(database, keyring, issued)
    assert (client.kind, client.scopes, client.status) == ("lender", (), "active")
    assert (client.minute_limit, client.day_limit, client.max_limit_inr) == (100, 5000, 500_000)
    assert await actions(database) == [("client.added", issued.client_id)]


async def test_a_lender_may_have_a_chosen_id_once(database: Database, keyring: Keyring) -> None:
    assert (await add_lender(database, keyring, client_id="lender_shriram")).client_id == "lender_shriram"
    with pytest.raises(identity.IdTaken):
        await add_lender(database, keyring, client_id="lender_shriram")
    assert len(await actions(database)) == 1


@pytest.mark.parametrize(
    "chosen", ["shriram", "lender_", "svc_a", "lender_a b", "lender_a\n", "lender_ä", "Lender_a", "lender_" + "a" * 61]
)
async def test_a_chosen_id_of_another_form_is_refused(database: Database, keyring: Keyring, chosen: str) -> None:
    with pytest.raises(identity.IdInvalid):
        await add_lender(database, keyring, client_id=chosen)


@pytest.mark.parametrize("limits", [{"minute": -1}, {"day": -1}, {"max_limit_inr": -1}, {"day": 2**31}])
async def test_an_impossible_limit_is_refused(database: Database, keyring: Keyring, limits: dict[str, int]) -> None:
    with pytest.raises(identity.LimitInvalid):
        await add_lender(database, keyring, **limits)
    issued = await add_lender(database, keyring)
    changed = {"minute": 1, "day": 1, "max_limit_inr": None} | limits
    async with database.transaction() as db:
        with pytest.raises(identity.LimitInvalid):
            await identity.set_limits(db, client_id=issued.client_id, **changed, **BY)  # type: ignore[arg-type]


async def test_a_service_has_the_scopes_it_was_given_and_no_others(database: Database, keyring: Keyring) -> None:
    async with database.transaction() as db:
        issued = await identity.add_service(
            db, keyring=keyring, name="hook", scopes=["consent:revoke", "consent:grant", "consent:grant"], **BY
        )
        with pytest.raises(identity.ScopeUnknown, match="score:read"):
            await identity.add_service(db, keyring=keyring, name="x", scopes=["consent:grant", "score:read"], **BY)
    assert issued.client_id.startswith("svc_")
    client = await authenticate(database, keyring, issued)
    assert (client.kind, client.scopes) == ("service", ("consent:grant", "consent:revoke"))


async def test_wrong_credentials_of_every_kind_are_refused_alike(database: Database, keyring: Keyring) -> None:
    first, second = await add_lender(database, keyring), await add_lender(database, keyring)
    attempts = [
        ("lender_unknown", first.client_secret),
        (first.client_id, second.client_secret),
        (first.client_id, first.client_secret[:-1]),
        (first.client_id, first.client_secret.upper().replace("0", "1")),
        (first.client_id, ""),
        ("", ""),
        (first.client_id + first.client_secret, ""),
        (first.client_id, "'; DROP TABLE client; --"),
        (first.client_id + "\0", first.client_secret),
    ]
    messages = set()
    for client_id, client_secret in attempts:
        with pytest.raises(identity.ClientInvalid) as refused:
            await authenticate(
                database, keyring, identity.IssuedClient(client_id=client_id, client_secret=client_secret)
            )
        messages.add(str(refused.value))
    assert len(messages) == 1


async def test_a_secret_is_nowhere_in_the_database(database: Database, keyring: Keyring) -> None:
    issued = await add_lender(database, keyring)
    async with database.reads.acquire() as db:
        for table in ("client", "client_secret", "audit_event"):
            text = str(await db.fetch(f"SELECT * FROM {table}"))
            assert issued.client_secret not in text
            assert str(bytes.fromhex(issued.client_secret)) not in text


async def test_after_a_rotation_both_secrets_work_and_then_only_the_new(database: Database, keyring: Keyring) -> None:
    old = await add_lender(database, keyring)

    async def rotate(now: datetime, **changes: Any) -> identity.IssuedClient:
        async with database.transaction() as db:
            return await identity.rotate_client_secret(
                db, keyring=keyring, client_id=old.client_id, **(BY | {"now": now} | changes)
            )

    new = await rotate(NOW + timedelta(minutes=1), overlap=timedelta(hours=2))
    end = NOW + timedelta(minutes=1, hours=2)
    for issued in (old, new):
        await authenticate(database, keyring, issued, end - timedelta(seconds=1))
    with pytest.raises(identity.ClientInvalid):
        await authenticate(database, keyring, old, end)
    await authenticate(database, keyring, new, end + timedelta(days=400))

    third = await rotate(NOW + timedelta(minutes=2))
    with pytest.raises(identity.ClientInvalid):  # two at most: the oldest ended early
        await authenticate(database, keyring, old, NOW + timedelta(minutes=2))
    at_once = await rotate(NOW + timedelta(minutes=3), overlap=timedelta(0))
    for issued in (new, third):
        with pytest.raises(identity.ClientInvalid):
            await authenticate(database, keyring, issued, NOW + timedelta(minutes=3))
    await authenticate(database, keyring, at_once, NOW + timedelta(minutes=3))


async def test_a_suspended_client_is_refused_until_it_is_activated(database: Database, keyring: Keyring) -> None:
    issued = await add_lender(database, keyring)
    async with database.transaction() as db:
        await identity.set_client_status(db, client_id=issued.client_id, status="suspended", **BY)
    with pytest.raises(identity.ClientInvalid):
        await authenticate(database, keyring, issued)
    async with database.transaction() as db:
        await identity.set_client_status(db, client_id=issued.client_id, status="active", **BY)
    await authenticate(database, keyring, issued)
    async with database.reads.acquire() as db:
        newest = (await audit.read(db))[0]
    assert newest.details == {"before": "suspended", "after": "active"}


async def test_limits_can_be_changed_and_the_change_is_on_record(database: Database, keyring: Keyring) -> None:
    issued = await add_lender(database, keyring)
    async with database.transaction() as db:
        await identity.set_limits(db, client_id=issued.client_id, minute=6000, day=100_000, max_limit_inr=250_000, **BY)
        (client,) = await identity.list_clients(db, kind="lender")
        assert await identity.list_clients(db, kind="service") == []
        newest = (await audit.read(db))[0]
    assert (client.minute_limit, client.day_limit, client.max_limit_inr) == (6000, 100_000, 250_000)
    assert newest.details["before"] == {"minute": 100, "day": 5000, "max_limit_inr": None}
    assert newest.details["after"] == {"minute": 6000, "day": 100_000, "max_limit_inr": 250_000}


async def test_an_unknown_client_cannot_be_changed(database: Database, keyring: Keyring) -> None:
    unknown: dict[str, Any] = {"client_id": "lender_unknown"} | BY
    async with database.transaction() as db:
        for change in (
            identity.set_limits(db, minute=1, day=1, max_limit_inr=None, **unknown),
            identity.set_client_status(db, status="suspended", **unknown),
            identity.rotate_client_secret(db, keyring=keyring, **unknown),
        ):
            with pytest.raises(identity.ClientUnknown):
                await change
    assert await actions(database) == []


async def test_a_denied_token_is_on_the_list_until_it_would_have_expired(database: Database) -> None:
    async def denied(jti: str, now: datetime) -> set[str]:
        async with database.transaction() as db:
            await identity.deny_token(db, jti=jti, expires_at=now + timedelta(hours=1), actor="cli:root", now=now)
            return {row["jti"] for row in await db.fetch("SELECT jti FROM denied_token")}

    assert await denied("first", NOW) == {"first"}
    assert await denied("first", NOW) == {"first"}
    assert await denied("second", NOW + timedelta(minutes=30)) == {"first", "second"}
    assert await denied("third", NOW + timedelta(hours=1)) == {"second", "third"}


async def test_a_token_says_who_when_and_what_for(database: Database, keyring: Keyring) -> None:
    async with database.transaction() as db:
        issued = await identity.add_service(
            db, keyring=keyring, name="hook", scopes=["consent:grant", "consent:check"], **BY
        )
        await identity.rotate_signing_keys(db, keyring=keyring, **BY)
        keys = await signing.load(db, keyring=keyring, issuer="altscore.in", now=NOW)
    client = await authenticate(database, keyring, issued)
    answer = identity.issue_access_token(client, signing_keys=keys, token_id="tok_1", now=NOW)
    assert answer.expires_in == 3600
    claims = keys.verify_token(answer.token, NOW)
    assert (claims.sub, claims.iss, claims.jti) == (issued.client_id, "altscore.in", "tok_1")
    assert (claims.iat, claims.exp) == (int(NOW.timestamp()), int(NOW.timestamp()) + 3600)
    assert (claims.scope, claims.kind) == ("consent:check consent:grant", "service")


async def test_changes_of_signing_keys_are_on_record(database: Database, keyring: Keyring) -> None:
    async with database.transaction() as db:
        await identity.rotate_signing_keys(db, keyring=keyring, **BY)
        await identity.rotate_signing_keys(db, keyring=keyring, purpose="consent", **BY)
        (retiring,) = [key.kid for key in await signing.list_keys(db) if key.state == "retiring"]
        with pytest.raises(signing.KeyNotRetiring):
            await identity.withdraw_signing_key(db, kid="unknown", **BY)
        await identity.withdraw_signing_key(db, kid=retiring, **BY)
    recorded = await actions(database)
    assert len(recorded) == 2 * len(signing.PURPOSES) + 3 + 1
    assert recorded[-1] == ("signing_key.gone", retiring)
    assert ("signing_key.retiring", retiring) in recorded
