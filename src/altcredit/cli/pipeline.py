"""``altcredit pipeline | train | evaluate | score``: the lake, the models, and what they say of one shop."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import cyclopts
import msgspec

from altcredit.cli.clients import ACTOR
from altcredit.cli.output import emit, errors, say
from altcredit.cli.session import run, settings
from altcredit.runtime import clock
from altcredit.runtime.platform import Platform

if TYPE_CHECKING:
    from altcredit.engine.registry import Product
    from altcredit.pipeline.models import Model

group = cyclopts.App(name="pipeline", help="The lake and the scores made from it.")
Json = Annotated[bool, cyclopts.Parameter(negative="", help="Print JSON.")]
Flag = Annotated[bool, cyclopts.Parameter(negative="")]


def register(app: cyclopts.App) -> None:
    """Add the commands to the tree."""
    app.command(group)
    app.command(train)
    app.command(evaluate)
    app.command(score)


@contextmanager
def progress() -> Iterator[Callable[[str, float], None]]:
    """Show a bar on standard error; the function that is lent takes a stage and the share done (0 to 1)."""
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.percentage:3.0f} %"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=errors, transient=True) as bar:
        task = bar.add_task("", total=1.0)
        yield lambda stage, done: bar.update(task, description=stage, completed=done)


@group.command(name="run")
def run_pipeline(*, rebuild: Flag = False, engine: Literal["duckdb", "spark"] = "duckdb", json: Json = False) -> None:
    """
    Compact the lake and score everybody with a live consent, as the nightly schedule does.

    Parameters
    ----------
    rebuild: bool
        Make silver anew from all of bronze.
    engine: Literal['duckdb', 'spark']
        What computes; spark needs `pip install altcredit[spark]`.
    """

    async def work(platform: Platform) -> Any:
        from altcredit.pipeline.scores import Scorer

        scorer = Scorer(platform, engine=engine)
        try:
            with progress() as shown:
                return await scorer.nightly(
                    now=clock.now(),
                    rebuild=rebuild,
                    report=lambda at: shown(f"{at.stage} {at.rate:,.0f} rows/s", at.rows / max(at.total, 1)),
                )
        finally:
            scorer.close()

    emit(run(work), json=json)


@group.command
def compact() -> None:
    """Fold the batches since the base of silver into a new base."""

    async def work(platform: Platform) -> None:
        from altcredit.pipeline.scores import Scorer

        scorer = Scorer(platform)
        try:
            await scorer.compact(now=clock.now())
        finally:
            scorer.close()

    run(work)
    say("Compacted.")


def train(
    *,
    product: Literal["altscore", "guard"] = "altscore",
    simulated: int | None = None,
    legal_basis: str | None = None,
    promote: Flag = False,
    json: Json = False,
) -> None:
    """
    Train a model, sign it and register it; compare it with the champion.

    AltScore learns from the ledgers of shops that consented to `model_development`. GUARD has two models, the full one
    and the funnel's; they learn from the outcomes of granted cards (`altcredit underwriting outcomes`), and without any
    that is 12 months old, their expert scorecards are registered.

    Parameters
    ----------
    product: Literal['altscore', 'guard']
        Whose model.
    simulated: int | None
        Learn from this many simulated shops or applicants instead (production refuses such a model).
    legal_basis: str | None
        Learn from all ledgers, on this legal basis, which is recorded in the audit log.
    promote: bool
        Make it the champion at once, if the gate and the two-person rule allow.
    """
    work = partial(_train_altscore, simulated, legal_basis, promote)
    if product == "guard":
        work = partial(_train_guard, simulated, promote)
    emit(run(work), json=json)


async def _train_altscore(simulated: int | None, legal_basis: str | None, promote: bool, platform: Platform) -> Any:
    from altcredit.pipeline import learning
    from altcredit.pipeline.lake.engine import Lake

    today = clock.now().date()
    with progress() as shown:
        shown("training frame", 0.0)
        if simulated is not None:
            from altcredit.simulator.portfolio import portfolio_frame

            frame = await asyncio.to_thread(lambda: portfolio_frame(seed=11, shops=simulated, today=today))
        else:
            lake = Lake(platform.settings.lake_path)
            try:
                frame = await learning.consented_frame(
                    platform, lake=lake, legal_basis=legal_basis, actor=ACTOR, now=clock.now()
                )
            finally:
                lake.close()
        return await learning.learn(
            platform,
            frame,
            data_origin="ledgers" if simulated is None else "simulated",
            promote=promote,
            actor=ACTOR,
            now=clock.now(),
            progress=shown,
        )


async def _train_guard(simulated: int | None, promote: bool, platform: Platform) -> Any:
    from altcredit.pipeline import learning
    from altcredit.pipeline.models import GUARD, GUARD_SCREEN

    now = clock.now()
    with progress() as shown:
        frame = None
        if simulated is not None:
            from altcredit.simulator.applicant_portfolio import portfolio_of_applicants

            shown("simulated applicants", 0.0)
            frame = await asyncio.to_thread(lambda: portfolio_of_applicants(3, simulated, now.date()))
        else:
            from altcredit.pipeline.underwriting import frame_of_outcomes

            shown("outcomes", 0.0)
            frame = await frame_of_outcomes(platform)
        return [
            await learning.learn(
                platform,
                frame,
                purpose=purpose,
                data_origin="ledgers" if simulated is None else "simulated",
                promote=promote,
                actor=ACTOR,
                now=now,
                progress=shown,
            )
            for purpose in (GUARD, GUARD_SCREEN)
        ]


def evaluate(
    *,
    product: Literal["altscore", "guard", "guard_screen"] = "altscore",
    version: str | None = None,
    shops: int = 3000,
    mechanism: Literal["stress", "till"] = "till",
    public: Flag = False,
    out: Path | None = None,
    json: Json = False,
) -> None:
    """
    Grade a model on simulated shops or applicants with a known truth, and print the report.

    Parameters
    ----------
    product: Literal['altscore', 'guard', 'guard_screen']
        Whose champion.
    version: str | None
        The model, instead of the champion.
    shops: int
        How many simulated shops or applicants.
    mechanism: Literal['stress', 'till']
        Which simulation of shops; `till` is written independently of the one that `train --simulated` uses.
    public: bool
        Check the training code on public loan data instead (downloaded by pip, pinned by sha256).
    out: Path | None
        Write report.json and the plots (SVG, PNG) into this folder; for GUARD, report.json.
    """
    if public:
        from altcredit.pipeline.models.public import evaluate_public

        with progress() as shown:
            found_public = evaluate_public(settings().home_path / "cache", now=clock.now(), progress=shown)
        emit(found_public, json=json)
    elif product == "altscore":
        _evaluate_altscore(version, shops, mechanism, out=out, json=json)
    else:
        _evaluate_guard(product, version, shops, out=out, json=json)


async def _model(platform: Platform, product: "Product", version: str | None) -> "Model":
    from altcredit.engine import registry
    from altcredit.pipeline.models import load

    async with platform.database.transaction() as db:
        wanted = await (
            registry.get(db, version=version) if version else registry.holder(db, product=product, alias="champion")
        )
    return load(
        platform.settings.home_path / "models" / wanted.path,
        verify=lambda kid, data, signature: platform.signing.verify("model", kid, data, signature),
        sha256=wanted.sha256,
    )


def _evaluate_altscore(
    version: str | None, shops: int, mechanism: Literal["stress", "till"], *, out: Path | None, json: bool
) -> None:
    from altcredit.pipeline.models import report as reports

    async def work(platform: Platform) -> Any:
        from altcredit.pipeline.models.evaluate import evaluate as grade
        from altcredit.simulator.portfolio import portfolio_frame

        model = await _model(platform, "altscore", version)
        today = clock.now().date()
        with progress() as shown:
            shown("simulated portfolio", 0.0)
            frame = await asyncio.to_thread(
                lambda: portfolio_frame(seed=97, shops=shops, today=today, mechanism=mechanism, truth=True)
            )
            return await asyncio.to_thread(
                lambda: grade(
                    frame, model, tested_on=f"simulated ({mechanism})", rows=frame, leave_out=False, progress=shown
                )
            )

    found = run(work)
    if out is not None:
        files = reports.write(found, out)
        say(f"Wrote {len(files)} files into {out}.")
    if json:
        emit(msgspec.structs.replace(found, curves={}), json=True)
    else:
        from rich.console import Console

        reports.show(found, Console(highlight=False))


def _evaluate_guard(product: "Product", version: str | None, people: int, *, out: Path | None, json: bool) -> None:
    from altcredit.engine import underwriting
    from altcredit.pipeline.models import grade as grades

    async def work(platform: Platform) -> Any:
        from altcredit.simulator.applicant_portfolio import portfolio_of_applicants

        model = await _model(platform, product, version)
        today = clock.now().date()
        with progress() as shown:
            shown("simulated applicants", 0.0)
            frame = await asyncio.to_thread(lambda: portfolio_of_applicants(97, people, today))
            shown("figures", 0.5)
            approved_to = underwriting.POLICY.bands.approved_to
            return await asyncio.to_thread(lambda: grades.grade(frame, model, approved_to=approved_to))

    found = run(work)
    if out is not None:
        out.mkdir(parents=True, exist_ok=True)
        (out / "report.json").write_bytes(msgspec.json.format(msgspec.json.encode(found), indent=1))
        say(f"Wrote report.json into {out}.")
    if json:
        emit(found, json=True)
    else:
        from rich.console import Console

        grades.show(found, Console(highlight=False))


def score(retailer_id: str, *, json: Json = False) -> None:
    """
    Print the current assessment of a retailer, for the operator; the look is recorded in the audit log.

    Parameters
    ----------
    retailer_id: str
        `ret_` and 16 hex digits.
    """
    from altcredit.engine import audit, scoring

    async def work(platform: Platform) -> Any:
        async with platform.database.transaction() as db:
            found = await scoring.latest(db, retailer_id=retailer_id)
            now = clock.now()
            await audit.append(db, actor=ACTOR, action="score.shown", subject=retailer_id, details={}, now=now)
            return found

    emit(run(work), json=json)
