"""Standard Webhooks: every live key signs, any right signature suffices, nothing else does."""

import base64
import hashlib
import hmac
from datetime import UTC, datetime, timedelta

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from altcredit.engine.delivery import SignatureInvalid, verify
from altcredit.engine.delivery.signature import SigningKey, public_text, secret_text, signed_headers

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
SHARED, PRIVATE = b"\x11" * 32, b"\x22" * 32
KEYS = [SigningKey(kind="hmac", key=SHARED), SigningKey(kind="ed25519", key=PRIVATE)]
BODY = b'{"a":1}'
TEXTS = {"hmac": secret_text(SHARED), "ed25519": public_text(PRIVATE)}


def headers(keys: list[SigningKey] = KEYS, body: bytes = BODY) -> dict[str, str]:
    return signed_headers(webhook_id="msg_1", body=body, keys=keys, now=NOW)


def test_the_published_example_of_the_standard_is_signed_as_published() -> None:
    """The example of the standardwebhooks libraries' own tests."""
    sent = datetime.fromtimestamp(1614265330, UTC)
    key = SigningKey(kind="hmac", key=base64.b64decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"))
    made = signed_headers(webhook_id="msg_p5jXN8AQM9LWM0D4loKWxJek", body=b'{"test": 2432232314}', keys=[key], now=sent)
    assert made["webhook-signature"] == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_the_signatures_are_those_of_the_standard_made_by_hand() -> None:
    made = headers()
    content = f"msg_1.{int(NOW.timestamp())}.".encode() + BODY
    first, second = made["webhook-signature"].split(" ")
    assert first == "v1," + base64.b64encode(hmac.new(SHARED, content, hashlib.sha256).digest()).decode()
    assert second.startswith("v1a,")
    Ed25519PrivateKey.from_private_bytes(PRIVATE).public_key().verify(base64.b64decode(second[4:]), content)
    assert made["webhook-timestamp"] == str(int(NOW.timestamp()))
    assert TEXTS["hmac"] == "whsec_" + base64.b64encode(SHARED).decode()
    assert TEXTS["ed25519"].startswith("whpk_")


@pytest.mark.parametrize("key", TEXTS.values(), ids=TEXTS)
def test_old_and_new_keys_verify_throughout_a_rotation(key: str) -> None:
    others = [SigningKey(kind="hmac", key=b"\x33" * 32), SigningKey(kind="ed25519", key=b"\x44" * 32)]
    verify(headers=headers(KEYS), body=BODY, key=key, now=NOW)
    verify(headers=headers([*others, *KEYS]), body=BODY, key=key, now=NOW)
    with pytest.raises(SignatureInvalid):
        verify(headers=headers(others), body=BODY, key=key, now=NOW)


@pytest.mark.parametrize("key", TEXTS.values(), ids=TEXTS)
@pytest.mark.parametrize(
    "change",
    [
        {"webhook-id": "msg_2"},
        {"webhook-timestamp": str(int(NOW.timestamp()) + 1)},
        {"webhook-timestamp": "٠"},
        {"webhook-timestamp": "-1"},
        {"webhook-timestamp": "1" * 400},
        {"webhook-signature": ""},
        {"webhook-signature": "v1,"},
        {"webhook-signature": "v1,é v1a,é"},
        {"webhook-signature": "v2,AAAA"},
    ],
)
def test_altered_headers_do_not_verify(key: str, change: dict[str, str]) -> None:
    with pytest.raises(SignatureInvalid):
        verify(headers=headers() | change, body=BODY, key=key, now=NOW)


@pytest.mark.parametrize("missing", ["webhook-id", "webhook-timestamp", "webhook-signature"])
def test_a_missing_header_is_named(missing: str) -> None:
    rest = {name: value for name, value in headers().items() if name != missing}
    with pytest.raises(SignatureInvalid, match=missing):
        verify(headers=rest, body=BODY, key=TEXTS["hmac"], now=NOW)


@pytest.mark.parametrize("away", [timedelta(minutes=6), timedelta(minutes=-6)])
def test_an_old_callback_does_not_verify(away: timedelta) -> None:
    with pytest.raises(SignatureInvalid, match="from the present"):
        verify(headers=headers(), body=BODY, key=TEXTS["hmac"], now=NOW + away)


@pytest.mark.parametrize("key", ["", "whsk_AAAA", TEXTS["hmac"].removeprefix("whsec_")])
def test_a_key_of_neither_kind_is_a_mistake_of_the_caller(key: str) -> None:
    with pytest.raises(ValueError, match="whsec_ or whpk_"):
        verify(headers=headers(), body=BODY, key=key, now=NOW)


@given(st.binary(max_size=200), st.binary(max_size=200))
def test_no_other_body_verifies(body: bytes, other: bytes) -> None:
    made = headers(body=body)
    for key in TEXTS.values():
        verify(headers=made, body=body, key=key, now=NOW)
        if other != body:
            with pytest.raises(SignatureInvalid):
                verify(headers=made, body=other, key=key, now=NOW)
