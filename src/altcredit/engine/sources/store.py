from collections.abc import Iterable, Sequence
from datetime import datetime

from altcredit.engine.sources.query import Closing, Kept, Looking, Opening, Query, SourceCost
from altcredit.runtime.db import Connection, Reads, Record

# What this application has already, and the newest answers of others of the same partner that are valid for it;
# one statement for several applications.
KNOWN = """
SELECT request_id AS asker, query_id, request_id, source, state, price_centavos, in_doubt, problem, copied_from,
       valid_until, sealed
FROM source_query WHERE request_id = ANY($1::text[]) AND superseded_at IS NULL
UNION ALL
SELECT asker, copy.*
FROM unnest($2::text[], $3::text[], $4::bytea[], $5::timestamptz[]) AS n (asker, partner, hash, at)
CROSS JOIN LATERAL (
    SELECT query_id, request_id, source, state, price_centavos, in_doubt, problem, copied_from, valid_until, sealed
    FROM source_query
    WHERE partner_id = partner AND question_hash = hash AND valid_until > at AND request_id <> asker
      AND state = 'answered' AND copied_from IS NULL AND sealed IS NOT NULL
    ORDER BY valid_until DESC LIMIT 1
) copy
"""

# One statement for the questions of several applications. A question that is there already and has no answer was put by
# a process that ended, or still runs: its key is kept, and it is in doubt. One that is settled is left out.
OPEN = """
INSERT INTO source_query AS q
    (query_id, request_id, partner_id, subject_hash, question_hash, source, asked_at, copied_from, valid_until, sealed,
     state, finished_at)
SELECT *, CASE WHEN copied_from IS NULL THEN 'asked' ELSE 'answered' END,
       CASE WHEN copied_from IS NOT NULL THEN asked_at END
FROM unnest($1::text[], $2::text[], $3::text[], $4::bytea[], $5::bytea[], $6::text[], $7::timestamptz[], $8::text[],
            $9::timestamptz[], $10::bytea[])
     AS n (query_id, request_id, partner_id, subject_hash, question_hash, source, asked_at, copied_from, valid_until,
           sealed)
ORDER BY request_id, source
ON CONFLICT (request_id, source) WHERE superseded_at IS NULL DO UPDATE SET in_doubt = true WHERE q.state = 'asked'
RETURNING request_id, source, query_id, state, in_doubt
"""

CLOSE = """
UPDATE source_query q
SET state = n.state, price_centavos = n.price, in_doubt = n.in_doubt, tries = q.tries + n.tries, problem = n.problem,
    finished_at = n.finished_at, valid_until = n.valid_until, sealed = n.sealed
FROM unnest($1::text[], $2::text[], $3::int[], $4::bool[], $5::int[], $6::text[], $7::timestamptz[],
            $8::timestamptz[], $9::bytea[])
     AS n (query_id, state, price, in_doubt, tries, problem, finished_at, valid_until, sealed)
WHERE q.query_id = n.query_id AND q.state = 'asked'
RETURNING q.query_id
"""

# What is known to have failed, at no price: neither in doubt nor an answer that could not be read. Its key is spent.
SUPERSEDE = """
UPDATE source_query SET superseded_at = $2
WHERE request_id = $1 AND superseded_at IS NULL AND state = 'failed' AND NOT in_doubt AND price_centavos = 0
RETURNING source
"""

QUERIES = """
SELECT query_id, source, state, price_centavos, copied_from, in_doubt, tries, problem, asked_at, finished_at,
       superseded_at
FROM source_query WHERE request_id = $1
ORDER BY asked_at, source
"""

