"""The program that reads one file, in a process of its own: ``python -I parser.py ROOT NAME CPU_S MEMORY_BYTES < file``.

It limits itself before it looks at the file, knows neither Django nor any secret, and answers with one JSON object:
`{"found": …}` or `{"refused": code, "detail": …}`. `knowledge.ingest.extract` starts it and believes nothing it says.
"""

import dataclasses
import json
import resource
import sys
from pathlib import Path
from typing import Any


def main(root: str, name: str, cpu_s: str, memory_bytes: str) -> None:
    _limit(int(cpu_s), int(memory_bytes))
    sys.path.insert(0, root)
    from knowledge.ingest.found import Unreadable
    from knowledge.ingest.readers import read

    answer: dict[str, Any]
    try:
        answer = {"found": dataclasses.asdict(read(name, sys.stdin.buffer.read()))}
    except Unreadable as problem:
        answer = {"refused": problem.code, "detail": problem.detail}
    except MemoryError:
        answer = {"refused": "too_heavy", "detail": ""}
    sys.stdout.write(json.dumps(answer))  # ASCII, so that half a surrogate pair arrives as it is


def _limit(cpu_s: int, memory_bytes: int) -> None:
    resource.setrlimit(resource.RLIMIT_CPU, (cpu_s, cpu_s + 1))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))  # writes no file
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
    if sys.platform == "linux":
        resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))


if __name__ == "__main__":
    sys.dont_write_bytecode = True
    main(str(Path(sys.argv[1])), *sys.argv[2:5])
