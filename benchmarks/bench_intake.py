"""HL7 v2: messages per second of our tokenizer, and of tokenizer plus maps, against python-hl7's parser in one run.

Both read the same message: 40 results, as a metabolic panel with a blood count has them. python-hl7 splits everything
into nested lists; ours splits a segment at once and its fields when they are asked for, so the second row (every field
of every segment asked for) is the fair one."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

from fhir_twin.intake.hl7v2 import parse_message
from fhir_twin.intake.hl7v2_map import map_message
from fhir_twin.intake.site import Site

HEAD = (
    "MSH|^~\\&|LAB|HOSP|TWIN|HERE|20260301120000||ORU^R01|1|P|2.5.1",
    "PID|1||123^^^HOSP^MR~99^^^X^PI||DOE^JANE^Q^^^^L||19600504|F|||1 Main St^^Town^MA^01234^US||^PRN^PH^^^617^5551234",
    "OBR|1|P1^EHR|F1^LAB|24323-8^CMP^LN|||20260301080000|||||||||1^Doc^Anna||||||20260301110000||CH|F",
)
ROW = (
    "OBX|{n}|NM|2160-{n}^Creatinine \\T\\ more^LN^CREA^Crea^L|{n}|1.{n}|mg/dL^^UCUM|0.5-1.2|N|||F|||"
    "20260301080000||77^Tech^Bo"
)
TEXT = "\r".join((*HEAD, *(ROW.format(n=n) for n in range(40)))) + "\r"
DATA = TEXT.encode()
SITE = Site()


def everything() -> int:
    """Every component of every field."""
    found = parse_message(DATA)
    return sum(len(rep.c(1)) for s in found.segments for n in range(1, 25) for rep in s.reps(n))


def rate(work: Callable[[], object], seconds: float = 1.5) -> float:
    """Median messages per second over five rounds."""
    rounds = []
    for _ in range(5):
        count, end, start = 0, time.perf_counter() + seconds / 5, time.perf_counter()
        while time.perf_counter() < end:
            work()
            count += 1
        rounds.append(count / (time.perf_counter() - start))
    return statistics.median(rounds)


def main() -> None:
    """Print the rates and the ratios."""
    ours = {
        "tokenizer": rate(lambda: parse_message(DATA)),
        "tokenizer, every field read": rate(everything),
        "tokenizer and maps to FHIR": rate(lambda: map_message(parse_message(DATA), SITE)),
    }
    try:
        import hl7
    except ImportError:
        hl7 = None
        print("python-hl7 is not installed (make peers): no ratio")
    peer = rate(lambda: hl7.parse(TEXT)) if hl7 is not None else 0.0
    for name, value in ours.items():
        ratio = f"   {value / peer:6.2f} x python-hl7's parse" if peer else ""
        print(f"{name:<30} {value:9.0f} messages/s{ratio}")
    if peer:
        print(f"{'python-hl7 parse':<30} {peer:9.0f} messages/s")


if __name__ == "__main__":
    main()
