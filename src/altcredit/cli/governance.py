"""``altcredit consent`` and ``altcredit models``: what was agreed to, and what decides."""

from pathlib import Path
from typing import Annotated, Any, Literal

import cyclopts

from altcredit.cli.output import emit, say
from altcredit.cli.session import run
from altcredit.runtime import clock
from altcredit.runtime.platform import Platform

consents = cyclopts.App(name="consent", help="Consent records.")
models = cyclopts.App(name="models", help="Model versions: champion and challengers.")
Product = Literal["altscore", "guard", "guard_screen"]
Json = Annotated[bool, cyclopts.Parameter(negative="", help="Print JSON.")]


def register(app: cyclopts.App) -> None:
    """Add the commands to the tree."""
    app.command(consents)
    app.command(models)


@consents.command
def show(consent_id: str, *, json: Json = False) -> None:
    """Print a consent's signed record, signature and public key."""
    emit(_export(consent_id), json=json)


@consents.command
def verify(consent_id: str, *, out: Path | None = None) -> int:
    """
    Verify a consent's signature; exit 1 if it does not hold.

    Parameters
    ----------
    out: Path | None
        Also write record.json, signature.der and public.pem into this folder, so that
        `openssl dgst -sha256 -verify public.pem -signature signature.der record.json` can repeat it elsewhere.
    """
    from altcredit.engine import consent

    async def work(platform: Platform) -> tuple[Any, str, bool]:
        async with platform.database.transaction() as db:
            found = await consent.show(db, consent_id=consent_id)
        holds = platform.signing.verify("consent", found.key_id, found.record, found.signature)
        return found, platform.signing.public_pem(found.key_id), holds

    found, public_pem, holds = run(work)
    if out is not None:
        out.mkdir(parents=True, exist_ok=True)
        (out / "record.json").write_bytes(found.record)
        (out / "signature.der").write_bytes(found.signature)
        (out / "public.pem").write_text(public_pem)
    say(f"The signature of {consent_id} by key {found.key_id} {'holds' if holds else 'DOES NOT HOLD'}.")
    return 0 if holds else 1


def _export(consent_id: str) -> dict[str, Any]:
    import json

    from altcredit.engine import consent

    async def work(platform: Platform) -> dict[str, Any]:
        async with platform.database.transaction() as db:
            found = await consent.show(db, consent_id=consent_id)
        return {
            "record": json.loads(found.record),
            "signature": found.signature.hex(),
            "public_key": platform.signing.public_pem(found.key_id),
        }

    return run(work)


@models.command(name="list")
def list_models(*, product: Product | None = None, json: Json = False) -> None:
    """
    List the model versions, newest first.

    Parameters
    ----------
    product: Literal['altscore', 'guard', 'guard_screen'] | None
        Only those of this product.
    """
    from altcredit.engine import registry

    async def work(platform: Platform) -> Any:
        async with platform.database.transaction() as db:
            return await registry.list_versions(db, product=product)

    rows = [
        {
            "version": one.version,
            "product": one.product,
            "aliases": list(one.aliases),
            "data_origin": one.data_origin,
            "sha256": one.sha256,
        }
        for one in run(work)
    ]
    emit(rows, json=json)


@models.command
def approve(version: str, *, person: str) -> None:
    """
    Sign for the promotion of a version; it takes two people.

    Parameters
    ----------
    person: str
        Who signs.
    """
    from altcredit.engine import registry

    async def work(platform: Platform) -> list[str]:
        async with platform.database.transaction() as db:
            return await registry.approve(db, version=version, actor=f"person:{person}", now=clock.now())

    say(f"{version} was signed for by {', '.join(run(work))}.")


@models.command
def promote(version: str, *, person: str) -> None:
    """
    Make a version its product's champion, effective with the next job.

    Parameters
    ----------
    person: str
        Who promotes; somebody else must have approved (in development one person suffices).
    """
    from altcredit.engine import registry

    async def work(platform: Platform) -> Any:
        environment = platform.settings.environment
        async with platform.database.transaction() as db:
            return await registry.promote(
                db, version=version, actor=f"person:{person}", environment=environment, now=clock.now()
            )

    emit(run(work), json=False)


@models.command
def rollback(*, person: str, product: Product = "altscore") -> None:
    """
    Put the champion's predecessor back in office.

    Parameters
    ----------
    person: str
        Who decides.
    product: Literal['altscore', 'guard', 'guard_screen']
        Whose champion.
    """
    from altcredit.engine import registry

    async def work(platform: Platform) -> Any:
        async with platform.database.transaction() as db:
            return await registry.rollback(db, product=product, actor=f"person:{person}", now=clock.now())

    emit(run(work), json=False)
