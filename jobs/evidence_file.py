"""Where the evidence is while a job runs: the database that was named, or an SQLite file that goes to DST in the end.

SQLite needs a disk of the machine that writes it, and the driver is the only writer. Where DST is an object store the
file lies on the driver while the job runs and is copied to DST/_cfanet/evidence.sqlite, whole, before the seal.
"""

import contextlib
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from sqlalchemy import URL

from cfanet.errors import ConfigError, InputError
from jobs.config import ReleaseConfig
from jobs.storage import PRIVATE_FOLDER, LocalStorage, Storage

_NAME = "evidence.sqlite"
EVIDENCE_FILE = f"{PRIVATE_FOLDER}/{_NAME}"


def check_database(config: ReleaseConfig) -> None:
    """ConfigError for a database that could not hold the evidence of this run."""
    url = config.run.database or ""
    if not url.startswith("sqlite"):
        return
    place = url.partition("://")[2]
    if "s3:" in place or "s3%3A" in place:
        raise ConfigError(
            "run.database names SQLite in an object store, where SQLite cannot work: leave it out (the file is then "
            "kept on the driver and copied to DST), or give a postgresql:// URL"
        )
    if place in {"", "/", "/:memory:"}:
        raise ConfigError(
            "run.database names SQLite in memory, and evidence must last: give a file or a postgresql:// URL"
        )


@contextlib.contextmanager
def evidence_url(config: ReleaseConfig, destination: Storage) -> Iterator[str]:
    """SQLAlchemy URL for the block; where the file is a draft of DST's, it is copied there when the block ends well."""
    if config.run.database:
        yield config.run.database
        return
    if isinstance(destination, LocalStorage):
        yield _sqlite_url(destination.root / EVIDENCE_FILE)
        return
    with tempfile.TemporaryDirectory(prefix="cfanet-evidence-") as folder:
        draft = Path(folder) / _NAME
        if destination.entry(EVIDENCE_FILE) is not None:
            _fetch(destination, draft)
        yield _sqlite_url(draft)
        with draft.open("rb") as written, destination.open_write(EVIDENCE_FILE) as target:
            shutil.copyfileobj(written, target)


@contextlib.contextmanager
def stored_evidence(config: ReleaseConfig, destination: Storage) -> Iterator[str]:
    """SQLAlchemy URL of evidence that is there, to be read; InputError where there is none. Writes nothing into DST."""
    if config.run.database:
        yield config.run.database
        return
    if destination.entry(EVIDENCE_FILE) is None:
        raise InputError(f"{destination.uri}/{EVIDENCE_FILE} is not there: run `cfanet audit` first")
    if isinstance(destination, LocalStorage):
        yield _sqlite_url(destination.root / EVIDENCE_FILE)
        return
    with tempfile.TemporaryDirectory(prefix="cfanet-evidence-") as folder:
        copy = Path(folder) / _NAME
        _fetch(destination, copy)
        yield _sqlite_url(copy)


def _fetch(destination: Storage, copy: Path) -> None:
    with destination.open_read(EVIDENCE_FILE) as source, copy.open("wb") as file:
        shutil.copyfileobj(source, file)


def _sqlite_url(path: Path) -> str:
    return URL.create("sqlite", database=str(path.resolve())).render_as_string(hide_password=False)
