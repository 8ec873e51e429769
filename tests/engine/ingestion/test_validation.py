from datetime import timedelta
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.engine.ingestion.conftest import GST, NOW, PHONE, body, credit_note, invoice, payment

from altcredit.engine.ingestion import QUARANTINE, WARNING, BatchTooLarge, Envelope, message
from altcredit.engine.ingestion.bronze import Shops, columns
from altcredit.engine.ingestion.validation import Checked, check
from altcredit.runtime import strict_json


def checked(**arrays: list[Any]) -> Checked:
    return check(strict_json.decode(body(**arrays), Envelope), now=NOW)


def problems(**arrays: list[Any]) -> list[tuple[str, str]]:
    return [(problem.code, problem.path) for bad in checked(**arrays).quarantined for problem in bad.problems]


def without(record: dict[str, Any], field: str) -> dict[str, Any]:
    return {name: value for name, value in record.items() if name != field}


TOMORROW, IN_TWO_DAYS = "2026-05-21", "2026-05-22"
RULES = [
    ("MISSING_FIELD", "invoices", without(invoice(), "invoice_id"), "invoice_id"),
    ("MISSING_FIELD", "invoices", invoice(invoice_id=None), "invoice_id"),
    ("MISSING_FIELD", "invoices", invoice(invoice_id=" "), "invoice_id"),
    ("MISSING_FIELD", "invoices", without(invoice(), "amount_inr"), "amount_inr"),
    ("MISSING_FIELD", "payments", without(payment(), "paid_date"), "paid_date"),
    ("MISSING_FIELD", "payments", payment(allocations=[{"invoice_id": "", "amount_inr": 1}]), "allocations[0].invoice_id"),
    ("INVALID_TYPE", "invoices", invoice(amount_inr="42000"), "amount_inr"),
    ("INVALID_TYPE", "invoices", invoice(amount_inr=True), "amount_inr"),
    ("INVALID_TYPE", "invoices", invoice(invoice_id=5), "invoice_id"),
    ("INVALID_TYPE", "invoices", invoice(disputed=1), "disputed"),
    ("INVALID_TYPE", "invoices", invoice(invoice_date=20260503), "invoice_date"),
    ("INVALID_TYPE", "payments", payment(allocations={}), "allocations"),
    ("INVALID_TYPE", "payments", payment(allocations=[{"invoice_id": "A", "amount_inr": []}]), "allocations[0].amount_inr"),
    ("INVALID_ENUM", "invoices", invoice(terms="barter"), "terms"),
    ("INVALID_ENUM", "payments", payment(status="bounced"), "status"),
    ("INVALID_DATE", "invoices", invoice(invoice_date="03-05-2026"), "invoice_date"),
    ("INVALID_DATE", "invoices", invoice(invoice_date="2026-02-30"), "invoice_date"),
    ("INVALID_DATE", "credit_notes", credit_note(credit_note_date=""), "credit_note_date"),
    ("FUTURE_DATE", "invoices", invoice(invoice_date=IN_TWO_DAYS, due_date=None), "invoice_date"),
    ("FUTURE_DATE", "payments", payment(paid_date=IN_TWO_DAYS), "paid_date"),
    ("FUTURE_DATE", "credit_notes", credit_note(credit_note_date="2036-01-01"), "credit_note_date"),
    ("DATE_TOO_OLD", "invoices", invoice(invoice_date="1999-12-31", due_date=None), "invoice_date"),
    ("DUE_BEFORE_INVOICE", "invoices", invoice(due_date="2026-05-02"), "due_date"),
    ("DUE_TOO_FAR", "invoices", invoice(due_date="2027-05-05"), "due_date"),
    ("AMOUNT_OUT_OF_RANGE", "invoices", invoice(amount_inr=0), "amount_inr"),
    ("AMOUNT_OUT_OF_RANGE", "invoices", invoice(amount_inr=-42000), "amount_inr"),
    ("AMOUNT_OUT_OF_RANGE", "invoices", invoice(amount_inr=100_000_000.01), "amount_inr"),
    ("AMOUNT_OUT_OF_RANGE", "invoices", invoice(amount_inr=1e300), "amount_inr"),
    ("AMOUNT_OUT_OF_RANGE", "invoices", invoice(amount_inr=1.7e308), "amount_inr"),
    ("AMOUNT_OUT_OF_RANGE", "payments", payment(amount_paid_inr=2**62), "amount_paid_inr"),
    ("AMOUNT_PRECISION", "invoices", invoice(amount_inr=84.105), "amount_inr"),
    ("AMOUNT_PRECISION", "credit_notes", credit_note(amount_inr=1e-9), "amount_inr"),
    ("AMOUNT_PRECISION", "payments", payment(allocations=[{"invoice_id": "A", "amount_inr": 0.001}]), "allocations[0].amount_inr"),
    ("ALLOCATION_EXCEEDS_PAYMENT", "payments", payment(amount_paid_inr=10, allocations=[{"invoice_id": "A", "amount_inr": 5}, {"invoice_id": "B", "amount_inr": 5.01}]), "allocations"),
    ("INVALID_GSTIN", "invoices", invoice(retailer_gst="27AAPFU0939F1ZW"), "retailer_gst"),
    ("INVALID_GSTIN", "invoices", invoice(retailer_gst="29AABCT...", retailer_ref="C1"), "retailer_gst"),
    ("INVALID_PHONE_HASH", "retailers", {"retailer_ref": "C1", "retailer_phone_hash": "919812345678"}, "retailer_phone_hash"),
    ("INVALID_PHONE_HASH", "retailers", {"retailer_ref": "C1", "retailer_phone_hash": PHONE.upper()}, "retailer_phone_hash"),
    ("MISSING_RETAILER", "invoices", invoice(retailer_gst=None), "retailer_ref"),
    ("MISSING_RETAILER", "invoices", invoice(retailer_gst="", retailer_ref=""), "retailer_ref"),
    ("MISSING_RETAILER", "payments", payment(invoice_id=None), "retailer_ref"),
    ("MISSING_RETAILER", "credit_notes", credit_note(invoice_id=None), "retailer_ref"),
    ("MISSING_RETAILER", "retailers", {"retailer_phone_hash": PHONE}, "retailer_ref"),
    ("ID_TOO_LONG", "invoices", invoice(invoice_id="x" * 101), "invoice_id"),
    ("ID_TOO_LONG", "invoices", invoice(retailer_ref="x" * 101), "retailer_ref"),
    ("ID_TOO_LONG", "payments", payment(invoice_id="x" * 101), "invoice_id"),
    ("ID_TOO_LONG", "payments", payment(allocations=[{"invoice_id": "x" * 101, "amount_inr": 1}]), "allocations[0].invoice_id"),
    ("NAME_TOO_LONG", "retailers", {"retailer_ref": "C1", "name": "x" * 201}, "name"),
]  # fmt: skip


