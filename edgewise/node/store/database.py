"""A database of one node: SQLite in WAL mode, with one owner, every commit on the disk before it returns.

`locking_mode=EXCLUSIVE` is set before WAL, so that there is no shared-memory file, a second process gets a sentence instead of
a surprise, and the same SQLite runs on the disk of `simulated.py` (<https://www.sqlite.org/wal.html>, §8). `synchronous=FULL`
is what makes a commit durable in WAL mode.

Everything goes through `Database`: `execute` and `transaction`. Both Python's sqlite3 and apsw satisfy the small `Connection`
below it. Rows are fetched at once, so that an error surfaces where the statement stands and no open reader keeps the WAL from
being taken in. Modules make their own tables (`create table if not exists`); the file's format is in `PRAGMA user_version`.

A file that is damaged is moved aside (the last such file is kept), counted, and a new database begins: a node that lost its
memory is better than one that does not start.
"""

from __future__ import annotations

import contextlib
import re
import sqlite3
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING, Any, Protocol

from msgspec import Struct

from edgewise.core.errors import StoreError

if TYPE_CHECKING:
    from edgewise.node.store.disk import Disk

FORMAT = 1
WAL_KEPT = 8 << 20  # bytes that the WAL may keep after it grew with a large transaction
Parameters = Sequence[Any] | Mapping[str, Any]

# Result codes (https://www.sqlite.org/rescode.html): what happened, and what to do.
_DAMAGED = (11, 26)
_FULL = 13
IN_USE = "the database is in use by another process"
_SENTENCES = {
    5: (IN_USE, "Is edgewise running twice on one folder?"),
    6: (IN_USE, "Is edgewise running twice on one folder?"),
    8: ("the disk cannot be written", "Is it mounted read-only?"),
    10: ("the disk failed", "Is it broken, or mounted read-only?"),
    11: ("the database is damaged", "Start again: it is then moved aside, and a new one begins."),
    13: ("the disk is full", "Free some space; what is stored stays."),
    14: ("the database cannot be opened", "Is its folder there, and may it be written?"),
    26: ("the file is no database", "Start again: it is then moved aside, and a new one begins."),
}


class Rows:
    """What a statement gave."""

    __slots__ = ("_rows",)

    def __init__(self, rows: list[Any]) -> None:
        self._rows = iter(rows)

    def fetchone(self) -> Any:
        """The next row (a tuple), None after the last."""
        return next(self._rows, None)

    def fetchall(self) -> list[Any]:
        return list(self._rows)

    def __iter__(self) -> Iterator[Any]:
        return self._rows


class Database(Protocol):
    """Use from several threads is serialised; a transaction holds the others up, so never await inside one."""

    damaged: int
    """How many damaged files this database's path has seen; `sentence` tells of one that was found at this opening."""
    sentence: str

    def execute(self, sql: str, params: Parameters = ()) -> Rows:
        """One statement; StoreError where it fails."""
        ...

    def transaction(self) -> AbstractContextManager[None]:
        """All or nothing, on the disk when it ends. Within another it joins that one; if it fails, all of that is undone."""
        ...

    def close(self) -> None: ...


class Connection(Protocol):
    """What both sqlite3.Connection and apsw.Connection are."""

    @property
    def in_transaction(self) -> bool: ...
    def execute(self, sql: str, parameters: Any = ..., /) -> Any: ...
    def close(self) -> None: ...


class Engine(Struct, frozen=True):
    """Whose exceptions a connection raises, and SQLite's primary result code in one of them."""

    errors: type[Exception]
    code: Callable[[Any], int]


STDLIB = Engine(sqlite3.Error, lambda error: getattr(error, "sqlite_errorcode", 1) & 0xFF)


class SqlDatabase:
    """A Database over a Connection."""

    def __init__(self, connection: Connection, engine: Engine, name: str = "the database") -> None:
        self.damaged = 0
        self.sentence = ""
        self._connection, self._engine, self._name = connection, engine, name
        self._lock = threading.RLock()
        self._depth = 0
        self._broken = False

    def execute(self, sql: str, params: Parameters = ()) -> Rows:
        with self._lock:
            try:
                return Rows(self._connection.execute(sql, params).fetchall())
            except self._engine.errors as error:
                if self._engine.code(error) == _FULL and not self._connection.in_transaction:
                    self._make_room()
                raise told(self._engine, error, self._name) from error

    @contextmanager
    def transaction(self) -> Iterator[None]:
        with self._lock:
            if self._depth:
                with self._joined():
                    yield
                return
            self.execute("begin immediate")
            self._depth, self._broken = 1, False
            try:
                yield
                if self._broken:
                    raise StoreError("a part of a transaction failed, so all of it is undone")
                self.execute("commit")
            except BaseException as error:
                self._undo(full=_is_full(error, self._engine))
                raise
            finally:
                self._depth = 0

    def close(self) -> None:
        with self._lock:
            try:
                self._connection.close()
            except self._engine.errors as error:
                raise told(self._engine, error, self._name) from error

    @contextmanager
    def _joined(self) -> Iterator[None]:
        self._depth += 1
        try:
            yield
        except BaseException:
            self._broken = True
            raise
        finally:
            self._depth -= 1

    def _undo(self, full: bool) -> None:
        if self._connection.in_transaction:  # SQLite may have rolled back by itself
            with contextlib.suppress(StoreError):  # the first failure is the one to tell
                self.execute("rollback")
                if full:
                    self._make_room()

    def _make_room(self) -> None:
        """Take the WAL in, where that needs no room, so that the next transaction is written over it and not behind it."""
        with contextlib.suppress(self._engine.errors):
            self._connection.execute("pragma wal_checkpoint(restart)").fetchall()


