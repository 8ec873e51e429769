"""Messaging: WhatsApp in and out, the consent conversation, one-time codes."""

from altcredit.engine.messaging.account import API_VERSION, Account, signature
from altcredit.engine.messaging.asking import Invitation, Means, PhoneInvalid, invite
from altcredit.engine.messaging.client import Client
from altcredit.engine.messaging.inbound import Delivery, Inbound, Meaning, read
from altcredit.engine.messaging.operations import (
    ANSWER_JOB,
    Waiting,
    answer,
    forget,
    language_of,
    purge,
    question,
    receive,
)
from altcredit.engine.messaging.outgoing import Free, Outgoing, Question, Template, Text, wire
from altcredit.engine.messaging.phone import phone_hash, sent_hash
from altcredit.engine.messaging.sending import drain, queue, queue_to, wake_overdue
from altcredit.engine.messaging.sign_in import (
    CODES,
    MOST_SHOPS,
    TOKEN_KIND,
    CodeInvalid,
    RetailerToken,
    ShopAmbiguous,
    redeem,
    request_code,
    require_living,
)
from altcredit.engine.messaging.templates import definitions
from altcredit.engine.messaging.wording import TEXTS, Language, say, template

__all__ = [
    "ANSWER_JOB",
    "API_VERSION",
    "CODES",
    "MOST_SHOPS",
    "TEXTS",
    "TOKEN_KIND",
    "Account",
    "Client",
    "CodeInvalid",
    "Delivery",
    "Free",
    "Inbound",
    "Invitation",
    "Language",
    "Meaning",
    "Means",
    "Outgoing",
    "PhoneInvalid",
    "Question",
    "RetailerToken",
    "ShopAmbiguous",
    "Template",
    "Text",
    "Waiting",
    "answer",
    "definitions",
    "drain",
    "forget",
    "invite",
    "language_of",
    "phone_hash",
    "purge",
    "question",
    "queue",
    "queue_to",
    "read",
    "receive",
    "redeem",
    "request_code",
    "require_living",
    "say",
    "sent_hash",
    "signature",
    "template",
    "wake_overdue",
    "wire",
]