@pytest.mark.parametrize(("code", "array", "record", "field"), RULES)
def test_a_record_is_set_aside_for_what_is_wrong_with_it_and_nothing_else(
    code: str, array: str, record: dict[str, Any], field: str
) -> None:
    assert problems(**{array: [record]}) == [(code, f"$.{array}[0].{field}")]


def test_every_published_code_is_shown_by_a_test_and_has_words_in_both_languages() -> None:
    assert {code for code, *_ in RULES} | {"DUPLICATE_IN_BATCH"} == QUARANTINE.keys()
    for code in QUARANTINE | WARNING:
        assert message(code, "hi") != message(code, "en") == message(code)


@pytest.mark.parametrize(
    ("array", "record"),
    [
        ("invoices", invoice(invoice_date=TOMORROW, due_date=None)),  # clocks differ, and so do time zones
        ("invoices", invoice(due_date="2027-05-04")),
        ("invoices", invoice(due_date="2026-05-03", terms="cash")),
        ("invoices", invoice(amount_inr=100_000_000)),
        ("invoices", invoice(amount_inr=99_999_999.99)),
        ("invoices", invoice(amount_inr=0.01)),
        ("invoices", invoice(retailer_gst=f" {GST.lower()} ")),
        ("invoices", invoice(retailer_gst=None, retailer_ref="C1", anything={"else": [1]})),
        ("invoices", invoice(invoice_date="2000-01-01", due_date=None)),
        ("payments", payment(invoice_id=None, allocations=[{"invoice_id": "A", "amount_inr": 42000}])),
        ("payments", payment(amount_paid_inr=0.3, allocations=[{"invoice_id": c, "amount_inr": 0.1} for c in "ABC"])),
        ("payments", payment(invoice_id=None, retailer_ref="C1", allocations=[])),
        ("retailers", {"retailer_ref": "C1"}),
        ("retailers", {"retailer_gst": GST, "retailer_phone_hash": PHONE, "name": "गुप्ता किराना"}),
    ],
)
def test_what_is_unusual_but_right_is_taken(array: str, record: dict[str, Any]) -> None:
    assert problems(**{array: [record]}) == []


def test_every_problem_of_a_record_is_named() -> None:
    wrong = invoice(amount_inr=-1, due_date="2026-01-01", retailer_gst="x", invoice_date=IN_TWO_DAYS)
    assert {code for code, _ in problems(invoices=[wrong])} == {
        "AMOUNT_OUT_OF_RANGE", "DUE_BEFORE_INVOICE", "INVALID_GSTIN", "FUTURE_DATE",
    }  # fmt: skip


def test_a_repeated_record_is_taken_and_one_that_differs_is_set_aside() -> None:
    batch = checked(invoices=[invoice(1), invoice(2), invoice(1), invoice(1, amount_inr=5)])
    assert [(bad.row_number, bad.problems[0].code) for bad in batch.quarantined] == [(3, "DUPLICATE_IN_BATCH")]
    assert batch.accepted == 3


def test_the_same_id_in_two_arrays_is_no_duplicate() -> None:
    assert problems(invoices=[invoice(invoice_id="1")], payments=[payment(payment_id="1")]) == []


