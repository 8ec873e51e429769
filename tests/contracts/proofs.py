"""Credentials of every kind, good and bad, made for a running installation: what the authorisation matrix tries."""

import base64
import hashlib
import hmac
import json
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx2
import msgspec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from joserfc.jwk import RSAKey
from tests.api.conftest import Installation
from tests.staffing import Member, staff_member

from altcredit.api.staff.credentials import SESSION_COOKIE
from altcredit.api.staff.headers import SIGN_IN_COOKIE
from altcredit.engine import identity, messaging
from altcredit.runtime import tokens
from altcredit.runtime.certificates import Certificate
from altcredit.runtime.tokens import Claims

HOUR = timedelta(hours=1)
SCOPES = ("consent:grant", "consent:check", "consent:revoke")


class Shown(msgspec.Struct, frozen=True, kw_only=True):
    """What a caller shows: headers, and perhaps a client certificate (by the name of its connection)."""

    headers: dict[str, str]
    certificate: str = "none"


def b64(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


def bearer(token: str, client_id: str | None = None) -> Shown:
    named = {} if client_id is None else {"x-client-id": client_id}
    return Shown(headers={"authorization": f"Bearer {token}", **named})


class Proofs:
    """All kinds of credentials of one installation, by name, and a connection for each certificate."""

    def __init__(self, altscore: Installation) -> None:
        self.altscore, self.platform = altscore, altscore.platform
        self.kinds: dict[str, Shown] = {}
        self.connections: dict[str, httpx2.AsyncClient] = {}
        self.wrong_roles: dict[frozenset[str], Shown] = {}
        self.now = datetime.now(UTC)

    async def make(self, open_: AsyncExitStack) -> None:
        """Make everything; connections stay open for as long as ``open_`` is."""
        self.connections["none"] = await open_.enter_async_context(self.altscore.client())
        self.kinds |= {
            "nothing": Shown(headers={}),
            "a password": Shown(headers={"authorization": "Basic bGVuZGVyOnNlY3JldA=="}),
            "nonsense as a token": bearer("nonsense", "lender_none"),
        }
        await self._tokens()
        await self._distributors(open_)
        await self._partners()
        await self._staff()

    async def send(self, kind: Shown, method: str, url: str, **how: Any) -> httpx2.Response:
        headers = {**kind.headers, **how.pop("headers", {})}
        return await self.connections[kind.certificate].request(method, url, headers=headers, **how)

    # Tokens of lenders and services

    def _claims(self, subject: str, **changes: Any) -> Claims:
        issued = int(self.now.timestamp())
        said = {"sub": subject, "iss": self.platform.signing.issuer, "iat": issued, "exp": issued + 3600}
        return Claims(
            **{**said, "jti": hashlib.sha256(repr(changes).encode()).hexdigest(), "kind": "lender", **changes}
        )

    async def _tokens(self) -> None:
        lender, suspended, service, idle = (
            (await self.altscore.lender()).client_id,
            (await self.altscore.lender()).client_id,
            (await self.altscore.service(*SCOPES)).client_id,
            (await self.altscore.service(*SCOPES)).client_id,
        )
        await self._suspend(suspended, idle)
        shop = (await self.altscore.shop()).retailer_id
        (kid, key), claims = self.platform.signing._active["access_token"], self._claims

        def sign(said: Claims) -> str:
            return tokens.encode(said, key=key, kid=kid)

        good = sign(claims(lender))
        withdrawn = claims(lender, jti="withdrawn")
        async with self.platform.database.transaction() as db:
            await identity.deny_token(db, jti="withdrawn", expires_at=self.now + HOUR, actor="test", now=self.now)
        past = int(self.now.timestamp()) - 7200
        of_service = {"kind": "service", "scope": " ".join(SCOPES)}
        header, payload, signature = good.split(".")
        public = RSAKey.import_key(key.as_dict(private=False)).public_key.public_bytes(
            Encoding.PEM, PublicFormat.SubjectPublicKeyInfo
        )
        stranger = RSAKey.generate_key(2048)

        def headed(changes: dict[str, Any]) -> str:
            return b64(json.dumps({**json.loads(base64.urlsafe_b64decode(header + "==")), **changes}).encode())

        hs256 = f"{headed({'alg': 'HS256'})}.{payload}"
        other = b64(msgspec.json.encode(claims("lender_other")))
        self.kinds |= {
            "an expired token": bearer(sign(claims(lender, iat=past, exp=past + 3600)), lender),
            "a token of another subject": bearer(good, "lender_other"),
            "a token without X-Client-ID": bearer(good),
            "alg none": bearer(f"{headed({'alg': 'none'})}.{payload}.", lender),
            "alg none, signed": bearer(f"{headed({'alg': 'none'})}.{payload}.{signature}", lender),
            "HS256 with our public key": bearer(
                f"{hs256}.{b64(hmac.digest(public, hs256.encode(), 'sha256'))}", lender
            ),
            "a foreign kid": bearer(tokens.encode(claims(lender), key=stranger, kid="stranger"), lender),
            "a foreign key under our kid": bearer(tokens.encode(claims(lender), key=stranger, kid=kid), lender),
            "a payload changed": bearer(f"{header}.{other}.{signature}", "lender_other"),
            "another issuer": bearer(sign(claims(lender, iss="elsewhere")), lender),
            "a withdrawn token": bearer(sign(withdrawn), lender),
            "a suspended lender": bearer(sign(claims(suspended)), suspended),
            "a suspended service": bearer(sign(claims(idle, **of_service)), idle),
            "a service without the scope": bearer(sign(claims(service, kind="service", scope="other")), service),
            "a service's token of another subject": bearer(sign(claims(service, **of_service)), idle),
            "a service's expired token": bearer(
                sign(claims(service, iat=past, exp=past + 3600, **of_service)), service
            ),
            "a retailer's expired token": bearer(
                sign(claims(shop, iat=past, exp=past + 900, kind=messaging.TOKEN_KIND))
            ),
            "a retailer's withdrawn token": bearer(sign(claims(shop, jti="withdrawn", kind=messaging.TOKEN_KIND))),
            "a retailer that nobody knows": bearer(sign(claims("ret_00000000deadbeef", kind=messaging.TOKEN_KIND))),
            "a retailer with another's X-Client-ID": bearer(
                sign(claims(shop, kind=messaging.TOKEN_KIND)), "ret_00000000deadbeef"
            ),
            "a retailer": bearer(sign(claims(shop, kind=messaging.TOKEN_KIND))),
            "a lender": bearer(good, lender),
            "a service": bearer(sign(claims(service, **of_service)), service),
        }

    async def _suspend(self, *client_ids: str) -> None:
        async with self.platform.database.transaction() as db:
            for one in client_ids:
                await identity.set_client_status(db, client_id=one, status="suspended", actor="test", now=self.now)

    # Certificates and keys of distributors

    async def _distributors(self, open_: AsyncExitStack) -> None:
        names = ("good", "other", "revoked", "suspended")
        issued = {name: await self._distributor() for name in names}
        async with self.platform.database.transaction() as db:
            await identity.revoke_certificate(
                db,
                distributor_id=issued["revoked"].distributor_id,
                sha256=bytes.fromhex(issued["revoked"].certificate.sha256),
                actor="test",
                now=self.now,
            )
            await identity.set_distributor(
                db, distributor_id=issued["suspended"].distributor_id, status="suspended", actor="test", now=self.now
            )
        certificates: dict[str, Certificate] = {name: one.certificate for name, one in issued.items()}
        # Genuine, but nobody's: our authority signed it, and no distributor has it.
        certificates["unpinned"] = self.altscore.authority.issue_client(
            issued["good"].distributor_id, public_key=None, lifetime=HOUR, now=self.now
        )
        for name, certificate in certificates.items():
            self.connections[name] = await open_.enter_async_context(self.altscore.presenting(certificate))

        def shown(certificate: str, key: str | None, **headers: str) -> Shown:
            named = {} if key is None else {"x-api-key": issued[key].api_key}
            return Shown(headers={**named, **headers}, certificate=certificate)

        pem = base64.b64encode(certificates["good"].pem.encode()).decode()
        self.kinds |= {
            "an API key without a certificate": shown("none", "good"),
            "an API key and a certificate in a header": shown("none", "good", **{"client-cert": f":{pem}:"}),
            "a certificate without an API key": shown("good", None),
            "a certificate and a wrong key": shown("good", None, **{"x-api-key": "0" * 64}),
            "a revoked certificate": shown("revoked", "revoked"),
            "a certificate that nobody pinned": shown("unpinned", "good"),
            "a certificate and another's key": shown("good", "other"),
            "a suspended distributor": shown("suspended", "suspended"),
            "a certificate without HMAC": shown("good", "good"),
            "a certificate and a wrong HMAC": shown("good", "good", **{"x-payload-signature": "0" * 64}),
        }

    async def _distributor(self) -> identity.IssuedDistributor:
        async with self.platform.database.transaction() as db:
            return await identity.add_distributor(
                db,
                keyring=self.platform.keyring,
                authority=self.altscore.authority,
                name="D",
                actor="test",
                now=self.now,
            )

    # Partners

    async def _partners(self) -> None:
        good, away, suspended, rotated = [
            await self.altscore.partner(*addresses) for addresses in ((), ("192.0.2.0/24",), (), ())
        ]
        async with self.platform.database.transaction() as db:
            await identity.set_partner(
                db, partner_id=suspended.partner_id, status="suspended", actor="test", now=self.now
            )
            await identity.rotate_partner_token(
                db, keyring=self.platform.keyring, partner_id=rotated.partner_id, overlap=timedelta(),
                actor="test", now=self.now,
            )  # fmt: skip
        said = {"x-forwarded-for": "192.0.2.7", "forwarded": "for=192.0.2.7"}
        self.kinds |= {
            "an unknown partner's token": Shown(headers={"x-partner-auth": "x" * 64}),
            "a partner at a wrong address": Shown(headers={"x-partner-auth": away.token}),
            "a partner who says where it is": Shown(headers={"x-partner-auth": away.token, **said}),
            "a suspended partner": Shown(headers={"x-partner-auth": suspended.token}),
            "a partner's old token": Shown(headers={"x-partner-auth": rotated.token}),
            "a partner": Shown(headers={"x-partner-auth": good.token}),
        }

    # Staff

    async def _member(self, *roles: identity.Role, at: datetime | None = None) -> Member:
        settings = self.platform.settings
        return await staff_member(self.platform.database, self.platform.keyring, *roles, settings=settings, now=at)

    async def _staff(self) -> None:
        everything = identity.ROLES
        good, ended, suspended, changed = [await self._member(*everything) for _ in range(4)]
        expired = await self._member(*everything, at=self.now - timedelta(minutes=15))
        ahead = await self._member(*everything, at=self.now + timedelta(minutes=1))
        async with self.platform.database.transaction() as db:
            await identity.sign_out(db, session=ended.session, now=self.now)
            await identity.set_staff_status(
                db, staff_id=suspended.staff_id, status="suspended", actor="test", now=self.now
            )
            await identity.set_staff_roles(db, staff_id=changed.staff_id, roles=["ops"], actor="test", now=self.now)
        foreign = {"cookie": f"{SESSION_COOKIE}={good.token}", "origin": "https://evil.example"}
        self.kinds |= {
            "an unknown session": bearer("ses_" + "0" * 64),
            "an expired session": bearer(expired.token),
            "a session from the future": bearer(ahead.token),
            "an ended session": bearer(ended.token),
            "a suspended person's session": bearer(suspended.token),
            "a session from before a change of roles": bearer(changed.token),
            "single sign-on without a key": Shown(
                headers={"cookie": f"{SIGN_IN_COOKIE}={await self._signed_on(good.member.name_id)}"}
            ),
            "two session cookies": Shown(
                headers={"cookie": f"{SESSION_COOKIE}={good.token}; {SESSION_COOKIE}={good.token}"}
            ),
            "a session sent by another site": Shown(headers=foreign),
            "staff": bearer(good.token),
        }
        for role in everything:
            self.wrong_roles[frozenset({role})] = bearer((await self._member(role)).token)

    async def _signed_on(self, name_id: str) -> str:
        """Go through single sign-on at the built-in identity provider, and stop before the key."""
        platform = self.platform
        async with platform.database.transaction() as db:
            begun = await identity.begin_sign_in(db, keyring=platform.keyring, settings=platform.settings, now=self.now)
        asked = parse_qs(urlsplit(begun.url).query)
        request_id = identity.development_request(platform.settings, saml_request=asked["SAMLRequest"][0])
        response = identity.development_response(
            platform.settings, request_id=request_id, name_id=name_id, now=self.now
        )
        async with platform.database.transaction() as db:
            proven = await identity.accept_response(
                db, keyring=platform.keyring, settings=platform.settings, cookie=begun.cookie, response=response,
                relay_state=asked["RelayState"][0], now=self.now,
            )  # fmt: skip
        return proven.cookie
