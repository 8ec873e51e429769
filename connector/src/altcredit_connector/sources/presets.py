"""Which header stands for which field, per family of exports. Headers are compared without case, blanks and signs."""

import re
from dataclasses import dataclass, field

FIELDS = {
    "invoice_id": "number of the bill; in a list of receipts, the bill that is paid",
    "invoice_date": "date of the bill",
    "amount": "amount of the bill in rupees",
    "due_date": "day on which the bill is due",
    "credit_days": "days of credit, instead of a due date",
    "terms": "cash or credit, or the days of credit",
    "disputed": "yes if the shop disputes the bill",
    "party_ref": "the distributor's own code of the shop; without it its name is used",
    "party_name": "name of the shop",
    "gstin": "GSTIN of the shop",
    "phone": "mobile of the shop; sent as a hash only",
    "receipt_id": "number of the receipt",
    "receipt_date": "date of the receipt",
    "receipt_amount": "amount of the receipt that goes to this bill",
    "receipt_status": "bounced, returned or dishonoured for a returned cheque",
    "return_id": "number of the credit note",
    "return_date": "date of the credit note",
    "return_amount": "amount of goods returned",
    "type": "register layout: what the line is (sale, receipt, sales return)",
    "number": "register layout: number of the voucher",
    "date": "register layout: date of the voucher",
    "value": "register layout: amount of the voucher",
    "debit": "register layout: amount, if in a debit column",
    "credit": "register layout: amount, if in a credit column",
    "against": "register layout: the bill that a receipt or return is set against",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Preset:
    """``headers``: for each field its possible headers, best first. ``register``: one voucher a line, told by type."""

    what: str
    headers: dict[str, tuple[str, ...]]
    register: bool = False
    kinds: dict[str, str] = field(default_factory=dict)


PARTY = {
    "party_ref": ("party code", "customer code", "retailer code", "account code", "party id", "customer id",
                  "retailer id", "ledger code", "outlet code", "shop code", "retailer ref"),
    "party_name": ("party name", "customer name", "retailer name", "party", "customer", "retailer", "account name",
                   "account", "ledger name", "particulars", "outlet name", "shop name", "name"),
    "gstin": ("party gstin", "gstin", "gst no", "gst number", "gstin no", "gstin uin", "customer gstin",
              "retailer gst", "gst", "gst in", "gstn"),
    "phone": ("mobile", "mobile no", "phone", "phone no", "mobile number", "contact no", "whatsapp", "contact"),
}  # fmt: skip
WIDE = PARTY | {
    "invoice_id": ("bill no", "invoice no", "invoice number", "bill number", "inv no", "invoice id", "voucher no",
                   "vch no", "invoice", "bill ref", "ref no", "document no", "against bill", "bill"),
    "invoice_date": ("bill date", "invoice date", "inv date", "voucher date", "vch date", "document date", "date",
                     "bill dt"),
    "amount": ("bill amt", "bill amount", "invoice amount", "invoice amt", "invoice value", "net amount", "amount",
               "amount inr", "total amount", "total", "net amt", "bill value", "grand total"),
    "due_date": ("due date", "due on", "payment due date", "due dt"),
    "credit_days": ("credit days", "days", "credit period", "cr days", "due days"),
    "terms": ("terms", "payment terms", "bill type", "sale type", "cash credit"),
    "disputed": ("disputed", "in dispute", "dispute"),
    "receipt_id": ("receipt no", "receipt number", "payment id", "payment no", "rcpt no", "receipt id"),
    "receipt_date": ("receipt date", "payment date", "paid date", "rcpt date", "paid on", "collection date"),
    "receipt_amount": ("receipt amt", "receipt amount", "amount paid", "paid amount", "received amount",
                       "payment amount", "amount received", "amount paid inr", "rcpt amt", "collection amount", "paid"),
    "receipt_status": ("receipt status", "cheque status", "payment status", "status"),
    "return_id": ("return no", "credit note no", "cn no", "credit note number", "credit note id", "return number"),
    "return_date": ("return date", "credit note date", "cn date"),
    "return_amount": ("return amt", "return amount", "credit note amount", "credit note amt", "cn amount",
                      "sales return", "return value"),
}  # fmt: skip
REGISTER = PARTY | {
    "type": ("vch type", "voucher type", "type", "trn type", "transaction type", "doc type", "vtype"),
    "number": ("vch no", "voucher no", "bill no", "vch bill no", "entry no", "doc no", "invoice no", "number",
               "trn no"),
    "date": ("date", "vch date", "voucher date", "bill date", "trn date", "doc date"),
    "value": ("amount", "net amount", "vch amount", "bill amount", "value", "total"),
    "debit": ("debit", "debit rs", "dr amount", "debit amount", "dr"),
    "credit": ("credit", "credit rs", "cr amount", "credit amount", "cr"),
    "against": ("against bill", "adjusted against", "agst ref", "ref no", "bill ref", "against", "adj bill no",
                "reference"),
    "due_date": ("due date", "due on"),
    "credit_days": ("credit days", "days", "due days"),
    "terms": ("terms", "payment terms"),
    "receipt_status": ("cheque status", "status"),
}  # fmt: skip
SALE = ("sale", "sales", "sal", "tax invoice", "sale bill", "invoice", "gst sale", "sales invoice", "s", "si", "sb")
RECEIPT = (
    "receipt",
    "rcpt",
    "rec",
    "payment received",
    "bank receipt",
    "cash receipt",
    "rc",
    "rv",
    "br",
    "cr",
    "collection",
)
RETURN = ("sale return", "sales return", "srtn", "credit note", "cr note", "crnote", "sret", "sr", "cn", "slrt")
BOUNCE = ("cheque return", "chq return", "cheque bounce", "chq ret", "cheque dishonour", "dishonour")
KINDS = {
    **dict.fromkeys(SALE, "sale"),
    **dict.fromkeys(RECEIPT, "receipt"),
    **dict.fromkeys(RETURN, "return"),
    **dict.fromkeys(BOUNCE, "bounce"),
}

PRESETS = {
    "generic": Preset(what="common English headers, any order; bills, receipts and returns in one or in own files",
                      headers=WIDE),
    "bill-receipt-return": Preset(
        what="one line a bill with its receipt and return: Bill No, Bill Date, …, Receipt Amt, Return Amt, Mode",
        headers={
            "invoice_id": ("bill no",), "invoice_date": ("bill date",), "amount": ("bill amt",),
            "due_date": ("due date",), "party_ref": ("party code",), "party_name": ("party name",),
            "gstin": ("party gstin",), "phone": ("mobile",), "receipt_id": ("receipt no",),
            "receipt_date": ("receipt date",), "receipt_amount": ("receipt amt",), "return_id": ("return no",),
            "return_date": ("return date",), "return_amount": ("return amt",), "receipt_status": ("receipt status",),
        }),
    "marg": Preset(what="Marg ERP party ledger or day book: one voucher a line, told by its type",
                   headers=REGISTER, register=True, kinds=KINDS),
    "busy": Preset(what="Busy voucher register: one voucher a line, told by its type",
                   headers=REGISTER, register=True, kinds=KINDS),
}  # fmt: skip

PLAIN_AMOUNTS = ("amount", "net amount", "net amt", "total", "total amount", "amount inr")


def plain(header: str) -> str:
    """Return a header in the form in which headers are compared."""
    return " ".join(re.findall(r"[^\W_]+", header.lower()))


def match(preset: Preset, cells: list[str], overrides: dict[str, str]) -> dict[str, int]:
    """Return which column holds which field, if ``cells`` is the line of headers."""
    places: dict[str, int] = {}
    for place, cell in enumerate(cells):
        places.setdefault(plain(cell), place)
    columns = {name: places[plain(header)] for name, header in overrides.items() if plain(header) in places}
    for name, headers in preset.headers.items():
        for header in headers:
            if name not in columns and header in places and places[header] not in columns.values():
                columns[name] = places[header]
    for thing in ("receipt", "return"):
        _lend(columns, cells, thing)
    return columns


def _lend(columns: dict[str, int], cells: list[str], thing: str) -> None:
    """In a list of receipts (or returns) alone, plain "Date" and "Amount" are the receipt's, not the bill's."""
    if f"{thing}_id" not in columns or f"{thing}_amount" in columns or "amount" not in columns:
        return
    if plain(cells[columns["amount"]]) in PLAIN_AMOUNTS:
        columns[f"{thing}_amount"] = columns.pop("amount")
        if "invoice_date" in columns and plain(cells[columns["invoice_date"]]) == "date":
            columns[f"{thing}_date"] = columns.pop("invoice_date")
