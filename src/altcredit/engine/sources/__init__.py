"""GUARD's data sources: what each is, what it costs, and how it is asked."""

from altcredit.engine.sources.breaker import Breaker
from altcredit.engine.sources.catalogue import SOURCES
from altcredit.engine.sources.client import Client, Clients, Outcome
from altcredit.engine.sources.cpf_status import CpfStatus
from altcredit.engine.sources.deployment import DeploymentInvalid, Terms
from altcredit.engine.sources.device_phone import DevicePhone
from altcredit.engine.sources.negative_bureau import NegativeBureau
from altcredit.engine.sources.open_finance import OpenFinance
from altcredit.engine.sources.operations import (
    KEPT_FOR,
    answers,
    ask,
    cost_by_source,
    erase,
    purge_answers,
    queries,
    supersede_failed,
)
from altcredit.engine.sources.positive_registry import History, PositiveRegistry
from altcredit.engine.sources.query import Finding, Query, SourceCost
from altcredit.engine.sources.registration import Registration
from altcredit.engine.sources.scr import Scr
from altcredit.engine.sources.source import Source, Subject, Tier
from altcredit.engine.sources.wire import Reply

__all__ = [
    "KEPT_FOR",
    "SOURCES",
    "Breaker",
    "Client",
    "Clients",
    "CpfStatus",
    "DeploymentInvalid",
    "DevicePhone",
    "Finding",
    "History",
    "NegativeBureau",
    "OpenFinance",
    "Outcome",
    "PositiveRegistry",
    "Query",
    "Registration",
    "Reply",
    "Scr",
    "Source",
    "SourceCost",
    "Subject",
    "Terms",
    "Tier",
    "answers",
    "ask",
    "cost_by_source",
    "erase",
    "purge_answers",
    "queries",
    "supersede_failed",
]
