"""
From bronze to silver: documents in lines, each resolved to a shop, each with the time during which it was known.

One rule for all paths: ``silver(silver(a) + b) == silver(a + b)``. So the base is only silver kept on disk, and a
refresh applies the same expression to a few shops' part of the base and the batches since.

- A record that was more than 30 days old when received, in a batch of which at least half the records were (a
  *backfill*), would have been known earlier, had the feed been running: ``known_us`` is the end of its document date
  plus the distributor's 90th percentile of posting lag. This holds for the first version of a document only: a
  correction is known from its receipt, as is all else.
- A version that equals the one before it (an exact re-send) is dropped.
- A payment or credit note that names no shop belongs to the shop of its invoice, from when both were known; if a later
  version of the invoice moves it to another shop, the money moves along. Until the invoice comes, it waits.
"""

from typing import Any

import ibis

from altcredit.pipeline.lake.engine import DuckSession, compiled
from altcredit.pipeline.lake.tables import BATCHES, BRONZE, DAY_US, FOREVER, INDEX, KNOWN, LINES, RECORDS, SILVER

BACKFILL_AGE_DAYS = 30
BACKFILL_SHARE = 0.5

DOCUMENT = ("distributor_id", "kind", "document_id")
VERSION = (*DOCUMENT, "seq", "row_number")


def view_lines(session: DuckSession, *others: str) -> None:
    """Name ``lines``: LINES from the tables ``bronze`` and ``batches``, and those of the tables ``others``."""
    session.make("dated_batches", compiled(session.dialect, _dated_batches))
    session.view("records", compiled(session.dialect, _records))
    session.view("lines", compiled(session.dialect, _lines, others))


def view_silver(session: DuckSession) -> None:
    """
    Name ``silver``: SILVER from the table ``lines`` of any provenance, bronze or silver itself.

    Only what is small is kept in between (documents with several versions); the rest streams.
    """
    session.make("repeated", compiled(session.dialect, _repeated))
    session.make("revised", compiled(session.dialect, _revised))
    session.view("known", compiled(session.dialect, _known))
    session.view("silver", compiled(session.dialect, _resolved))


def _dated_batches() -> Any:
    """Batches of ``bronze`` with whether they are a backfill."""
    rows = ibis.table(BRONZE, name="bronze")
    found = rows.group_by("batch_id").agg(backfill=_old(rows).ifelse(1.0, 0.0).mean() >= BACKFILL_SHARE)
    return ibis.table(BATCHES, name="batches").join(found, "batch_id")


def _records() -> Any:
    """Rows of ``bronze`` with the order of their batch and when a backfilled one would have been known."""
    batches = ibis.table({**BATCHES, "backfill": "boolean"}, name="dated_batches")
    rows = ibis.table(BRONZE, name="bronze").join(batches, "batch_id")
    day_us = rows.document_date.epoch_days().cast("int64") * DAY_US
    posted = ibis.least(day_us + (rows.lag_days + 1) * DAY_US - 1, rows.received_us)
    return rows.mutate(backfill_us=ibis.cases((rows.backfill & _old(rows), posted))).select(*RECORDS)


def _old(rows: Any) -> Any:
    age_us = rows.received_us - rows.document_date.epoch_days().cast("int64") * DAY_US
    return age_us > BACKFILL_AGE_DAYS * DAY_US


def _lines(others: tuple[str, ...]) -> Any:
    records = ibis.table(RECORDS, name="records")
    stated = records.allocations.length().fill_null(0)
    fresh = (_whole(records.filter(stated == 0)), *_parts(records.filter(stated > 0)))
    return ibis.union(*fresh, *(ibis.table(LINES, name=name) for name in others), distinct=False)


def _whole(records: Any) -> Any:
    """Records that are one line."""
    return _line(
        records,
        line=ibis.literal(0),
        invoice_id=records.invoice_id,
        on_account=ibis.literal(False),
        amount_paise=records.amount_paise,
    )


def _parts(records: Any) -> tuple[Any, Any]:
    """Payments that state several bills: a line for each, and line 0 for what is left over."""
    told = records.allocations.map(lambda part: part.amount_paise).sums()
    rest = records.mutate(rest=records.amount_paise - told, through=records.allocations[0].invoice_id)
    rest = rest.filter(rest.rest > 0)
    left_over = _line(
        rest,
        line=ibis.literal(0),
        invoice_id=ibis.cases((rest.retailer_id.isnull(), rest.through)),
        on_account=ibis.literal(True),
        amount_paise=rest.rest,
    )
    part = records.unnest("allocations", offset="position")
    stated = _line(
        part,
        line=part.position + 1,
        invoice_id=part.allocations.invoice_id,
        on_account=ibis.literal(False),
        amount_paise=part.allocations.amount_paise,
    )
    return stated, left_over


def _line(records: Any, **columns: Any) -> Any:
    records = records.mutate(**columns, named=records.retailer_id.notnull(), original=ibis.literal(True))
    return records.select(**{name: records[name].cast(kind) for name, kind in LINES.items()})


def _raw() -> Any:
    """The table ``lines`` as it was sent: without the further pieces and the shops that silver found."""
    lines = ibis.table(LINES, name="lines")
    lines = lines.filter(lines.original)
    return lines.mutate(retailer_id=ibis.cases((lines.named, lines.retailer_id)))


