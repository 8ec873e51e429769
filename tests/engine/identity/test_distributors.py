from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from altcredit.engine import audit, identity
from altcredit.runtime.certificates import Authority, CsrInvalid
from altcredit.runtime.db import Database
from altcredit.runtime.keys import KeyProvider, Keyring

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
BY: dict[str, Any] = {"actor": "cli:root", "now": NOW}


class Desk:
    """The operator's and the ingest route's view of one database."""

    def __init__(self, database: Database, keyring: Keyring, authority: Authority) -> None:
        self.database, self.keyring, self.authority = database, keyring, authority

    async def add(self, **changes: Any) -> identity.IssuedDistributor:
        values = {"name": "Gupta Traders", "keyring": self.keyring, "authority": self.authority} | BY | changes
        async with self.database.transaction() as db:
            return await identity.add_distributor(db, **values)

    async def rotate(self, distributor_id: str, **changes: Any) -> identity.IssuedDistributor:
        values = {"keyring": self.keyring, "authority": self.authority, "distributor_id": distributor_id} | BY
        async with self.database.transaction() as db:
            return await identity.rotate_distributor(db, **(values | changes))

    async def present(
        self, certificate: identity.IssuedDistributor | None, key: identity.IssuedDistributor | str | None, **at: Any
    ) -> identity.Distributor:
        async with self.database.reads.acquire() as db:
            return await identity.distributor_by_credentials(
                db,
                keyring=self.keyring,
                cert_sha256=bytes.fromhex(certificate.certificate.sha256) if certificate else None,
                api_key=key.api_key if isinstance(key, identity.IssuedDistributor) else key,
                now=at.get("now", NOW),
            )


@pytest.fixture
def desk(database: Database, keyring: Keyring, authority: Authority) -> Desk:
    return Desk(database, keyring, authority)


def csr() -> str:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "dist_other")])
    request = x509.CertificateSigningRequestBuilder(name).sign(key, hashes.SHA256())
    return request.public_bytes(Encoding.PEM).decode()


async def test_a_new_distributor_is_known_by_certificate_and_key_together(desk: Desk) -> None:
    issued = await desk.add()
    assert issued.certificate.key_pem is not None
    assert len(bytes.fromhex(issued.api_key)) == 32
    assert len(bytes.fromhex(issued.signing_secret)) == 32
    assert issued.certificate.not_after == NOW + timedelta(days=90)
    assert issued.api_key_expires_at == NOW + timedelta(days=365)
    found = await desk.present(issued, issued)
    assert found.distributor_id == issued.distributor_id
    assert found.batches_per_hour == 10
    assert found.signing_secrets == (issued.signing_secret.encode(),)
    assert issued.signing_secret not in repr(found)


async def test_a_csr_gives_a_certificate_and_no_private_key(desk: Desk) -> None:
    issued = await desk.add(csr_pem=csr())
    assert issued.certificate.key_pem is None
    certificate = x509.load_pem_x509_certificate(issued.certificate.pem.encode())
    assert "dist_other" not in certificate.subject.rfc4514_string()
    assert (await desk.present(issued, issued)).distributor_id == issued.distributor_id


async def test_a_bad_csr_adds_nothing(desk: Desk) -> None:
    with pytest.raises(CsrInvalid):
        await desk.add(csr_pem="-----BEGIN CERTIFICATE REQUEST-----")
    async with desk.database.reads.acquire() as db:
        assert await identity.list_distributors(db) == []


@pytest.mark.parametrize("chosen", ["gupta", "dist_", "lender_a", "dist_a/b", "dist_a\0"])
async def test_a_chosen_id_of_another_form_is_refused(desk: Desk, chosen: str) -> None:
    with pytest.raises(identity.IdInvalid):
        await desk.add(distributor_id=chosen)


async def test_a_chosen_id_is_taken_once(desk: Desk) -> None:
    await desk.add(distributor_id="dist_c4f9")
    with pytest.raises(identity.IdTaken):
        await desk.add(distributor_id="dist_c4f9")


