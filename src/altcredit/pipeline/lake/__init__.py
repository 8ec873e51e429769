"""The lake: bronze files to silver, by a versioned manifest in PostgreSQL."""

from altcredit.pipeline.lake.compaction import Compacted, compact
from altcredit.pipeline.lake.engine import EngineMissing, Lake
from altcredit.pipeline.lake.progress import Progress, Report, silent
from altcredit.pipeline.lake.reading import touched
from altcredit.pipeline.lake.store import BaseMoved, batch_files, snapshot
from altcredit.pipeline.lake.tables import Feed, LakeFile, Snapshot

__all__ = [
    "BaseMoved",
    "Compacted",
    "EngineMissing",
    "Feed",
    "Lake",
    "LakeFile",
    "Progress",
    "Report",
    "Snapshot",
    "batch_files",
    "compact",
    "silent",
    "snapshot",
    "touched",
]
