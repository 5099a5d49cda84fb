"""Many threads read their first resources at the same moment; the process must live (msgspec's lazy type cache)."""

from __future__ import annotations

import subprocess
import sys

PROGRAM = """
import sys, threading
sys.setswitchinterval(1e-6)
from fhir_twin.fhir import structs_care, structs_clinical
from fhir_twin.fhir.convert import convert
import msgspec
kinds = [k for m in (structs_clinical, structs_care) for k in vars(m).values()
         if isinstance(k, type) and issubclass(k, msgspec.Struct)]
gate = threading.Barrier(16)
def work():
    gate.wait()
    for kind in kinds:
        convert({"resourceType": kind.__name__}, kind, "X/1")
threads = [threading.Thread(target=work) for _ in range(16)]
[t.start() for t in threads]
[t.join() for t in threads]
"""


def test_sixteen_threads_meet_all_structs_at_once() -> None:
    for _ in range(3):
        done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, timeout=60)
        assert done.returncode == 0, done.stderr.decode()[-400:]
