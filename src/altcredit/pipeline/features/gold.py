"""Gold: one row of features, and of what an assessment needs besides, for each retailer as of a day."""

from collections.abc import Container, Iterator, Sequence
from datetime import date
from typing import Any, Final

import ibis
import pyarrow as pa

from altcredit.engine.scoring import Standing
from altcredit.pipeline.features import accounts as account_rows
from altcredit.pipeline.features import ledger, norms
from altcredit.pipeline.features.accounts import BILLS, COVERAGE, NORMS, beside
from altcredit.pipeline.features.catalogue import CATALOGUE
from altcredit.pipeline.features.ledger import ALIASES, MONTHS, SCOPE
from altcredit.pipeline.lake.engine import DuckSession, Lake, compiled
from altcredit.pipeline.lake.reading import Part, parts, read
from altcredit.pipeline.lake.tables import NOW, Snapshot, day_number, end_of_day

Scope = Sequence[tuple[str, str]]

ROWS_PER_PART: Final = 5_000_000
NAMED_PART: Final = 2_000
"""Up to so many retailers are looked up one by one; more are read in ranges."""

DEFAULT_FLOOR_PAISE: Final = 1_000_00.0
DEFAULT_SHARE: Final = 0.10
FEED_SHARE: Final = 0.10

GOLD: Final = pa.schema(
    [
        ("retailer_id", pa.string()),
        ("as_of", pa.date32()),
        *((name, pa.float64()) for name in CATALOGUE),
        ("completeness", pa.float64()),
        ("history_days", pa.int64()),
        ("matured_credit_bills", pa.int64()),
        ("has_payment_data", pa.bool_()),
        ("in_default", pa.bool_()),
        ("gmv_6m_inr", pa.int64()),
        ("gmv_month_median_inr", pa.int64()),
        ("overdue_inr", pa.int64()),
        ("feed", pa.list_(pa.string())),
    ]
)


