"""Train on a frame, sign the artefact, register it, and hold it against the champion."""

import asyncio
from collections.abc import Sequence
from datetime import date, datetime, timedelta
from functools import partial
from typing import Literal

import msgspec
import pandas as pd
import pyarrow as pa

from altcredit.engine import audit, consent, registry
from altcredit.pipeline.features.labels import training_frame
from altcredit.pipeline.lake import store
from altcredit.pipeline.lake.engine import Lake
from altcredit.pipeline.lake.tables import Snapshot
from altcredit.pipeline.models import ALTSCORE, Model, Progress, Purpose, cold_start, load, save, train
from altcredit.pipeline.models.compare import compare
from altcredit.pipeline.models.training import silent
from altcredit.runtime.platform import Platform
from altcredit.runtime.refusal import Refusal

# pipeline.md: the first as-of date is 180 days into the feed, and dates are a month apart.
WARM_UP = timedelta(days=180)
STEP = timedelta(days=30)


class NothingToLearn(Refusal):
    """No ledger may be used to develop a model, or none is old enough."""


class Learned(msgspec.Struct, frozen=True, kw_only=True):
    """A registered model version, and what kept it from being compared or promoted."""

    version: str
    product: registry.Product
    kind: Literal["expert", "xgboost"]
    rows: int
    bad: int
    """Distinct shops or applicants that defaulted, among those it was trained on."""
    promoted: bool


def frame_of(table: pa.Table) -> pd.DataFrame:
    """Return a training table as the models take it, with each shop's first main distributor."""
    frame: pd.DataFrame = table.to_pandas()
    frame["distributor_id"] = [feed[0] if len(feed) else None for feed in frame.pop("feed")]
    return frame


async def consented_frame(
    platform: Platform, *, lake: Lake, legal_basis: str | None, actor: str, now: datetime
) -> pd.DataFrame:
    """
    Return the training frame of the ledgers that may be used to develop models (contract C2).

    That is those under a live consent to ``model_development``; or all of them on another legal basis, which the audit
    log then holds.

    :raises NothingToLearn: there are none, or none is half a year old.
    """
    async with platform.database.transaction() as db:
        snapshot = await store.snapshot(db)
        scope = None
        if legal_basis is None:
            found = await consent.trainable(db, now=now)
            scope = [(retailer, one) for retailer, distributors in found.items() for one in distributors]
        else:
            details = {"legal_basis": legal_basis}
            await audit.append(
                db, actor=actor, action="model.trained_without_consent", subject="lake", details=details, now=now
            )
    days = as_of_dates(snapshot, today=now.date())
    if scope == [] or not days:
        raise NothingToLearn("No ledger with consent to model_development reaches back far enough.")
    table = await asyncio.to_thread(partial(training_frame, lake, snapshot, as_of_dates=days, scope=scope))
    if not table.num_rows:
        raise NothingToLearn("No retailer was eligible on any as-of date.")
    return frame_of(table)


def as_of_dates(snapshot: Snapshot, *, today: date) -> Sequence[date]:
    """Return the days to learn from: from half a year into the oldest feed on, a month apart, up to today."""
    starts = [first for feed in snapshot.feeds.values() for first, _ in feed.coverage[:1]]
    if not starts:
        return []
    first = min(starts) + WARM_UP
    return [first + n * STEP for n in range(max((today - first) // STEP + 1, 0))]


async def learn(
    platform: Platform,
    frame: pd.DataFrame | None,
    *,
    purpose: Purpose = ALTSCORE,
    data_origin: Literal["ledgers", "simulated"],
    promote: bool,
    actor: str,
    now: datetime,
    progress: Progress = silent,
) -> Learned:
    """
    Train, save, sign and register a model of a product; compare it with the champion, if there is one; promote it if
    asked to. Without a frame the expert scorecard is registered as it stands.

    :raises FrameInvalid: the frame has no mature label.
    :raises SecondPersonNeeded, GateClosed, NotCompared, OriginUnproven: it may not be promoted; it is registered.
    """
    async with platform.database.transaction() as db:
        known = await registry.list_versions(db, product=purpose.product)
    number = len(known) + 1
    expert_version = purpose.expert_name.format(number)
    if frame is None:
        model = cold_start(version=expert_version, now=now, purpose=purpose)
    else:
        model = await asyncio.to_thread(
            partial(
                train,
                frame,
                version=purpose.learnt_name.format(number),
                expert_version=expert_version,
                purpose=purpose,
                data_origin=data_origin,
                now=now,
                progress=progress,
            )
        )
    folder = platform.settings.home_path / "models"
    saved = await asyncio.to_thread(partial(save, model, folder=folder, sign=partial(platform.signing.sign, "model")))
    model = load(folder / saved.path, verify=partial(platform.signing.verify, "model"), sha256=saved.sha256)
    environment = platform.settings.environment
    async with platform.database.transaction() as db:
        version = await registry.register(
            db,
            card=msgspec.to_builtins(model.card),
            path=saved.path,
            sha256=saved.sha256,
            key_id=saved.key_id,
            signature=saved.signature,
            environment=environment,
            actor=actor,
            now=now,
        )
    if frame is not None:
        await _compare(platform, frame, model, actor=actor, now=now)
    if promote:
        async with platform.database.transaction() as db:
            await registry.promote(db, version=version.version, actor=actor, environment=environment, now=now)
    counts = model.card.sample.get("train", {})
    return Learned(
        version=version.version,
        product=version.product,
        kind=model.card.kind,
        rows=0 if frame is None else len(frame),
        bad=int(counts.get("bad_shops", 0)),
        promoted=promote,
    )


async def _compare(platform: Platform, frame: pd.DataFrame, model: Model, *, actor: str, now: datetime) -> None:
    async with platform.database.transaction() as db:
        try:
            against, sha256, path = await registry.champion_artefact(db, product=model.card.product)
        except registry.ModelUnknown:
            return
    folder = platform.settings.home_path / "models" / path
    champion = load(folder, verify=partial(platform.signing.verify, "model"), sha256=sha256)
    comparison = await asyncio.to_thread(partial(compare, frame, model, champion))
    async with platform.database.transaction() as db:
        await registry.record_comparison(
            db, version=model.card.version, against=against, comparison=comparison, actor=actor, now=now
        )
