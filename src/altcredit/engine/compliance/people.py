"""Sections of the report about people and duties: consent, rights, grievances, incidents, retention, security."""

from collections import Counter
from collections.abc import Callable, Iterable
from datetime import date, datetime, timedelta
from typing import Any, Final

from altcredit.engine.compliance import ledgers
from altcredit.engine.compliance.figures import Chart, Figure, Section, quantile, share, table
from altcredit.engine.compliance.policy import POLICY
from altcredit.engine.compliance.regulations import REGULATIONS
from altcredit.runtime.db import Connection, Record

_ROTATION: Final = timedelta(days=182)
_HALT_SECONDS: Final = 3_600  # API-ALTSCORE-001, section 04


def scope(
    *, since: datetime, until: datetime, residency: str, fiduciary: str, environment: str, today: date
) -> Section:
    """Section 1: what the report is about, and which law asks what since when."""
    controls = [
        (
            law.name,
            control.section,
            control.title,
            control.in_force.isoformat(),
            control.status(today),
            control.how,
            f"{control.source} ({control.sure})",
        )
        for law in REGULATIONS.law
        for control in law.control
    ]
    return Section(
        key="scope",
        title="Scope",
        figures=(
            Figure(name="since", value=since.isoformat()),
            Figure(name="until", value=until.isoformat(), note="not included"),
            Figure(name="fiduciary", value=fiduciary),
            Figure(name="environment", value=environment),
            Figure(
                name="residency",
                value=residency or None,
                note="where all data is kept, as the operator asserts it (ALTCREDIT_RESIDENCY)",
            ),
            Figure(name="regulation_pack", value=REGULATIONS.version),
            Figure(name="retention_policy", value=POLICY.version),
            Figure(name="controls_in_force", value=sum(one[4] == "in force" for one in controls)),
            Figure(name="controls_due", value=sum(one[4] != "in force" for one in controls)),
        ),
        tables=(
            table(
                "Controls", ("law", "section", "title", "in force from", "status", "how", "source (how sure)"), controls
            ),
            table("Laws", ("law", "name", "source"), [(law.key, law.name, law.source) for law in REGULATIONS.law]),
        ),
    )


async def consent(db: Connection, since: datetime, until: datetime) -> Section:
    """Section 2: the ledger, the time to halt, and the replay of consent against every answer."""
    totals = await ledgers.row(db, ledgers.CONSENT_TOTALS, since, until)
    halts = [row["seconds"] for row in await ledgers.rows(db, ledgers.HALTS, since, until)]
    months = await ledgers.rows(db, ledgers.CONSENT_MONTHS, since, until)
    unconsented = await ledgers.rows(db, ledgers.UNCONSENTED, since, until)
    accesses = await ledgers.rows(db, ledgers.ACCESSES, since, until)
    answered = sum(row["calls"] for row in accesses if row["outcome"] == "OK")
    return Section(
        key="consent",
        title="Consent",
        figures=(
            Figure(name="granted", value=totals["granted"]),
            Figure(name="revoked", value=totals["revoked"]),
            Figure(name="expired", value=totals["expired"]),
            *(
                Figure(name=f"time_to_halt_{name}", value=quantile(halts, at), unit="s", note="promised: 3600")
                for name, at in (("p50", 0.50), ("p95", 0.95), ("max", 1.0))
            ),
            Figure(name="answers_replayed", value=answered, note="answers held against the ledger one by one"),
            Figure(name="reads_without_consent", value=len(unconsented)),
        ),
        tables=(
            _of("Grants", await ledgers.rows(db, ledgers.CONSENT_KINDS, since, until),
                ("channel", "language", "purpose", "granted")),
            _of("Revocations", await ledgers.rows(db, ledgers.REVOCATIONS, since, until), ("reason", "revoked")),
            _of("Reads without consent", unconsented[:100], ("at", "lender_id", "operation", "request_id")),
        ),
        charts=(
            Chart(
                title="Grants and revocations by month",
                labels=tuple(row["month"] for row in months),
                series=("granted", "revoked"),
                values=(tuple(row["granted"] for row in months), tuple(row["revoked"] for row in months)),
            ),
        ),
        notes=(
            "Time to halt is from a revocation to the last answer that stood on it: 0 s where there was none.",
            "The replay takes every answer and asks what the shop had agreed to at that moment.",
        ),
    )  # fmt: skip


