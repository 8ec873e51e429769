"""Receipts, verified with no installation at all: what an edited file, a wrong file or another key looks like."""

import json
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from joserfc.jwk import ECKey

from altcredit.cli import app
from altcredit.engine import scoring

REASONS = ("LOW_PAYMENT_DELAY", "TRADE_DATA_ONLY")


def _pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)


def _receipt(key: ec.EllipticCurvePrivateKey) -> dict[str, Any]:
    fields: dict[str, Any] = {
        "score_id": "scr_0a1b2c3d4e5f6071", "retailer_id": "ret_7f3a92c1d4e8b051", "lender_id": "lender_a",
        "altscore": 724, "risk_band": "B", "probability_of_default": 0.082, "pd_horizon_days": 90,
        "recommended_limit_inr": 175000, "base_limit_inr": 175000, "lender_cap_inr": None, "overdue_inr": 0,
        "low_confidence": False, "reason_codes": REASONS, "policy_version": "p", "inputs_sha256": "0" * 64,
        "model": {"version": "altscore-xgb-v1-prod", "sha256": "0" * 64}, "consent_id": "cns_1",
        "scored_at": "2026-11-22T00:00:00Z", "issued_at": "2026-11-22T00:00:00Z",
        "key_id": ECKey.import_key(_pem(key)).thumbprint(), "public_keys": "https://localhost/v1/.well-known/jwks.json",
    }  # fmt: skip
    receipt, _ = scoring.receipt_from({**fields, "signature": ""})
    signature = key.sign(scoring.signed_bytes(receipt), ec.ECDSA(hashes.SHA256()))
    return {**fields, "signature": signature.hex()}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Nothing to reach: no database answers there, and no home is writable."""
    monkeypatch.setenv("ALTCREDIT_DATABASE_URL", "postgresql://nobody@127.0.0.1:1/nothing")
    monkeypatch.setenv("ALTCREDIT_HOME", "/dev/null/nothing")
    key = ec.generate_private_key(ec.SECP256R1())
    (tmp_path / "receipt.json").write_text(json.dumps(_receipt(key)))
    (tmp_path / "key.pem").write_bytes(_pem(key))
    (tmp_path / "other.pem").write_bytes(_pem(ec.generate_private_key(ec.SECP256R1())))
    return tmp_path


def verify(folder: Path, key: str = "key.pem", *more: object) -> int:
    arguments = ("receipt", "verify", folder / "receipt.json", "--public-key", folder / key, *more)
    return app.main([str(one) for one in arguments], {}, lambda _: b"")


def test_a_genuine_receipt_holds_without_an_installation(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert verify(folder) == 0
    assert "holds" in capsys.readouterr().err


def test_an_edited_receipt_is_said_to_be_edited(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = folder / "receipt.json"
    file.write_text(file.read_text().replace("724", "824"))
    assert verify(folder) == app.FAILED
    assert "changed after it was signed" in capsys.readouterr().err


def test_a_name_that_is_there_twice_is_refused_since_readers_may_see_the_other(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = folder / "receipt.json"
    file.write_text(file.read_text().replace("{", '{"altscore": 900, ', 1))
    assert verify(folder) == app.REFUSED
    assert "twice" in capsys.readouterr().err


def test_another_key_is_said_to_be_another(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert verify(folder, "other.pem") == app.FAILED
    assert "does not have the key that the receipt names" in capsys.readouterr().err


@pytest.mark.parametrize("content", [b"", b"\xff\xfe", b"[]", b"{", b'"text"', b"[" * 100_000, b'{"altscore": 724}'])
def test_what_is_no_receipt_is_refused_with_a_reason(
    folder: Path, content: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "receipt.json").write_bytes(content)
    assert verify(folder) == app.REFUSED
    assert "ot a " in capsys.readouterr().err  # not a JSON object, not a receipt


@pytest.mark.parametrize("content", [b"", b"hello", b"{}", b'{"keys": []}', b"-----BEGIN PUBLIC KEY-----\n"])
def test_what_is_no_key_is_refused_with_a_reason(
    folder: Path, content: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "key.pem").write_bytes(content)
    assert verify(folder) == app.REFUSED
    assert "neither a public key" in capsys.readouterr().err


def test_a_file_that_is_not_there_is_named(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert verify(folder, "missing.pem") == app.REFUSED
    assert "missing.pem" in capsys.readouterr().err


def test_model_and_features_go_together(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert verify(folder, "key.pem", "--model", folder) == app.REFUSED
    assert "go together" in capsys.readouterr().err
