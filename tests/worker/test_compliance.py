"""The jobs of compliance, as the worker runs them."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

from altcredit.engine import compliance
from altcredit.runtime.platform import opened
from altcredit.runtime.settings import Settings
from altcredit.worker import HANDLERS, SCHEDULES, Work
from altcredit.worker.work import Kept
from tests.pipeline.test_rights import _trading

NOW = datetime(2026, 5, 20, 6, 0, tzinfo=UTC)


async def test_what_is_due_is_done_by_the_hour_and_an_export_when_it_is_asked_for(
    database_url: str, tmp_path: Path
) -> None:
    moments = [NOW]
    settings = Settings(home=str(tmp_path), database_url=database_url, log_level="error")
    async with opened(settings, database_url) as platform:
        work = Work(platform=platform, clock=lambda: moments[-1], kept=Kept())
        try:
            first, second = await _trading(platform)
            async with platform.database.transaction() as db:
                asked = await compliance.export(
                    db, keyring=platform.keyring, retailer_id=second, requested_by="t", now=NOW
                )
                erasure = await compliance.request_erasure(
                    db, keyring=platform.keyring, retailer_id=first, requested_by="t", reason="r", now=NOW
                )
            await HANDLERS["compliance.export"].run(work, [{"export_id": asked.export_id}])
            async with platform.database.transaction() as db:
                made = await compliance.find_export(
                    db, keyring=platform.keyring, export_id=asked.export_id, now=moments[-1]
                )
            assert made.status == "produced"
            for hours in range(0, 24 * 30, 12):
                moments.append(NOW + timedelta(hours=hours))
                await HANDLERS["compliance.run"].run(work, [])
            async with platform.database.transaction() as db:
                done = await compliance.find_erasure(db, erasure_id=erasure.erasure_id)
                gone = await compliance.find_export(
                    db, keyring=platform.keyring, export_id=asked.export_id, now=moments[-1]
                )
            assert done.certificate is not None
            assert not done.overdue(moments[-1])
            assert gone.status == "expired"
        finally:
            await work.kept.close()
    assert "compliance.run" in {one.job for one in SCHEDULES}