async def test_credentials_that_do_not_prove_one_active_distributor_are_refused_by_kind(desk: Desk) -> None:
    first, second = await desk.add(), await desk.add()
    late = NOW + timedelta(days=90)
    cases: list[tuple[Any, Any, datetime, type[Exception]]] = [
        (None, first, NOW, identity.CertificateUnknown),
        (None, None, NOW, identity.CertificateUnknown),
        (first, None, NOW, identity.ApiKeyInvalid),
        (first, "", NOW, identity.ApiKeyInvalid),
        (first, "0" * 64, NOW, identity.ApiKeyInvalid),
        (first, first.api_key.upper() + "x", NOW, identity.ApiKeyInvalid),
        (first, second, NOW, identity.DistributorMismatch),
        (second, first, NOW, identity.DistributorMismatch),
        (first, first, late, identity.CertificateUnknown),
        (first, first, NOW - timedelta(minutes=6), identity.CertificateUnknown),
    ]
    for certificate, key, now, refusal in cases:
        with pytest.raises(refusal):
            await desk.present(certificate, key, now=now)
    await desk.present(first, first, now=late - timedelta(seconds=1))


async def test_an_api_key_ends_after_a_year(desk: Desk) -> None:
    first = await desk.add()
    later = NOW + timedelta(days=300)
    second = await desk.rotate(first.distributor_id, now=later, overlap=timedelta(days=200))
    await desk.present(second, first, now=NOW + timedelta(days=365, seconds=-1))
    with pytest.raises(identity.ApiKeyInvalid):
        await desk.present(second, first, now=NOW + timedelta(days=365))


async def test_during_a_rotation_two_of_each_kind_count_and_then_the_new_ones_alone(desk: Desk) -> None:
    old = await desk.add()
    new = await desk.rotate(old.distributor_id, now=NOW + timedelta(minutes=1))
    end = NOW + timedelta(days=14, minutes=1)
    for certificate in (old, new):
        for key in (old, new):
            found = await desk.present(certificate, key, now=end - timedelta(seconds=1))
            assert found.signing_secrets == (new.signing_secret.encode(), old.signing_secret.encode())
    with pytest.raises(identity.CertificateUnknown):
        await desk.present(old, new, now=end)
    with pytest.raises(identity.ApiKeyInvalid):
        await desk.present(new, old, now=end)
    assert (await desk.present(new, new, now=end)).signing_secrets == (new.signing_secret.encode(),)


async def test_a_second_rotation_ends_the_oldest_at_once_so_two_remain(desk: Desk) -> None:
    first = await desk.add()
    second = await desk.rotate(first.distributor_id, now=NOW + timedelta(minutes=1))
    third = await desk.rotate(first.distributor_id, now=NOW + timedelta(minutes=2))
    now = NOW + timedelta(minutes=3)
    with pytest.raises(identity.CertificateUnknown):
        await desk.present(first, third, now=now)
    with pytest.raises(identity.ApiKeyInvalid):
        await desk.present(third, first, now=now)
    found = await desk.present(second, third, now=now)
    assert found.signing_secrets == (third.signing_secret.encode(), second.signing_secret.encode())


async def test_a_rotation_does_not_prolong_what_was_about_to_end(desk: Desk) -> None:
    first = await desk.add()
    now = NOW + timedelta(minutes=1)
    second = await desk.rotate(first.distributor_id, now=now, overlap=timedelta(minutes=5))
    async with desk.database.transaction() as db:
        sha256 = bytes.fromhex(second.certificate.sha256)
        await identity.revoke_certificate(
            db, distributor_id=first.distributor_id, sha256=sha256, actor="cli:root", now=now
        )
    third = await desk.rotate(first.distributor_id, now=now + timedelta(minutes=1), overlap=timedelta(days=30))
    with pytest.raises(identity.CertificateUnknown):
        await desk.present(first, third, now=now + timedelta(minutes=5))


async def test_a_rotation_with_no_overlap_replaces_at_once(desk: Desk) -> None:
    old = await desk.add()
    now = NOW + timedelta(minutes=1)
    new = await desk.rotate(old.distributor_id, now=now, overlap=timedelta(0))
    with pytest.raises(identity.CertificateUnknown):
        await desk.present(old, new, now=now)
    assert (await desk.present(new, new, now=now)).signing_secrets == (new.signing_secret.encode(),)


