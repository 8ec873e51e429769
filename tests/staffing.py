"""
Staff for tests: people with roles, a session each, and a hardware key made of software.

    who = await staff_member(platform.database, platform.keyring, "dpo", settings=platform.settings)
    headers = {"authorization": f"Bearer {who.token}", "x-key-assertion": await who.assertion("retailers.erase", body)}
"""

import base64
import hashlib
import json
import secrets
from datetime import UTC, datetime
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from fido2.cose import ES256
from fido2.webauthn import AttestedCredentialData, AuthenticatorData

from altcredit.engine import identity
from altcredit.engine.identity.people import sessions, store
from altcredit.runtime import ids
from altcredit.runtime.clock import Uptime
from altcredit.runtime.db import Database
from altcredit.runtime.keys import Keyring
from altcredit.runtime.settings import Settings

FLAG = AuthenticatorData.FLAG
TOUCHED = FLAG.UP | FLAG.UV


def b64(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


class SoftKey:
    """A hardware key's part of WebAuthn, for one relying party."""

    def __init__(self, party: identity.RelyingParty, *, aaguid: bytes = b"\x07" * 16) -> None:
        self.party, self.counter = party, 0
        self.private = ec.generate_private_key(ec.SECP256R1())
        public = ES256.from_cryptography_key(self.private.public_key())
        self.credential = AttestedCredentialData.create(aaguid, secrets.token_bytes(32), public)

    def data(self, *, flags: Any = TOUCHED, rp_id: str | None = None, attested: bool = False) -> AuthenticatorData:
        """Return authenticator data with the counter one up."""
        self.counter += 1
        digest = hashlib.sha256((rp_id or self.party.rp_id).encode()).digest()
        if attested:
            return AuthenticatorData.create(digest, flags | FLAG.AT, self.counter, self.credential)
        return AuthenticatorData.create(digest, flags, self.counter)

    def client_data(self, challenge: str, *, kind: str = "webauthn.get", **changes: Any) -> bytes:
        """Return the browser's part: ``challenge`` is base64url."""
        said = {"type": kind, "challenge": challenge, "origin": self.party.origin, "crossOrigin": False}
        return json.dumps({**said, **changes}).encode()

    def sign(self, options: Any, *, flags: Any = TOUCHED, rp_id: str | None = None, **changes: Any) -> dict[str, Any]:
        """Return the JSON of an assertion; ``changes`` go into the client data."""
        data = self.data(flags=flags, rp_id=rp_id)
        client_data = self.client_data(**{"challenge": options["challenge"], **changes})
        signature = self.private.sign(data + hashlib.sha256(client_data).digest(), ec.ECDSA(SHA256()))
        return {
            "id": b64(self.credential.credential_id),
            "rawId": b64(self.credential.credential_id),
            "type": "public-key",
            "response": {
                "clientDataJSON": b64(client_data),
                "authenticatorData": b64(data),
                "signature": b64(signature),
            },
        }


class Member:
    """Somebody of the staff, signed in."""

    def __init__(
        self, database: Database, keyring: Keyring, member: identity.StaffMember, key: SoftKey, issued: Any
    ) -> None:
        self.database, self.keyring, self.member, self.key = database, keyring, member, key
        self.staff_id, self.actor = member.staff_id, f"staff:{member.staff_id}"
        self.session: identity.StaffSession = issued.session
        self.token: str = issued.token
        self.headers = {"authorization": f"Bearer {self.token}"}

    async def assertion(
        self, action: str, request: bytes, *, now: datetime | None = None, uptime: Uptime | None = None, **how: Any
    ) -> str:
        """Return a fresh assertion over an action on a raw body, as the header ``X-Key-Assertion`` carries it."""
        async with self.database.transaction() as db:
            options = await identity.ask_assertion(
                db,
                party=self.key.party,
                session=self.session,
                action=action,
                request_sha256=hashlib.sha256(request).hexdigest(),
                now=now or datetime.now(UTC),
                uptime=uptime,
            )
        return b64(json.dumps(self.key.sign(options, **how)).encode())

    async def proof(self, action: str, request: bytes, *, now: datetime | None = None) -> dict[str, str]:
        """Return the headers of a call that needs a fresh assertion."""
        return {**self.headers, "x-key-assertion": await self.assertion(action, request, now=now)}


async def staff_member(
    database: Database,
    keyring: Keyring,
    *roles: identity.Role,
    settings: Settings | None = None,
    name_id: str | None = None,
    now: datetime | None = None,
    uptime: Uptime | None = None,
) -> Member:
    """Make a member of staff with a key and a session that begins ``now``, without the way there."""
    at = now or datetime.now(UTC)
    staff_id = ids.new_id("stf")
    member = identity.StaffMember(
        staff_id=staff_id, name_id=name_id or f"{staff_id}@example.in", name="Member", roles=roles, created_at=at
    )
    key = SoftKey(identity.RelyingParty.of(settings or Settings()))
    enrolled = store.EnrolledKey(
        key_id=ids.new_id("sky"),
        credential_id=key.credential.credential_id,
        credential=bytes(key.credential),
        sign_count=0,
    )
    async with database.transaction() as db:
        assert await store.insert_staff(db, member, user_handle=secrets.token_bytes(32))
        assert await store.insert_key(db, enrolled, staff_id=staff_id, attested_by="test", now=at)
        issued = await sessions.open_session(
            db, keyring=keyring, member=member, key_id=enrolled.key_id, now=at, uptime=uptime
        )
    return Member(database, keyring, member, key, issued)
