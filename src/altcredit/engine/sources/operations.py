"""Asking sources so that a question is written before it is put, and its answer before anything is done with it."""

import asyncio
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Any

import msgspec

from altcredit.engine.sources import store
from altcredit.engine.sources.catalogue import SOURCES
from altcredit.engine.sources.client import Client, Clients, Outcome, authorisation
from altcredit.engine.sources.query import Closing, Finding, Kept, Looking, Opening, Query, SourceCost
from altcredit.engine.sources.source import Source, Subject
from altcredit.runtime import ids
from altcredit.runtime.db import Connection, Database
from altcredit.runtime.keys import Keyring

KEPT_FOR = timedelta(days=90)  # sealed answers; price and outcome stay
_PURPOSE = "source_answer"


class _Wave:
    """One application's questions, and what they are asked with."""

    def __init__(
        self,
        database: Database,
        *,
        keyring: Keyring,
        clients: Clients,
        request_id: str,
        partner_id: str,
        subject: Subject,
        clock: Callable[[], datetime],
    ) -> None:
        self.database = database
        self.keyring = keyring
        self.clients = clients
        self.request_id = request_id
        self.partner_id = partner_id
        self.subject = subject
        self.subject_hash = keyring.hmac("cpf", subject.cpf)
        self.clock = clock

    async def ask(self, names: Sequence[str]) -> dict[str, Finding]:
        hashes = {name: self._question_hash(SOURCES[name]) for name in names}
        known = await self._known(hashes)
        findings = {row.source: self._finding(row) for row in known if self._is_settled(row)}
        copies = {row.source: row for row in known if row.request_id != self.request_id}
        wanted = [name for name in names if name not in findings]
        settled = await asyncio.gather(
            *(self._settled(name, hashes[name], copies.get(name)) for name in wanted), return_exceptions=True
        )
        for name, finding in zip(wanted, settled, strict=True):
            if isinstance(finding, BaseException):
                raise finding  # each has come to its end: what was answered is stored
            findings[name] = finding
        return findings

    async def _known(self, hashes: dict[str, bytes]) -> list[Kept]:
        looking = Looking(
            request_id=self.request_id,
            partner_id=self.partner_id,
            question_hashes=tuple(hashes.values()),
            now=self.clock(),
        )
        found = await self.clients.writes(self.database).known(looking, looking)
        assert found is not None
        return [row for row in found if row.source in hashes]

    def _is_settled(self, row: Kept) -> bool:
        return row.request_id == self.request_id and row.state != "asked"

    def _question_hash(self, source: Source) -> bytes:
        """Hash what the answer depends on: one about another phone, or under a wider authorisation, is no copy."""
        asked = [getattr(self.subject, name) for name in source.asks]
        widened = source.extends is not None and authorisation(source, self.subject) is not None
        question = msgspec.json.encode((source.name, self.subject.cpf, asked, widened))
        return self.keyring.hmac("source_question", question)

    def _finding(self, row: Kept) -> Finding:
        source = SOURCES[row.source]
        if row.state == "answered" and row.sealed is None:
            return Finding(state="failed", problem="its answer is past its keeping", in_doubt=row.in_doubt)
        answer = None
        if row.sealed is not None:
            plain = self.keyring.unseal(row.sealed, owner=row.request_id, purpose=_PURPOSE)
            answer = msgspec.json.decode(plain, type=source.answer)
        return Finding(
            state="answered" if row.state == "answered" else "failed",
            answer=answer,
            price_centavos=row.price_centavos,
            copied=row.copied_from is not None,
            in_doubt=row.in_doubt,
            problem=row.problem,
        )

    async def _settled(self, name: str, question_hash: bytes, copy: Kept | None) -> Finding:
        opening = self._opening(name, question_hash, copy)
        opened = await self.clients.writes(self.database).open((self.request_id, name), opening)
        if opened is None:  # another run of this application settled it since we looked
            rows = await self._known({name: question_hash})
            return next(self._finding(row) for row in rows if self._is_settled(row))
        query_id, state, in_doubt = opened
        if state == "answered":
            assert copy is not None
            return msgspec.structs.replace(self._finding(copy), price_centavos=0, copied=True, in_doubt=False)
        return await self._asked(query_id, self.clients[name], in_doubt)

    def _opening(self, name: str, question_hash: bytes, copy: Kept | None) -> Opening:
        sealed = None
        if copy is not None and copy.sealed is not None:
            plain = self.keyring.unseal(copy.sealed, owner=copy.request_id, purpose=_PURPOSE)
            sealed = self.keyring.seal(plain, owner=self.request_id, purpose=_PURPOSE)
        return Opening(
            query_id=ids.new_id("qry"),
            request_id=self.request_id,
            partner_id=self.partner_id,
            subject_hash=self.subject_hash,
            question_hash=question_hash,
            source=name,
            asked_at=self.clock(),
            copied_from=copy.query_id if copy else None,
            valid_until=copy.valid_until if copy else None,
            sealed=sealed,
        )

    async def _asked(self, query_id: str, client: Client, in_doubt: bool) -> Finding:
        outcome = await client.ask(query_id, self.subject)
        closing = self._closing(query_id, client, outcome, in_doubt=in_doubt or outcome.in_doubt)
        if not await self.clients.writes(self.database).close(query_id, closing):
            # Another run of this application was faster: its answer is the one that counts.
            rows = await self._known({client.source.name: b""})
            return next(self._finding(row) for row in rows if self._is_settled(row))
        return Finding(
            state="answered" if outcome.problem is None else "failed",
            answer=outcome.answer,
            price_centavos=closing.price_centavos,
            in_doubt=closing.in_doubt,
            problem=outcome.problem,
        )

    def _closing(self, query_id: str, client: Client, outcome: Outcome, *, in_doubt: bool) -> Closing:
        terms, now = client.terms, self.clock()
        answered = outcome.problem is None
        assert terms.price_centavos is not None
        assert terms.valid_for_hours is not None
        plain = msgspec.json.encode(outcome.answer) if answered else b""
        return Closing(
            query_id=query_id,
            state="answered" if answered else "failed",
            price_centavos=terms.price_centavos if outcome.charged or in_doubt else 0,
            in_doubt=in_doubt,
            tries=outcome.tries,
            problem=outcome.problem,
            finished_at=now,
            valid_until=now + timedelta(hours=terms.valid_for_hours) if answered else None,
            sealed=self.keyring.seal(plain, owner=self.request_id, purpose=_PURPOSE) if answered else None,
        )


