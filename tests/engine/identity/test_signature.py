import hashlib
import hmac
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from altcredit.engine.identity import Distributor, SignatureInvalid, verify_payload_signature

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
AT = int(NOW.timestamp())
NEW, OLD = "a1" * 32, "b2" * 32
BATCH = "0b8a3f0e-6f6c-4b7e-9a51-1f6f6a3f2b11"
BODY = b'{"distributor_id":"dist_c4f9"}'


def distributor(*, require_v2: bool = False) -> Distributor:
    return Distributor(
        distributor_id="dist_c4f9",
        name="Gupta Traders",
        require_v2=require_v2,
        batches_per_hour=10,
        signing_secrets=(NEW.encode(), OLD.encode()),
    )


def v1(secret: str = NEW, body: bytes = BODY) -> str:
    return hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()


def v2(secret: str = NEW, body: bytes = BODY, batch_id: str = BATCH, at: int = AT) -> str:
    return f"t={at},v2=" + hmac.new(secret.encode(), f"{at}.{batch_id}.".encode() + body, hashlib.sha256).hexdigest()


def verify(
    first: str | None,
    second: str | None = None,
    *,
    body: bytes = BODY,
    batch_id: str = BATCH,
    require_v2: bool = False,
    now: datetime = NOW,
) -> None:
    verify_payload_signature(
        distributor(require_v2=require_v2), body=body, v1=first, v2=second, batch_id=batch_id, now=now
    )


def test_the_published_example_of_rfc_4231_verifies() -> None:
    jefe = Distributor(distributor_id="d", name="n", require_v2=False, batches_per_hour=10, signing_secrets=(b"Jefe",))
    expected = "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
    body = b"what do ya want for nothing?"
    verify_payload_signature(jefe, body=body, v1=expected, v2=None, batch_id=BATCH, now=NOW)


@pytest.mark.parametrize("secret", [NEW, OLD])
def test_either_of_two_active_secrets_signs(secret: str) -> None:
    verify(v1(secret))
    verify(v1(secret), v2(secret), require_v2=True)
    verify(v1(NEW), v2(OLD))


@given(body=st.binary(max_size=200))
def test_the_signature_covers_the_raw_bytes(body: bytes) -> None:
    verify(v1(body=body), v2(body=body), body=body)
    with pytest.raises(SignatureInvalid):
        verify(v1(body=body), body=body + b" ")


@pytest.mark.parametrize(
    "header",
    [
        None,
        "",
        "0" * 64,
        v1("c3" * 32),
        v1().upper(),
        v1()[:-1],
        v1() + "0",
        v1() + "\n",
        " " + v1(),
        "sha256=" + v1(),
        "é" * 64,
        "٠" * 64,
        hmac.new(bytes.fromhex(NEW), BODY, hashlib.sha256).hexdigest(),
        v1(body=b""),
    ],
)
def test_a_first_signature_that_is_not_exactly_right_is_refused(header: str | None) -> None:
    with pytest.raises(SignatureInvalid):
        verify(header)
    with pytest.raises(SignatureInvalid):
        verify(header, v2())


@pytest.mark.parametrize(
    "header",
    [
        "",
        v2("c3" * 32),
        v2(body=BODY + b" "),
        v2(batch_id="another"),
        v2(at=AT + 1).replace(f"t={AT + 1}", f"t={AT}"),
        v2().replace("v2=", "v1="),
        v2().replace("t=", "t=0"),
        v2().replace("t=", "t=-"),
        v2().replace("t=", "t=+"),
        v2().replace(",", ", "),
        v2() + "," + v2(),
        v2() + "\n",
        v2().upper(),
        "v2=" + v2().split("v2=")[1],
        f"t={AT}",
        f"t={AT}.0,v2=" + v2().split("v2=")[1],
        f"t={'9' * 400},v2=" + v2().split("v2=")[1],
        f"t={AT},v2=" + v1(),
    ],
)
def test_a_second_signature_that_is_not_exactly_right_is_refused_though_the_first_is(header: str) -> None:
    with pytest.raises(SignatureInvalid):
        verify(v1(), header)


def test_the_second_signature_is_required_where_the_distributor_is_set_to() -> None:
    verify(v1())
    with pytest.raises(SignatureInvalid, match="required"):
        verify(v1(), require_v2=True)
    verify(v1(), v2(), require_v2=True)


@pytest.mark.parametrize("shift", [-301, -300, -1, 0, 300, 301])
def test_a_second_signature_lives_five_minutes_either_way(shift: int) -> None:
    now = NOW + timedelta(seconds=shift)
    if abs(shift) <= 300:
        verify(v1(), v2(), now=now)
    else:
        with pytest.raises(SignatureInvalid, match="5 minutes"):
            verify(v1(), v2(), now=now)


def test_a_captured_batch_cannot_be_sent_under_another_id_or_later() -> None:
    captured = (v1(), v2())
    with pytest.raises(SignatureInvalid):
        verify(*captured, batch_id="fresh", require_v2=True)
    with pytest.raises(SignatureInvalid):
        verify(*captured, now=NOW + timedelta(minutes=6), require_v2=True)
    with pytest.raises(SignatureInvalid):
        verify(captured[0], require_v2=True, batch_id="fresh")


def test_a_stranger_learns_nothing_about_the_clock() -> None:
    with pytest.raises(SignatureInvalid, match="does not match"):
        verify(v1(), v2("c3" * 32, at=AT - 10_000))


def test_a_distributor_without_a_live_secret_signs_nothing() -> None:
    nobody = Distributor(distributor_id="d", name="n", require_v2=False, batches_per_hour=10, signing_secrets=())
    with pytest.raises(SignatureInvalid):
        verify_payload_signature(nobody, body=BODY, v1=v1(), v2=None, batch_id=BATCH, now=NOW)
