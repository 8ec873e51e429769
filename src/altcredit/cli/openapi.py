"""``altcredit openapi``: the published contracts."""

import sys
from collections.abc import Callable
from typing import Literal

import cyclopts

Product = Literal["altscore", "guard", "admin"]


def register(app: cyclopts.App, document: Callable[[Product], bytes]) -> None:
    """Add the command to the tree; ``document`` is the API's, which the command line may not import itself."""

    @app.command
    def openapi(*, product: Product = "altscore") -> None:
        """
        Print a product's OpenAPI 3.1 document.

        Parameters
        ----------
        product: Product
            altscore, guard or admin.
        """
        sys.stdout.buffer.write(document(product))
