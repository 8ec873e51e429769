"""Decision receipts (contract, "Receipt"): under whose consent, what they say, and that anybody can verify them."""

import asyncio
import hashlib
import json
import subprocess
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import httpx2
import msgspec
import pandas as pd
import pytest
import rfc8785
from tests.api.conftest import PURPOSE, Installation, Shop, a_standing

from altcredit.cli import app
from altcredit.engine import identity, scoring
from altcredit.pipeline.models import cold_start, predict, save
from altcredit.runtime import signing

PROMISED = {
    "score_id", "retailer_id", "altscore", "probability_of_default", "recommended_limit_inr", "reason_codes", "model",
    "policy_version", "inputs_sha256", "consent_id", "scored_at", "key_id", "signature",
}  # fmt: skip


class Lender:
    """A lender at its desk: signed in, with one shop's consent and score."""

    def __init__(self, altscore: Installation, issued: identity.IssuedClient, shop: Shop, client: httpx2.AsyncClient):
        self.altscore, self.issued, self.shop, self.client = altscore, issued, shop, client

    async def score(self) -> dict[str, Any]:
        answer = await self.client.post("/v1/score", json={"retailer_id": self.shop.retailer_id, "purpose": PURPOSE})
        assert answer.status_code == 200, answer.text
        body: dict[str, Any] = answer.json()
        return body

    async def receipt(self, score_id: str) -> httpx2.Response:
        return await self.client.get(f"/v1/score/{score_id}/receipt")


@pytest.fixture
async def lender(altscore: Installation) -> Any:
    issued, shop = await altscore.lender(), await altscore.shop()
    await altscore.consent(shop, issued.client_id)
    await altscore.score(shop)
    async with await altscore.signed_in(issued) as client:
        yield Lender(altscore, issued, shop, client)


def run(*arguments: object) -> int:
    return app.main([str(one) for one in arguments], {}, lambda _product: b"")


async def keys(altscore: Installation, path: Path) -> Path:
    async with altscore.client() as client:
        answer = await client.get("/v1/.well-known/jwks.json")
    return written(path, answer.content)


