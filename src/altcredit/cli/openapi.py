"""``altcredit openapi``: the published contract."""

import sys
from collections.abc import Callable

import cyclopts


def register(app: cyclopts.App, document: Callable[[], bytes]) -> None:
    """Add the command to the tree; ``document`` is the API's, which the command line may not import itself."""

    @app.command
    def openapi() -> None:
        """Print AltScore's OpenAPI 3.1 document."""
        sys.stdout.buffer.write(document())
