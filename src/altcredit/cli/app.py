"""The command tree and its exit codes: 0 done, 1 a check failed, 2 wrong usage, 3 refused."""

from collections.abc import Callable, Mapping, Sequence

import cyclopts

from altcredit.cli import (
    admin,
    audit,
    clients,
    compliance,
    database,
    demo,
    doctor,
    governance,
    jobs,
    keys,
    messaging,
    openapi,
    partners,
    pipeline,
    receipts,
    serve,
    sources,
    underwriting,
)
from altcredit.cli.output import errors
from altcredit.runtime.db import DatabaseAway
from altcredit.runtime.refusal import Refusal
from altcredit.runtime.settings import Settings

FAILED, USAGE, REFUSED, INTERRUPTED = 1, 2, 3, 130

Role = Callable[[Settings], None]

# In the order in which the help lists them.
_GROUPS = (
    admin,
    clients,
    partners,
    keys,
    governance,
    audit,
    receipts,
    pipeline,
    sources,
    underwriting,
    compliance,
    messaging,
    jobs,
    database,
    doctor,
    demo,
)


def build(roles: Mapping[str, Role], document: Callable[[openapi.Product], bytes]) -> cyclopts.App:
    """Return the command tree; ``roles`` are what ``serve --role`` can run, ``document`` gives a published contract."""
    app = cyclopts.App(name="altcredit", help="Consented, explained credit decisions from alternative data.")
    for group in _GROUPS:
        group.register(app)
    serve.register(app, roles)
    openapi.register(app, document)
    return app


def main(arguments: Sequence[str], roles: Mapping[str, Role], document: Callable[[openapi.Product], bytes]) -> int:
    """Run one command and return its exit code."""
    try:
        result = build(roles, document)(
            list(arguments), exit_on_error=False, print_error=True, result_action="return_value"
        )
    except cyclopts.CycloptsError:
        return USAGE
    except Refusal as refusal:
        errors.print(f"Refused: {type(refusal).__name__}: {refusal}", style="red", markup=False, soft_wrap=True)
        for detail in refusal.details:
            if detail.problem != str(refusal):
                errors.print(f"  {detail.path}: {detail.problem}", markup=False, soft_wrap=True)
        return REFUSED
    except DatabaseAway as away:
        errors.print(f"The database is away: {away}", style="red", markup=False, soft_wrap=True)
        return FAILED
    except KeyboardInterrupt:
        return INTERRUPTED
    return result if isinstance(result, int) else 0