async def rights(db: Connection, since: datetime, until: datetime, now: datetime) -> Section:
    """Section 3: erasure and portability, with their clocks."""
    erasures = await ledgers.rows(db, ledgers.ERASURES, since, until)
    exports = await ledgers.rows(db, ledgers.EXPORTS, since, until)
    done = [row for row in erasures if row["completed_at"]]
    produced = [row for row in exports if row["produced_at"]]
    late = [row for row in erasures if _late(row, "completed_at", now)]
    return Section(
        key="rights",
        title="Rights of data principals",
        figures=(
            Figure(name="erasures_requested", value=sum(since <= row["requested_at"] < until for row in erasures)),
            Figure(name="erasures_completed", value=len(done)),
            Figure(name="erasures_under_way", value=len(erasures) - len(done)),
            Figure(name="erasures_overdue", value=len(late)),
            Figure(name="erasure_days_max", value=_longest(done, "completed_at", timedelta(days=1)), unit="d"),
            Figure(name="exports_requested", value=len(exports)),
            Figure(name="exports_produced", value=len(produced)),
            Figure(name="exports_overdue", value=sum(_late(row, "produced_at", now) for row in exports)),
            Figure(name="export_hours_max", value=_longest(produced, "produced_at", timedelta(hours=1)), unit="h"),
        ),
        tables=(
            _of("Erasures", erasures, ("erasure_id", "requested_at", "due_at", "completed_at")),
            _of("Exports", exports, ("export_id", "requested_at", "due_at", "produced_at")),
        ),
        notes=("Lenders are refused and look-ups end in the transaction of the request for an erasure.",),
    )


async def grievances(db: Connection, since: datetime, until: datetime, now: datetime) -> Section:
    """Section 4: cases filed in the period, against the clocks that were stored at their filing."""
    cases = await ledgers.rows(db, ledgers.GRIEVANCES, since, until)
    kinds = Counter((row["grievance_type"], row["outcome"] or row["status"]) for row in cases)
    hours = [(row["resolved_at"] - row["filed_at"]) / timedelta(hours=1) for row in cases if row["resolved_at"]]
    return Section(
        key="grievances",
        title="Grievances",
        figures=(
            Figure(name="filed", value=len(cases)),
            Figure(name="resolved", value=len(hours)),
            share("acknowledged_in_24_hours", *_kept(cases, "acknowledged_at", "ack_by", now)),
            share("resolved_in_7_days", *_kept(cases, "resolved_at", "resolve_by", now)),
            share("resolved_in_30_days", *_kept(cases, "resolved_at", "escalate_by", now)),
            Figure(name="resolution_hours_p50", value=_rounded(quantile(hours, 0.5)), unit="h"),
            Figure(name="resolution_hours_p95", value=_rounded(quantile(hours, 0.95)), unit="h"),
        ),
        tables=(
            table("Cases", ("type", "outcome or status", "cases"), [(*kind, n) for kind, n in sorted(kinds.items())]),
        ),
        notes=("A clock that still runs counts for neither side.",),
    )


async def quality(db: Connection, since: datetime, until: datetime) -> Section:
    """Section 11: what distributors sent."""
    feeds = await ledgers.rows(db, ledgers.QUALITY, since, until)
    assessed = await ledgers.row(db, ledgers.ASSESSED, since, until)
    accepted, bad = sum(row["accepted"] for row in feeds), sum(row["quarantined"] for row in feeds)
    return Section(
        key="data_quality",
        title="Data quality",
        figures=(
            Figure(name="batches", value=sum(row["batches"] for row in feeds)),
            Figure(name="records", value=accepted + bad),
            share("quarantined", bad, accepted + bad),
            share("assessments_without_score", assessed["insufficient"], assessed["assessments"]),
            share("assessments_of_low_confidence", assessed["low_confidence"], assessed["assessments"]),
        ),
        tables=(
            _of("Distributors", feeds,
                ("distributor_id", "batches", "accepted", "quarantined", "completeness", "watermark")),
        ),
    )  # fmt: skip


