"""
A retailer's sign-in: a one-time code to its WhatsApp, then a token for its own id (contract C7).

Whether anybody has the phone that a code is asked for is not told: the request is counted, stored and queued alike, and
only the worker, who looks before it sends, drops what is for nobody.
"""

import hmac
from datetime import datetime, timedelta
from typing import Final

import msgspec
from msgspec import UNSET

from altcredit.engine import audit, retailers
from altcredit.engine.messaging import store
from altcredit.engine.messaging.asking import PhoneInvalid
from altcredit.engine.messaging.outgoing import Text
from altcredit.engine.messaging.phone import DIGITS, phone_hash, sent_hash
from altcredit.engine.messaging.sending import queue
from altcredit.engine.messaging.wording import Language, say, template
from altcredit.runtime import quotas
from altcredit.runtime.clock import Uptime, outlived
from altcredit.runtime.db import Connection, Database, Record
from altcredit.runtime.keys import Keyring
from altcredit.runtime.quotas import Quota
from altcredit.runtime.refusal import Detail, Refusal
from altcredit.runtime.signing import SigningKeys
from altcredit.runtime.tokens import Claims, TokenExpired

CODE_LASTS: Final = timedelta(minutes=5)
TRIES: Final = 5
TOKEN_SECONDS: Final = 900
TOKEN_KIND: Final = "retailer"  # noqa: S105 - a kind of token, not one
# Clocks of several servers differ by this much.
_DRIFT: Final = timedelta(seconds=2)
# Codes that may be asked for: for one phone, and for all phones together.
CODES: Final = Quota(name="hour", limit=5, seconds=3_600)
ALL_CODES: Final = Quota(name="minute", limit=300, seconds=60)
# A phone of more shops than this is a salesman's, or a call centre's: it opens none of them.
MOST_SHOPS: Final = 4


class CodeInvalid(Refusal):
    """Wrong, used, expired, tried too often, or never sent: which of them is not said."""


class ShopAmbiguous(Refusal):
    """Several shops have this phone; the details name them. The code is good for another call that names one."""


class RetailerToken(msgspec.Struct, frozen=True, kw_only=True):
    """A signed token for one retailer, and the seconds it lives."""

    token: str
    retailer_id: str
    expires_in: int


async def request_code(
    database: Database,
    *,
    keyring: Keyring,
    phone: str,
    code: str,
    language: Language,
    now: datetime,
    uptime: Uptime | None = None,
) -> None:
    """
    Send a one-time code to a phone, if a shop has it. A new one takes the place of the one before.

    :param code: six random digits.
    :raises PhoneInvalid: not E.164 digits without plus.
    :raises quotas.RateLimitExceeded: five codes an hour for a phone.
    """
    if not DIGITS.fullmatch(phone):
        raise PhoneInvalid(details=(Detail("$.phone", "must be E.164 digits without plus"),))
    hashed = phone_hash(keyring, phone)
    async with database.transaction() as db:  # committed by itself: what is refused counts too
        await quotas.take(db, quota=ALL_CODES, subject="sign-in", now=now)
        await quotas.take(db, quota=CODES, subject=f"sign-in|{hashed.hex()}", now=now)
    async with database.transaction() as db:
        spoken = await store.spoken(db, hashed) or language
        await store.put_code(
            db, hashed, _hmac(keyring, phone, code), now=now, expires_at=now + CODE_LASTS, uptime=uptime
        )
        await queue(
            db,
            keyring=keyring,
            to=phone,
            topic="code",
            free=Text(body=say("code", spoken, code=code)),
            template=template("code", spoken, code=code),
            now=now,
            kept_trying=CODE_LASTS,
        )


