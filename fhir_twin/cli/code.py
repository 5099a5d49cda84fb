"""`fhir-twin code "text"`: the decision, the candidates, and why."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from pathlib import Path

from fhir_twin.cli import add_settings
from fhir_twin.errors import InvalidInput, UnknownCode
from fhir_twin.model.plain import to_plain
from fhir_twin.settings import Settings, load_settings
from fhir_twin.wiring import open_encoder, release_folder
from mappings import Source
from terminology import CodingDecision, TextCoder, open_coder
from terminology.text.corrections import record_correction

KINDS = ("problem", "lab", "drug", "social", "allergy")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("text", nargs="*", help="texts to code; none: one text a line from --file or stdin")
    parser.add_argument("--file", type=Path, help="read texts from this file, one a line")
    parser.add_argument(
        "--kind", choices=KINDS, default="problem", help="what the text is (default: problem)"
    )
    shape = parser.add_mutually_exclusive_group()
    shape.add_argument("--json", action="store_true", help="one JSON object a decision")
    shape.add_argument("--tsv", action="store_true", help="tab-separated, one line a decision")
    parser.add_argument(
        "--means",
        metavar="CODE",
        help="correct the coder: TEXT means this ICD-10-CM code; it wins from now on",
    )
    parser.add_argument("--reviewer", default="", help="who says so (with --means)")
    add_settings(parser, "knowledge", "cache", "terminology", "encoder")


def run(arguments: argparse.Namespace) -> int:
    flags = {name: getattr(arguments, name) for name in ("knowledge", "cache", "terminology", "encoder")}
    settings = load_settings(flags, file=arguments.settings)
    coder = open_coder(
        Source(overlay=settings.path("knowledge")),
        cache=settings.path("cache"),
        releases=release_folder(settings),
        encoder=open_encoder(settings.text("encoder")),
    )
    if arguments.means:
        return _correct(arguments, settings, coder)
    if arguments.tsv:
        print("text\tassertion\tsystem\tcode\tdisplay\tconfidence\tmethod\treason\trelease\tdetails")
    for text in _texts(arguments):
        for decision in coder.code_all(text, arguments.kind):
            if arguments.json:
                print(json.dumps(to_plain(decision)))
            else:
                print("\n".join(_tsv(decision) if arguments.tsv else _words(decision)))
    return 0


def _correct(arguments: argparse.Namespace, settings: Settings, coder: TextCoder) -> int:
    """Write the correction into the site's own lexicon and say what changes."""
    overlay = settings.path("knowledge")
    if overlay is None:
        raise InvalidInput(
            "--means needs a folder of your own knowledge: --knowledge FOLDER or FHIR_TWIN_KNOWLEDGE"
        )
    if len(arguments.text) != 1 or not arguments.reviewer:
        raise InvalidInput("--means needs exactly one text, and --reviewer NAME")
    display = coder.display(arguments.means)
    if display is None:
        raise UnknownCode(f"{arguments.means} is no ICD-10-CM code of {coder.release}")
    text = arguments.text[0]
    before = coder.code(text)
    try:
        path = record_correction(overlay, text, arguments.means, display, arguments.reviewer)
    except ValueError as error:
        raise InvalidInput(str(error)) from None
    was = f"{before.chosen[0].code} {before.chosen[0].display}" if before.chosen else "not coded"
    print(f"{arguments.means} {display}  (was: {was})")
    print(f"written to {path}; used when the coder is opened next")
    return 0


_DETAILS = {  # how a detail is said; others by their own name (strength, form ...)
    "conflict": "! conflict:",
    "combination": "! one code for both:",
    "additional-code": "code also",
}


def _texts(arguments: argparse.Namespace) -> Iterator[str]:
    if arguments.text:
        yield from arguments.text
    elif arguments.file is not None:
        try:
            yield from (t for t in arguments.file.read_text("utf-8").splitlines() if t.strip())
        except (OSError, UnicodeDecodeError) as error:
            raise InvalidInput(
                f"{arguments.file} cannot be read as UTF-8 text ({type(error).__name__})"
            ) from None
    else:
        yield from (line.rstrip("\n") for line in sys.stdin if line.strip())


def _tsv(d: CodingDecision) -> Iterator[str]:
    words = " ".join(d.text[slice(*d.span)].split())
    details = "; ".join(f"{kind} {text}" for kind, text in d.details)
    for c in d.chosen:
        code = f"{c.system}\t{c.code}\t{c.display}\t{c.confidence:.3f}"
        yield f"{words}\t{d.assertion}\t{code}\t{d.method}\t\t{d.release}\t{details}"
    if d.abstained:
        end = f"{d.method}\t{d.reason}\t{d.release}\t{details}"
        yield f"{words}\t{d.assertion}\t\t\t\t{d.confidence:.3f}\t{end}"


def _words(d: CodingDecision) -> Iterator[str]:
    words = " ".join(d.text[slice(*d.span)].split())
    yield f'"{words}"  {d.assertion}, confidence {d.confidence:.2f}, by {d.method}'
    for c in d.chosen:
        yield f"  => {c.code:<12} {c.display}  ({c.system})"
    if d.abstained:
        yield f"  => not coded: {d.reason}"
    for heading in d.headings:
        yield f"     heading {heading.code} {heading.display}"
    for c in d.candidates[:8]:
        yield f"     {c.confidence:.2f} {c.code:<10} {c.display}" + (f"  [{c.matched}]" if c.matched else "")
    for step in d.steps:
        yield f"     . {step}"
    letters = [text for kind, text in d.details if kind == "seventh-character"]
    if letters:
        yield f"     needs a 7th character: {'; '.join(letters)}"
    for kind, text in d.details:
        if kind != "seventh-character":
            yield f"     {_DETAILS.get(kind, kind.replace('-', ' '))} {text}"
    if d.release:
        yield f"     release {d.release}"
