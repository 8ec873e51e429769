"""Random ledgers with all that goes wrong in real ones, seeded."""

import random
from datetime import timedelta
from pathlib import Path

from tests.pipeline.books import Books, Record, credit_note, day, invoice, payment, shop
from tests.pipeline.reference import Sent


def ledger(random_: random.Random, number: int, distributor: str, days: int) -> list[tuple[Record, int]]:
    """Return the records of one shop with one distributor, each with the day on which it is received."""
    sent: list[tuple[Record, int]] = []
    slowness = random_.choice([0, 3, 10, 40])
    on = random_.randrange(0, 30)
    name = f"{distributor}-{number}"
    count = 0
    while on < days:
        rupees = random_.choice([80, 950, 2_000, 5_000.5, 12_345.67])
        bill_id = f"I-{name}-{count}"
        due = random_.choice([on + 14, on + 14, on + 30, on, None])
        more = {}
        if random_.random() < 0.1:
            more["terms"] = random_.choice(["cash", "credit"])
        if random_.random() < 0.05:
            more["disputed"] = True
        bill = invoice(bill_id, on, rupees, due=due, to=shop(number), **more)
        lag = random_.choice([0, 0, 0, 1, 4, 25])
        sent.append((bill, on + lag))
        if random_.random() < 0.1:
            sent.append((_corrected(random_, bill, number), on + lag + random_.randrange(0, 20)))
        if random_.random() < 0.1:  # sent again as it was
            sent.append((bill, on + lag + random_.randrange(0, 40)))
        sent.extend(_receipts(random_, number, name, count, bill, slowness))
        if random_.random() < 0.1:
            note = credit_note(
                f"C-{name}-{count}", on + 5, rupees / 10, of=random_.choice([bill_id, None]), by=shop(number)
            )
            sent.append((note, on + 5))
        count += 1
        on += random_.randrange(1, 14)
    return sent


def _corrected(random_: random.Random, bill: Record, number: int) -> Record:
    """Another amount, now and then another shop, a dispute begun or settled."""
    corrected = bill | {"amount_paise": bill["amount_paise"] + random_.choice([-50_00, 75_00])}
    if random_.random() < 0.3:
        corrected["retailer_id"] = shop(number + 1)
    if random_.random() < 0.3:
        corrected["disputed"] = not bill.get("disputed", False)
    return corrected


def _receipts(
    random_: random.Random, number: int, name: str, count: int, bill: Record, slowness: int
) -> list[tuple[Record, int]]:
    """How a bill is paid: in full, short, in parts, for several bills, on account, by a cheque that comes back, never."""
    on = (bill["document_date"] - day(0)).days
    rupees = bill["amount_paise"] / 100
    bill_id = bill["document_id"]
    paid = on + random_.randrange(0, 25 + slowness)
    by = random_.choice([None, shop(number)])
    receipt = f"P-{name}-{count}"
    how = random_.randrange(9)
    if how == 0:
        return []
    if how == 1:
        return [(payment(receipt, paid, rupees * 0.985, of=bill_id, by=by), paid)]
    if how == 2:
        return [(payment(f"{receipt}{k}", paid + 9 * k, rupees / 2, of=bill_id, by=by), paid + 9 * k) for k in (0, 1)]
    if how == 3 and count:
        shares = {f"I-{name}-{count - 1}": 100, bill_id: rupees * 0.5, f"I-{name}-unknown": 10}
        return [(payment(receipt, paid, rupees + 200, by=by, allocations=shares), paid)]
    if how == 4:
        return [(payment(receipt, paid, rupees, by=shop(number)), paid)]
    if how == 5:
        cheque = payment(receipt, paid, rupees, of=bill_id, by=by, status="cleared")
        return [(cheque, paid), (cheque | {"status": "returned"}, paid + random_.randrange(1, 8))]
    late = random_.choice([0, 0, 3])
    return [(payment(receipt, paid, rupees, of=bill_id, by=by), paid + late)]


def books(root: Path, seed: int, *, shops: int, days: int, until: int | None = None) -> tuple[Books, list[Sent]]:
    """Write a random lake, a batch a day and distributor; return it and what was sent. ``until``: received by then."""
    random_ = random.Random(seed)
    by_day: dict[tuple[int, str], list[Record]] = {}
    for number in range(shops):
        for distributor in random_.sample(["dist_a", "dist_b", "dist_c"], random_.choice([1, 1, 2])):
            for record, received in ledger(random_, number, distributor, days):
                by_day.setdefault((received, distributor), []).append(record)
    written, sent = Books(root), []
    for (received, distributor), records in sorted(by_day.items()):
        if until is not None and received > until:
            continue
        written.batch(records, distributor=distributor, received=received)
        for record in records:
            sent.append(Sent(record, day(0) + timedelta(days=received), len(sent), distributor))
    return written, sent