async def security(db: Connection, since: datetime, until: datetime, now: datetime) -> Section:
    """Section 12: keys, certificates, refused calls, and the audit log."""
    keys = await ledgers.rows(db, ledgers.SIGNING)
    certificates = await ledgers.row(db, ledgers.CERTIFICATES, now)
    refused = await ledgers.rows(db, ledgers.REFUSED_SIGN_INS, since, until)
    audited = await ledgers.rows(db, ledgers.AUDITED, since, until)
    unsealed = await ledgers.row(db, ledgers.UNSEALED, since, until)
    accesses = await ledgers.rows(db, ledgers.ACCESSES, since, until)
    looks = await ledgers.rows(db, ledgers.VERIFIED, since, until)
    resumed = await ledgers.rows(db, ledgers.RESUMED, since, until)
    ages = [(row, now - (row["activated_at"] or row["created_at"])) for row in keys if row["state"] == "active"]
    return Section(
        key="security",
        title="Security",
        figures=(
            Figure(
                name="oldest_signing_key_days",
                value=max((age.days for _, age in ages), default=None),
                unit="d",
                note=f"rotated at {_ROTATION.days}",
            ),
            Figure(name="signing_keys_overdue", value=sum(age > _ROTATION + timedelta(days=1) for _, age in ages)),
            Figure(name="client_certificates", value=certificates["live"]),
            Figure(name="client_certificates_ending_in_14_days", value=certificates["ending"]),
            Figure(name="refused_sign_ins", value=sum(row["events"] for row in refused)),
            Figure(name="refused_score_calls", value=sum(row["calls"] for row in accesses if row["outcome"] != "OK")),
            Figure(name="audit_events", value=sum(row["events"] for row in audited)),
            Figure(name="audit_events_unsealed", value=unsealed["events"], note="without a leaf in the signed tree"),
            Figure(name="audit_verifications", value=len(looks), note="looks at the sealed logs in this period"),
            Figure(name="audit_verifications_full", value=sum(row["was_full"] for row in looks)),
            Figure(name="audit_verifications_failed", value=sum(not row["holds"] for row in looks)),
            Figure(name="audit_breaks", value=len(resumed), note="times that sealing went on after a restore"),
        ),
        tables=(
            table("Signing keys", ("purpose", "key", "active since", "days"),
                  [(row["purpose"], row["kid"], row["activated_at"], age.days) for row, age in ages]),
            _of("Audit log", audited, ("subject", "events")),
            _of("Refused sign-ins", refused, ("action", "events")),
            table("Verifications of the audit log", ("at", "result", "extent", "tree size", "root"),
                  [(row["at"], "holds" if row["holds"] else "BROKEN", "full" if row["was_full"] else "new rows",
                    row["tree_size"], row["root"]) for row in looks[:20]]),
            _of("Breaks in the audit log", resumed, ("at", "actor", "lost_rows", "reason")),
        ),
        notes=("`altcredit audit verify` proves the sealed logs row by row; each run is an audit event itself.",),
    )  # fmt: skip


async def incidents(db: Connection, since: datetime, until: datetime, now: datetime) -> Section:
    """Section 13: the breach register."""
    found = await ledgers.rows(db, ledgers.BREACHES, since, until)
    late = [
        row
        for row in found
        if any((row[one] or now + row["behind"]) > row["notify_by"] for one in ("board_at", "principals_at"))
    ]
    return Section(
        key="incidents",
        title="Incidents",
        figures=(
            Figure(name="breaches", value=len(found)),
            Figure(name="people_affected", value=sum(row["affected"] for row in found)),
            Figure(name="breaches_open", value=sum(row["closed_at"] is None for row in found)),
            Figure(name="breaches_told_late", value=len(late)),
        ),
        tables=(
            _of("Breaches", found, ("breach_id", "nature", "severity", "affected", "aware_at", "notify_by", "board_at",
                                    "principals_at", "closed_at")),
        ),
    )  # fmt: skip


