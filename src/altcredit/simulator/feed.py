"""
What a distributor's system tells of the true ledger: with missing due dates, money on account, late postings,
duplicates, corrections, re-sent days, returned cheques and gaps.
"""

import msgspec
import numpy as np

from altcredit.simulator.ledger import Credits, Flags, Floats, History, Ints, stack, take
from altcredit.simulator.population import Population

INVOICE, PAYMENT, CREDIT_NOTE = 0, 1, 2
KINDS = ("invoice", "payment", "credit_note")

LAG_SHARE = (0.62, 0.24, 0.09, 0.04, 0.01)
"""Share of documents posted 0, 1, 2, 3 or 4 days after their date: 90 % within two days."""


class Quality(msgspec.Struct, frozen=True, kw_only=True):
    """
    How well a distributor keeps its books. Shares are of documents unless said otherwise.

    ``missing_due``: bills without a due date; ``on_account``: receipts that name no bill; ``merged``: of shops whose
    receipts of a day are one; ``cash``: of bills paid on delivery; ``resent_days``: days posted a second time, a week
    later; ``gaps``: first and last day of times in which nothing arrived, and never will.
    """

    missing_due: float = 0.02
    on_account: float = 0.05
    merged: float = 0.35
    cash: float = 0.03
    duplicates: float = 0.006
    corrections: float = 0.004
    resent_days: int = 2
    sends_returns: bool = True
    gaps: tuple[tuple[int, int], ...] = ()


CLEAN = Quality(missing_due=0, on_account=0, merged=0, cash=0, duplicates=0, corrections=0, resent_days=0)
"""Books that tell the true ledger as it is."""


class Documents(msgspec.Struct, kw_only=True):
    """
    Documents as posted, by distributor and in order of posting. A receipt that settles several bills is that many
    adjacent rows.

    ``number`` is unique within distributor and kind; ``bill`` is the number of the invoice settled or credited;
    ``version`` tells rows of one document apart that were posted more than once.
    """

    kind: Ints
    number: Ints
    bill: Ints
    line: Ints
    day: Ints
    due: Ints
    amount: Ints
    cash: Flags
    disputed: Flags
    returned: Flags
    posted: Ints
    version: Ints

    def __len__(self) -> int:
        return len(self.line)


def of_distributor(documents: Documents, population: Population, distributor: int) -> Documents:
    """Return the documents of one distributor, in order of posting; columns are views."""
    first, after = np.searchsorted(population.distributor[documents.line], [distributor, distributor + 1])
    return Documents(**{name: getattr(documents, name)[first:after] for name in Documents.__struct_fields__})


def starts(documents: Documents) -> Ints:
    """Return the positions at which a document begins (receipts over several bills have more than one row)."""
    d = documents
    if not len(d):
        return np.empty(0, np.int64)
    new = np.ones(len(d), np.bool_)
    new[1:] = (d.kind[1:] != d.kind[:-1]) | (d.number[1:] != d.number[:-1]) | (d.version[1:] != d.version[:-1])
    return np.flatnonzero(new)


class Shares(msgspec.Struct, kw_only=True):
    """The shares of Quality that differ by line."""

    missing_due: Floats
    on_account: Floats
    merged: Flags


def shares(population: Population, quality: tuple[Quality, ...], rng: np.random.Generator) -> Shares:
    """Return each line's shares, as its distributor keeps its books."""
    merged = np.array([q.merged for q in quality])[population.distributor]
    return Shares(
        missing_due=np.array([q.missing_due for q in quality])[population.distributor],
        on_account=np.array([q.on_account for q in quality])[population.distributor],
        merged=rng.random(population.lines) < merged,
    )