async def redeem(
    database: Database,
    *,
    keyring: Keyring,
    signing: SigningKeys,
    phone: str,
    code: str,
    retailer_id: str | None,
    token_id: str,
    now: datetime,
    uptime: Uptime | None = None,
) -> RetailerToken:
    """
    Exchange a code for a token: fifteen minutes, for one retailer. The code is spent then.

    A clock that was set back lengthens the life of neither: what is from the future does not count, and on one host
    its ``uptime`` does.

    :param retailer_id: which of the phone's shops, where it has several.
    :raises CodeInvalid, ShopAmbiguous:
    """
    hashed = phone_hash(keyring, phone)
    async with database.transaction() as db:  # committed by itself: a wrong guess counts
        row = await store.try_code(db, hashed)
    expected = _hmac(keyring, phone, code)
    right = hmac.compare_digest(row["code_hmac"] if row is not None else bytes(32), expected)
    if row is None or not right or row["tries"] > TRIES or not _lives(row, now, uptime):
        raise CodeInvalid
    async with database.transaction() as db:
        chosen = await _shop(db, keyring, phone, retailer_id)
        await store.drop_code(db, hashed)
        actor = f"retailer:{chosen}"
        await audit.append(
            db, actor=actor, action="retailer.signed_in", subject=chosen, details={"token": token_id}, now=now
        )
    return _token(chosen, signing, token_id, now, _marked(keyring, uptime))


def _lives(row: Record, now: datetime, uptime: Uptime | None) -> bool:
    began = Uptime(row["boot"], row["uptime"]) if row["boot"] else None
    return row["issued_at"] - _DRIFT <= now < row["expires_at"] and not outlived(began, uptime, CODE_LASTS)


async def _shop(db: Connection, keyring: Keyring, phone: str, retailer_id: str | None) -> str:
    shops = await retailers.of_phone(db, keyring=keyring, phone_hash=sent_hash(phone))
    if not shops or len(shops) > MOST_SHOPS:
        raise CodeInvalid
    if retailer_id is None:
        if len(shops) > 1:
            raise ShopAmbiguous(details=tuple(Detail("$.retailer_id", shop) for shop in shops))
        return shops[0]
    named = (await retailers.canonical(db, retailer_ids=(retailer_id,))).get(retailer_id)
    if named not in shops:
        raise CodeInvalid
    return named


def _token(retailer_id: str, signing: SigningKeys, token_id: str, now: datetime, mark: Uptime | None) -> RetailerToken:
    issued_at = int(now.timestamp())
    claims = Claims(
        sub=retailer_id,
        iss=signing.issuer,
        iat=issued_at,
        exp=issued_at + TOKEN_SECONDS,
        jti=token_id,
        kind=TOKEN_KIND,
        began=UNSET if mark is None else f"{mark.boot} {mark.seconds:.0f}",
    )
    return RetailerToken(token=signing.issue_token(claims), retailer_id=retailer_id, expires_in=TOKEN_SECONDS)


def require_living(claims: Claims, *, keyring: Keyring, now: datetime, uptime: Uptime | None) -> None:
    """
    Judge a retailer's genuine, unexpired token by where its life began, as :func:`redeem` says.

    :raises tokens.TokenExpired: the clock was set back since.
    """
    mark, began = _marked(keyring, uptime), None
    if claims.began is not UNSET:
        boot, _, seconds = claims.began.partition(" ")
        began = Uptime(boot, float(seconds))
    if now.timestamp() < claims.iat - _DRIFT.total_seconds() or outlived(began, mark, timedelta(seconds=TOKEN_SECONDS)):
        raise TokenExpired("the clock was set back since the token was issued")


def _marked(keyring: Keyring, uptime: Uptime | None) -> Uptime | None:
    """Return an uptime that counts alike, and tells strangers neither which host it is nor how long it has run."""
    if uptime is None:
        return None
    mark = keyring.hmac("retailer-token-uptime", uptime.boot)
    return Uptime(mark[:8].hex(), int.from_bytes(mark[8:12], "big") + int(uptime.seconds))


def _hmac(keyring: Keyring, phone: str, code: str) -> bytes:
    return keyring.hmac("sign-in-code", phone, code)
