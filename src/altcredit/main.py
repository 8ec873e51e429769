"""The composition root: settings → engine → surfaces; the only module that knows every part."""

import sys

from altcredit.cli import app
from altcredit.cli.openapi import Product
from altcredit.runtime.settings import Settings


def run() -> None:
    """Entry point of the console script and of ``python -m altcredit``."""
    sys.exit(app.main(sys.argv[1:], {"api": serve_api, "worker": run_worker}, openapi_document))


def openapi_document(product: Product) -> bytes:
    """Return a product's OpenAPI 3.1 document."""
    from altcredit.api.admin import surface as admin
    from altcredit.api.altscore import surface as altscore
    from altcredit.api.guard import surface as guard

    documents = {"altscore": altscore.document, "guard": guard.document, "admin": admin.document}
    return documents[product]()


def serve_api(settings: Settings) -> None:
    """Serve the public and the admin listener in this process until it is told to stop."""
    from altcredit.api import process
    from altcredit.engine import scoring, underwriting
    from altcredit.runtime import postgres, telemetry

    scoring.policy_of(settings)  # refused now, and not when they are first needed
    underwriting.policy_of(settings)
    telemetry.configure(service="altcredit-api", otlp_endpoint=settings.otlp_endpoint)
    try:
        process.run(settings, postgres.ensure(settings))
    finally:
        telemetry.shutdown()


def run_worker(settings: Settings) -> None:
    """Run jobs, schedules, relay and subscriptions in this process until it is told to stop."""
    from altcredit import worker
    from altcredit.engine import scoring, underwriting
    from altcredit.runtime import postgres, telemetry
    from altcredit.subscriptions import SUBSCRIPTIONS

    scoring.policy_of(settings)
    underwriting.policy_of(settings)
    telemetry.configure(service="altcredit-worker", otlp_endpoint=settings.otlp_endpoint)
    worker.run(settings, postgres.ensure(settings), SUBSCRIPTIONS)