async def ask(
    database: Database,
    *,
    keyring: Keyring,
    clients: Clients,
    request_id: str,
    partner_id: str,
    subject: Subject,
    names: Sequence[str],
    clock: Callable[[], datetime],
) -> dict[str, Finding]:
    """
    Ask sources about a subject, all at once, and return what each said (contract U11).

    What this application was answered before is never asked again; a question that a process left without an answer is
    put again under its idempotency key and reported as in doubt; an answer of the same partner's other applications is
    copied while it is valid. A source that is not configured here, or lacks its authorisation, is not asked. Not in a
    transaction of the caller's: questions are durable before they are put, and answers before this returns.

    Raises what the database raises, after every answer that came was stored or found impossible to store.
    """
    findings = {
        name: Finding(state="not_asked", problem=why) for name in names if (why := _obstacle(clients, subject, name))
    }
    wave = _Wave(
        database,
        keyring=keyring,
        clients=clients,
        request_id=request_id,
        partner_id=partner_id,
        subject=subject,
        clock=clock,
    )
    askable = [name for name in names if name not in findings]
    if askable:
        findings |= await wave.ask(askable)
    return {name: findings[name] for name in names}


def _obstacle(clients: Clients, subject: Subject, name: str) -> str | None:
    if name not in clients.configured:
        return "not configured"
    needs = SOURCES[name].needs
    return f"needs the authorisation {needs}" if needs and needs not in subject.authorisations else None


async def supersede_failed(db: Connection, *, request_id: str, now: datetime) -> list[str]:
    """
    Make way for an application's failed questions to be put anew, under new keys; return their sources.

    Only what is known to have failed, and costs nothing, is asked twice. What the source may have worked on stays as it
    is (in doubt), as does an answer that could not be read: both may be on its bill already.
    """
    return await store.supersede(db, request_id, now=now)


async def queries(db: Connection, *, request_id: str) -> list[Query]:
    """Return an application's questions in the order they were put, without their answers."""
    return await store.queries(db, request_id)


async def answers(db: Connection, *, keyring: Keyring, request_id: str) -> list[dict[str, Any]]:
    """Return an application's questions with their answers, as far as these are kept, as plain values for JSON."""
    shown = []
    for row in await store.answers(db, request_id):
        sealed, values = row["sealed"], dict(row)
        del values["sealed"]
        plain = keyring.unseal(sealed, owner=request_id, purpose=_PURPOSE) if sealed else b"null"
        shown.append(values | {"answer": msgspec.json.decode(plain)})
    return shown


async def erase(db: Connection, *, request_id: str) -> None:
    """Destroy an application's answers and unlink its questions from the person; prices and outcomes stay."""
    await store.erase(db, request_id)


async def cost_by_source(db: Connection, *, since: datetime, until: datetime) -> list[SourceCost]:
    """Return what each source was asked and cost in ``since <= asked_at < until``; centavos."""
    return await store.cost_by_source(db, since=since, until=until)


async def purge_answers(db: Connection, *, before: datetime) -> int:
    """Destroy the sealed answers of questions put before a time; price and outcome stay. Returns how many."""
    return await store.purge_answers(db, before=before)
