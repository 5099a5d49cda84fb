"""Knowledge: everything under mappings/ and the text coder, read once, checked, then only passed on."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fhir_twin.assimilation import BiomarkerSet, load_biomarkers
from fhir_twin.coding import ConceptMaps, load_concept_maps
from fhir_twin.errors import KnowledgeError
from fhir_twin.model.order_rules import OrderRules
from fhir_twin.recommendation import Guidelines, load_guidelines
from fhir_twin.rules import SafetyRules, load_order_rules, load_safety
from fhir_twin.simulation import Interventions, Outcomes, load_interventions, load_outcomes
from mappings import Source
from terminology import TextCoder, open_coder
from terminology.feeding import release_key


@dataclass(frozen=True, slots=True)
class Knowledge:
    """One per process. `version` is the digest of all knowledge files: the same version, Bundle, as_of and seed
    give the same plan, bit for bit."""

    version: str
    coder: TextCoder
    concept_maps: ConceptMaps
    biomarkers: BiomarkerSet
    interventions: Interventions
    outcomes: Outcomes
    safety: SafetyRules
    guidelines: Guidelines
    orders: OrderRules


def load_knowledge(
    overlay: Path | None = None,
    cache: Path | None = None,
    releases: Path | None = None,
    encoder: Callable[[Sequence[str]], Any] | None = None,
) -> Knowledge:
    """Read mappings/ (and a site's overlay). Raises KnowledgeError naming file and key; nothing is guessed.

    cache: where built indexes are kept (default: the user's cache folder).
    releases: imported terminology releases, whose terms the text coder learns; they are part of `version`.
    encoder: a text encoder of the site's own (see terminology.open_coder)."""
    source = Source(overlay=overlay)
    try:
        return Knowledge(
            version=_version(source, releases),
            coder=open_coder(source, cache=cache, releases=releases, encoder=encoder),
            concept_maps=load_concept_maps(source, releases),
            biomarkers=load_biomarkers(source),
            interventions=load_interventions(source),
            outcomes=load_outcomes(source),
            safety=load_safety(source),
            guidelines=load_guidelines(source),
            orders=load_order_rules(source),
        )
    except (ValueError, KeyError, TypeError) as error:
        raise KnowledgeError(f"mappings: {error}") from error


def _version(source: Source, releases: Path | None) -> str:
    digest, fed = source.digest(), release_key(releases)
    return hashlib.sha256(digest.encode() + fed).hexdigest()[: len(digest)] if fed else digest
