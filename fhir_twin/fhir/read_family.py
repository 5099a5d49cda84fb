"""FamilyMemberHistory -> FamilyMember (FM-1)."""

from __future__ import annotations

from fhir_twin.fhir import elements
from fhir_twin.fhir import structs_clinical as k
from fhir_twin.fhir.context import Context
from fhir_twin.fhir.systems import V3_ROLE_CODE
from fhir_twin.model.chart import FamilyCondition, FamilyMember, Sex
from fhir_twin.model.codes import Concept

# v3-RoleCode by degree of blood relationship. Step, in-law, adoptive and foster relatives share no genes: degree 0.
_FIRST = (
    "FTH MTH NFTH NMTH NPRN PRN BRO SIS NBRO NSIS NSIB SIB CHILD NCHILD SON DAU TWIN TWINBRO TWINSIS FTWIN"
)
_FIRST += " FTWINBRO FTWINSIS ITWIN ITWINBRO ITWINSIS"
_SECOND = (
    "HBRO HSIS HSIB GRPRN GRFTH GRMTH MGRPRN MGRFTH MGRMTH PGRPRN PGRFTH PGRMTH AUNT MAUNT PAUNT UNCLE MUNCLE"
)
_SECOND += " PUNCLE NIENEPH NEPHEW NIECE GRNDCHILD GRNDSON GRNDDAU"
_THIRD = "COUSN MCOUSN PCOUSN GGRPRN GGRFTH GGRMTH MGGRPRN MGGRFTH MGGRMTH PGGRPRN PGGRFTH PGGRMTH"
_DEGREE = {
    code: degree for degree, codes in ((1, _FIRST), (2, _SECOND), (3, _THIRD)) for code in codes.split()
}

_MEN = "FTH NFTH BRO NBRO HBRO SON TWINBRO FTWINBRO ITWINBRO GRFTH MGRFTH PGRFTH UNCLE MUNCLE PUNCLE NEPHEW GRNDSON"
_WOMEN = (
    "MTH NMTH SIS NSIS HSIS DAU TWINSIS FTWINSIS ITWINSIS GRMTH MGRMTH PGRMTH AUNT MAUNT PAUNT NIECE GRNDDAU"
)
_MALE, _FEMALE = frozenset(_MEN.split()), frozenset(_WOMEN.split())
_WORDS = {
    "father": "FTH", "dad": "FTH", "mother": "MTH", "mom": "MTH", "mum": "MTH", "brother": "BRO", "sister": "SIS",
    "sibling": "SIB", "half brother": "HBRO", "half-brother": "HBRO", "half sister": "HSIS", "half-sister": "HSIS",
    "son": "SON", "daughter": "DAU", "child": "CHILD", "parent": "PRN", "grandfather": "GRFTH",
    "grandmother": "GRMTH", "maternal grandfather": "MGRFTH", "maternal grandmother": "MGRMTH",
    "paternal grandfather": "PGRFTH", "paternal grandmother": "PGRMTH", "aunt": "AUNT", "maternal aunt": "MAUNT",
    "paternal aunt": "PAUNT", "uncle": "UNCLE", "maternal uncle": "MUNCLE", "paternal uncle": "PUNCLE",
    "cousin": "COUSN",
}  # fmt: skip
_SEX: dict[str, Sex] = {"male": "male", "female": "female", "m": "male", "f": "female"}


def read_family(given: k.FamilyMemberHistory, source: str, context: Context) -> FamilyMember | None:
    """The relative and the conditions stated; None when in error or dated after as_of."""
    status = elements.status_code(given.status)
    if status == "entered-in-error":
        context.skip_status("FamilyMemberHistory", status)
        return None
    if context.later(context.when(given.date, source, "FamilyMemberHistory.date")):
        context.skip_later("FamilyMemberHistory")
        return None
    relationship = relationship_code(elements.concept(given.relationship))
    return FamilyMember(
        source=source,
        relationship=relationship,
        degree=_DEGREE.get(relationship, 0),
        sex=_sex(given, relationship),
        conditions=tuple(_conditions(given, source, context)),
        deceased=bool(
            given.deceased_boolean
            or given.deceased_age
            or given.deceased_range
            or given.deceased_date
            or given.deceased_string
        ),
    )


def relationship_code(concept: Concept) -> str:
    """v3-RoleCode in upper case; from the words when there is no code; "" when neither says it."""
    for code in concept.codes(V3_ROLE_CODE) or tuple(c.code for c in concept.codings if not c.system):
        return code.upper()
    words = [concept.text, *(c.display for c in concept.codings)]
    return next((_WORDS[w.lower().strip()] for w in words if w.lower().strip() in _WORDS), "")


def _sex(given: k.FamilyMemberHistory, relationship: str) -> Sex:
    stated = next((c.lower() for c in elements.codes((given.sex,)) if c), "") if given.sex is not None else ""
    if stated in _SEX:
        return _SEX[stated]
    return "male" if relationship in _MALE else "female" if relationship in _FEMALE else "unknown"


def _conditions(given: k.FamilyMemberHistory, source: str, context: Context) -> list[FamilyCondition]:
    found = []
    for each in given.condition:
        concept = elements.concept(each.code)
        if each.modifier_extension or elements.is_empty(concept):
            context.issues.add(
                "information", "required", "condition of a relative without code: not used", source
            )
            continue
        ages = (elements.age_years(each.onset_age), elements.age_in_range(each.onset_range))
        age = next((a for a in ages if a is not None), elements.age_in_text(each.onset_string))
        found.append(FamilyCondition(concept, age, bool(each.contributed_to_death)))
    return found