async def test_a_revoked_certificate_or_key_is_refused_from_the_next_request(desk: Desk) -> None:
    issued = await desk.add()
    await desk.present(issued, issued)
    sha256 = bytes.fromhex(issued.certificate.sha256)
    async with desk.database.transaction() as db:
        await identity.revoke_key(db, distributor_id=issued.distributor_id, key_id=issued.api_key_id, **BY)
    with pytest.raises(identity.ApiKeyInvalid):
        await desk.present(issued, issued)
    async with desk.database.transaction() as db:
        await identity.revoke_certificate(db, distributor_id=issued.distributor_id, sha256=sha256, **BY)
        for again in (
            identity.revoke_certificate(db, distributor_id=issued.distributor_id, sha256=sha256, **BY),
            identity.revoke_key(db, distributor_id=issued.distributor_id, key_id=issued.api_key_id, **BY),
            identity.revoke_key(db, distributor_id="dist_other", key_id=issued.api_key_id, **BY),
        ):
            with pytest.raises(identity.CredentialUnknown):
                await again
    with pytest.raises(identity.CertificateUnknown):
        await desk.present(issued, issued)


async def test_the_revocation_list_names_what_is_revoked_and_not_what_has_expired(desk: Desk) -> None:
    issued, other = await desk.add(), await desk.add()
    async with desk.database.transaction() as db:
        sha256 = bytes.fromhex(issued.certificate.sha256)
        await identity.revoke_certificate(db, distributor_id=issued.distributor_id, sha256=sha256, **BY)
        now = await identity.revocation_list(db, authority=desk.authority, now=NOW)
        later = await identity.revocation_list(db, authority=desk.authority, now=NOW + timedelta(days=91))
    listed = {entry.serial_number for entry in x509.load_pem_x509_crl(now.encode())}
    assert listed == {int(issued.certificate.serial, 16)}
    assert int(other.certificate.serial, 16) not in listed
    assert list(x509.load_pem_x509_crl(later.encode())) == []


async def test_a_suspended_distributor_is_refused_until_it_is_activated(desk: Desk) -> None:
    issued = await desk.add()
    async with desk.database.transaction() as db:
        await identity.set_distributor(db, distributor_id=issued.distributor_id, status="suspended", **BY)
    with pytest.raises(identity.DistributorSuspended):
        await desk.present(issued, issued)
    async with desk.database.transaction() as db:
        await identity.set_distributor(db, distributor_id=issued.distributor_id, status="active", **BY)
    await desk.present(issued, issued)


async def test_a_backfill_grant_counts_until_its_end(desk: Desk) -> None:
    issued = await desk.add()
    until = NOW + timedelta(days=3)
    async with desk.database.transaction() as db:
        await identity.grant_backfill(db, distributor_id=issued.distributor_id, limit=500, until=until, **BY)
    assert (await desk.present(issued, issued, now=until - timedelta(seconds=1))).batches_per_hour == 500
    assert (await desk.present(issued, issued, now=until)).batches_per_hour == 10


async def test_settings_of_a_distributor_change_alone(desk: Desk) -> None:
    issued = await desk.add()
    async with desk.database.transaction() as db:
        await identity.set_distributor(db, distributor_id=issued.distributor_id, require_v2=True, **BY)
        await identity.set_distributor(db, distributor_id=issued.distributor_id, batches_per_hour=60, **BY)
    found = await desk.present(issued, issued)
    assert (found.require_v2, found.batches_per_hour) == (True, 60)
    async with desk.database.transaction() as db:
        await identity.set_distributor(db, distributor_id=issued.distributor_id, require_v2=False, **BY)
    found = await desk.present(issued, issued)
    assert (found.require_v2, found.batches_per_hour) == (False, 60)


