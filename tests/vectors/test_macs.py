"""HMAC-SHA256 wherever it decides: batches of distributors, callbacks, WhatsApp's webhooks, secrets, keyed hashes."""

import base64
import itertools
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta

import pytest

from altcredit.engine import delivery, identity
from altcredit.engine.messaging.account import Account
from altcredit.runtime.db import Database
from altcredit.runtime.keys import KeyProvider, Keyring
from tests.vectors import Case, Stream, judge, mac
from tests.vectors.macs import Given, cases, keys, of_hex

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
SENT = str(int(NOW.timestamp()))
BATCH = "bat-2026-11-22-001"


def distributor(*secrets: bytes) -> identity.Distributor:
    return identity.Distributor(
        distributor_id="dist_a", name="A", require_v2=False, batches_per_hour=10, signing_secrets=secrets
    )


def held(refusal: type[Exception], call: Callable[[], None]) -> bool:
    """Whether a call that refuses by raising did not."""
    try:
        call()
    except refusal:
        return False
    return True


def callback_key(key: bytes) -> str:
    return "whsec_" + base64.b64encode(key).decode()


def test_the_signature_of_a_batch() -> None:
    def accepts(given: Given) -> bool:
        def call() -> None:
            identity.verify_payload_signature(
                distributor(given.key), body=given.body, v1=given.tag, v2=None, batch_id=BATCH, now=NOW
            )

        return held(identity.SignatureInvalid, call)

    made = cases(keys("v1", 1, 32, 43, 64, 65, 131), written=bytes.hex, altered=of_hex)
    judge("HMAC, X-Payload-Signature", made, accepts, at_least=5_000)


def _dated(tag: bytes) -> str:
    return f"t={SENT},v2={tag.hex()}"


def _content(body: bytes) -> bytes:
    return f"{SENT}.{BATCH}.".encode() + body


def _misdated(right: bytes) -> Iterator[tuple[str, str]]:
    for comment, text in of_hex(right):
        yield comment, f"t={SENT},v2={text}"
    text = right.hex()
    for one in (
        f"v2={text},t={SENT}", f"t={SENT}, v2={text}", f"t= {SENT},v2={text}", f"t=+{SENT},v2={text}", f"t=0{SENT},v2={text}", f"t=-{SENT},v2={text}",
        f"t={SENT}.0,v2={text}", f"t={SENT},v1={text}", f"T={SENT},V2={text}", f"t={SENT},v2={text},v2={text}", f"t={SENT},t={SENT},v2={text}",
        f"t=,v2={text}", f"v2={text}", f"t={SENT}", text, f"t={SENT[:-1]},v2={text}", f"t={int(SENT) + 1},v2={text}", f"t={int(SENT) + 301},v2={text}",
        f"t={SENT},v2={text};", f"t={''.join(chr(ord(d) + 0xFEE0) for d in SENT)},v2={text}", f"t={SENT}e0,v2={text}", f"t={'9' * 5000},v2={text}",
    ):  # fmt: skip
        yield one[:40], one


def _unbound() -> Iterator[Case[Given]]:
    """Tags over another time or batch than the headers name, or a time that is not now."""
    key = keys("v2", 32)[0]
    late, soon = str(int(SENT) - 301), str(int(SENT) + 301)
    for claimed, sent, batch in [
        (SENT, SENT, BATCH + "2"),
        (SENT, SENT, ""),
        (SENT, SENT + "." + BATCH, ""),
        (SENT, late, BATCH),
        (late, SENT, BATCH),
        (late, late, BATCH),
        (soon, soon, BATCH),
    ]:
        tag = mac.tag(key, f"{sent}.{batch}.".encode() + b"{}").hex()
        given = Given(key=key, body=b"{}", tag=f"t={claimed},v2={tag}")
        yield Case(comment=f"{sent}.{batch} sent as of {claimed}", flags=("Binding",), valid=False, given=given)


