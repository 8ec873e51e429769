"""``altcredit sources``: what GUARD asks, whether it answers, and a simulator of all of it."""

import asyncio
from pathlib import Path
from typing import Annotated, Any

import cyclopts
import msgspec

from altcredit.cli.output import emit, say
from altcredit.cli.session import settings
from altcredit.runtime.refusal import Refusal

group = cyclopts.App(name="sources", help="GUARD's data sources: what is asked, and a simulator.")
Json = Annotated[bool, cyclopts.Parameter(negative="", help="Print JSON.")]


class SimulatorUnusable(Refusal):
    """The simulator cannot be started as asked."""


class CpfInvalid(Refusal):
    """A CPF has eleven digits. Which of them a provider takes for a test is the provider's to say."""


class Check(msgspec.Struct, frozen=True, kw_only=True):
    """How one source answered a test question."""

    source: str
    state: str
    ms: int | None
    price_centavos: int
    problem: str | None


def register(app: cyclopts.App) -> None:
    """Add the commands to the tree."""
    app.command(group)


@group.command(name="list")
def list_(*, json: Json = False) -> None:
    """List the sources in the order in which they are asked, with the terms of this deployment."""
    from altcredit.engine.sources import SOURCES, Clients

    async def work() -> list[dict[str, Any]]:
        clients = await Clients.open(settings())
        return [_row(source, clients) for source in SOURCES.values()]

    emit(asyncio.run(work()), json=json)


def _row(source: Any, clients: Any) -> dict[str, Any]:
    terms = clients[source.name].terms if source.name in clients.configured else None
    return {
        "source": source.name,
        "tier": source.tier,
        "price_centavos": terms.price_centavos if terms else source.price_centavos,
        "timeout_seconds": terms.timeout_seconds if terms else source.timeout_seconds,
        "valid_for_hours": terms.valid_for_hours if terms else source.valid_for.total_seconds() / 3600,
        "needs": source.needs,
        "address": terms.base_url + terms.path if terms else None,
    }


@group.command
def check(*, cpf: str, authorisation: str | None = None, json: Json = False) -> int:
    """
    Ask each configured source one real question, at its price; exit 1 if one fails.

    Parameters
    ----------
    cpf: str
        A CPF that the providers gave you for tests, 11 digits.
    authorisation: str | None
        Reference of an authorisation for the sources that need one; they are left out without it.
    """
    results = asyncio.run(_checked(cpf, authorisation))
    emit(results, json=json)
    return 1 if any(one.state == "failed" for one in results) else 0


async def _checked(cpf: str, authorisation: str | None) -> list[Check]:
    from altcredit.engine.sources import SOURCES, Clients, Subject
    from altcredit.runtime import ids

    if not (cpf.isascii() and cpf.isdigit() and len(cpf) == 11):
        raise CpfInvalid("--cpf takes eleven digits, without dots and dashes")
    wanted = {source.needs or source.extends for source in SOURCES.values()} - {None}
    given = dict.fromkeys(wanted, authorisation) if authorisation else {}
    subject = msgspec.convert({"cpf": cpf, "authorisations": given}, Subject)
    clients = await Clients.open(settings())

    async def one(name: str) -> Check:
        needs = SOURCES[name].needs
        if needs and not authorisation:
            return Check(source=name, state="not_asked", ms=None, price_centavos=0, problem=f"needs {needs}")
        client, started = clients[name], asyncio.get_running_loop().time()
        outcome = await client.ask(ids.new_id("qry"), subject)
        return Check(
            source=name,
            state="failed" if outcome.problem else "answered",
            ms=round((asyncio.get_running_loop().time() - started) * 1000),
            price_centavos=(client.terms.price_centavos or 0) if outcome.charged else 0,
            problem=outcome.problem,
        )

    try:
        return [await one(name) for name in clients.configured]
    finally:
        await clients.close()


@group.command
def serve(
    *,
    host: str = "127.0.0.1",
    port: int = 8460,
    seed: int = 0,
    latency_ms: float = 0,
    jitter: float = 0,
    errors: float = 0,
    rate_limit: float | None = None,
    garbage: float = 0,
    write_config: Path | None = None,
    cert: Path | None = None,
    key: Path | None = None,
    client_ca: Path | None = None,
) -> None:
    """
    Serve a simulator of all sources until SIGTERM: simulated applicants, with trouble on demand.

    Parameters
    ----------
    host: str
        Address to listen on.
    port: int
        Port to listen on; 0 takes a free one.
    seed: int
        Which simulated population answers.
    latency_ms: float
        How long every answer takes, in milliseconds.
    jitter: float
        By which share of it the latency varies, 0 to 1.
    errors: float
        Share of questions that are charged and answered 503.
    rate_limit: float | None
        Questions a second that each source takes; 429 beyond.
    garbage: float
        Share of answers that make no sense.
    write_config: Path | None
        Write the file of sources that leads here (for ALTCREDIT_SOURCES) once it listens.
    cert: Path | None
        Certificate (PEM) for HTTPS.
    key: Path | None
        Its key, unless it is in the same file.
    client_ca: Path | None
        Authority (PEM) whose certificates clients must show.
    """
    import uvloop

    from altcredit.runtime import log
    from altcredit.simulator.source_server import Behaviour

    log.configure(settings().log_level)
    try:
        behaviour = msgspec.convert(
            {
                "latency_ms": latency_ms,
                "jitter": jitter,
                "error_rate": errors,
                "rate_limit_per_s": rate_limit,
                "garbage_rate": garbage,
            },
            Behaviour,
        )
    except msgspec.ValidationError as error:
        raise SimulatorUnusable(str(error)) from error
    try:
        uvloop.run(_served(behaviour, seed, host, port, _certificates(cert, key, client_ca), write_config))
    except OSError as error:
        raise SimulatorUnusable(f"{host}:{port}: {error.strerror or error}") from error


def _certificates(cert: Path | None, key: Path | None, client_ca: Path | None) -> Any:
    from altcredit.simulator.source_serving import Certificates

    if cert is None:
        if key or client_ca:
            raise SimulatorUnusable("--key and --client-ca need --cert.")
        return None
    return Certificates(cert=cert, key=key, client_ca=client_ca)


async def _served(
    behaviour: Any, seed: int, host: str, port: int, certificates: Any, write_config: Path | None
) -> None:
    from altcredit.runtime.keys import write_private
    from altcredit.runtime.tls import signals
    from altcredit.simulator.source_server import SourceServer
    from altcredit.simulator.source_serving import deployment_file, serving

    stop = asyncio.Event()
    app = SourceServer(_population(seed), seed=seed, behaviour=behaviour)
    async with serving(app, host=host, port=port, certificates=certificates) as base_url:
        with signals(stop=stop, reload=lambda: None):
            if write_config is not None:
                text = deployment_file(base_url, certificates=certificates)
                await asyncio.to_thread(write_private, write_config, text.encode(), replace=True)
            say(f"Sources are simulated at {base_url}.")
            await stop.wait()


def _population(seed: int) -> Any:
    from functools import lru_cache, partial

    from altcredit.simulator.applicants import applicant

    # The sources are asked about one person at about the same time.
    person = lru_cache(maxsize=4096)(partial(applicant, seed=seed))
    return lambda source, subject: person(subject.cpf).answers(subject).get(source)
