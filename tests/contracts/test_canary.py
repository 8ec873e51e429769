"""
The canary (security.md, figure 10): secrets and identifiers are planted through every door, and found nowhere.

Looked for as they are, in hexadecimal, in base64 at every alignment, URL-encoded, in UTF-16, and as their plain SHA-256,
which for a mobile number is no secret; in every column of every table, in the write-ahead log, in every file of the home folder and of
the database's folder, in what the processes logged, and in a backup. Sealed, and as keyed hashes, they may be in
``retailer``, ``retailer_identifier``, ``ingest_quarantine_body``, ``underwriting``, ``grievance`` and the tables of
credentials: in none of these forms.
"""

import base64
import hashlib
import io
import json
import os
import re
import secrets
import subprocess
import sys
import uuid
from collections.abc import Iterator, Mapping
from contextlib import redirect_stderr
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote

import asyncpg
import httpx2
import pyarrow.parquet as pq
import pytest
from tests.api.conftest import PURPOSE, Installation, Shop, a_gstin, installed
from tests.api.test_webhooks import WEBHOOK, a_text, document, signed
from tests.staffing import staff_member

from altcredit.engine import compliance, grievances
from altcredit.pipeline import rights, runs
from altcredit.pipeline.lake import Lake
from altcredit.runtime import backup, log, pgbin

_BYTES = re.compile(rb"\\x((?:[0-9a-f]{2})+)")
SECRETS = ("client_secret", "api_key", "signing_secret", "token", "webhook_secret")
ROOT = Path(__file__).parents[2]


