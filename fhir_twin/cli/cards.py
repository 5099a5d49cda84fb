"""`fhir-twin cards`: the model cards as FHIR DocumentReferences, to keep or to load into a server."""

from __future__ import annotations

import argparse
import json
from datetime import UTC, datetime
from pathlib import Path

from fhir_twin import __version__
from fhir_twin.cli import add_settings
from fhir_twin.fhir.write_card import card_document, card_text
from fhir_twin.settings import load_settings
from mappings import Source

SETTINGS = ("knowledge",)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--out", type=Path, metavar="DIR", help="put a Bundle and one Markdown file per model there"
    )
    add_settings(parser, *SETTINGS)


def run(arguments: argparse.Namespace) -> int:
    settings = load_settings({n: getattr(arguments, n) for n in SETTINGS}, file=arguments.settings)
    source = Source(overlay=settings.path("knowledge"))
    version, when = source.digest(), datetime(2026, 1, 1, tzinfo=UTC)
    cards = [table for _, table in source.toml("model-cards")]
    entries = [{"resource": card_document(card, version, when)} for card in cards]
    bundle = {"resourceType": "Bundle", "type": "collection", "entry": entries}
    if arguments.out is None:
        print(json.dumps(bundle, indent=1))
        return 0
    arguments.out.mkdir(parents=True, exist_ok=True)
    (arguments.out / "model-cards.json").write_text(json.dumps(bundle, indent=1), "utf-8")
    for card in cards:
        (arguments.out / f"{card['key']}.md").write_text(card_text(card, version), "utf-8")
    print(f"{len(cards)} model cards of fhir-twin {__version__} in {arguments.out}")
    return 0