def post(
    *,
    population: Population,
    history: History,
    quality: tuple[Quality, ...],
    lines: Shares,
    until: int,
    rng: np.random.Generator,
    consecutive: bool = True,
) -> Documents:
    """
    Return all documents that were posted up to and with day ``until``, by distributor and in order of posting.

    ``consecutive`` gives every distributor numbers from 1 for each kind, in order of document date; without it (for
    bulk) numbers are only unique.
    """
    rows = stack([_invoices(history, lines, rng), _payments(history, lines, rng), _credit_notes(history)])
    rows.posted = rows.day + rng.choice(len(LAG_SHARE), size=len(rows), p=LAG_SHARE)
    _in_order(rows)
    distributor = population.distributor[rows.line]
    ranks = _ranks(rows, distributor) if consecutive else None
    wrong = (rows.kind == INVOICE) & (rng.random(len(rows)) < np.array([q.corrections for q in quality])[distributor])
    bounced = (rows.kind == PAYMENT) & (rows.due >= 0)
    again = _repeated(rows, wrong | bounced, distributor, quality, rng)
    rows = stack([rows, again, _corrected(rows, wrong, rng), _returned(rows, bounced)])
    if ranks is not None:
        for kind, rank in enumerate(ranks):
            mine = rows.kind == kind
            rows.number[mine] = rank[rows.number[mine]]
        named = rows.bill >= 0
        rows.bill[named] = ranks[INVOICE][rows.bill[named]]
    distributor = population.distributor[rows.line]
    return take(rows, _order(rows, _arrives(rows, distributor, quality, until), distributor))


def _ranks(rows: Documents, distributor: Ints) -> list[Ints]:
    """Return, for each kind, the consecutive number within the distributor of each number (which are 0..n-1)."""
    ranks = []
    for kind in range(len(KINDS)):
        mine = np.flatnonzero(rows.kind == kind)
        number, first = np.unique(rows.number[mine], return_index=True)
        owner, day = distributor[mine][first], rows.day[mine][first]
        order = np.lexsort((number, day, owner))
        rank = np.empty(len(number), np.int64)
        rank[order] = np.arange(len(number)) - np.searchsorted(owner[order], owner[order]) + 1
        ranks.append(rank)
    return ranks


def _arrives(rows: Documents, distributor: Ints, quality: tuple[Quality, ...], until: int) -> Flags:
    arrives = (rows.posted <= until) & (rows.day <= until)
    for d, q in enumerate(quality):
        for first, last in q.gaps:
            arrives &= ~((distributor == d) & (rows.posted >= first) & (rows.posted <= last))
        if not q.sends_returns:
            arrives &= (distributor != d) | (rows.kind != CREDIT_NOTE)
    return arrives


def _order(rows: Documents, arrives: Flags, distributor: Ints) -> Ints:
    """Return the positions of the rows that arrive, by distributor and in order of posting."""
    at = np.flatnonzero(arrives)
    assert int(rows.number.max(initial=0)) < 2**36
    posted = rows.posted[at]
    day = distributor[at] << 12 | posted - posted.min(initial=2**20)
    key = day << 42 | rows.kind[at] << 40 | rows.number[at] << 3 | rows.version[at]
    return at[np.argsort(key, kind="stable")]


def _invoices(history: History, lines: Shares, rng: np.random.Generator) -> Documents:
    bills, n = history.bills, len(history.bills)
    unknown = rng.random(n) < lines.missing_due[bills.line]
    return Documents(
        kind=np.full(n, INVOICE),
        number=np.arange(n),
        bill=np.full(n, -1),
        line=bills.line,
        day=bills.day,
        due=np.where(unknown, -1, bills.due),
        amount=bills.amount,
        cash=bills.cash,
        disputed=bills.disputed,
        returned=np.zeros(n, np.bool_),
        posted=bills.day,
        version=np.zeros(n, np.int64),
    )


def _credited(money: Credits, number: Ints, kind: int) -> Documents:
    n = len(money)
    no = np.zeros(n, np.bool_)
    return Documents(
        kind=np.full(n, kind),
        number=number,
        bill=money.bill,
        line=money.line,
        day=money.day,
        due=money.returned_on,  # until _returned has used it: the day a cheque came back
        amount=money.amount,
        cash=no,
        disputed=no,
        returned=no,
        posted=money.day,
        version=np.zeros(n, np.int64),
    )


def _credit_notes(history: History) -> Documents:
    notes = take(history.credits, history.credits.note)
    return _credited(notes, np.arange(len(notes)), CREDIT_NOTE)