def _key(lines: Any) -> Any:
    """A number for each document. That two documents share one costs time, not truth."""
    return (lines.distributor_id + lines.kind + lines.document_id).hash()


def _repeated() -> Any:
    """Keys of documents with several versions, by the one line that every version has once."""
    lines = ibis.table(LINES, name="lines")
    lines = lines.filter(lines.original & ((lines.line == 1) | ((lines.line == 0) & ~lines.on_account)))
    keys = lines.group_by(key=_key(lines)).agg(n=lines.count())
    return keys.filter(keys.n > 1).select("key")


def _revised() -> Any:
    """Lines of documents with several versions, without exact re-sends, as KNOWN."""
    lines = _raw()
    lines = lines.mutate(key=_key(lines)).semi_join(ibis.table({"key": "int64"}, name="repeated"), "key")
    rows = lines.join(_versions(lines), VERSION).mutate(own_us=ibis._.known_us)
    return rows.select(*KNOWN)


def _known() -> Any:
    """All lines, each with the time during which its version was current, as KNOWN."""
    lines = _raw()
    lines = lines.mutate(key=_key(lines)).anti_join(ibis.table({"key": "int64"}, name="repeated"), "key")
    first = ibis.coalesce(lines.backfill_us, lines.received_us)
    alone = lines.mutate(own_us=first, known_us=first, until_us=ibis.literal(FOREVER), opens=ibis.literal(True))
    return ibis.union(alone.select(*KNOWN), ibis.table(KNOWN, name="revised"), distinct=False)


def _versions(lines: Any) -> Any:
    """Of documents with several versions: when each became known, until when it held, and whether it opens the rest."""
    content = [name for name in LINES if name not in (*VERSION, "received_us", "backfill_us", "original")]
    text = ibis.literal("|").join([lines[name].cast("string").fill_null("~") for name in content])
    versions = lines.group_by(VERSION).agg(
        # Lines of a version in no particular order, so their digests are added up; 52 bits each cannot overflow.
        digest=(text.hash() % (1 << 52)).sum().cast("int64"),
        received_us=lines.received_us.max(),
        backfill_us=lines.backfill_us.max(),
    )
    order = ibis.window(group_by=DOCUMENT, order_by=["seq", "row_number"])
    versions = versions.mutate(before=versions.digest.lag().over(order))
    versions = versions.filter(versions.before.isnull() | (versions.before != versions.digest))
    known = versions.before.isnull().ifelse(
        ibis.coalesce(versions.backfill_us, versions.received_us), versions.received_us
    )
    versions = versions.mutate(known_us=known)
    versions = versions.mutate(
        until_us=versions.known_us.lead().over(order).fill_null(FOREVER),
        first_us=versions.known_us.min().over(group_by=DOCUMENT),
    )
    # Versions of one instant hold for no time at all but the last of them, which then is what opens the document.
    opens = (versions.known_us == versions.first_us) & (versions.known_us < versions.until_us)
    return versions.select(*VERSION, "known_us", "until_us", opens=opens)


def _resolved() -> Any:
    """Give money that names no shop the shop of its invoice, piece by piece where the invoice moved."""
    lines = ibis.table(KNOWN, name="known")
    lost = lines.retailer_id.isnull() & lines.invoice_id.notnull() & (lines.kind != "invoice")
    invoices = lines.filter(lines.kind == "invoice", lines.retailer_id.notnull()).select(
        i_distributor=lines.distributor_id,
        i_document=lines.document_id,
        i_retailer=lines.retailer_id,
        i_known=lines.known_us,
        i_until=lines.until_us,
        i_opens=lines.opens,
    )
    invoices = invoices.filter(invoices.i_known < invoices.i_until)
    money = lines.filter(lost)
    money = money.left_join(
        invoices,
        [
            money.distributor_id == invoices.i_distributor,
            money.invoice_id == invoices.i_document,
            money.known_us < invoices.i_until,
            invoices.i_known < money.until_us,
        ],
    )
    from_start = (money.i_known <= money.known_us) | money.i_opens
    money = money.mutate(
        retailer_id=money.i_retailer,
        original=money.i_retailer.isnull() | from_start,
        known_us=ibis.greatest(money.known_us, money.i_known.fill_null(0)),
        until_us=ibis.least(money.until_us, money.i_until.fill_null(FOREVER)),
    )
    return ibis.union(lines.filter(~lost).select(*SILVER), money.select(*SILVER), distinct=False)


def index_lines() -> Any:
    """Return LINES from the table ``matches`` (rows of INDEX): invoices without amounts, which only tell a shop."""
    found = ibis.table(INDEX, name="matches")
    known = {name: found[name] for name in INDEX}
    filled = {"kind": "invoice", "line": 0, "named": True, "on_account": False, "original": True}
    nothing = {name: ibis.null(kind) for name, kind in LINES.items() if name not in known and name not in filled}
    columns = {**known, **{name: ibis.literal(value) for name, value in filled.items()}, **nothing}
    return found.select(**{name: columns[name].cast(kind) for name, kind in LINES.items()})