COST_BY_SOURCE = """
SELECT source,
       count(*) FILTER (WHERE copied_from IS NULL) AS asked,
       count(*) FILTER (WHERE copied_from IS NULL AND state = 'answered') AS answered,
       count(*) FILTER (WHERE state = 'failed') AS failed,
       count(*) FILTER (WHERE copied_from IS NOT NULL) AS copied,
       count(*) FILTER (WHERE in_doubt) AS in_doubt,
       coalesce(sum(greatest(tries - 1, 0)), 0)::bigint AS retries,
       coalesce(sum(price_centavos) FILTER (WHERE NOT (in_doubt AND state = 'failed')), 0)::bigint AS cost_centavos,
       coalesce(sum(price_centavos) FILTER (WHERE in_doubt AND state = 'failed'), 0)::bigint AS in_doubt_centavos
FROM source_query WHERE asked_at >= $1 AND asked_at < $2
GROUP BY source ORDER BY source
"""

ANSWERS = """
SELECT query_id, source, state, price_centavos, in_doubt, problem, asked_at, finished_at, sealed
FROM source_query WHERE request_id = $1 ORDER BY asked_at, source
"""

# Another application of the same person may have been answered with a copy; that one has its own.
ERASE = "UPDATE source_query SET sealed = NULL, subject_hash = '', question_hash = '' WHERE request_id = $1"

PURGE_ANSWERS = """
WITH purged AS (
    UPDATE source_query SET sealed = NULL WHERE sealed IS NOT NULL AND asked_at < $1 RETURNING 1
)
SELECT count(*) FROM purged
"""

_KEPT = Kept.__struct_fields__
_OPENING = tuple(name for name in Opening.__struct_fields__)
_CLOSING = tuple(name for name in Closing.__struct_fields__)


def _columns(rows: Sequence[Opening] | Sequence[Closing], names: Iterable[str]) -> list[list[object]]:
    return [[getattr(row, name) for row in rows] for name in names]


async def known(reads: Reads, lookings: Sequence[Looking]) -> dict[Looking, list[Kept]]:
    """Return the questions of each application, and the answers of others that it can use."""
    found: dict[str, list[Kept]] = {one.request_id: [] for one in lookings}
    wanted = [(one.request_id, one.partner_id, hash_, one.now) for one in lookings for hash_ in one.question_hashes]
    columns = zip(*wanted, strict=True) if wanted else ([], [], [], [])
    for row in await reads.fetch(KNOWN, list(found), *map(list, columns)):
        asker, *values = row.values()
        found[asker].append(Kept(**dict(zip(_KEPT, values, strict=True))))
    return {one: found[one.request_id] for one in lookings}


async def open_(reads: Reads, openings: Sequence[Opening]) -> dict[tuple[str, str], tuple[str, str, bool]]:
    """Return query id, state and doubt by request and source; what was settled meanwhile is missing."""
    rows = await reads.fetch(OPEN, *_columns(openings, _OPENING))
    return {(row["request_id"], row["source"]): (row["query_id"], row["state"], row["in_doubt"]) for row in rows}


async def close(reads: Reads, closings: Sequence[Closing]) -> dict[str, bool]:
    """Return true for the ids of the questions that were open until now."""
    return {row["query_id"]: True for row in await reads.fetch(CLOSE, *_columns(closings, _CLOSING))}


async def supersede(db: Connection, request_id: str, *, now: datetime) -> list[str]:
    return [row["source"] for row in await db.fetch(SUPERSEDE, request_id, now)]


async def queries(db: Connection, request_id: str) -> list[Query]:
    return [Query(**row) for row in await db.fetch(QUERIES, request_id)]


async def cost_by_source(db: Connection, *, since: datetime, until: datetime) -> list[SourceCost]:
    return [SourceCost(**row) for row in await db.fetch(COST_BY_SOURCE, since, until)]


async def purge_answers(db: Connection, *, before: datetime) -> int:
    count: int = await db.fetchval(PURGE_ANSWERS, before)
    return count


async def answers(db: Connection, request_id: str) -> list[Record]:
    rows: list[Record] = await db.fetch(ANSWERS, request_id)
    return rows


async def erase(db: Connection, request_id: str) -> None:
    await db.execute(ERASE, request_id)
