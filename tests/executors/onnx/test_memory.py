"""How much is kept of what is derived from weights: never more than the process may take."""

import subprocess
import sys

CODE = """
import resource
from oracle_node.executors.onnx import memory
before = memory.default_cache_bytes()
resource.setrlimit(resource.RLIMIT_DATA, (4 << 30, 4 << 30))
print(before, memory.default_cache_bytes())
"""


def test_default_cache__limit_on_private_data__stays_within_it() -> None:
    ran = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=True)
    without, within = map(int, ran.stdout.split())
    assert within <= 2 << 30
    assert within <= without