def _payments(history: History, lines: Shares, rng: np.random.Generator) -> Documents:
    """Receipts: those of a day are one where the distributor does so, and some name no bill."""
    money = take(history.credits, ~history.credits.note)
    if not len(money):
        return _credited(money, np.empty(0, np.int64), PAYMENT)
    money = take(money, np.argsort(money.line << 24 | money.day, kind="stable"))
    plain = (money.returned_on < 0) & ~history.bills.cash[np.maximum(money.bill, 0)] & lines.merged[money.line]
    joins = np.zeros(len(money), np.bool_)
    joins[1:] = plain[1:] & plain[:-1] & (money.line[1:] == money.line[:-1]) & (money.day[1:] == money.day[:-1])
    number = np.cumsum(~joins) - 1
    begin = np.flatnonzero(~joins)
    receipts = len(begin)
    bound = history.bills.cash | history.bills.disputed
    loose = rng.random(receipts) < lines.on_account[money.line[begin]]
    unnamed = loose[number] | (rng.random(len(money)) < 0.2 * lines.on_account[money.line])
    money.bill = np.where(unnamed & ~bound[np.maximum(money.bill, 0)], -1, money.bill)
    total = np.add.reduceat(money.amount, begin)
    whole = loose & (np.maximum.reduceat(money.bill, begin) < 0)  # nothing named: one row with the sum
    money.amount = np.where(whole[number], total[number], money.amount)
    return take(_credited(money, number, PAYMENT), ~(whole[number] & joins))


def _in_order(rows: Documents) -> None:
    """Post all rows of a document on one day, and money no earlier than the bills it names: an ERP insists on both."""
    posted_bill = rows.posted[rows.kind == INVOICE]
    named = np.flatnonzero(rows.bill >= 0)
    rows.posted[named] = np.maximum(rows.posted[named], posted_bill[rows.bill[named]])
    begin = starts(rows)
    if len(begin):
        rows.posted = np.repeat(np.maximum.reduceat(rows.posted, begin), np.diff(np.append(begin, len(rows))))


def _returned(rows: Documents, bounced: Flags) -> Documents:
    """A returned cheque is posted as cleared first, and again as returned when the bank says so."""
    again = take(rows, bounced)
    again.posted = np.maximum(again.due, again.posted)
    again.returned = np.ones(len(again), np.bool_)
    again.due = np.full(len(again), -1)
    again.version = again.version + 1
    rows.due[bounced] = -1
    return again


def _corrected(rows: Documents, wrong: Flags, rng: np.random.Generator) -> Documents:
    """Some bills are posted with a wrong amount, and corrected 1 to 12 days later."""
    right = take(rows, wrong)
    right.posted = right.posted + rng.integers(1, 13, len(right))
    right.version = right.version + 1
    rows.amount[wrong] = np.maximum(100, rows.amount[wrong] * rng.choice([1, 12, 20], len(right)) // 10)
    return right


def _repeated(
    rows: Documents, changing: Flags, distributor: Ints, quality: tuple[Quality, ...], rng: np.random.Generator
) -> Documents:
    """Documents posted twice, unchanged: single ones, and whole days that a system sends again a week later."""
    begin = starts(rows)
    document = np.repeat(np.arange(len(begin)), np.diff(np.append(begin, len(rows))))
    again = rng.random(len(begin)) < np.array([q.duplicates for q in quality])[distributor[begin]]
    delay = rng.integers(0, 9, len(begin))
    for d, q in enumerate(quality):
        for day in rng.integers(rows.posted.min(), rows.posted.max() + 1, q.resent_days) if len(rows) else ():
            whole_day = (distributor[begin] == d) & (rows.posted[begin] == day)
            again |= whole_day
            delay[whole_day] = 7
    chosen = again[document] & ~changing
    copy = take(rows, chosen)
    copy.posted = copy.posted + delay[document[chosen]]
    copy.version = copy.version + 2
    return copy


def latest(documents: Documents, distributor: Ints) -> Documents:
    """
    Return each document once, as last posted, in order of document date: what the ERP itself holds in the end.

    ``distributor`` is that of each row.
    """
    order = np.lexsort((documents.version, documents.posted, documents.number, documents.kind, distributor))
    rows, owner = take(documents, order), distributor[order]
    ends = np.ones(len(rows), np.bool_)
    ends[:-1] = (rows.number[1:] != rows.number[:-1]) | (rows.kind[1:] != rows.kind[:-1]) | (owner[1:] != owner[:-1])
    last = np.flatnonzero(ends)[np.cumsum(ends) - ends]
    current = take(rows, (rows.posted == rows.posted[last]) & (rows.version == rows.version[last]))
    return take(current, np.lexsort((current.bill, current.number, current.kind, current.day)))
