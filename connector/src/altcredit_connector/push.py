"""``push``: read the ERP, queue what is new, send the queue, show what became of it."""

import json
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from altcredit_connector import wire
from altcredit_connector.altscore import AltScore
from altcredit_connector.config import Config, Secrets
from altcredit_connector.journal import Journal
from altcredit_connector.quality import Quality
from altcredit_connector.sending import Outcomes, Patience, Progress, Sender
from altcredit_connector.sources import csv_file, sap, tally
from altcredit_connector.staging import IST, MAX_RECORDS, SourceError, Stage, Staged, Window


@dataclass(slots=True)
class Reading:
    """What was read and queued in this run; ``failed`` says why reading ended early."""

    quality: Quality = field(default_factory=Quality)
    batches: int = 0
    records: int = 0
    unchanged: int = 0
    reversed: int = 0
    gaps: list[str] = field(default_factory=list)
    failed: str | None = None

    def add(self, staged: Staged) -> None:
        """Count what one window brought."""
        self.batches += staged.batches
        self.records += staged.records
        self.unchanged += staged.unchanged
        self.reversed += staged.reversed
        if staged.gap:
            self.gaps.append(f"{staged.gap[0]} to {staged.gap[1]}")


def windows(
    config: Config, secrets: Secrets | None, journal: Journal, reading: Reading, *, now: datetime
) -> Iterator[Window]:
    """Yield the windows of the configured source, one after the other: each is staged before the next is read."""
    today = now.astimezone(IST).date()
    if config.erp == "csv":
        yield from csv_file.windows(config, journal, reading.quality, today=today)
    elif config.erp == "tally_prime":
        yield from tally.windows(config, journal, reading.quality, today=today)
    else:
        assert secrets is not None, "SAP needs a password"
        yield from sap.windows(config, secrets, journal, reading.quality, today=today)


def read(config: Config, secrets: Secrets | None, journal: Journal, progress: Progress, *, now: datetime) -> Reading:
    """Queue what is new in the ERP since the last run; an ERP that fails half way keeps what was read so far."""
    reading = Reading()
    try:
        stage = Stage(
            journal,
            distributor_id=config.distributor_id,
            now=now,
            new_id=lambda: str(uuid.uuid4()),
            limit=MAX_RECORDS,
        )
        for staged in stage.run(windows(config, secrets, journal, reading, now=now)):
            reading.add(staged)
            progress.say(f"{reading.records:,} new or changed records in {reading.batches:,} batches")
    except SourceError as error:
        reading.failed = str(error)
    return reading


def write_out(config: Config, secrets: Secrets, journal: Journal, folder: Path, *, now: datetime) -> list[Path]:
    """Write every queued body as it would be sent, and ``manifest.json`` with ids and headers, the API key left out."""
    folder.mkdir(parents=True, exist_ok=True)
    manifest, paths = [], []
    for number, batch in enumerate(journal.batches("queued"), start=1):
        path = folder / f"{number:04d}-{batch.batch_id}.json"
        body = journal.body(batch.batch_id)
        path.write_bytes(body)
        paths.append(path)
        manifest.append(
            {
                "file": path.name,
                "batch_id": batch.batch_id,
                "records": batch.records,
                "sync_from": batch.sync_from,
                "sync_to": batch.sync_to,
                "sha256": batch.sha256,
                "headers": wire.headers(
                    erp=config.erp,
                    batch_id=batch.batch_id,
                    payload=body,
                    signing_secret=secrets.signing_secret,
                    at=int(now.timestamp()),
                ),
            }
        )
    content = {"url": f"{config.base_url}/v1/ingest/batch", "written_at": now.isoformat(), "batches": manifest}
    (folder / "manifest.json").write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", "utf-8")
    return paths


def send(journal: Journal, server: AltScore, progress: Progress, patience: Patience) -> Outcomes:
    """Send what is queued and ask what became of it; raises ``Denied``."""
    return Sender(journal, server, patience=patience, progress=progress).run()


def quarantined(outcomes: Outcomes) -> list[dict[str, Any]]:
    """Return the records that AltScore could not use, with its reasons and the batch."""
    return [
        {"batch_id": batch_id, **record}
        for batch_id, answer in outcomes.finished.items()
        for record in answer.get("quarantined_records") or ()
    ]


def result(reading: Reading, outcomes: Outcomes | None) -> dict[str, Any]:
    """Return what a run did as plain JSON values; without ``outcomes`` nothing was sent."""
    report: dict[str, Any] = {
        "data_quality": reading.quality.as_json(),
        "read": {
            "records": reading.records,
            "batches": reading.batches,
            "unchanged": reading.unchanged,
            "reversed": reading.reversed,
            "gaps": reading.gaps,
            "failed": reading.failed,
        },
    }
    if outcomes is None:
        return report
    return report | {
        "sent": {
            "accepted": outcomes.accepted,
            "refused": [{"batch_id": batch_id, "answer": answer} for batch_id, answer in outcomes.refused],
            "still_processing": outcomes.unfinished,
            "stopped": outcomes.stopped,
        },
        "processed": [
            {name: value for name, value in answer.items() if name not in ("quarantined_records", "records")}
            for answer in outcomes.finished.values()
        ],
        "quarantined_records": quarantined(outcomes),
    }
