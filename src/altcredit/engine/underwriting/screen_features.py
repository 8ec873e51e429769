"""Features that are known before a full source is asked: reported facts, and the answers of screen sources."""

from functools import partial

from altcredit.engine.underwriting.feature import Feature, Known, Value, declare, over

FEATURES: dict[str, Feature] = {}
feature = partial(declare, FEATURES)

# A line that changed its chip within these days may have been taken over.
SWAP_DAYS = 30

# What others have made of an occupation's risk: order only, the model finds the distances.
OCCUPATION_RISK = {
    "Public Sector": 0.0,
    "Retired": 0.0,
    "Company Employee": 1.0,
    "Multiple sources of income": 2.0,
    "Self-Employment": 3.0,
    "Other": 4.0,
}

# What the applicant reports.


@feature("application", "income", "R$ a month", -1)
def income(k: Known) -> Value:
    """Declared income, up to twice the presumed one; presumed income where none was declared."""
    return k.income


@feature("registration", "income_support", "ratio", 1)
def declared_to_presumed(k: Known) -> Value:
    """Declared over presumed income: an overstated income shows here."""
    if k.reported is None or k.registration is None:
        return None
    return over(k.reported.gross_income, k.registration.presumed_income_brl)


@feature("application", "commitments", "ratio", 1)
def housing_to_income(k: Known) -> Value:
    """Reported monthly spends on housing over income."""
    return over(k.reported.housing_spends, k.income) if k.reported else None


@feature("application", "commitments", "ratio", 1)
def card_spends_to_income(k: Known) -> Value:
    """Reported monthly spends with credit cards over income."""
    return over(k.reported.card_spends, k.income) if k.reported else None


@feature("application", "commitments", "ratio", 1)
def loan_spends_to_income(k: Known) -> Value:
    """Reported monthly spends on loans over income."""
    return over(k.reported.loan_spends, k.income) if k.reported else None


@feature("application", "request", "ratio", 1)
def desired_limit_to_income(k: Known) -> Value:
    """Desired credit limit over monthly income."""
    return over(k.reported.desired_credit_limit, k.income) if k.reported else None


@feature("application", "occupation", "class, 0 to 4", 1)
def occupation_risk(k: Known) -> Value:
    """Risk class of the reported occupation, from public sector and retired (0) to other (4)."""
    return OCCUPATION_RISK[k.reported.occupation] if k.reported and k.reported.occupation else None


# The tax authority, the registry of addresses and occupations.


@feature("cpf_status", "identity", "0 or 1", 1)
def cpf_irregular(k: Known) -> Value:
    """Whether the CPF is anything but regular at Receita Federal."""
    return float(k.cpf.situation != "regular") if k.cpf else None


@feature("registration", "registration", "0 or 1", 1)
def address_mismatch(k: Known) -> Value:
    """Whether the reported address differs from the one on record."""
    matches = k.registration.address_matches if k.registration else None
    return None if matches is None else float(not matches)


@feature("registration", "stability", "years", -1)
def years_at_address(k: Known) -> Value:
    """Years at the address on record."""
    return k.registration.years_at_address if k.registration else None


@feature("registration", "stability", "months", -1)
def months_in_employment(k: Known) -> Value:
    """Months in the employment on record."""
    return k.registration.months_in_employment if k.registration else None


# The bureau of negative records.


@feature("negative_bureau", "negative_records", "count", 1)
def negative_records(k: Known) -> Value:
    """Unpaid debts on record at the bureau."""
    return k.bureau.negative_records if k.bureau else None


@feature("negative_bureau", "negative_records", "ratio", 1)
def negative_amount_to_income(k: Known) -> Value:
    """Amount of the unpaid debts on record over monthly income."""
    if k.bureau is None:
        return None
    return 0.0 if not k.bureau.negative_amount_brl else over(k.bureau.negative_amount_brl, k.income)


@feature("negative_bureau", "negative_records", "count", 1)
def protests(k: Known) -> Value:
    """Protests at notaries' offices."""
    return k.bureau.protests if k.bureau else None


@feature("negative_bureau", "bureau_score", "points, 0 to 1,000", -1)
def bureau_score(k: Known) -> Value:
    """The bureau's own score."""
    return k.bureau.score if k.bureau else None


@feature("negative_bureau", "inquiries", "count", 1)
def others_inquiries_90d(k: Known) -> Value:
    """Inquiries of the last 90 days by others: the customer's own never count."""
    return max(k.bureau.inquiries_90d - k.bureau.own_inquiries_90d, 0) if k.bureau else None


# Line and device.


@feature("device_phone", "contact", "months", -1)
def line_months(k: Known) -> Value:
    """Age of the phone line."""
    return k.device.line_months if k.device else None


@feature("device_phone", "contact", "0 or 1", 1)
def sim_swapped(k: Known) -> Value:
    """Whether the line's chip changed within the last 30 days."""
    days = k.device.sim_swapped_days if k.device else None
    return None if days is None else float(days <= SWAP_DAYS)


@feature("device_phone", "contact", "0 or 1", 1)
def line_of_another(k: Known) -> Value:
    """Whether the line is not linked to the CPF."""
    linked = k.device.linked_to_cpf if k.device else None
    return None if linked is None else float(not linked)


@feature("device_phone", "contact", "0 to 1", 1)
def device_risk(k: Known) -> Value:
    """The provider's risk of the device."""
    return k.device.device_risk if k.device else None
