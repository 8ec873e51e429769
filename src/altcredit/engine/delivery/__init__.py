"""Callbacks to partners: signed, sent, retried, replayed."""

from altcredit.engine.delivery.callback import (
    Attempt,
    Delivery,
    Endpoint,
    Held,
    IssuedSecrets,
    Kind,
    Page,
)
from altcredit.engine.delivery.operations import (
    DeliveryUnknown,
    EndpointMissing,
    EndpointRefused,
    SecretsExist,
    SecretsMissing,
    disable_endpoint,
    enable_endpoint,
    issue_secrets,
    list_deliveries,
    replay,
    replay_since,
    rotate_secrets,
    set_endpoint,
    submit,
    test_endpoint,
)
from altcredit.engine.delivery.retry import State
from altcredit.engine.delivery.sending import drain, wake_overdue
from altcredit.engine.delivery.signature import SignatureInvalid, verify
from altcredit.engine.delivery.store import held, public_keys, purge, select_endpoint

__all__ = [
    "Attempt",
    "Delivery",
    "DeliveryUnknown",
    "Endpoint",
    "EndpointMissing",
    "EndpointRefused",
    "Held",
    "IssuedSecrets",
    "Kind",
    "Page",
    "SecretsExist",
    "SecretsMissing",
    "SignatureInvalid",
    "State",
    "disable_endpoint",
    "drain",
    "enable_endpoint",
    "held",
    "issue_secrets",
    "list_deliveries",
    "public_keys",
    "purge",
    "replay",
    "replay_since",
    "rotate_secrets",
    "select_endpoint",
    "set_endpoint",
    "submit",
    "test_endpoint",
    "verify",
    "wake_overdue",
]