def test_the_second_signature_of_a_batch() -> None:
    def accepts(given: Given) -> bool:
        v1 = mac.tag(given.key, given.body).hex()  # the first one is right throughout

        def call() -> None:
            identity.verify_payload_signature(
                distributor(b"an older secret", given.key),
                body=given.body,
                v1=v1,
                v2=given.tag,
                batch_id=BATCH,
                now=NOW,
            )

        return held(identity.SignatureInvalid, call)

    made = [*cases(keys("v2", 32, 43, 131), written=_dated, content=_content, altered=_misdated), *_unbound()]
    judge("HMAC, X-Payload-Signature-V2", made, accepts, at_least=3_000)


def _callback(tag: bytes) -> str:
    return "v1," + base64.b64encode(tag).decode()


def _callback_content(body: bytes) -> bytes:
    return f"msg_1.{SENT}.".encode() + body


def _miswritten(right: bytes) -> Iterator[tuple[str, str]]:
    text = base64.b64encode(right).decode()
    url = base64.urlsafe_b64encode(right).decode()
    last = chr(ord(text[-2]) + 1)  # the two bits that 32 bytes leave over are set
    for one in (
        text, f"v1{text}", f"V1,{text}", f"v1, {text}", f"v1a,{text}", f"v2,{text}", f"v1,{text[:-1]}", f"v1,{text}=", f"v1,{text[:-2]}{last}=", f"v1,{text}\n",
        f"v1,\t{text}", f"v1,{text[:20]}\n{text[20:]}", f"v1,{right.hex()}", f"v1,v1,{text}", f"v1,{text},{text}", "", "v1", "v1,", " ", "v1, v1,", f"v1,{text[:-1]}\u200b",
        f"v1,{text[4:]}", f"v1,{text.swapcase()}", f"{text} v1,", f"v1;{text}", f"v1={text}",
        *([f"v1,{url}"] if url != text else []),
    ):  # fmt: skip
        yield one[:40], one


def _several() -> Iterator[Case[Given]]:
    key = keys("callback", 32)[0]
    right, wrong = _callback(mac.tag(key, _callback_content(b"{}"))), _callback(bytes(32))
    for tags, valid in [
        ([right, wrong], True),
        ([wrong, right], True),
        (["v1a,AAAA", wrong, right], True),
        ([right] * 20, True),
        (["x", right], True),
        ([wrong] * 20, False),
        (["v1a,AAAA", wrong], False),
        (["v1,", "v1,AA=="], False),
    ]:
        given = Given(key=key, body=b"{}", tag=" ".join(tags))
        yield Case(comment=f"one of {len(tags)} counts", flags=("Several",), valid=valid, given=given)


def test_the_signature_of_a_callback() -> None:
    def accepts(given: Given) -> bool:
        headers = {"webhook-id": "msg_1", "webhook-timestamp": SENT, "webhook-signature": given.tag}
        key = callback_key(given.key)
        return held(
            delivery.SignatureInvalid, lambda: delivery.verify(headers=headers, body=given.body, key=key, now=NOW)
        )

    held_keys = keys("callback", 24, 32, 64, 131)
    made = [*cases(held_keys, written=_callback, content=_callback_content, altered=_miswritten), *_several()]
    judge("HMAC, webhook-signature", made, accepts, at_least=4_000)
    right = _callback(mac.tag(held_keys[1], _callback_content(b"{}")))
    for name, value in {"webhook-id": "msg_2", "webhook-timestamp": str(int(SENT) + 1)}.items():
        headers = {"webhook-id": "msg_1", "webhook-timestamp": SENT, "webhook-signature": right, name: value}
        with pytest.raises(delivery.SignatureInvalid):
            delivery.verify(headers=headers, body=b"{}", key=callback_key(held_keys[1]), now=NOW)


