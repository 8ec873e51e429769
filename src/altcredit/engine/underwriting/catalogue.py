"""Every feature of an applicant by name: the single list that models, reasons, pages and tests go by."""

from typing import Final

from altcredit.engine.underwriting.feature import FEATURES, Feature

CATALOGUE: Final[dict[str, Feature]] = dict(FEATURES)

# Sources that an applicant (or a partner) may withhold without the product breaking its promise that withholding never
# pays: what a model makes of their absence is at least as bad as what it makes of most of their answers.
WITHHELD: Final[tuple[str, ...]] = ("device_phone", "scr", "open_finance")

# Without these no probability is calculated: nobody is lent to whose CPF or debts are unknown.
REQUIRED: Final[tuple[str, ...]] = ("cpf_status", "negative_bureau")
