"""What the applications of one process share to read and write their questions."""

from functools import partial

from altcredit.engine.sources import store
from altcredit.engine.sources.query import Closing, Kept, Looking, Opening
from altcredit.runtime.db import Database
from altcredit.runtime.shared import Shared


class Writes:
    """The statements around questions on one database: what is known, the question, its answer."""

    def __init__(self, database: Database) -> None:
        self.known: Shared[Looking, Looking, list[Kept]] = Shared(partial(store.known, database.reads))
        self.open: Shared[tuple[str, str], Opening, tuple[str, str, bool]] = Shared(
            partial(store.open_, database.reads)
        )
        self.close: Shared[str, Closing, bool] = Shared(partial(store.close, database.reads))
