"""The database backend: Django's own, with a look at each pooled connection before it is used.

After a restart of the server every idle connection in the pool is dead, and each would fail somebody's first query. Django's
own check (`CONN_HEALTH_CHECKS`) asks the server, a round trip each time. A server that went away has closed its end, which
one system call tells.
"""

import select
from typing import Any

from django.db.backends.postgresql import base
from psycopg import Connection, OperationalError
from psycopg_pool import ConnectionPool


class DatabaseWrapper(base.DatabaseWrapper):
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
