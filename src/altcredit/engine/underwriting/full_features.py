"""Features from the full sources, and the facts that limits and reasons need and no model uses."""

from functools import partial

from altcredit.engine.underwriting.feature import Feature, Known, Value, declare, over

FEATURES: dict[str, Feature] = {}
feature = partial(declare, FEATURES)

# The central bank's SCR.


@feature("scr", "scr_overdue", "ratio", 1)
def scr_overdue_to_income(k: Known) -> Value:
    """Operations overdue by 15 days or more over monthly income."""
    overdue = scr_overdue_brl(k)
    return 0.0 if overdue == 0 else over(overdue, k.income)


@feature("scr", "scr_overdue", "ratio", 1)
def scr_written_off_to_income(k: Known) -> Value:
    """Operations written off over monthly income."""
    if k.scr is None:
        return None
    return 0.0 if not k.scr.written_off_brl else over(k.scr.written_off_brl, k.income)


@feature("scr", "utilisation", "share", 1)
def scr_utilisation(k: Known) -> Value:
    """Share of granted limits in use; 0 without any."""
    if k.scr is None:
        return None
    return over(k.scr.limits_used_brl, k.scr.limits_brl) or 0.0


@feature("scr", "relationship", "months", -1)
def scr_relationship_months(k: Known) -> Value:
    """Months since the first credit operation with any institution."""
    return k.scr.relationship_months if k.scr else None


@feature("scr", "relationship", "count", 0)
def scr_institutions(k: Known) -> Value:
    """Institutions with which there are credit operations."""
    return k.scr.institutions if k.scr else None


@feature("scr", "commitments", "ratio", 1)
def scr_service_to_income(k: Known) -> Value:
    """Monthly service of all debts in SCR over income."""
    if k.scr is None:
        return None
    return 0.0 if not k.scr.monthly_service_brl else over(k.scr.monthly_service_brl, k.income)


# The positive registry: to be in it, and to show one's history, is a right that counts neither way.


@feature("positive_registry", "positive_history", "points, 0 to 1,000", -1, neutral=True)
def positive_score(k: Known) -> Value:
    """The positive registry's score."""
    return k.positive.score if k.positive else None


@feature("positive_registry", "positive_history", "share", -1, neutral=True)
def on_time_share(k: Known) -> Value:
    """Share of the last 12 months' payments that were on time."""
    return k.positive.history.on_time_share if k.positive and k.positive.history else None


@feature("positive_registry", "positive_history", "days", 1, neutral=True)
def max_days_past_due_12m(k: Known) -> Value:
    """Worst delay of the last 12 months."""
    return k.positive.history.max_days_past_due_12m if k.positive and k.positive.history else None


# Accounts shared by Open Finance.


@feature("open_finance", "income_support", "ratio", -1)
def observed_to_declared(k: Known) -> Value:
    """Income that shared accounts show, over the declared one."""
    return over(k.accounts.monthly_income_brl, k.reported.gross_income) if k.accounts and k.reported else None


@feature("open_finance", "income_stability", "ratio", 1)
def income_variation(k: Known) -> Value:
    """Standard deviation of the observed monthly income over its mean."""
    return k.accounts.income_variation if k.accounts else None


@feature("open_finance", "accounts", "days", 1)
def overdraft_days_90d(k: Known) -> Value:
    """Days in overdraft within the last 90."""
    return k.accounts.overdraft_days_90d if k.accounts else None


@feature("open_finance", "accounts", "count", 1)
def bounced_payments_90d(k: Known) -> Value:
    """Payments within the last 90 days that bounced."""
    return k.accounts.bounced_payments_90d if k.accounts else None


@feature("open_finance", "accounts", "ratio", -1)
def balance_to_income(k: Known) -> Value:
    """Mean balance of shared accounts over monthly income."""
    return over(k.accounts.mean_balance_brl, k.income) if k.accounts else None


# Facts: for limits and reasons, never model inputs.


@feature("application", "income", "R$ a month", 0, model_input=False)
def declared_income_brl(k: Known) -> Value:
    """Income as declared."""
    return k.reported.gross_income if k.reported else None


@feature("open_finance", "income", "R$ a month", 0, model_input=False)
def supported_income_brl(k: Known) -> Value:
    """Income that a limit may go by: declared, as far as registry and shared accounts support it."""
    return k.supported


@feature("open_finance", "income_support", "ratio", 0, model_input=False)
def declared_to_supported(k: Known) -> Value:
    """Declared income over the supported one: above 1 the sources support less than was declared."""
    return over(k.reported.gross_income, k.supported) if k.reported else None


@feature("scr", "commitments", "R$ a month", 0, model_input=False)
def debt_service_brl(k: Known) -> Value:
    """Monthly debt service: as reported (cards and loans) or as in SCR, the larger."""
    reported = k.reported
    found = []
    if reported is not None and (reported.card_spends is not None or reported.loan_spends is not None):
        found.append((reported.card_spends or 0.0) + (reported.loan_spends or 0.0))
    if k.scr is not None:
        found.append(k.scr.monthly_service_brl)
    return max(found, default=None)


@feature("scr", "commitments", "ratio", 0, model_input=False)
def debt_service_to_income(k: Known) -> Value:
    """Monthly debt service, the larger of reported and SCR, over supported income."""
    service = debt_service_brl(k)
    return 0.0 if service == 0 else over(service, k.supported)


@feature("scr", "commitments", "0 or 1", 0, model_input=False)
def service_in_scr(k: Known) -> Value:
    """Whether debt service is known from SCR, not only from what was reported."""
    return float(k.scr is not None)


@feature("application", "request", "R$", 0, model_input=False)
def desired_limit_brl(k: Known) -> Value:
    """Desired credit limit."""
    return k.reported.desired_credit_limit if k.reported else None


@feature("scr", "scr_overdue", "R$", 0, model_input=False)
def scr_overdue_brl(k: Known) -> Value:
    """Operations overdue by 15 days or more, written off ones left out."""
    return k.scr.overdue_15_90_brl + k.scr.overdue_over_90_brl if k.scr else None


@feature("scr", "utilisation", "R$", 0, model_input=False)
def scr_limits_brl(k: Known) -> Value:
    """Limits granted by all institutions."""
    return k.scr.limits_brl if k.scr else None


@feature("scr", "relationship", "months", 0, model_input=False)
def history_months(k: Known) -> Value:
    """The longest credit or banking history that any source shows; None where none was asked for it or told."""
    found: list[float] = [k.scr.relationship_months] if k.scr else []
    if k.accounts:
        found.append(k.accounts.relationship_months)
    if k.positive and k.positive.history:
        found.append(k.positive.history.months)
    return max(found, default=None)


@feature("open_finance", "relationship", "months", 0, model_input=False)
def banking_months(k: Known) -> Value:
    """The longest relationship with an institution in SCR or shared accounts."""
    found: list[float] = [k.scr.relationship_months] if k.scr else []
    if k.accounts:
        found.append(k.accounts.relationship_months)
    return max(found, default=None)