async def test_an_unknown_distributor_cannot_be_changed(desk: Desk) -> None:
    with pytest.raises(identity.DistributorUnknown):
        await desk.rotate("dist_unknown")
    async with desk.database.transaction() as db:
        with pytest.raises(identity.DistributorUnknown):
            await identity.set_distributor(db, distributor_id="dist_unknown", require_v2=True, **BY)
        with pytest.raises(identity.DistributorUnknown):
            await identity.grant_backfill(db, distributor_id="dist_unknown", limit=1, until=NOW, **BY)
        assert await audit.read(db) == []


async def test_the_list_shows_credentials_and_no_secret(desk: Desk) -> None:
    issued = await desk.add(distributor_id="dist_c4f9")
    new = await desk.rotate("dist_c4f9", now=NOW + timedelta(minutes=1))
    async with desk.database.reads.acquire() as db:
        (account,) = await identity.list_distributors(db)
    assert account.distributor_id == "dist_c4f9"
    assert [pin.sha256 for pin in account.certificates] == [new.certificate.sha256, issued.certificate.sha256]
    assert [pin.revoked_at for pin in account.certificates] == [None, NOW + timedelta(days=14, minutes=1)]
    assert [key.key_id for key in account.keys] == [new.api_key_id, issued.api_key_id]
    for secret in (issued.api_key, issued.signing_secret, new.api_key, new.signing_secret):
        assert secret not in repr(account)


async def test_secrets_are_nowhere_in_the_database(desk: Desk) -> None:
    issued = await desk.add()
    assert issued.certificate.key_pem is not None
    planted = [issued.api_key, issued.signing_secret, *issued.certificate.key_pem.splitlines()[1:-1]]
    async with desk.database.reads.acquire() as db:
        tables = ("distributor", "distributor_certificate", "distributor_key", "distributor_secret", "audit_event")
        for table in tables:
            text = str(await db.fetch(f"SELECT * FROM {table}"))
            for secret in planted:
                assert secret not in text, table


async def test_every_change_is_on_record(desk: Desk) -> None:
    issued = await desk.add()
    await desk.rotate(issued.distributor_id)
    who: dict[str, Any] = {"distributor_id": issued.distributor_id} | BY
    async with desk.database.transaction() as db:
        await identity.set_distributor(db, require_v2=True, **who)
        await identity.grant_backfill(db, limit=500, until=NOW + timedelta(days=1), **who)
        await identity.revoke_certificate(db, sha256=bytes.fromhex(issued.certificate.sha256), **who)
        await identity.revoke_key(db, key_id=issued.api_key_id, **who)
        recorded = [(event.action, event.subject, event.actor) for event in reversed(await audit.read(db))]
    assert recorded == [
        (f"distributor.{action}", issued.distributor_id, "cli:root")
        for action in (
            "added",
            "credentials_issued",
            "rotated",
            "credentials_issued",
            "changed",
            "backfill_granted",
            "certificate_revoked",
            "key_revoked",
        )
    ]


async def test_signing_secrets_move_to_a_new_key_encryption_key(desk: Desk) -> None:
    issued = await desk.add()
    moved = Keyring(KeyProvider(root=b"\x03" * 32, keks=(b"\x02" * 32, b"\x01" * 32)))
    async with desk.database.transaction() as db:
        assert await identity.rewrap_secrets(db, keyring=moved, **BY) == 1
        assert await identity.rewrap_secrets(db, keyring=moved, **BY) == 0
    desk.keyring = Keyring(KeyProvider(root=b"\x03" * 32, keks=(b"\x02" * 32,)))
    assert (await desk.present(issued, issued)).signing_secrets == (issued.signing_secret.encode(),)


async def test_credentials_are_judged_by_index_lookups_alone(desk: Desk) -> None:
    from altcredit.engine.identity import store

    for _ in range(3):
        await desk.add()
    async with desk.database.transaction() as db:
        await db.execute("SET LOCAL enable_seqscan = off")
        plan = await db.fetch("EXPLAIN " + store.BY_CREDENTIALS, bytes(32), bytes(32), NOW)
        plan += await db.fetch("EXPLAIN " + store.AUTHENTICATE, bytes(32), NOW)
    assert not [row[0] for row in plan if "Seq Scan" in row[0]]
