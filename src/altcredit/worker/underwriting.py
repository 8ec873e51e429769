"""
The pipeline of one application, from the first source to the callback's queue (contract U11).

Every step may be run again: what a source answered is kept and never asked twice, and only the first conclusion counts.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import msgspec

from altcredit.engine import registry, sources, underwriting
from altcredit.runtime import clock, log
from altcredit.runtime.jobs import Payload
from altcredit.runtime.platform import Platform
from altcredit.runtime.shared import Shared
from altcredit.worker.work import Work

if TYPE_CHECKING:
    from altcredit.pipeline.underwriting import Assessor


# How soon a promotion or rollback counts: two reads an application would be one in ten of all it costs.
_PROMOTIONS_SEEN_SECONDS = 1.0
_TOGETHER = 32  # decisions of one transaction


@asynccontextmanager
async def open_clients(platform: Platform) -> AsyncIterator[sources.Clients]:
    clients = await sources.Clients.open(platform.settings)
    try:
        yield clients
    finally:
        await clients.close()


@asynccontextmanager
async def _assessor(platform: Platform) -> AsyncIterator[Assessor]:
    from altcredit.pipeline.underwriting import Assessor

    yield Assessor(platform)


class _Cases:
    """
    The two writes around an application, shared by those that begin or end at the same moment.

    What is concluded together is one transaction; where one of it cannot be, each is one of its own.
    """

    def __init__(self, platform: Platform) -> None:
        self._platform = platform
        self.begin: Shared[str, str, underwriting.Case] = Shared(self._begin)
        self.conclude: Shared[str, underwriting.Conclusion, bool] = Shared(self._conclude, at_most=_TOGETHER)

    async def _begin(self, request_ids: Sequence[str]) -> dict[str, underwriting.Case]:
        platform = self._platform
        return await underwriting.begin(
            platform.database, keyring=platform.keyring, request_ids=request_ids, now=clock.now()
        )

    async def _conclude(self, conclusions: Sequence[underwriting.Conclusion]) -> dict[str, bool]:
        platform = self._platform
        async with platform.database.transaction() as db:
            decided = await underwriting.conclude(
                db, keyring=platform.keyring, conclusions=conclusions, now=clock.now()
            )
        return dict.fromkeys(decided, True)


@asynccontextmanager
async def _cases(platform: Platform) -> AsyncIterator[_Cases]:
    yield _Cases(platform)


async def run(work: Work, payloads: list[Payload]) -> None:
    """Underwrite one application."""
    (payload,) = payloads
    platform = work.platform
    cases = await work.keep(_cases)
    case = await cases.begin(payload["request_id"], payload["request_id"])
    if case is None:
        return
    # Whom a person has underwritten anew meets no funnel, in the sandbox neither.
    asked = msgspec.structs.replace(case.application, cost_saving_enabled=not case.asks_all)
    found = underwriting.rehearsal(asked, environment=platform.settings.environment)
    if found is not None:
        await _rehearse(work, cases, case, found)
        return
    pipeline = _Pipeline(work, case, await work.keep(open_clients), await work.keep(_assessor))
    await cases.conclude(case.request_id, await pipeline.conclusion())


async def expire(work: Work, _payloads: list[Payload]) -> None:
    """Give up applications that have waited for a decision for a day."""
    async with work.platform.database.transaction() as db:
        count = await underwriting.fail_overdue(db, keyring=work.platform.keyring, now=work.clock())
    if count:
        log.warning("underwritings_failed", count=count)


async def purge(work: Work, _payloads: list[Payload]) -> None:
    """Destroy what is past its keeping: requests, features, reviews, answers, callbacks."""
    async with work.platform.database.transaction() as db:
        counts = await underwriting.purge(db, now=work.clock())
    log.info("guard_purged", stages=counts)


async def _rehearse(work: Work, cases: _Cases, case: underwriting.Case, found: underwriting.Rehearsal) -> None:
    if found.fails:
        async with work.platform.database.transaction() as db:
            await underwriting.fail(db, keyring=work.platform.keyring, request_id=case.request_id, now=work.clock())
        return
    conclusion = underwriting.Conclusion(
        case=case, decision=underwriting.rehearsed(found), cost_centavos=0, withheld=found.withheld
    )
    await cases.conclude(case.request_id, conclusion)


class _Pipeline:
    """One application's run: what was found so far, and what it cost."""

    def __init__(self, work: Work, case: underwriting.Case, clients: sources.Clients, assessor: Assessor) -> None:
        self.work = work
        self.case = case
        self.clients = clients
        self.assessor = assessor
        self.policy = underwriting.policy_of(work.platform.settings)
        self.findings: dict[str, sources.Finding] = {}
        self.features: dict[str, float | None] = {}

    @property
    def answers(self) -> Mapping[str, Any]:
        return {name: one.answer for name, one in self.findings.items() if one.answer is not None}

    async def conclusion(self) -> underwriting.Conclusion:
        """Ask, screen where that is wanted, ask the rest, and decide."""
        decision = await self._decision()
        if decision.outcome == "not_calculable":
            log.warning("not_calculable", request_id=self.case.request_id, reason=", ".join(decision.sources_missing))
        doubtful = sum(one.price_centavos for one in self.findings.values() if one.is_doubtful)
        return underwriting.Conclusion(
            case=self.case,
            decision=decision,
            cost_centavos=sum(one.price_centavos for one in self.findings.values()) - doubtful,
            in_doubt_centavos=doubtful,
            features=self.features,
        )

    async def _decision(self) -> underwriting.Decision:
        async with self.work.platform.database.reads.acquire() as db:
            await self.assessor.load(db, within=_PROMOTIONS_SEEN_SECONDS)
        if self.case.asks_all:
            await self._ask(sources.SOURCES)
            return await self._decided()
        for name in _of_tier("screen"):
            await self._ask((name,))
            if self._knocked_out():
                break
        self._read()
        estimate, model = await self.assessor.estimate("guard_screen", self.features)
        screening = underwriting.screen(
            estimate,
            model=model,
            policy=self.policy,
            knocked_out_by=self._knocked_out(),
            draw=underwriting.draw_of(self.case.request_id),
        )
        if not screening.passed:
            return self._decide(None, None, screening=screening, screen_estimate=estimate, screen_model=model)
        if not self._is_hopeless():
            await self._ask(_of_tier("full"))
        return await self._decided(screening)

    def _is_hopeless(self) -> bool:
        """Tell whether a source failed without which nothing is calculated: the dear ones would be paid in vain."""
        return any(name in self.findings and name not in self.answers for name in underwriting.REQUIRED)

    async def _ask(self, names: Iterable[str]) -> None:
        work, case = self.work, self.case
        self.findings |= await sources.ask(
            work.platform.database,
            keyring=work.platform.keyring,
            clients=self.clients,
            request_id=case.request_id,
            partner_id=case.partner_id,
            subject=underwriting.subject_of(case.application),
            names=tuple(names),
            clock=work.clock,
        )

    def _knocked_out(self) -> str | None:
        return underwriting.knocked_out_by(self.answers, policy=self.policy)

    def _read(self) -> None:
        """Make the features of what has been answered so far."""
        today = self.case.started_at.date()
        self.features = underwriting.features(self.case.application, self.answers, today=today)

    async def _decided(self, screening: underwriting.Screening | None = None) -> underwriting.Decision:
        self._read()
        estimate, model = await self.assessor.estimate("guard", self.features)
        return self._decide(estimate, model, screening=screening)

    def _decide(
        self, estimate: registry.Estimate | None, model: registry.ModelInfo | None, **screened: Any
    ) -> underwriting.Decision:
        return underwriting.decide(
            self.features,
            estimate,
            model=model,
            policy=self.policy,
            knocked_out_by=self._knocked_out(),
            sources={name: one.state for name, one in self.findings.items()},
            **screened,
        )


def _of_tier(tier: sources.Tier) -> tuple[str, ...]:
    return tuple(name for name, source in sources.SOURCES.items() if source.tier == tier)
