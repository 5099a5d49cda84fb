"""Check digits of SNOMED CT identifiers and LOINC codes: a mistyped code is caught before anybody looks it up."""

from __future__ import annotations


def snomed_digit(code: str) -> bool:
    """SNOMED CT: Verhoeff's check digit, in the dihedral group D5 (rotations 0 to 4, reflections 5 to 9)."""
    if not code.isascii() or not code.isdigit():
        return False
    check = 0
    for place, sign in enumerate(reversed(code)):
        check = _product(check, _turned(int(sign), place % 8))
    return check == 0


def _product(a: int, b: int) -> int:
    if a < 5:
        return (a + b) % 5 + (5 if b >= 5 else 0)
    return (a - b) % 5 + (0 if b >= 5 else 5)


def _turned(digit: int, times: int) -> int:
    for _ in range(times):
        digit = (1, 5, 7, 6, 2, 8, 3, 0, 9, 4)[digit]
    return digit


def loinc_digit(code: str) -> bool:
    """LOINC: mod-10 (Luhn) check digit; a letter of an answer code ("LA...") counts as its ASCII number less 48."""
    body, dash, check = code.partition("-")
    if not (dash and body.isascii() and body.isalnum() and len(check) == 1 and check.isdigit()):
        return False
    total = 0
    for place, sign in enumerate(reversed(body)):
        value = ord(sign) - 48
        total += sum(map(int, str(value * 2))) if place % 2 == 0 else value
    return -total % 10 == int(check)