def _is_full(error: BaseException, engine: Engine) -> bool:
    return isinstance(error.__cause__, engine.errors) and engine.code(error.__cause__) == _FULL


def told(engine: Engine, error: Exception, name: str) -> StoreError:
    """What an error of SQLite is to a person."""
    what, hint = _SENTENCES.get(engine.code(error), ("SQLite refused a statement", None))
    return StoreError(what, got=f"{name}: {error}", hint=hint)


def in_memory() -> SqlDatabase:
    """A database that ends with the process."""
    connection = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
    return SqlDatabase(connection, STDLIB, "the database in memory")


def opened(
    disk: Disk,
    path: str,
    connect: Callable[[], Connection],
    engine: Engine,
    make: Callable[[Connection, Engine, str], SqlDatabase] = SqlDatabase,
) -> SqlDatabase:
    """The database in `path` of `disk`, ready for use; a damaged one is moved aside first."""
    try:
        return _ready(disk, path, connect, engine, make)
    except _Damaged as error:
        sentence = _moved_aside(disk, path, str(error))
    try:
        database = _ready(disk, path, connect, engine, make)
    except _Damaged as error:  # a new file that is damaged at once
        raise StoreError("a new database cannot be made", got=error, hint="Is the disk broken?") from None
    database.sentence = sentence
    return database


class _Damaged(Exception):
    """What is wrong with the file."""


def _ready(
    disk: Disk,
    path: str,
    connect: Callable[[], Connection],
    engine: Engine,
    make: Callable[[Connection, Engine, str], SqlDatabase],
) -> SqlDatabase:
    try:
        connection = connect()
    except engine.errors as error:
        raise told(engine, error, path) from error
    database = make(connection, engine, path)
    try:
        database.execute("pragma locking_mode=exclusive")
        database.execute("pragma journal_mode=wal")
        database.execute("pragma synchronous=full")
        database.execute("pragma fullfsync=on")  # for macOS alone
        database.execute("pragma temp_store=memory")
        database.execute("pragma secure_delete=off")  # some builds write zeros over what is deleted: half of all writes
        database.execute(f"pragma journal_size_limit={WAL_KEPT}")
        found = [row[0] for row in database.execute("pragma quick_check(1)")]
        if found != ["ok"]:
            raise _Damaged(found[0] if found else "no answer to a check")
        (version,) = database.execute("pragma user_version").fetchone()
        if version > FORMAT:
            raise StoreError(
                f"{path} was written by a later edgewise", got=f"format {version}", allowed=f"up to {FORMAT}", hint="Update."
            )
        if version != FORMAT:
            database.execute(f"pragma user_version={FORMAT}")
    except BaseException as error:
        with contextlib.suppress(StoreError):
            database.close()
        if isinstance(error.__cause__, engine.errors) and engine.code(error.__cause__) in _DAMAGED:
            raise _Damaged(str(error.__cause__)) from None
        raise
    database.damaged = max(_aside(disk, path), default=0)
    return database


def _aside(disk: Disk, path: str) -> dict[int, str]:
    """Damaged files of `path`: number -> path."""
    folder, _, name = path.rpartition("/")
    found = ((re.fullmatch(re.escape(name) + r"\.damaged-(\d{1,9})", other), other) for other in disk.names(folder))
    return {int(match[1]): f"{folder}/{other}" if folder else other for match, other in found if match}


def _moved_aside(disk: Disk, path: str, reason: str) -> str:
    before = _aside(disk, path)
    aside = f"{path}.damaged-{max(before, default=0) + 1}"
    for ending in ("-journal", "-wal", ""):  # the file itself last: until then the next opening finds it damaged again
        if disk.size(path + ending) is not None:
            disk.replace(path + ending, aside + ending)
    for old in before.values():
        for ending in ("-journal", "-wal", ""):
            disk.remove(old + ending)
    return f"The database {path} was damaged ({reason}); it was moved to {aside}, and a new one began."
