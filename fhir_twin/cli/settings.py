"""`fhir-twin settings`: every option, its value and where it came from."""

from __future__ import annotations

import argparse
from pathlib import Path

from fhir_twin.settings import OPTIONS, load_settings


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--settings", metavar="FILE", type=Path, help="TOML file of settings to read")


def run(arguments: argparse.Namespace) -> int:
    settings = load_settings(file=arguments.settings)
    shown = settings.shown()
    width = max(len(o.name) for o in OPTIONS)
    for option in OPTIONS:
        value = shown[option.name]
        print(f"{option.name:<{width}}  {value!s:<12} ({settings.origin(option.name)})  {option.help}")
    return 0
