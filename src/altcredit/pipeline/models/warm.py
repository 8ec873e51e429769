"""The champion, kept loaded: a promotion or rollback is noticed with the next job, without a restart."""

from pathlib import Path

from altcredit.engine import registry
from altcredit.pipeline.models.artefact import Verify, load
from altcredit.pipeline.models.model import Model
from altcredit.runtime.db import Connection


class Warm:
    """One process's champion of a product. ``folder``: the models' folder under home."""

    def __init__(self, folder: Path, *, verify: Verify, product: registry.Product, threads: int = 2) -> None:
        self._product, self._folder, self._verify, self._threads = product, folder, verify, threads
        self._model: Model | None = None

    async def champion(self, db: Connection) -> Model:
        """
        Return the champion of this moment: one small read, and a load only where it changed.

        :raises ModelUnknown: there is no champion.
        :raises ArtefactBroken: its files are not what was registered; nothing is scored then.
        """
        _, sha256, path = await registry.champion_artefact(db, product=self._product)
        if self._model is None or self._model.info.sha256 != sha256:
            self._model = load(self._folder / path, verify=self._verify, sha256=sha256, threads=self._threads)
        return self._model