def retailers(as_of: date) -> Any:
    """Return gold from the tables that ``accounts`` needs and ``documents`` and ``bills``."""
    owned = account_rows.accounts(as_of)
    total = owned.gmv_180.sum().over(group_by="retailer_id")
    owned = owned.mutate(main=(total <= 0) | (owned.gmv_180 >= FEED_SHARE * total))
    tables = {"accounts": owned, "bills": ibis.table(BILLS, name="bills"), "orders": ledger.orders(as_of)}
    rows = owned.group_by("retailer_id").agg(**_of("accounts", owned), **_standing(owned))
    for over in ("bills", "orders"):
        rows = beside(rows, tables[over].group_by("retailer_id").agg(**_of(over, tables[over])), ("retailer_id",))
    median = ibis.array([rows[f"month_{k}"] for k in range(MONTHS)]).sort()
    rows = rows.mutate(median=(median[MONTHS // 2 - 1] + median[MONTHS // 2]) / 2)
    rupees = {name: (rows[name].clip(lower=0) / 100).floor().cast("int64") for name in ("gmv_6m", "median", "overdue")}
    features = {
        name: rows[name].cast("float64") if feature.over else ibis.null("float64")
        for name, feature in CATALOGUE.items()
    }
    return rows.select(
        "retailer_id",
        as_of=ibis.literal(as_of),
        **features,
        completeness=rows.completeness_score,
        history_days=rows.history_days,
        matured_credit_bills=rows.matured_bills,
        has_payment_data=rows.has_payment_data,
        in_default=rows.in_default,
        gmv_6m_inr=rupees["gmv_6m"],
        gmv_month_median_inr=rupees["median"],
        overdue_inr=rupees["overdue"],
        feed=rows.feed,
    )


def _of(over: str, table: Any) -> dict[str, Any]:
    """Return the catalogue's features over one table of the ledger, by name."""
    return {
        name: feature.expression(table)
        for name, feature in CATALOGUE.items()
        if feature.over == over and feature.expression is not None
    }


def _standing(account: Any) -> dict[str, Any]:
    """Return what an assessment needs besides features, from the accounts of a retailer."""
    months = {f"month_{k}": account[f"month_{k}"].sum() for k in range(MONTHS)}
    return {
        **months,
        "history_days": account.first_bill_age.max().cast("int64"),
        "matured_bills": account.matured.sum().cast("int64"),
        "has_payment_data": account.payments.sum() > 0,
        "in_default": account.dpd30.sum() >= material(account.gmv_180.sum(), account.first_bill_age.max()),
        "gmv_6m": (account.collected_180 + account.cash_180 - account.returns_180).sum(),
        "overdue": account.overdue.sum(),
        "feed": account.distributor_id.collect(where=account.main).sort(),
    }


def material(net: Any, history: Any) -> Any:
    """Return the least balance in paise that is a default (contract A9): max(₹1,000, 10 % of the mean month's net
    purchases), the mean over 180 days or, where it is shorter, over the history, but at least a month."""
    months = (history / 30.0).clip(lower=1.0, upper=float(MONTHS))
    return ibis.greatest(DEFAULT_SHARE * net / months, DEFAULT_FLOOR_PAISE)


def gold(
    lake: Lake,
    snapshot: Snapshot,
    *,
    as_of: date,
    scope: Scope | None,
    distributor_norms: pa.Table | None = None,
    known_now: bool = False,
) -> pa.Table:
    """
    Return one row a retailer that has a bill: every feature of the catalogue (float64, null where unknown) and the
    columns of a Standing (see :func:`standings`), from documents dated up to ``as_of``.

    They are taken as known at the end of that day (midnight UTC), which is what models learn from; with ``known_now``
    as known now: a batch that brings yesterday's documents today is then part of yesterday.

    Only the accounts (retailer_id, distributor_id) in ``scope`` are used (contract C2); None uses all. Without
    ``distributor_norms`` (columns of NORMS) the norms are those of the scope itself.
    """
    with lake.session() as session:
        given = Inputs(session, lake, snapshot, scope)
        if distributor_norms is None:
            distributor_norms = given.norms(as_of, known_now=known_now)
        session.give("norms", distributor_norms)
        tables = [given.gold(part, as_of, known_now=known_now) for part in given.parts]
    return pa.concat_tables(tables)


def measure_norms(
    lake: Lake, snapshot: Snapshot, *, as_of: date, scope: Scope | None, known_now: bool = False
) -> pa.Table:
    """Return the norms of distributors (columns of NORMS) as of a day, of the accounts in scope."""
    with lake.session() as session:
        return Inputs(session, lake, snapshot, scope).norms(as_of, known_now=known_now)


class Inputs:
    """The tables of a session from which gold and labels are computed, part by part."""

    def __init__(self, session: DuckSession, lake: Lake, snapshot: Snapshot, scope: Scope | None) -> None:
        self.session, self.lake, self.snapshot = session, lake, snapshot
        self.scoped = scope is not None
        self.aliased = bool(snapshot.aliases)
        self._current: tuple[Part, int, date] | None = None
        accounts = [(snapshot.aliases.get(retailer, retailer), distributor) for retailer, distributor in scope or ()]
        self.parts = self._parts({retailer for retailer, _ in accounts})
        columns = list(zip(*set(accounts), strict=True)) or [(), ()]
        session.give("scope", pa.table(dict(zip(SCOPE, columns, strict=True)), schema=SCOPE.to_pyarrow()))
        merged = {"alias_id": list(snapshot.aliases), "survivor_id": list(snapshot.aliases.values())}
        session.give("aliases", pa.table(merged, schema=ALIASES.to_pyarrow()))
        spans = [
            {"distributor_id": distributor, "first_day": day_number(first), "last_day": day_number(last)}
            for distributor, feed in snapshot.feeds.items()
            for first, last in feed.coverage
        ]
        session.give("coverage", pa.Table.from_pylist(spans, schema=COVERAGE.to_pyarrow()))

    def _parts(self, wanted: set[str]) -> list[Part]:
        if self.scoped and len(wanted) <= NAMED_PART:
            return [Part(retailers=tuple(sorted(wanted)))]
        return parts(self.snapshot, rows=ROWS_PER_PART)

    def documents(self, part: Part, *, known_us: int, through: date) -> None:
        """Make ``documents`` of a part, unless they are what was made last."""
        if self._current == (part, known_us, through):
            return
        read(self.session, self.lake, self.snapshot, part)
        self.make("documents", ledger.documents, known_us, through, self.scoped, self.aliased)
        self._current = (part, known_us, through)

    def norms(self, as_of: date, *, known_now: bool = False) -> pa.Table:
        """Return NORMS of all parts as of a day, as known at its end or (``known_now``) as known now."""
        known_us = NOW if known_now else end_of_day(as_of)
        kinds: dict[str, list[pa.Table]] = {"growths": [], "term_counts": [], "feed_counts": []}
        for number, part in enumerate(self.parts):
            self.documents(part, known_us=known_us, through=as_of)
            kinds["growths"].append(self.fetch(norms.growths, as_of))
            kinds["term_counts"].append(self.fetch(norms.term_counts))
            kinds["feed_counts"].append(self.fetch(norms.feed_counts, as_of, known_us))
            if number == 0:
                kinds["feed_counts"].append(self.fetch(norms.unresolved_counts, as_of, known_us))
        for name, tables in kinds.items():
            schema = {"growths": norms.GROWTHS, "term_counts": norms.TERM_COUNTS, "feed_counts": norms.FEED_COUNTS}
            whole = pa.concat_tables([table.cast(schema[name].to_pyarrow()) for table in tables])
            self.session.give(name, whole)
        return self.fetch(norms.norms).cast(NORMS.to_pyarrow())

    def gold(self, part: Part, as_of: date, *, known_now: bool) -> pa.Table:
        """Return gold of one part."""
        self.documents(part, known_us=NOW if known_now else end_of_day(as_of), through=as_of)
        self.make("money", ledger.money)
        self.make("bills", ledger.bills, as_of)
        return self.fetch(retailers, as_of).cast(GOLD)

    def make(self, name: str, build: Any, *arguments: Any) -> None:
        """Compute an expression into a table of the session."""
        self.session.make(name, compiled(self.session.dialect, build, *arguments))

    def fetch(self, build: Any, *arguments: Any) -> pa.Table:
        """Compute an expression and return its rows."""
        return self.session.fetch(compiled(self.session.dialect, build, *arguments))


def standings(table: pa.Table, *, gst_registered: Container[str] | None = None) -> Iterator[Standing]:
    """
    Yield gold's rows as the engine takes them. ``gst_registered`` holds the retailers with a GSTIN; None: not known.

    Feature values are floats, None where the ledgers cannot tell.
    """
    for row in table.to_pylist():
        features = {name: row.pop(name) for name in CATALOGUE}
        if gst_registered is not None:
            features["gst_registered"] = 1.0 if row["retailer_id"] in gst_registered else 0.0
        yield Standing(features=features, **(row | {"feed": tuple(row["feed"])}))
