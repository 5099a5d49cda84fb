"""msgspec learns a struct when it first meets it; two threads that do so at once end the process. So all structs are
learnt when the reader is imported, and nothing is left to learn when patients are read."""

from __future__ import annotations

import subprocess
import sys

PROGRAM = """
import msgspec, msgspec._utils as utils
from fhir_twin.fhir import structs, structs_care, structs_clinical
{prepared}
def learn(*_):
    raise SystemExit("msgspec had still to learn a struct")
utils._get_class_mro_and_typevar_mappings = learn  # the first thing that learning a struct does
for module in (structs, structs_clinical, structs_care):
    for kind in vars(module).values():
        if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
            try:
                msgspec.convert({{"resourceType": kind.__name__}}, kind)
            except msgspec.ValidationError:
                pass
"""


def learns(prepared: str) -> bool:
    program = PROGRAM.format(prepared=prepared)
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, timeout=60)
    if done.returncode not in (0, 1):
        raise AssertionError(done.stderr.decode()[-400:])
    return b"still to learn" in done.stderr


def test_nothing_is_left_to_learn_after_the_import_of_convert() -> None:
    assert learns("")  # the check sees it when nothing was prepared
    assert not learns("import fhir_twin.fhir.convert")
