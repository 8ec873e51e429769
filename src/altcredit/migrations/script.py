"""Run a revision's SQL: many statements in one string, which prepared statements cannot take."""

from typing import Any

from alembic import op


def run(sql: str) -> None:
    """Execute the statements of ``sql`` on the migration's own connection and transaction."""

    async def execute(connection: Any) -> None:
        await connection.execute("SET LOCAL lock_timeout = '5s'")
        await connection.execute(sql)

    op.get_bind().connection.dbapi_connection.run_async(execute)  # type: ignore[union-attr]
