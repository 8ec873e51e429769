"""Sources that are answered within the asking process: what a benchmark compares the way over HTTP with."""

import random

import msgspec

from altcredit.engine.sources import SOURCES, Client, Clients, Reply, Source, Subject, Terms
from altcredit.simulator.source_server import Answers


def direct(answers: Answers) -> Clients:
    """Return clients of every source, at its own price, whose questions go to a callable and not over a network."""
    return Clients({name: _client(source, answers) for name, source in SOURCES.items()})


def _client(source: Source, answers: Answers) -> Client:
    async def exchange(request: bytes) -> Reply:
        asked = msgspec.json.decode(request.partition(b"\r\n\r\n")[2])
        wanted, reference = source.needs or source.extends, asked.pop("authorisation", None)
        subject = Subject(**asked, authorisations={wanted: reference} if wanted and reference else {})
        answer = answers(source.name, subject)
        return Reply(404, b'{"known":false}') if answer is None else Reply(200, msgspec.json.encode(answer))

    terms = Terms(
        base_url="",
        timeout_seconds=source.timeout_seconds,
        price_centavos=source.price_centavos,
        valid_for_hours=source.valid_for.total_seconds() / 3600,
    )
    return Client(source, terms, head=b"", exchange=exchange, random=random.random)