async def retention(db: Connection, now: datetime) -> Section:
    """Section 14: what is kept for how long, and what should have gone."""
    backlog = await ledgers.rows(db, ledgers.BACKLOG, now)
    return Section(
        key="retention",
        title="Retention",
        figures=(
            Figure(name="policy", value=POLICY.version),
            Figure(name="backups_kept_days", value=POLICY.backups.keep_days, unit="d"),
            Figure(name="overdue_for_deletion", value=sum(row["overdue"] for row in backlog)),
        ),
        tables=(
            table("Kept", ("what", "for", "ended by"), [(one.what, one.period, one.done_by) for one in POLICY.kept]),
            table("Stays after an erasure", ("what", "years", "why"),
                  [(one.what, one.years, one.why) for one in POLICY.stays]),
            _of("Overdue for deletion", backlog, ("what", "overdue")),
        ),
    )  # fmt: skip


_EXCEPTIONS: Final[tuple[tuple[str, str, Callable[[Any], bool]], ...]] = (
    ("consent", "reads_without_consent", bool),
    ("consent", "time_to_halt_max", lambda value: value > _HALT_SECONDS),
    ("rights", "erasures_overdue", bool),
    ("rights", "exports_overdue", bool),
    ("grievances", "acknowledged_in_24_hours", lambda value: value < 1),
    ("grievances", "resolved_in_7_days", lambda value: value < 1),
    ("grievances", "resolved_in_30_days", lambda value: value < 1),
    ("decisions", "reviews_late", bool),
    ("models", "promotions_by_one_person", bool),
    ("stability", "score_psi_alert", bool),
    ("stability", "feature_psi_alerts", bool),
    ("reasons", "promise_kept", lambda value: value < 1),
    ("security", "signing_keys_overdue", bool),
    ("security", "audit_verifications", lambda value: value == 0),
    ("security", "audit_verifications_failed", bool),
    ("security", "audit_breaks", bool),
    ("security", "client_certificates_ending_in_14_days", bool),
    ("incidents", "breaches_told_late", bool),
    ("retention", "overdue_for_deletion", bool),
)


async def exceptions(db: Connection, sections: Iterable[Section]) -> Section:
    """Section 15: every figure above that is not as promised, and work that waits for an operator."""
    by_key = {one.key: one for one in sections}
    found: list[tuple[Any, ...]] = []
    for key, name, broken in _EXCEPTIONS:
        value = by_key[key].figure(name).value
        if value is not None and broken(value):
            found.append((by_key[key].title, name, value))
    if by_key["scope"].figure("residency").value is None:
        found.append(("Scope", "residency", "not asserted"))
    held = await ledgers.row(db, ledgers.HELD)
    found += [("Operation", f"{name}_held", held[name]) for name in ("jobs", "events") if held[name]]
    return Section(
        key="exceptions",
        title="Exceptions",
        figures=(Figure(name="exceptions", value=len(found)),),
        tables=(table("Exceptions", ("section", "figure", "value"), found),),
    )


def _of(title: str, rows: Iterable[Record], columns: tuple[str, ...]) -> Any:
    return table(title, columns, [[row[name] for name in columns] for row in rows])


def _late(row: Record, done: str, now: datetime) -> bool:
    return bool((row[done] or now + row["behind"]) > row["due_at"])


def _longest(rows: Iterable[Record], done: str, unit: timedelta) -> float | None:
    return _rounded(max(((row[done] - row["requested_at"]) / unit for row in rows), default=None))


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 2)


def _kept(cases: Iterable[Record], done: str, by: str, now: datetime) -> tuple[int, int]:
    """Return how many cases met a clock, of those whose clock was met or has run out."""
    judged = [
        (row[done] or now + row["behind"]) <= row[by] for row in cases if row[done] or now + row["behind"] > row[by]
    ]
    return sum(judged), len(judged)
