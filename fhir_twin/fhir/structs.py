"""Typed structs of the FHIR R4 data types that we read: only the fields used, `Decimal` values.

msgspec checks the types while it decodes (standards.md RD-7: lenient on what is absent or unknown, strict on
what is read) and names the path of an error, never the value. Fields are snake_case here, camelCase in JSON.
Everything is optional: what must be there is for the readers to decide.
"""

from __future__ import annotations

from decimal import Decimal

import msgspec


class Element(msgspec.Struct, frozen=True, gc=False, rename="camel"):
    """Base of all: immutable, not tracked by the garbage collector (no cycles are possible)."""


class Coding(Element, frozen=True, gc=False, rename="camel"):
    system: str | None = None
    code: str | None = None
    display: str | None = None
    user_selected: bool | None = None


class Extension(Element, frozen=True, gc=False, rename="camel"):
    """The value types that the extensions we read can have."""

    url: str | None = None
    value_code: str | None = None
    value_string: str | None = None
    value_boolean: bool | None = None
    value_coding: Coding | None = None
    value_codeable_concept: CodeableConcept | None = None
    extension: tuple[Extension, ...] = ()


class Primitive(Element, frozen=True, gc=False, rename="camel"):
    """What stands beside a primitive (`_birthDate`)."""

    extension: tuple[Extension, ...] = ()


class CodeableConcept(Element, frozen=True, gc=False, rename="camel"):
    coding: tuple[Coding, ...] = ()
    text: str | None = None
    extension: tuple[Extension, ...] = ()


class Period(Element, frozen=True, gc=False, rename="camel"):
    start: str | None = None
    end: str | None = None


class Identifier(Element, frozen=True, gc=False, rename="camel"):
    system: str | None = None
    value: str | None = None
    use: str | None = None


class Reference(Element, frozen=True, gc=False, rename="camel"):
    reference: str | None = None
    type: str | None = None
    identifier: Identifier | None = None
    display: str | None = None


class Quantity(Element, frozen=True, gc=False, rename="camel"):
    """Also Age, Duration and SimpleQuantity."""

    value: Decimal | None = None
    comparator: str | None = None
    unit: str | None = None
    system: str | None = None
    code: str | None = None
    extension: tuple[Extension, ...] = ()


class Range(Element, frozen=True, gc=False, rename="camel"):
    low: Quantity | None = None
    high: Quantity | None = None


class Ratio(Element, frozen=True, gc=False, rename="camel"):
    numerator: Quantity | None = None
    denominator: Quantity | None = None


class Annotation(Element, frozen=True, gc=False, rename="camel"):
    text: str | None = None
    time: str | None = None


class Meta(Element, frozen=True, gc=False, rename="camel"):
    version_id: str | None = None
    last_updated: str | None = None
    security: tuple[Coding, ...] = ()
    tag: tuple[Coding, ...] = ()


class Repeat(Element, frozen=True, gc=False, rename="camel"):
    """Timing.repeat; `frequency` times every `period` `period_unit` (UCUM: s min h d wk mo a)."""

    bounds_period: Period | None = None
    frequency: int | None = None
    frequency_max: int | None = None
    period: Decimal | None = None
    period_unit: str | None = None
    when: tuple[str, ...] = ()
    time_of_day: tuple[str, ...] = ()
    day_of_week: tuple[str, ...] = ()


class Timing(Element, frozen=True, gc=False, rename="camel"):
    event: tuple[str, ...] = ()
    repeat: Repeat | None = None
    code: CodeableConcept | None = None


class DoseAndRate(Element, frozen=True, gc=False, rename="camel"):
    dose_quantity: Quantity | None = None
    dose_range: Range | None = None


class DosageInstruction(Element, frozen=True, gc=False, rename="camel"):
    """R4 Dosage."""

    text: str | None = None
    patient_instruction: str | None = None
    additional_instruction: tuple[CodeableConcept, ...] = ()
    timing: Timing | None = None
    as_needed_boolean: bool | None = None
    as_needed_codeable_concept: CodeableConcept | None = None
    route: CodeableConcept | None = None
    dose_and_rate: tuple[DoseAndRate, ...] = ()
    modifier_extension: tuple[Extension, ...] = ()


class Resource(Element, frozen=True, gc=False, rename="camel", tag_field="resourceType"):
    """What every resource has. `raw` JSON stays beside the struct, in the entry it came from."""

    id: str | None = None
    meta: Meta | None = None
    implicit_rules: str | None = None
    identifier: tuple[Identifier, ...] = ()
    modifier_extension: tuple[Extension, ...] = ()
