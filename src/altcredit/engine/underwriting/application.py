"""What a partner sends: the published request, strictly typed (contract U1 to U4, U11)."""

from typing import Annotated, Literal

import msgspec

from altcredit.engine.sources import Subject

Occupation = Literal[
    "Company Employee", "Retired", "Self-Employment", "Public Sector", "Multiple sources of income", "Other"
]
Amount = Annotated[float, msgspec.Meta(ge=0, le=100_000_000, description="R$, not negative.")]
Line = Annotated[str, msgspec.Meta(max_length=200)]
Reference = Annotated[
    str, msgspec.Meta(min_length=1, max_length=128, description="The partner's reference of the authorisation.")
]


class Address(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """Address of the customer."""

    street: Line = ""
    number: Line = ""
    complement: Line = ""
    city: Line = ""
    state: Line = ""
    zip_code: Annotated[str, msgspec.Meta(pattern=r"^\d{5}-?\d{3}$")] | None = None


class ReportedData(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What the customer says of themselves; amounts are monthly and in R$."""

    gross_income: Amount
    housing_spends: Amount | None = None
    card_spends: Amount | None = None
    loan_spends: Amount | None = None
    address: Address | None = None
    occupation: Occupation | None = None
    desired_credit_limit: Amount | None = None


class Authorizations(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """References of what the customer authorised; a source that needs one is not asked without it (contract U11)."""

    scr: Reference | None = None
    positive_history: Reference | None = None
    open_finance: Reference | None = None


class Contact(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """The line and device that the application came from."""

    phone: Annotated[str, msgspec.Meta(pattern=r"^\+?\d{8,15}$")] | None = None
    device_id: Annotated[str, msgspec.Meta(min_length=1, max_length=128)] | None = None


class Application(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A card applicant (GUARD API, Request)."""

    customer_uuid: Annotated[
        str,
        msgspec.Meta(
            pattern=r"^[A-Za-z0-9._-]{1,128}$", description="The customer's id in your database; a UUID if you can."
        ),
    ]
    cpf: Annotated[str, msgspec.Meta(pattern=r"^\d{11}$", description="11 digits with valid check digits.")]
    cost_saving_enabled: bool = False
    srd: ReportedData | None = None
    authorizations: Authorizations | None = None
    contact: Contact | None = None


def subject_of(application: Application) -> Subject:
    """Return whom the sources are asked about, and by what authorisations."""
    address = application.srd.address if application.srd else None
    contact = application.contact or Contact()
    given = msgspec.to_builtins(application.authorizations) if application.authorizations else {}
    return Subject(
        cpf=application.cpf,
        zip_code=address.zip_code if address else None,
        phone=contact.phone,
        device_id=contact.device_id,
        authorisations={name: reference for name, reference in given.items() if reference is not None},
    )


def is_cpf(text: str) -> bool:
    """Tell whether 11 digits are a CPF: two check digits modulo 11, not all digits equal (contract U4)."""
    if len(text) != 11 or not text.isascii() or not text.isdigit() or len(set(text)) == 1:
        return False
    digits = [int(one) for one in text]
    return all(
        digits[place]
        == sum(digit * weight for digit, weight in zip(digits, range(place + 1, 1, -1), strict=False)) * 10 % 11 % 10
        for place in (9, 10)
    )
