"""What a server process does once it is warm."""

import os
import subprocess
import sys

import pytest

SCRIPT = """
import chatbot.asgi, gc
from chatbot.process import lay_aside

def resident_mib():
    return int(open("/proc/self/statm").read().split()[1]) * 4096 / 2**20

loaded = [bytes(2_000) for _ in range(50_000)]
kept = loaded[-1]  # above all others: what lies below it is not given back by itself
del loaded
before = resident_mib()
lay_aside()
print(before - resident_mib() > 50, gc.get_freeze_count() > 0)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc; the C library's own affair elsewhere")
def test_what_loading_took_is_given_back_and_what_is_loaded_is_laid_aside() -> None:
    environment = {**os.environ, "DJANGO_SETTINGS_MODULE": "chatbot.settings", "PYTHONPATH": os.getcwd()}
    ended = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, env=environment, check=True)
    assert ended.stdout.split() == ["True", "True"]