def test_the_signature_of_a_webhook_from_whatsapp() -> None:
    def account(secret: str) -> Account:
        return Account(base_url="", phone_number_id="1", verify_token="", app_secret=secret, access_token="")

    def altered(right: bytes) -> Iterator[tuple[str, str]]:
        for comment, text in of_hex(right):
            yield comment, f"sha256={text}"
        text = right.hex()
        for one in (
            text,
            f"sha256:{text}",
            f"SHA256={text}",
            f"sha1={text}",
            f"sha256= {text}",
            f"sha256=sha256={text}",
            "sha256=",
            "",
            f"=sha256={text}",
        ):
            yield one[:40], one

    made = cases(
        keys("whatsapp", 16, 32, 64, 131),
        written=lambda tag: f"sha256={tag.hex()}",
        altered=altered,
        is_text=True,
    )
    judge(
        "HMAC, X-Hub-Signature-256",
        made,
        lambda given: account(given.key.decode()).signs(given.body, given.tag),
        at_least=4_000,
    )
    for secret in ("", "secret"):
        nobody = account(secret)
        assert not nobody.signs(b"{}", None)
        assert not nobody.signs(b"{}", "sha256=" + mac.tag(b"", b"{}").hex()), "an empty secret signs nothing"


def test_keyed_hashes_are_hmac_under_a_key_of_their_purpose() -> None:
    stream = Stream("keyed")
    pieces = ("", "a", "b", "ab", "27AAPFU0939F1ZV", "27aapfu0939f1zv", "शर्मा", "\0", "\0" * 8, "ret_1|lender_1")
    seen: dict[bytes, object] = {}
    for root in (bytes(32), stream.bytes(32)):
        keyring = Keyring(KeyProvider(root=root, keks=(bytes(32),)))
        for purpose in ("client_secret", "retailer.gst", "retailer.gs", "", "प"):
            key = mac.derived(root, b"altcredit hmac " + purpose.encode())
            for parts in itertools.chain.from_iterable(itertools.product(pieces, repeat=count) for count in (0, 1, 2)):
                content = b"".join(len(part.encode()).to_bytes(8, "big") + part.encode() for part in parts)
                found = keyring.hmac(purpose, *parts)
                assert found == mac.tag(key, content)
                assert seen.setdefault(found, (root, purpose, parts)) == (root, purpose, parts), "two have one hash"
    assert len(seen) == 2 * 5 * 111


async def test_the_secret_of_a_client(database: Database) -> None:
    keyring = Keyring(KeyProvider(root=b"\x03" * 32, keks=(b"\x01" * 32,)))
    async with database.transaction() as db:
        first = await identity.add_lender(db, keyring=keyring, name="A", actor="test", now=NOW)
        second = await identity.add_lender(db, keyring=keyring, name="B", actor="test", now=NOW)
    name, secret = first.client_id, first.client_secret
    invalid = [
        ("", ""),
        (name, ""),
        ("", secret),
        (secret, name),
        (name, name),
        (name, second.client_secret),
        (second.client_id, secret),
        (name + secret, ""),
    ]
    invalid += [(name, secret[:at]) for at in range(len(secret))]
    invalid += [
        (name, secret[:at] + secret[at].swapcase() + secret[at + 1 :])
        for at in range(len(secret))
        if secret[at].isalpha()
    ]
    invalid += [
        (name, changed)
        for changed in (secret + secret, secret.upper(), secret.lower(), secret[::-1])
        if changed != secret
    ]
    for more in (" ", "\n", "\t", "a", "=", "\u200b", "\u0301", "%", "'", "' OR 1=1 --", "\\", "*"):
        invalid += [(name, secret + more), (name, more + secret), (name + more, secret), (more + name, secret)]
    invalid += [
        (name.upper(), secret),
        (name[:-1], name[-1] + secret),
        (name + secret[0], secret[1:]),
        (name, "".join(chr(ord(c) + 0xFEE0) for c in secret)),
    ]
    wrong = []
    for client_id, client_secret in invalid:
        async with database.transaction() as db:
            try:
                await identity.authenticate_client(
                    db, keyring=keyring, client_id=client_id, client_secret=client_secret, now=NOW
                )
            except identity.ClientInvalid:
                continue
            wrong.append((client_id, client_secret))
    assert wrong == []
    assert len(invalid) > 120
    for one in (first, second):
        async with database.transaction() as db:
            found = await identity.authenticate_client(
                db,
                keyring=keyring,
                client_id=one.client_id,
                client_secret=one.client_secret,
                now=NOW + timedelta(days=1),
            )
        assert found.client_id == one.client_id
