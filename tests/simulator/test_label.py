"""The label of contract A9 on ledgers small enough to work out by hand."""

import numpy as np
import pytest

from altcredit.simulator.label import label, material, overdue, queue
from altcredit.simulator.ledger import Bills, Credits, History, no_bills, no_credits, stack
from altcredit.simulator.population import draw

T = 20_000


def shops(lines_of_shop=(1,)):
    """A population of the given numbers of lines; only who trades where matters here."""
    people = draw(shops=1, distributors=1, start=T - 300, end=T, rng=np.random.default_rng(0))
    people.shops = len(lines_of_shop)
    people.shop = np.repeat(np.arange(len(lines_of_shop)), lines_of_shop)
    return people


def bill(day, amount, *, terms=14, line=0, cash=False, disputed=False):
    whole = [np.array([x]) for x in (line, day, day + terms, amount * 100)]
    return Bills(
        line=whole[0], day=whole[1], due=whole[2], amount=whole[3], cash=np.array([cash]), disputed=np.array([disputed])
    )


def money(day, amount, *, of=-1, line=0, note=False, returned_on=-1):
    return Credits(
        line=np.array([line]),
        bill=np.array([of]),
        day=np.array([day]),
        amount=np.array([amount * 100]),
        note=np.array([note]),
        returned_on=np.array([returned_on]),
    )


def one(bills, credit=(), lines_of_shop=(1,)):
    history = History(bills=stack([no_bills(), *bills]), credits=stack([no_credits(), *credit]))
    found = label(shops(lines_of_shop), history, T)
    return bool(found.in_default[0]), bool(found.eligible[0]), bool(found.defaulted[0])


def test_an_open_bill_defaults_on_its_thirtieth_day_past_due_and_not_before():
    # Due at T + 60: 30 days past due on T + 90, the last day of the horizon.
    assert one([bill(T - 10, 5_000, terms=70)]) == (False, True, True)
    assert one([bill(T - 10, 5_000, terms=71)]) == (False, False, False)
    assert one([bill(T - 44, 5_000)]) == (True, False, False)
    assert one([bill(T - 43, 5_000)]) == (False, True, True)


def test_money_of_the_day_saves_the_day():
    assert one([bill(T - 43, 5_000)], [money(T + 1, 5_000)]) == (False, True, False)
    assert one([bill(T - 43, 5_000)], [money(T + 2, 5_000)]) == (False, True, True)


def test_a_paid_shop_is_not_eligible_and_a_shop_without_bills_neither():
    assert one([bill(T - 20, 5_000)], [money(T - 10, 5_000)]) == (False, False, False)
    assert one([]) == (False, False, False)


def test_the_first_money_pays_the_oldest_bill_whatever_it_was_meant_for():
    bills = [bill(T - 60, 5_000), bill(T - 20, 5_000)]
    assert one(bills, [money(T - 5, 5_000, of=1)])[0] is False
    assert one(bills, [money(T - 5, 1_000, of=1)])[0] is True


def test_a_residue_of_two_percent_or_a_hundred_rupees_closes_a_bill():
    many = [bill(T - 100 - n, 4_000) for n in range(3)]  # 30 % of GMV open would be material; residues are not
    paid = [money(T - 50, 12_000 - 100)]
    assert one(many, paid) == (False, False, False)
    big = [bill(T - 100, 60_000)]
    assert one(big, [money(T - 50, 58_800)]) == (False, False, False)
    assert one(big, [money(T - 50, 58_799)]) == (False, True, False)  # open, but far below 10 % of a month
    assert one(big, [money(T - 50, 50_000)])[0] is True


def test_residues_that_receipts_leave_of_their_bills_are_no_arrear_together():
    bills = [bill(T - 200 + 5 * n, 10_000) for n in range(20)]
    paid = [money(T - 190 + 5 * n, 9_850, of=n) for n in range(20)]  # 3,000 rupees in all
    assert one(bills, paid) == (False, False, False)
    assert one(bills, [money(T - 90, 197_000)])[0] is True  # the same money, meant for no bill in particular


def test_a_balance_below_a_thousand_rupees_is_not_material():
    assert one([bill(T - 60, 999)])[0] is False
    assert one([bill(T - 60, 1_000)])[0] is True


def test_a_balance_below_a_tenth_of_mean_monthly_net_gmv_is_not_material():
    # 360,000 in the 179 days since the first bill: 60,335 a month, so 6,033.52 is the floor.
    bills = [bill(T - 179 + 29 * n, 60_000, terms=0) for n in range(6)]
    assert one(bills, [money(T - 30, 360_000 - 6_033)])[0] is False
    assert one(bills, [money(T - 30, 360_000 - 6_034)])[0] is True


def test_credit_notes_lower_the_balance_and_the_gmv():
    bills = [bill(T - 60, 5_000)]
    assert one(bills, [money(T - 20, 4_500, of=0, note=True)])[0] is False
    history = History(bills=stack(bills), credits=stack([money(T - 20, 2_000, of=0, note=True)]))
    assert material(shops(), history, T)[0] == pytest.approx(1_000_00)
    history.bills.amount[0] = 100_000_00
    assert material(shops(), history, T)[0] == pytest.approx(0.10 * 98_000_00 / 2)  # two months of history


def test_cash_and_disputed_bills_and_their_money_are_left_out():
    cash = bill(T - 61, 5_000, terms=0, cash=True)
    disputed = bill(T - 61, 5_000, disputed=True)
    assert one([cash])[:2] == (False, False)
    assert one([disputed])[:2] == (False, False)
    for other in (cash, disputed):
        paid = [money(T - 50, 5_000, of=0)]
        assert one([other, bill(T - 60, 5_000)], paid)[0] is True


def test_a_returned_payment_reopens_the_bill():
    assert one([bill(T - 60, 5_000)], [money(T - 40, 5_000, of=0)])[0] is False
    assert one([bill(T - 60, 5_000)], [money(T - 40, 5_000, of=0, returned_on=T - 35)])[0] is True


def test_balances_of_all_distributors_add_up_but_money_stays_with_its_own():
    bills = [bill(T - 60, 600, line=0), bill(T - 60, 600, line=1)]
    assert one(bills, lines_of_shop=(2,))[0] is True
    assert one(bills, lines_of_shop=(1, 1))[0] is False
    assert one(bills, [money(T - 50, 1_200, line=1)], lines_of_shop=(2,))[0] is False


def test_overdue_equals_a_ledger_kept_bill_by_bill():
    rng = np.random.default_rng(4)
    for _ in range(200):
        days = np.sort(rng.integers(T - 120, T + 60, 12))
        table = stack([bill(int(d), int(rng.integers(200, 20_000))) for d in days])
        bills = queue(table, np.arange(12), np.zeros(12, np.int64))
        paid = stack([money(int(rng.integers(T - 100, T + 80)), int(rng.integers(100, 20_000))) for _ in range(9)])
        found = overdue(lines=1, bills=bills, money=paid, first=T, last=T + 90)[0]
        for day in range(T, T + 91):
            pot, balance = int(paid.amount[paid.day <= day].sum()), 0
            for due, amount in zip(bills.due, bills.amount, strict=True):
                rest = amount - min(pot, amount)
                pot -= amount - rest
                if due + 30 <= day and rest > max(100_00, 0.02 * amount):
                    balance += rest
            assert found[day - T] == balance
