"""The database backend: Django's own, with fewer round trips, and a look at each pooled connection before it is used.

**Round trips.** Storing a question took thirteen of them, of half a millisecond each beside the database and more in a
network, and nothing was worked on meanwhile. A statement whose outcome nobody needs yet waits for the next one and goes with
it, in the same message to the server: the BEGIN of a transaction, and what `with_next` is given. The last ones go with the
COMMIT. The server does them in their order, and stops at the first that fails (docs/decisions/0025).

**Pooled connections.** After a restart of the server every idle connection in the pool is dead, and each would fail
somebody's first query. Django's own check (`CONN_HEALTH_CHECKS`) asks the server, a round trip each time. A server that
went away has closed its end, which one system call tells.
"""

import select
from collections.abc import Sequence
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.db.backends.postgresql import base
from django.db.backends.utils import debug_transaction
from psycopg import Connection, Error, OperationalError
from psycopg.pq import TransactionStatus
from psycopg_pool import ConnectionPool

_Cursor: Any = base.Cursor  # the stubs know little of either
_DatabaseWrapper: Any = base.DatabaseWrapper

BEGIN = "BEGIN"


class Cursor(_Cursor):
    """Takes with it what waits to be sent on its connection."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.waiting: list[str] = []  # the backend gives it that of the connection

    def execute(self, query: Any, params: Any = None, **options: Any) -> Any:
        """Stands at the result of `query`, or of the first statement in it, whatever went before it."""
        if not self.waiting:
            return super().execute(query, params, **options)
        before, statement = [*self.waiting], self.mogrify(query, params)
        self.waiting.clear()
        try:
            super().execute(";\n".join([*before, statement]))
        except Error:
            if BEGIN in before and self.connection.pgconn.transaction_status == TransactionStatus.IDLE:
                self.waiting[:] = before  # the server could not even read it, so that nothing has begun
            raise
        for _ in before:
            self.nextset()
        return self

    def executemany(self, *args: Any, **options: Any) -> None:
        self.send_waiting()
        super().executemany(*args, **options)

    def stream(self, *args: Any, **options: Any) -> Any:
        self.send_waiting()
        return super().stream(*args, **options)

    def copy(self, *args: Any, **options: Any) -> Any:
        self.send_waiting()
        return super().copy(*args, **options)

    def send_waiting(self) -> None:
        if self.waiting:
            self.execute(self.waiting.pop())


class DatabaseWrapper(_DatabaseWrapper):
    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._waiting: list[str] = []

    # --- fewer round trips ---
    def with_next(self, sql: str, values: Sequence[Any]) -> None:
        """Have it sent with the next statement of the transaction, or with its COMMIT, which raise what goes wrong with it."""
        self.ensure_connection()
        self.validate_no_broken_transaction()
        with self.wrap_database_errors, self.create_cursor() as cursor:
            if self.in_atomic_block:
                self._waiting.append(cursor.mogrify(sql, values))
            else:
                cursor.execute(sql, values)

    def get_connection_params(self) -> dict[str, Any]:
        options = self.settings_dict["OPTIONS"]
        if options.get("isolation_level") or options.get("server_side_binding"):
            raise ImproperlyConfigured("Statements go together: isolation_level and server_side_binding have no place.")
        parameters: dict[str, Any] = super().get_connection_params()
        return parameters | {"cursor_factory": Cursor}

    def create_cursor(self, name: str | None = None) -> Any:
        if name:  # it sends by itself
            with self.create_cursor() as before:
                before.send_waiting()
            cursor = super().create_cursor(name)
            cursor._withhold = not self.in_atomic_block  # Django asks psycopg, which knows of no transaction
            return cursor
        cursor = super().create_cursor()
        cursor.waiting = self._waiting
        return cursor

    def _start_transaction_under_autocommit(self) -> None:
        """Django's way for databases whose driver is left alone: psycopg would send its BEGIN by itself, and wait for it."""
        self._waiting[:] = [BEGIN]

    def _commit(self) -> None:
        if self.connection is None or self._waiting in ([], [BEGIN]):
            self._waiting.clear()
            super()._commit()
            return
        with debug_transaction(self, "COMMIT"), self.wrap_database_errors, self.create_cursor() as cursor:
            cursor.execute("COMMIT")

    def _rollback(self) -> None:
        self._waiting.clear()
        super()._rollback()

    def _savepoint_rollback(self, sid: str) -> None:
        self._waiting.clear()  # all of it is younger: the savepoint took along what there was
        super()._savepoint_rollback(sid)

    def _close(self) -> None:
        self._waiting.clear()
        super()._close()

    # --- pooled connections ---
    def get_new_connection(self, conn_params: dict[str, Any]) -> Any:
        """As Django's. Each dead connection leaves the pool; a new one takes its place, or `PoolTimeout` ends it."""
        while True:
            connection = super().get_new_connection(conn_params)
            if not self.pool or lives(connection):
                return connection
            connection.close()
            self.pool.putconn(connection)

    def lives(self) -> bool:
        """Whether the connection that is open is still one."""
        return lives(self.connection)


def lives(connection: Connection[Any]) -> bool:
    """Nothing to be read means that the server has said nothing since: neither goodbye nor anything else."""
    look = select.poll()
    look.register(connection.fileno(), select.POLLIN)
    if not look.poll(0):
        return True
    try:  # it may only have sent a notice
        ConnectionPool.check_connection(connection)
    except OperationalError:
        return False
    return True
