"""Who holds a lease: a name by which others on the same machine can tell that a holder is dead, before its lease runs out.

A process id means something only within its machine's boot and its namespace (a container has its own), so both are in the
name. Where they cannot be read, or the id was given to another process since, the lease decides.
"""

import hashlib
import os
import socket
import uuid
from functools import lru_cache
from pathlib import Path


def new_holder() -> str:
    """A name for one lease of this process, at most 80 characters: where, process id, which."""
    return f"{_here() or socket.gethostname()[:40]}:{os.getpid()}:{uuid.uuid4().hex[:12]}"


def is_dead(holder: str) -> bool:
    """Whether the process of that name was one of this machine and is there no more."""
    where, _, rest = holder.partition(":")
    pid = rest.partition(":")[0]
    if not where or where != _here() or not pid.isdecimal():
        return False
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return not Path(f"/proc/{pid}").exists()
    return state == "Z"  # killed, and its parent has not looked


@lru_cache(maxsize=1)
def _here() -> str:
    """This boot of this machine and this namespace of process ids; empty where neither can be told."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        namespace = Path("/proc/self/ns/pid").readlink()
    except OSError:
        return ""
    return hashlib.sha256(f"{boot} {namespace}".encode()).hexdigest()[:16]
