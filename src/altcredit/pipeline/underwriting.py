"""GUARD's probabilities, one applicant at a time: champions kept loaded, no data frame on the way."""

import time
from collections.abc import Mapping
from contextlib import suppress
from functools import partial

import numpy as np

from altcredit.engine import registry
from altcredit.pipeline.models import Model
from altcredit.pipeline.models.warm import Warm
from altcredit.runtime.db import Connection
from altcredit.runtime.platform import Platform


class Assessor:
    """
    The champions of ``guard`` and ``guard_screen`` in this process.

    ``load`` before each application: it notices a promotion or rollback with one small read a product. ``estimate``
    takes well under a millisecond and waits for nothing, so it may run on the event loop.
    """

    def __init__(self, platform: Platform) -> None:
        folder = platform.settings.home_path / "models"
        verify = partial(platform.signing.verify, "model")
        products: tuple[registry.Product, ...] = ("guard", "guard_screen")
        # One thread: a single row has no work for a second one.
        self._warm = {product: Warm(folder, verify=verify, product=product, threads=1) for product in products}
        self._models: dict[registry.Product, Model] = {}
        self._looked_at = 0.0

    async def load(self, db: Connection, *, within: float = 0.0) -> None:
        """
        Take up the champions of this moment; or let be what was taken up ``within`` so many seconds.

        Without a champion of ``guard_screen`` the funnel has no model, and lets everybody pass.

        :raises ModelUnknown: ``guard`` has no champion: train and promote one first.
        :raises ArtefactBroken: a champion's files are not what was registered.
        """
        looked_at = time.monotonic()
        if self._models and looked_at - self._looked_at < within:
            return
        found: dict[registry.Product, Model] = {"guard": await self._warm["guard"].champion(db)}
        with suppress(registry.ModelUnknown):
            found["guard_screen"] = await self._warm["guard_screen"].champion(db)
        self._models, self._looked_at = found, looked_at

    def info(self, product: registry.Product) -> registry.ModelInfo | None:
        """Return what a decision records of the champion that ``estimate`` uses; None: there is none."""
        model = self._models.get(product)
        return model.info if model is not None else None

    def estimate(self, product: registry.Product, features: Mapping[str, float | None]) -> registry.Estimate | None:
        """
        Return probability and exact contributions, or None where the model cannot calculate.

        That is where it has no champion, or where nothing is known from a source that its card requires.
        """
        model = self._models.get(product)
        return None if model is None else estimate(model, features)


def estimate(model: Model, features: Mapping[str, float | None]) -> registry.Estimate | None:
    """Return a model's answer for one applicant; None: nothing is known from a source that its card requires."""
    inputs = model.card.inputs
    for source in model.card.requires:
        if all(features[item.name] is None for item in inputs if item.source == source):
            return None
    explained = model.explain_values(np.array([[features[item.name] for item in inputs]], dtype=np.float64))
    names = [item.name for item in inputs]
    return registry.Estimate(
        pd=float(explained.pd[0]),
        contributions=dict(zip(names, explained.contributions[0].tolist(), strict=True)),
        base=explained.base,
    )
