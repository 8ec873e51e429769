"""
Where SQL runs: DuckDB in this process, or Spark where one machine is not enough.

Every transform is an Ibis expression over tables that are known by name, compiled once to the engine's SQL. A session
is a set of such tables: nothing in it outlives it, and sessions of several threads do not see each other.
"""

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

import duckdb
import ibis
import pyarrow as pa

from altcredit.runtime.refusal import Refusal

Dialect = Literal["duckdb", "pyspark"]
EngineName = Literal["duckdb", "spark"]


class EngineMissing(Refusal):
    """The engine asked for is not installed."""


class _SparkOptions(ibis.config.Config):  # type: ignore[misc]  # Ibis has no types
    """What Ibis reads when it compiles for Spark, and sets itself only where pyspark is installed."""

    treat_nan_as_null: bool = False


@lru_cache(maxsize=256)
def compiled(dialect: Dialect, build: Callable[..., Any], *arguments: Any) -> str:
    """Return the SQL of the expression that ``build(*arguments)`` makes; arguments must be hashable."""
    if dialect == "pyspark" and ibis.options.pyspark is None:
        ibis.options.pyspark = _SparkOptions()
    return str(ibis.to_sql(build(*arguments), dialect=dialect))


def quoted(paths: Sequence[Path]) -> str:
    """Return paths as a list of SQL strings."""
    return ", ".join("'" + str(path).replace("'", "''") + "'" for path in paths)


class DuckSession:
    """Named tables of one computation on a cursor of its own."""

    dialect: Dialect = "duckdb"

    def __init__(self, cursor: duckdb.DuckDBPyConnection) -> None:
        self.cursor = cursor

    def give(self, name: str, table: pa.Table) -> None:
        """Name a table from memory."""
        self.cursor.register(name, table)

    def scan(self, name: str, paths: Sequence[Path], schema: Any, *, columns: str = "*", where: str = "true") -> None:
        """Name the rows of parquet files (read when used); without files, an empty table of ``schema``."""
        if not paths:
            self.give(f"no_{name}", schema.to_pyarrow().empty_table())
            self.view(name, f"SELECT {columns} FROM no_{name}")  # noqa: S608
            return
        files = f"read_parquet([{quoted(paths)}], hive_partitioning = false)"
        self.view(name, f"SELECT {columns} FROM {files} WHERE {where}")  # noqa: S608

    def scan_bronze(self, paths: Sequence[Path], schema: Any) -> None:
        """
        Make ``bronze`` of bronze files, their time of receipt in microseconds.

        It is a table: bronze is thousands of small files, which are opened once here and read several times after.
        """
        if not paths:
            self.give("no_bronze", schema.to_pyarrow().empty_table())
            self.make("bronze", "SELECT * FROM no_bronze")
            return
        names = ", ".join(name for name in schema if name != "received_us")
        files = f"read_parquet([{quoted(paths)}], hive_partitioning = false)"
        self.make("bronze", f"SELECT {names}, epoch_us(known_at) AS received_us FROM {files}")  # noqa: S608

    def make(self, name: str, sql: str) -> None:
        """Compute a table and keep it for the session."""
        self.cursor.execute(f"CREATE OR REPLACE TEMP TABLE {name} AS {sql}")

    def view(self, name: str, sql: str) -> None:
        """Name a query, computed when used."""
        self.cursor.execute(f"CREATE OR REPLACE TEMP VIEW {name} AS {sql}")

    def drop(self, name: str) -> None:
        """Free a table that ``make`` kept."""
        self.cursor.execute(f"DROP TABLE IF EXISTS {name}")

    def fetch(self, sql: str) -> pa.Table:
        """Run a query and return its rows."""
        return self.cursor.execute(sql).to_arrow_table()

    def write(self, sql: str, path: Path) -> None:
        """Run a query into one parquet file."""
        options = f"FORMAT parquet, COMPRESSION lz4, ROW_GROUP_SIZE {ROW_GROUP_ROWS}"
        self.cursor.execute(f"COPY ({sql}) TO {quoted([path])} ({options})")


ROW_GROUP_ROWS = 20_480
"""Rows of silver that are read to find one retailer: few enough to skip most of a file, enough to compress. LZ4 takes a
third more room than Zstandard, and a fourth less time on the path of every refresh."""


class Engine:
    """The one DuckDB instance of a process, opened when first used."""

    def __init__(self, *, scratch: Path, memory_mb: int, threads: int | None) -> None:
        self.scratch = scratch
        self.memory_mb = memory_mb
        self.threads = threads
        self._opening = threading.Lock()
        self._root: duckdb.DuckDBPyConnection | None = None

    def _connection(self) -> duckdb.DuckDBPyConnection:
        with self._opening:
            if self._root is None:
                self.scratch.mkdir(parents=True, exist_ok=True)
                config: dict[str, Any] = {
                    "memory_limit": f"{self.memory_mb}MB",
                    "temp_directory": str(self.scratch),
                    "preserve_insertion_order": False,
                    "autoinstall_known_extensions": False,
                    "autoload_known_extensions": False,
                }
                if self.threads is not None:
                    config["threads"] = self.threads
                self._root = duckdb.connect(":memory:", config=config)
                self._root.execute("SET GLOBAL parquet_metadata_cache = true")
            return self._root

    @contextmanager
    def session(self) -> Iterator[DuckSession]:
        """Lend a session; safe to call from several threads."""
        cursor = self._connection().cursor()
        try:
            yield DuckSession(cursor)
        finally:
            cursor.close()

    def close(self) -> None:
        """Close the instance; the next session opens another."""
        with self._opening:
            if self._root is not None:
                self._root.close()
                self._root = None


class Lake:
    """
    The lake's folder and the engine that reads it. One a process: it holds the process's only DuckDB instance.

    ``memory_mb`` bounds DuckDB's memory; beyond it, it spills to ``<root>/.scratch``.
    """

    def __init__(
        self,
        root: Path,
        *,
        memory_mb: int = 1200,
        threads: int | None = None,
        engine: EngineName = "duckdb",
        spark_master: str | None = None,
    ) -> None:
        """:raises EngineMissing: ``engine`` is ``spark`` and pyspark is not installed (``altcredit[spark]``)."""
        self.root = root
        self.engine_name: EngineName = engine
        self._engine: Any = Engine(scratch=root / ".scratch", memory_mb=memory_mb, threads=threads)
        if engine == "spark":
            from altcredit.pipeline.lake.spark import SparkEngine

            self._engine = SparkEngine(master=spark_master)

    def session(self) -> AbstractContextManager[DuckSession]:
        """Lend a session of the engine."""
        session: AbstractContextManager[DuckSession] = self._engine.session()
        return session

    def path(self, relative: str) -> Path:
        """Return where a file of the manifest is."""
        return self.root / relative

    def close(self) -> None:
        """Close the engine; the next session opens it again."""
        self._engine.close()
