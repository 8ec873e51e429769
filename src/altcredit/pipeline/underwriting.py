"""GUARD's probabilities, one applicant at a time: champions kept loaded, no data frame on the way."""

import itertools
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import partial

import numpy as np
import pandas as pd

from altcredit.engine import registry, underwriting
from altcredit.pipeline.models import Model
from altcredit.pipeline.models.warm import Warm
from altcredit.runtime.db import Connection
from altcredit.runtime.platform import Platform
from altcredit.runtime.shared import Shared

Features = Mapping[str, float | None]


class Assessor:
    """
    The champions of ``guard`` and ``guard_screen`` in this process.

    ``load`` before each application: it notices a promotion or rollback with one small read a product. ``estimate``
    answers whoever asks at the same moment together: one row costs XGBoost half a millisecond, eight cost little more.
    That is short enough for the event loop.
    """

    def __init__(self, platform: Platform) -> None:
        folder = platform.settings.home_path / "models"
        verify = partial(platform.signing.verify, "model")
        products: tuple[registry.Product, ...] = ("guard", "guard_screen")
        # One thread: a single row has no work for a second one.
        self._warm = {product: Warm(folder, verify=verify, product=product, threads=1) for product in products}
        self._models: dict[registry.Product, Model] = {}
        self._looked_at = 0.0
        self._numbers = itertools.count()
        self._estimates: Shared[int, tuple[int, Model, Features], registry.Estimate | None] = Shared(
            _estimate_all, at_most=64
        )

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

    async def estimate(
        self, product: registry.Product, features: Features
    ) -> tuple[registry.Estimate | None, registry.ModelInfo | None]:
        """
        Return probability and exact contributions, and what a decision records of the champion that gave them.

        Without a champion both are None. Without an estimate the model cannot calculate: nothing is known from a
        source that its card requires.
        """
        model = self._models.get(product)
        if model is None:
            return None, None
        number = next(self._numbers)
        return await self._estimates(number, (number, model, features)), model.info


async def frame_of_outcomes(platform: Platform) -> pd.DataFrame | None:
    """
    Return a training frame (models/frame.py) of granted cards that are good or bad for good; None: there is none yet.

    One row an applicant and day: of several applications of a day, the last one's. Only who was approved and booked a
    card is in it: how the rejected would have paid nobody knows.
    """
    async with platform.database.transaction() as db:
        found = await underwriting.lessons(db, keyring=platform.keyring)
    rows = {
        (one.subject, one.accepted_at.date()): {
            "subject_id": one.subject,
            "as_of": one.accepted_at.date(),
            "default": one.outcome.is_bad,
            "mature": True,
            **{name: one.features.get(name) for name in underwriting.CATALOGUE},
        }
        for one in found
        if one.outcome.is_mature
    }
    return pd.DataFrame(list(rows.values())).astype(dict.fromkeys(underwriting.CATALOGUE, "float64")) if rows else None


async def _estimate_all(rows: Sequence[tuple[int, Model, Features]]) -> dict[int, registry.Estimate | None]:
    """Answer for several applicants, those of one model together."""
    found: dict[int, registry.Estimate | None] = {}
    for model in {id(model): model for _, model, _ in rows}.values():
        asked = [(number, features) for number, one, features in rows if one is model]
        answers = estimates(model, [features for _, features in asked])
        found |= zip((number for number, _ in asked), answers, strict=True)
    return found


def estimates(model: Model, applicants: Sequence[Features]) -> list[registry.Estimate | None]:
    """Return a model's answer for each applicant; None: nothing is known from a source that its card requires."""
    names = [item.name for item in model.card.inputs]
    able = [features for features in applicants if _is_able(model, features)]
    if not able:
        return [None] * len(applicants)
    values = np.array([[features[name] for name in names] for features in able], dtype=np.float64)
    explained = model.explain_values(values)
    answers = iter(zip(explained.pd.tolist(), explained.contributions.tolist(), strict=True))
    found: list[registry.Estimate | None] = []
    for features in applicants:
        if _is_able(model, features):
            pd, contributions = next(answers)
            named = dict(zip(names, contributions, strict=True))
            found.append(registry.Estimate(pd=pd, contributions=named, base=explained.base))
        else:
            found.append(None)
    return found


def _is_able(model: Model, features: Features) -> bool:
    inputs = model.card.inputs
    return all(
        any(features[item.name] is not None for item in inputs if item.source == source)
        for source in model.card.requires
    )
