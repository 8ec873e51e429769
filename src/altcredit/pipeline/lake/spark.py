"""The same sessions on Spark (``altcredit[spark]``): the tables are temporary views, the SQL is Spark's dialect."""

import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa

from altcredit.pipeline.lake.engine import Dialect, EngineMissing


class SparkTables:
    """Named tables of one computation; does what a DuckSession does."""

    dialect: Dialect = "pyspark"

    def __init__(self, spark: Any) -> None:
        self.spark = spark

    def give(self, name: str, table: pa.Table) -> None:
        """Name a table from memory."""
        self.spark.createDataFrame(table).createOrReplaceTempView(name)

    def scan(self, name: str, paths: Sequence[Path], schema: Any, *, columns: str = "*", where: str = "true") -> None:
        """Name the rows of parquet files; without files, an empty table of ``schema``."""
        if not paths:
            self.give("scanned", schema.to_pyarrow().empty_table())
        else:
            self.spark.read.parquet(*(str(path) for path in paths)).createOrReplaceTempView("scanned")
        self.view(name, f"SELECT {columns} FROM scanned WHERE {where}")  # noqa: S608

    def scan_bronze(self, paths: Sequence[Path], schema: Any) -> None:
        """Name the rows of bronze files ``bronze``, their time of receipt in microseconds."""
        if not paths:
            self.give("bronze", schema.to_pyarrow().empty_table())
            return
        names = ", ".join(name for name in schema if name != "received_us")
        self.spark.read.parquet(*(str(path) for path in paths)).createOrReplaceTempView("scanned")
        self.view("bronze", f"SELECT {names}, unix_micros(known_at) AS received_us FROM scanned")  # noqa: S608

    def make(self, name: str, sql: str) -> None:
        """Compute a table when first used and keep it for the session."""
        self.spark.sql(sql).cache().createOrReplaceTempView(name)

    def view(self, name: str, sql: str) -> None:
        """Name a query, computed when used."""
        self.spark.sql(sql).createOrReplaceTempView(name)

    def drop(self, name: str) -> None:
        """Free a table that ``make`` kept."""
        self.spark.table(name).unpersist()
        self.spark.catalog.dropTempView(name)

    def fetch(self, sql: str) -> pa.Table:
        """Run a query and return its rows."""
        return self.spark.sql(sql).toArrow()

    def write(self, sql: str, path: Path) -> None:
        """Run a query into one parquet file."""
        folder = path.with_name(path.name + ".parts")
        shutil.rmtree(folder, ignore_errors=True)
        self.spark.sql(sql).coalesce(1).write.parquet(str(folder))
        (part,) = folder.glob("*.parquet")
        part.replace(path)
        shutil.rmtree(folder)


class SparkEngine:
    """The Spark session of a process, made when first used; its master comes from Spark's own configuration."""

    def __init__(self, *, master: str | None) -> None:
        """:raises EngineMissing: pyspark is not installed."""
        try:
            from pyspark.sql import SparkSession
        except ImportError as error:
            raise EngineMissing("The engine `spark` needs pyspark: pip install 'altcredit[spark]'.") from error
        self._builder: Any = SparkSession.builder.appName("altcredit").config("spark.sql.session.timeZone", "UTC")
        if master is not None:
            self._builder = self._builder.master(master)

    @contextmanager
    def session(self) -> Iterator[SparkTables]:
        """Lend a session with views of its own."""
        yield SparkTables(self._builder.getOrCreate().newSession())

    def close(self) -> None:
        """Stop Spark."""
        self._builder.getOrCreate().stop()
