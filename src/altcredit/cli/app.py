"""The command tree and its exit codes: 0 done, 1 a check failed, 2 wrong usage, 3 refused."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import ModuleType
from typing import TYPE_CHECKING

import cyclopts

from altcredit.cli import serve
from altcredit.runtime.db import DatabaseAway
from altcredit.runtime.refusal import Refusal
from altcredit.runtime.settings import Settings

if TYPE_CHECKING:
    from altcredit.cli.openapi import Product

FAILED, USAGE, REFUSED, INTERRUPTED = 1, 2, 3, 130

Role = Callable[[Settings], None]


def _groups() -> tuple[ModuleType, ...]:
    """Return the commands' modules, in the order in which the help lists them."""
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
        partners,
        pipeline,
        receipts,
        sources,
        underwriting,
    )

    return (
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


def build(roles: Mapping[str, Role], document: Callable[[Product], bytes], *, whole: bool = True) -> cyclopts.App:
    """
    Return the command tree; ``roles`` are what ``serve --role`` can run, ``document`` gives a published contract.

    :param whole: False leaves out all but ``serve``: loading the others is a third of a process's start.
    """
    app = cyclopts.App(name="altcredit", help="Consented, explained credit decisions from alternative data.")
    if whole:
        for group in _groups():
            group.register(app)
    serve.register(app, roles)
    if whole:
        from altcredit.cli import openapi

        openapi.register(app, document)
    return app


def main(arguments: Sequence[str], roles: Mapping[str, Role], document: Callable[[Product], bytes]) -> int:
    """Run one command and return its exit code."""
    try:
        result = build(roles, document, whole=arguments[:1] != ["serve"])(
            list(arguments), exit_on_error=False, print_error=True, result_action="return_value"
        )
    except cyclopts.CycloptsError:
        return USAGE
    except Refusal as refusal:
        from altcredit.cli.output import errors

        errors.print(f"Refused: {type(refusal).__name__}: {refusal}", style="red", markup=False, soft_wrap=True)
        for detail in refusal.details:
            if detail.problem != str(refusal):
                errors.print(f"  {detail.path}: {detail.problem}", markup=False, soft_wrap=True)
        return REFUSED
    except DatabaseAway as away:
        from altcredit.cli.output import errors

        errors.print(f"The database is away: {away}", style="red", markup=False, soft_wrap=True)
        return FAILED
    except KeyboardInterrupt:
        return INTERRUPTED
    return result if isinstance(result, int) else 0