def forms(value: str) -> Iterator[tuple[str, bytes]]:
    """Return what a value looks like when it is written down, by the name of the form; letters in lower case."""
    raw = value.encode()
    digest = hashlib.sha256(raw)
    yield "as it is", raw.lower()
    yield "hex", raw.hex().encode()
    yield "URL-encoded", "".join(f"%{byte:02x}" for byte in raw).encode()
    if (quoted := quote(value, safe="")) != value:
        yield "URL-encoded, what must be", quoted.lower().encode()
    yield "UTF-16", value.lower().encode("utf-16-le")
    yield "UTF-16, big-endian", value.lower().encode("utf-16-be")
    yield "sha256 in hex", digest.hexdigest().encode()
    yield "sha256 as bytes", digest.digest()
    for encode in (base64.b64encode, base64.urlsafe_b64encode):
        for shift in range(3):
            # Whatever stands before and after, these characters do not depend on it.
            text = encode(b"\0" * shift + raw)[-(-8 * shift // 6) : (8 * (shift + len(raw))) // 6]
            yield f"base64 at {shift}", text.lower()


def hits(content: bytes, planted: Mapping[str, str]) -> list[str]:
    """Return which planted values a text or file shows, and in which form."""
    lower = content.lower()
    return [
        f"{name} {form}"
        for name, value in planted.items()
        for form, shape in forms(value)
        if shape in (content if form == "sha256 as bytes" else lower)
    ]


def test_a_value_with_other_than_letters_is_found_as_a_form_writes_it() -> None:
    assert hits(b"q=canary+0f&reason=canary%200f", {"one": "canary 0f"}) == ["one URL-encoded, what must be"]


@pytest.mark.parametrize("around", [b"", b"x", b"xy", b"\0\0\0"])
def test_the_search_finds_every_form_wherever_it_stands(around: bytes) -> None:
    value = "27AAPFU0939F1ZV"
    raw = value.encode()
    for form in (
        raw, raw.lower(), raw.hex().encode(), raw.hex().upper().encode(), base64.b64encode(around + raw + around),
        base64.urlsafe_b64encode(around + raw + b"tail"), hashlib.sha256(raw).hexdigest().encode(),
        hashlib.sha256(raw).digest(), b"".join(b"%%%02X" % byte for byte in raw), value.encode("utf-16-le"),
        value.lower().encode("utf-16-be"), base64.b64encode(around + raw + around).replace(b"=", b""),
    ):  # fmt: skip
        assert hits(around + form + around, {"gstin": value}), form
    assert hits(around + b"something else", {"gstin": value}) == []


def _a_cpf(stem: str) -> str:
    digits = stem
    for length in (9, 10):
        total = sum(int(digits[at]) * (length + 1 - at) for at in range(length))
        digits += str((10 * total % 11) % 10)
    return digits


class Planting:
    """What was planted, by name; every value is random and long enough not to be met by chance."""

    def __init__(self) -> None:
        number = 400_000 + secrets.randbelow(500_000)
        self.phone = f"9198{secrets.randbelow(10**8):08d}"
        self.values: dict[str, str] = {
            "phone": self.phone,
            "gstin": a_gstin(number),
            "gstin in quarantine": a_gstin(number + 1),
            "gstin looked up": a_gstin(number + 2),
            "name": f"Canary{secrets.token_hex(6)}",
            "reference": f"REF-{secrets.token_hex(6)}",
            "cpf": _a_cpf(f"{10**8 + secrets.randbelow(8 * 10**8)}"),
            "street": f"Rua {secrets.token_hex(6)}",
            "description": f"canary {secrets.token_hex(8)}",
            "wrong client secret": secrets.token_hex(32),
            "message": f"canary {secrets.token_hex(8)}",
            "forged message": f"canary {secrets.token_hex(8)}",
            "writer's phone": f"9197{secrets.randbelow(10**8):08d}",
            "unknown phone": f"9196{secrets.randbelow(10**8):08d}",
            "case by a lender": f"canary {secrets.token_hex(8)}",
            "forged name": f"canary-{secrets.token_hex(8)}@example.in",
            "wrong session": f"ses_{secrets.token_urlsafe(32)}",
            "wrong partner token": secrets.token_hex(32),
        }
        # As people write it, beside as the API wants it.
        self.values["cpf with dots"] = re.sub(r"(...)(...)(...)(..)", r"\1.\2.\3-\4", self.values["cpf"])
        # What the API is sent of a phone is the hash itself.
        self.values["phone hash"] = hashlib.sha256(self.phone.encode()).hexdigest()

    def __getitem__(self, name: str) -> str:
        return self.values[name]


def _onboarded(altscore: Installation, home: Path, planted: Planting) -> list[str]:
    """Onboard by the command line as an operator does; plant the secrets that are printed. Returns what was logged."""
    settings = altscore.platform.settings
    environ = {name: value for name, value in os.environ.items() if not name.startswith("ALTCREDIT_")}
    environ |= {
        "PYTHONPATH": str(ROOT / "src"),
        "ALTCREDIT_HOME": str(home),
        "ALTCREDIT_DATABASE_URL": settings.database_url,
        "ALTCREDIT_LOG_LEVEL": "debug",
    }
    logged = []
    kinds = (
        ("lender",),
        ("service", "--scope", "consent:check"),
        ("distributor",),
        ("partner", "--address", "127.0.0.1/32"),
    )
    for kind, *more in kinds:
        command = [sys.executable, "-m", "altcredit", kind, "add", "Canary", *more, "--json"]
        done = subprocess.run(command, env=environ, capture_output=True, text=True, cwd=home)
        assert done.returncode == 0, done.stderr
        said = json.loads(done.stdout)
        told = {name: said[name] for name in SECRETS if isinstance(said.get(name), str)}
        assert told, said.keys()
        planted.values |= {f"{kind} {name}": value for name, value in told.items()}
        logged.append(done.stderr)
    return logged


async def _by_whatsapp(altscore: Installation, planted: Planting) -> None:
    """Write to us, with a signature and without; ask for a code, and send a wrong one."""
    for text, phone, good in (("message", "writer's phone", True), ("forged message", "unknown phone", False)):
        body = document(altscore, a_text(planted[phone], planted[text], f"wamid.canary.{good}"))
        headers = signed(altscore, body)
        if not good:
            headers["x-hub-signature-256"] = "sha256=" + "0" * 64
        async with altscore.client() as client:
            answer = await client.post(WEBHOOK, content=body, headers=headers)
        assert (answer.status_code == 200) == good, answer.text
    async with altscore.client() as client:
        for phone in ("phone", "unknown phone"):
            assert (await client.post("/v1/me/code", json={"phone": planted[phone]})).status_code == 202
            wrong = await client.post("/v1/me/token", json={"phone": planted[phone], "code": "000000"})
            assert wrong.status_code == 401, wrong.text


async def _by_staff(altscore: Installation, planted: Planting) -> None:
    """Sign in with what is forged, then work: look, ask with what is planted, and change with a signed reason."""
    platform = altscore.platform
    who = await staff_member(platform.database, platform.keyring, "dpo", "admin", settings=platform.settings)
    planted.values["session"] = who.token
    forged = f'<Response xmlns="urn:x"><NameID>{planted["forged name"]}</NameID></Response>'
    form = {"SAMLResponse": base64.b64encode(forged.encode()).decode(), "RelayState": planted["forged name"]}
    async with httpx2.AsyncClient(base_url=altscore.admin_url, verify=altscore.context, timeout=20) as client:
        assert (await client.post("/staff/acs", data=form)).status_code >= 400
        stranger = {"authorization": f"Bearer {planted['wrong session']}"}
        assert (await client.get("/v1/admin/breaches", headers=stranger)).status_code == 401
        assert (await client.get("/v1/admin/breaches", headers=who.headers)).status_code == 200
        raw = json.dumps(
            {
                "nature": "a disk",
                "severity": "low",
                "affected": 0,
                "occurred_at": "2026-01-01T00:00:00Z",
                "aware_at": "2026-01-01T00:00:00Z",
                "reason": "as asked",
            }
        ).encode()
        proof = await who.proof("breaches.manage", raw)
        planted.values["assertion"] = proof["x-key-assertion"]
        headers = {**proof, "content-type": "application/json"}
        answer = await client.post("/v1/admin/breaches", content=raw, headers=headers)
        assert answer.status_code in (200, 201), answer.text


async def _case_by_a_lender(altscore: Installation, planted: Planting, retailer_id: str, client: Any) -> None:
    await altscore.score(
        Shop(retailer_id=retailer_id, gstin=planted["gstin"], phone_hash=planted["phone hash"], distributor_id="dist_1")
    )
    told = await client.post("/v1/score", json={"retailer_id": retailer_id, "purpose": PURPOSE})
    assert told.status_code == 200, told.text
    case = {
        "retailer_id": retailer_id, "score_id": told.json()["score_id"], "grievance_type": "incorrect_score",
        "description": planted["case by a lender"], "contact_phone_hash": planted["phone hash"],
    }  # fmt: skip
    filed = await client.post("/v1/grievances", json=case)
    assert filed.status_code == 200, filed.text
    assert (await client.get(f"/v1/grievances/{filed.json()['grievance_id']}")).status_code == 200


async def _through_every_door(altscore: Installation, planted: Planting) -> None:
    """Ingest, consent, score, history, look-up, grievances, WhatsApp, staff, GUARD, export: with what is planted."""
    lender = await altscore.lender()
    service = await altscore.service("consent:grant", "consent:check", "consent:revoke")
    planted.values |= {"lender secret": lender.client_secret, "service secret": service.client_secret}
    async with altscore.distributor() as feed:
        planted.values |= {"api key": feed.issued.api_key, "signing secret": feed.issued.signing_secret}
        today = datetime.now(UTC).date()
        bill = {
            "invoice_id": "INV-1", "retailer_gst": planted["gstin"], "invoice_date": str(today - timedelta(days=9)),
            "amount_inr": 100, "due_date": str(today - timedelta(days=1)),
        }  # fmt: skip
        sent = await feed.send(
            retailers=[
                {
                    "retailer_gst": planted["gstin"], "retailer_ref": planted["reference"], "name": planted["name"],
                    "retailer_phone_hash": planted["phone hash"],
                }
            ],
            invoices=[bill, {**bill, "invoice_id": "INV-2", "retailer_gst": planted["gstin in quarantine"], "amount_inr": -1}],
        )  # fmt: skip
        assert sent.status_code == 200, sent.text
        assert sent.json()["quarantined"] == 1
        batch_id = sent.json()["batch_id"]
        assert (await feed.status(batch_id)).status_code == 200
        refused = await feed.send(b'{"retailer_gst": "%s"' % planted["gstin"].encode())
        assert refused.status_code == 400
    async with await altscore.signed_in(service) as client:
        body = {
            "retailer_phone_hash": planted["phone hash"], "distributor_id": feed.distributor_id,
            "lender_scope": [lender.client_id], "purpose": PURPOSE, "consent_channel": "whatsapp", "wa_message_id": "wamid.1",
        }  # fmt: skip
        granted = await client.post("/v1/consent/grant", json=body, headers={"x-request-id": "canary-1"})
        assert granted.status_code in (200, 201), granted.text
        retailer_id: str = granted.json()["retailer_id"]
        planted.values["service token"] = client.headers["authorization"].removeprefix("Bearer ")
    async with await altscore.signed_in(lender) as client:
        planted.values["lender token"] = client.headers["authorization"].removeprefix("Bearer ")
        await client.post("/v1/score", json={"retailer_id": retailer_id, "purpose": PURPOSE})
        await client.get(f"/v1/score/{retailer_id}/history")
        for name, status in (("gstin", 200), ("gstin looked up", 403)):
            assert (await client.get(f"/v1/retailers/lookup?gst={planted[name]}")).status_code == status
        await _case_by_a_lender(altscore, planted, retailer_id, client)
        wrong = {"client_id": lender.client_id, "client_secret": planted["wrong client secret"]}
        assert (await client.post("/v1/auth/token", json=wrong)).status_code == 401
    async with altscore.platform.database.transaction() as db:
        await grievances.file(
            db, keyring=altscore.platform.keyring, filer=grievances.Party(kind="retailer", id=retailer_id),
            retailer_id=retailer_id, score_id=None, grievance_type="incorrect_data",
            description=planted["description"], language="en", contact_phone_hash=planted["phone hash"],
            now=datetime.now(UTC),
        )  # fmt: skip
    partner = await altscore.partner()
    planted.values["partner token"] = partner.token
    async with altscore.client(**{"X-Partner-Auth": partner.token}) as client:
        application = {
            "customerUuid": str(uuid.uuid4()), "cpf": planted["cpf"],
            "srd": {"grossIncome": 5200, "address": {"street": planted["street"], "city": "São Paulo", "state": "SP"}},
        }  # fmt: skip
        path = "/api/partner/credit/cards/underwritings"
        headers = {"idempotency-key": "canary-2"}
        asked = await client.post(path, json=application, headers=headers)
        assert asked.status_code == 202, asked.text
    async with altscore.client(**{"X-Partner-Auth": planted["wrong partner token"]}) as client:
        assert (await client.post(path, json=application)).status_code == 401
    await _by_whatsapp(altscore, planted)
    await _by_staff(altscore, planted)
    await _worked(altscore, retailer_id)


async def _worked(altscore: Installation, retailer_id: str) -> None:
    """What workers do with it: fold the batches, and put an export together."""
    platform, now = altscore.platform, datetime.now(UTC)
    lake = Lake(platform.settings.lake_path, threads=1)
    try:
        await runs.compact(platform.database, lake, now=now)
        async with platform.database.transaction() as db:
            asked = await compliance.export(
                db, keyring=platform.keyring, retailer_id=retailer_id, requested_by="t", now=now
            )
        made = await rights.produce(platform, lake, export_id=asked.export_id, now=now)
    finally:
        lake.close()
    assert made is not None
    assert made.document is not None


def _opened(text: bytes) -> bytes:
    """Return a text and, behind it, the bytes that PostgreSQL shows in it as hexadecimal."""
    return text + b"\n" + b"\n".join(bytes.fromhex(one.decode()) for one in _BYTES.findall(text))


async def _in_tables(dsn: str, planted: Mapping[str, str]) -> list[str]:
    """Search every row of every table, each column as text and columns of bytes as what they hold, too."""
    connection = await asyncpg.connect(dsn)
    try:
        tables = "SELECT format('%I.%I', schemaname, relname) AS name FROM pg_stat_user_tables ORDER BY 1"
        found, rows = [], 0
        for (name,) in await connection.fetch(tables):
            for row in await connection.fetch(f"SELECT one::text AS line FROM {name} AS one"):
                rows += 1
                found += [f"{name}: {hit}" for hit in hits(_opened(row["line"].encode()), planted)]
    finally:
        await connection.close()
    assert rows > 20
    return found


def _in_files(folder: Path, planted: Mapping[str, str]) -> list[str]:
    found, seen = [], 0
    for path in sorted(folder.rglob("*")):
        if not path.is_file():
            continue
        seen += 1
        content = path.read_bytes()
        if path.suffix == ".parquet":
            content += repr(pq.read_table(path).to_pylist()).encode()
        found += [f"{path.relative_to(folder)}: {hit}" for hit in hits(content, planted)]
    assert seen > 0
    return found


async def _server_folder(dsn: str) -> Path:
    connection = await asyncpg.connect(dsn)
    try:
        await connection.execute("CHECKPOINT")
        return Path(await connection.fetchval("SHOW data_directory"))
    finally:
        await connection.close()


def _in_backup(altscore: Installation, folder: Path, planted: Mapping[str, str]) -> list[str]:
    """Dump the database as an operator does, and search what a restore would write."""
    file = folder / "canary.dump"
    backup.dump(altscore.platform.settings, file)
    restore = pgbin.choose("", major=18) / "pg_restore"
    plain = subprocess.run([str(restore), "--file=-", str(file)], capture_output=True, check=True).stdout
    assert b"COPY public.retailer " in plain
    return [f"backup: {hit}" for hit in hits(_opened(plain), planted)]


async def test_what_is_planted_through_every_door_is_found_nowhere(server: str, tmp_path: Path) -> None:
    planted, written = Planting(), io.StringIO()
    home = tmp_path / "home"
    home.mkdir()
    with redirect_stderr(written):
        log.configure("debug")
        try:
            async with installed(server, home) as altscore:
                logged = _onboarded(altscore, home, planted)
                await _through_every_door(altscore, planted)
                async with altscore.platform.database.transaction() as db:
                    await db.execute("CREATE TABLE canary_control (kept bytea)")
                    await db.execute("INSERT INTO canary_control VALUES ($1)", planted["gstin"].encode())
                dsn = altscore.platform.database.dsn
                # The control: the search does see one that is there, in the table, in the log, and in a dump.
                there = ["gstin as it is", "gstin hex"]
                assert await _in_tables(dsn, planted.values) == [f"public.canary_control: {one}" for one in there]
                assert _in_backup(altscore, tmp_path, planted.values) == [f"backup: {one}" for one in there]
                folder = await _server_folder(dsn)
                shown = _in_files(folder, planted.values)
                assert any(hit.startswith("pg_wal") for hit in shown)
                assert {hit.split(": ")[1] for hit in shown} == {"gstin as it is"}
                assert _in_files(folder, {name: one for name, one in planted.values.items() if name != "gstin"}) == []
                assert _in_files(home, planted.values) == []
        finally:
            log.configure("error")
    said = "\n".join([*logged, written.getvalue()])
    assert "/v1/score" in said
    assert hits(said.encode(), planted.values) == []
