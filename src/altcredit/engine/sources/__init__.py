"""GUARD's data sources: what each is, what it costs, and how it is asked."""

from altcredit.engine.sources import (
    cpf_status,
    device_phone,
    negative_bureau,
    open_finance,
    positive_registry,
    registration,
    scr,
)
from altcredit.engine.sources.cpf_status import CpfStatus
from altcredit.engine.sources.device_phone import DevicePhone
from altcredit.engine.sources.negative_bureau import NegativeBureau
from altcredit.engine.sources.open_finance import OpenFinance
from altcredit.engine.sources.positive_registry import History, PositiveRegistry
from altcredit.engine.sources.registration import Registration
from altcredit.engine.sources.scr import Scr
from altcredit.engine.sources.source import Source, Subject, Tier

# The cheapest first within a tier: that is the order in which the funnel asks.
SOURCES: dict[str, Source] = {
    module.SOURCE.name: module.SOURCE
    for module in (
        cpf_status,
        registration,
        device_phone,
        negative_bureau,
        scr,
        positive_registry,
        open_finance,
    )
}

__all__ = [
    "SOURCES",
    "CpfStatus",
    "DevicePhone",
    "History",
    "NegativeBureau",
    "OpenFinance",
    "PositiveRegistry",
    "Registration",
    "Scr",
    "Source",
    "Subject",
    "Tier",
]