def test_a_payment_before_its_invoice_is_taken_with_a_warning() -> None:
    early = payment(1, paid_date="2026-05-02")
    split = payment(2, invoice_id=None, paid_date="2026-05-02", allocations=[{"invoice_id": "INV-1", "amount_inr": 1}])
    unknown = payment(3, paid_date="2020-01-01")
    batch = checked(invoices=[invoice(1)], payments=[payment(0), early, split, unknown])
    assert batch.accepted == 5
    assert [(one.row_number, one.code) for one in batch.warnings] == [
        (1, "PAYMENT_BEFORE_INVOICE"), (2, "PAYMENT_BEFORE_INVOICE"),
    ]  # fmt: skip


def test_the_future_begins_by_indian_time() -> None:
    envelope = strict_json.decode(body(invoices=[invoice(invoice_date="2026-05-22", due_date=None)]), Envelope)
    before_midnight = NOW.replace(hour=18, minute=29)  # 23:59 in India
    assert len(check(envelope, now=before_midnight).quarantined) == 1
    assert check(envelope, now=before_midnight + timedelta(minutes=1)).quarantined == []


def test_the_limit_counts_all_arrays_together() -> None:
    links = [{"retailer_ref": f"C{n}"} for n in range(250)]
    full = {
        "invoices": [invoice(n) for n in range(250)],
        "payments": [payment(n) for n in range(250)],
        "retailers": links,
    }
    assert checked(**full, credit_notes=[credit_note(n) for n in range(250)]).accepted == 1000
    with pytest.raises(BatchTooLarge, match="1001"):
        checked(**full, credit_notes=[credit_note(n) for n in range(251)])


@settings(max_examples=1000, deadline=None)
@given(st.integers(1, 10_000_000_000))
def test_every_amount_in_rupees_and_paise_is_read_exactly(paise: int) -> None:
    for text in (f"{paise // 100}.{paise % 100:02d}", str(Decimal(paise) / 100), repr(paise / 100)):
        raw = body(invoices=[invoice()]).replace(b"42000", text.encode())
        batch = check(strict_json.decode(raw, Envelope), now=NOW)
        assert batch.quarantined == []
        assert batch.invoices.paise == [paise]


@settings(max_examples=500, deadline=None)
@given(st.decimals(min_value="0.001", max_value="99999", places=3).filter(lambda d: d * 100 % 1))
def test_no_amount_with_a_third_decimal_is_rounded_to_fit(rupees: Decimal) -> None:
    raw = body(invoices=[invoice()]).replace(b"42000", str(rupees).encode())
    batch = check(strict_json.decode(raw, Envelope), now=NOW)
    assert [problem.code for problem in batch.quarantined[0].problems] == ["AMOUNT_PRECISION"]


anything = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-(2**63), 2**63 - 1), st.floats(allow_nan=False, allow_infinity=False), st.text(alphabet="aZ0\u0939 \n", max_size=4)),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.sampled_from(["invoice_id", "amount_inr", "x"]), inner)),
    max_leaves=4,
)  # fmt: skip


def mangled(record: dict[str, Any]) -> st.SearchStrategy[Any]:
    """Records of which any field may be missing or anything at all."""
    fields = st.fixed_dictionaries(
        {}, optional={name: st.one_of(st.just(value), anything) for name, value in record.items()}
    )
    return st.one_of(st.just(record), fields, anything)


full_invoice = invoice(retailer_ref="C1", terms="credit", disputed=False)
full_payment = payment(
    retailer_ref="C1", retailer_gst=None, status="cleared", allocations=[{"invoice_id": "A", "amount_inr": 1.5}]
)
full_link = {"retailer_ref": "C1", "retailer_gst": GST, "retailer_phone_hash": PHONE, "name": "x"}


@settings(max_examples=250, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.fixed_dictionaries(
        {
            "invoices": st.lists(mangled(full_invoice), max_size=4),
            "payments": st.lists(mangled(full_payment), max_size=4),
            "credit_notes": st.lists(mangled(credit_note(retailer_ref="C1")), max_size=4),
            "retailers": st.lists(mangled(full_link), max_size=4),
        }
    )
)
def test_whatever_is_sent_accepted_and_quarantined_add_up_and_every_bad_record_says_why(arrays: dict[str, Any]) -> None:
    batch = checked(**arrays)
    sent = sum(len(array) for array in arrays.values())
    assert batch.accepted + len(batch.quarantined) == sent
    good = [place for sheet in (batch.invoices, batch.payments, batch.credit_notes) for place in sheet.good()]
    assert batch.accepted == len(good) + len(batch.links())
    written = columns(batch, Shops())
    assert {len(column) for column in written} == {len(good)}
    for bad in batch.quarantined:
        assert bad.problems
        assert bad.record == arrays[bad.array][bad.row_number]
        for problem in bad.problems:
            assert problem.code in QUARANTINE
            assert problem.path.startswith(f"$.{bad.array}[{bad.row_number}]")
    for key in batch.links():
        assert key.gstin or key.ref


def test_problems_survive_their_way_through_json() -> None:
    bad = checked(invoices=[invoice(amount_inr=0)]).quarantined
    assert msgspec.json.decode(msgspec.json.encode(bad), type=list[type(bad[0])]) == bad  # type: ignore[misc]
