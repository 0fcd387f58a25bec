"""The surroundings of a test run, prepared before Django reads its settings.

``BATON_TEST_STACK=trial`` (the default): SQLite and everything in process. ``production``: PostgreSQL and Redis, started
here on free ports and ended with the run.
"""

import atexit
import base64
import os
import shutil
import socket
import tempfile
from pathlib import Path

from tests.servers import start_postgres, start_redis

PRODUCTION = os.environ.get("BATON_TEST_STACK") == "production"

_home = Path(tempfile.mkdtemp(prefix="baton-test-"))
atexit.register(shutil.rmtree, _home, ignore_errors=True)

QDRANT_SERVER = os.environ.get("QDRANT_URL", "")  # only the contract of the engines is held against it

for _name in [name for name in os.environ if name.startswith(("BATON_", "DEEPSEEK_", "QDRANT_"))]:
    if _name not in {"BATON_TEST_STACK", "BATON_DATA"}:
        del os.environ[_name]
os.environ["BATON_HOME"] = str(_home)
os.environ["BATON_KEYS"] = ",".join(
    f"{name}:{base64.b64encode(name.encode().ljust(32, b'.')).decode()}" for name in ("k1", "index")
)
os.environ["BATON_WORKER_THREADS"] = "0"
os.environ["BATON_FAQ_WITHOUT_MODEL"] = "off"  # tests of models ask what the FAQ holds
os.environ["BATON_REWRITE"] = "off"  # they count calls, too
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ.setdefault("OMP_NUM_THREADS", "2")
os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "true"  # Playwright's own loop runs in the test's thread

if PRODUCTION:
    os.environ["DATABASE_URL"] = start_postgres(_home)
    os.environ["REDIS_URL"] = start_redis(_home)
else:
    os.environ.pop("DATABASE_URL", None)
    os.environ.pop("REDIS_URL", None)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