def written(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


def openssl_verifies(folder: Path) -> bool:
    command = "openssl dgst -sha256 -verify public.pem -signature signature receipt"
    return subprocess.run(command.split(), cwd=folder, capture_output=True).returncode == 0


async def test_a_receipt_says_what_the_score_said(lender: Lender) -> None:
    score = await lender.score()
    answer = await lender.receipt(score["score_id"])
    receipt = answer.json()
    assert answer.status_code == 200, answer.text
    assert set(receipt) >= PROMISED
    for name in ("score_id", "retailer_id", "altscore", "probability_of_default", "recommended_limit_inr"):
        assert receipt[name] == score[name], name
    assert receipt["reason_codes"] == [reason["code"] for reason in score["reason_codes"]]
    assert receipt["model"] == {"version": score["score_version"], "sha256": "0" * 64}
    assert (receipt["policy_version"], receipt["scored_at"]) == (score["policy_version"], score["scored_at"])
    assert receipt["lender_id"] == lender.issued.client_id
    assert answer.headers["x-ratelimit-limit"] == "100"


async def test_openssl_alone_verifies_it_over_the_jcs_form(lender: Lender, tmp_path: Path) -> None:
    receipt = (await lender.receipt((await lender.score())["score_id"])).json()
    signature = bytes.fromhex(receipt.pop("signature"))
    (tmp_path / "receipt").write_bytes(rfc8785.dumps(receipt))
    (tmp_path / "signature").write_bytes(signature)
    (tmp_path / "public.pem").write_text(lender.altscore.platform.signing.public_pem(receipt["key_id"]))
    assert openssl_verifies(tmp_path)
    (tmp_path / "receipt").write_bytes(rfc8785.dumps(receipt | {"altscore": receipt["altscore"] + 1}))
    assert not openssl_verifies(tmp_path)


async def test_the_same_receipt_is_given_again_after_its_key_is_gone(lender: Lender, tmp_path: Path) -> None:
    score_id = (await lender.score())["score_id"]
    first = await lender.receipt(score_id)
    platform = lender.altscore.platform
    at = datetime.now(UTC)
    async with platform.database.transaction() as db:
        await signing.rotate(db, keyring=platform.keyring, purpose="receipt", now=at)
        await db.execute("UPDATE signing_key SET state = 'gone' WHERE state = 'retiring' AND purpose = 'receipt'")
    await platform.refresh_keys()
    again = await lender.receipt(score_id)
    assert again.content == first.content
    assert platform.signing.active("receipt") != again.json()["key_id"]
    (tmp_path / "receipt.json").write_bytes(again.content)
    jwks = await keys(lender.altscore, tmp_path / "jwks.json")
    assert run("receipt", "verify", tmp_path / "receipt.json", "--public-key", jwks) == 0


async def test_everybody_who_asks_at_once_is_given_the_same_receipt(lender: Lender) -> None:
    score_id = (await lender.score())["score_id"]
    answers = await asyncio.gather(*(lender.receipt(score_id) for _ in range(8)))
    assert len({answer.content for answer in answers}) == 1


async def test_an_older_score_has_its_receipt_too(lender: Lender) -> None:
    older = (await lender.score())["score_id"]
    await lender.altscore.score(lender.shop, overdue_inr=20_000, at=datetime.now(UTC) + timedelta(seconds=1))
    newer = (await lender.score())["score_id"]
    receipts = [(await lender.receipt(one)).json() for one in (older, newer)]
    assert [one["score_id"] for one in receipts] == [older, newer]
    assert [one["overdue_inr"] for one in receipts] == [0, 20_000]


async def test_unknown_and_unconsented_scores_get_the_same_bytes(lender: Lender) -> None:
    score_id = (await lender.score())["score_id"]
    other = await lender.altscore.lender()
    async with await lender.altscore.signed_in(other) as client:
        client.headers["x-request-id"] = "same"
        answers = [
            await client.get(f"/v1/score/{one}/receipt")
            for one in (score_id, "scr_0000000000000000", "scr_x", "scr_" + "0" * 64)
        ]
    assert {(answer.status_code, answer.content) for answer in answers} == {(403, answers[0].content)}
    assert answers[0].json()["error"]["code"] == "CONSENT_NOT_GRANTED"
    varying = ("x-ratelimit-remaining", "x-ratelimit-reset", "date")
    headers = [[item for item in answer.headers.items() if item[0] not in varying] for answer in answers]
    assert all(one == headers[0] for one in headers)


async def test_after_a_revocation_the_receipt_is_refused(lender: Lender) -> None:
    score_id = (await lender.score())["score_id"]
    consent_id = (await lender.receipt(score_id)).json()["consent_id"]
    async with await lender.altscore.signed_in(await lender.altscore.service("consent:revoke")) as service:
        await service.post("/v1/consent/revoke", json={"consent_id": consent_id, "reason": "retailer_request"})
    answer = await lender.receipt(score_id)
    assert (answer.status_code, answer.json()["error"]["code"]) == (403, "CONSENT_NOT_GRANTED")


async def test_an_assessment_without_a_score_has_no_receipt(altscore: Installation) -> None:
    issued, shop = await altscore.lender(), await altscore.shop()
    await altscore.consent(shop, issued.client_id)
    await altscore.score(shop, completeness=30)
    score_id = await altscore.platform.database.reads.fetchval(
        "SELECT score_id FROM assessment WHERE retailer_id = $1", shop.retailer_id
    )
    async with await altscore.signed_in(issued) as client:
        answer = await client.get(f"/v1/score/{score_id}/receipt")
    assert (answer.status_code, answer.json()["error"]["code"]) == (422, "DATA_INSUFFICIENT")


async def test_every_request_is_in_the_log_of_reads_and_waits_for_its_seal(lender: Lender) -> None:
    score_id = (await lender.score())["score_id"]
    await lender.receipt(score_id)
    await lender.receipt("scr_0000000000000000")
    rows = await lender.altscore.platform.database.reads.fetch(
        "SELECT operation, requested_id, outcome, score_id,"
        " EXISTS (SELECT FROM audit_unsealed u WHERE u.log = 'score_access' AND u.row_id = access_id) AS waits"
        " FROM score_access WHERE lender_id = $1 ORDER BY access_id",
        lender.issued.client_id,
    )
    assert [(row["operation"], row["outcome"]) for row in rows] == [
        ("score", "OK"), ("receipt", "OK"), ("receipt", "CONSENT_NOT_GRANTED"),
    ]  # fmt: skip
    assert [row["requested_id"] for row in rows[1:]] == [score_id, "scr_0000000000000000"]
    assert all(row["waits"] for row in rows)


async def test_the_quota_of_scores_counts_receipts(altscore: Installation) -> None:
    issued, shop = await altscore.lender(day=2), await altscore.shop()
    await altscore.consent(shop, issued.client_id)
    await altscore.score(shop)
    async with await altscore.signed_in(issued) as client:
        statuses = [(await client.get("/v1/score/scr_0/receipt")).status_code for _ in range(3)]
    assert statuses == [403, 403, 429]


@pytest.mark.parametrize("score_id", ["scr_", "ret_7f3a92c1d4e8b051", "scr_a%20b", "scr_" + "a" * 65])
async def test_a_malformed_score_id_is_named(lender: Lender, score_id: str) -> None:
    answer = await lender.receipt(score_id)
    assert answer.status_code == 400
    assert [detail["path"] for detail in answer.json()["error"]["details"]] == ["$.score_id"]


async def _reproducible(altscore: Installation, folder: Path) -> tuple[bytes, bytes, Path]:
    """Score a shop by a model on disk; return the receipt, the inputs, and the model's folder."""
    issued, shop = await altscore.lender(), await altscore.shop()
    await altscore.consent(shop, issued.client_id)
    model = cold_start(version="altscore-expert-v7", now=datetime.now(UTC))
    sign = partial(altscore.platform.signing.sign, "model")
    saved = await asyncio.to_thread(partial(save, model, folder=folder, sign=sign))
    values = {name: float(number % 7) / 3 for number, name in enumerate(sorted(one.name for one in model.card.inputs))}
    features: dict[str, float | None] = {**values, "distributor_count": 1, "vintage_months": None}
    standing = a_standing(shop, features=features, overdue_inr=1_000)
    (estimate,) = predict(pd.DataFrame([features], dtype=float), model)
    info = msgspec.structs.replace(model.info, sha256=saved.sha256)
    assessment = scoring.assess(standing, estimate, model=info, policy=scoring.POLICY)
    assert assessment is not None
    async with altscore.platform.database.transaction() as db:
        (score_id,) = await scoring.record(db, assessments=[(assessment, standing)], now=datetime.now(UTC))
        inputs = await scoring.inputs(db, score_id=score_id)
    async with await altscore.signed_in(issued) as client:
        answer = await client.get(f"/v1/score/{score_id}/receipt")
    assert answer.status_code == 200, answer.text
    return answer.content, inputs, folder / saved.path


async def test_offline_the_model_gives_the_score_again_to_the_point(
    altscore: Installation, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    receipt, inputs, model = await _reproducible(altscore, tmp_path)
    file, features = tmp_path / "receipt.json", tmp_path / "features.json"
    public = await keys(altscore, tmp_path / "jwks.json")
    file.write_bytes(receipt)
    features.write_bytes(inputs)
    assert hashlib.sha256(inputs).hexdigest() == json.loads(receipt)["inputs_sha256"]
    given = ("receipt", "verify", file, "--public-key", public, "--model", model, "--features", features)
    assert run(*given) == 0
    assert f"gives {json.loads(receipt)['altscore']} again" in capsys.readouterr().err
    # Inputs of another shop, a model of another digest, and another score under the receipt's name are all seen.
    features.write_bytes(inputs.replace(b'"overdue_inr":1000', b'"overdue_inr":1001'))
    assert run(*given) == 1
    features.write_bytes(inputs)
    for name, value in (("altscore", 899), ("reason_codes", []), ("recommended_limit_inr", 10**6)):
        file.write_text(json.dumps(json.loads(receipt) | {name: value}))
        assert run(*given) == 1, name
        said = capsys.readouterr().err
        assert "DOES NOT HOLD" in said
        assert f"{name} DIFFERS" in said
    file.write_bytes(receipt)
    card = model / "card.json"
    card.write_bytes(card.read_bytes() + b" ")
    assert run(*given) == app.REFUSED


async def test_any_change_of_a_receipt_breaks_its_signature(
    lender: Lender, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    receipt = (await lender.receipt((await lender.score())["score_id"])).json()
    public = await keys(lender.altscore, tmp_path / "jwks.json")
    file = tmp_path / "receipt.json"
    for name, value in receipt.items():
        changed: Any = value
        if isinstance(value, bool):
            changed = not value
        elif isinstance(value, int | float):
            changed = value + 1
        elif isinstance(value, str):
            changed = ("0" if value[0] != "0" else "1") + value[1:]
        elif isinstance(value, list):
            changed = value[::-1]
        elif isinstance(value, dict):
            changed = {**value, "version": "x"}
        else:
            changed = 1
        file.write_text(json.dumps({**receipt, name: changed}))
        assert run("receipt", "verify", file, "--public-key", public) == 1, name
    file.write_text(json.dumps(receipt | {"extra": 1}))
    assert run("receipt", "verify", file, "--public-key", public) == app.REFUSED
    file.write_text(json.dumps(receipt))
    assert run("receipt", "verify", file, "--public-key", public) == 0
    pem = tmp_path / "key.pem"
    pem.write_text(lender.altscore.platform.signing.public_pem(receipt["key_id"]))
    assert run("receipt", "verify", file, "--public-key", pem) == 0
    pem.write_text(lender.altscore.platform.signing.public_pem(lender.altscore.platform.signing.active("consent")))
    assert run("receipt", "verify", file, "--public-key", pem) == 1
    capsys.readouterr()
