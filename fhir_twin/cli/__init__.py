"""The command line. One module per command, each loaded only when it is called (`--help` stays fast).

Exit codes: 0 all done; 1 something failed (a patient, a check); 2 the call itself was wrong or nothing could start.
"""

from __future__ import annotations

import argparse
import getpass
import importlib
import sys
from pathlib import Path

from fhir_twin import __version__, log
from fhir_twin.actor import Actor, act_as
from fhir_twin.errors import TwinError
from fhir_twin.settings import OPTIONS, load_settings

# command -> (module, one line of help)
COMMANDS = {
    "run": ("run", "read patients, twin them, plan, and write the draft CarePlans back"),
    "serve": ("serve", "start the HTTP service"),
    "queue": ("queue", "look at accepted work and what is to be sent; replay or skip dead letters"),
    "bulk": ("bulk", "export a population by Bulk Data, resumable, and bring an earlier export up to date"),
    "audit": ("audit", "the access log: list, export, prove that nothing was changed"),
    "deidentify": ("deidentify", "Bundles and NDJSON to NDJSON without who they are about (Safe Harbor)"),
    "cards": ("cards", "the model cards as FHIR DocumentReferences"),
    "erase": ("erase", "forget what is stored of a patient; retention"),
    "store": ("store", "look at the store, back it up while it is in use"),
    "watch": ("watch", "follow a FHIR server: subscriptions or polling, twins moved, plans made again"),
    "worker": ("worker", "do accepted work and send what is waiting, until stopped"),
    "demo": ("demo", "start a sandbox with sample patients and the service, and run the main job"),
    "sandbox": ("sandbox", "start only the sandbox FHIR server with its sample patients"),
    "check": ("check", "ask a FHIR server, without writing, whether fhir-twin can work with it"),
    "listen": ("listen", "take HL7 v2 messages over MLLP, keep them, and answer when they are kept"),
    "convert": ("convert", "turn HL7 v2 messages or C-CDA documents into FHIR Bundles; nothing is kept"),
    "servers": ("servers", "register FHIR servers and CDS clients, check logins, rotate signing keys"),
    "load": ("load", "load bundle files into a FHIR server (for tests and demos)"),
    "code": ("code", "code free text: the decision, the candidates, and why"),
    "terminology": ("terminology", "import, list, remove and inspect terminology releases"),
    "what-if": (
        "what_if",
        "simulate options for one patient: start, stop, dose, delay; and what it hangs on",
    ),
    "validate": ("validate", "run the scientific checks and write a report with plots"),
    "population": ("population", "many patients: run, worklist, fairness, drift"),
    "trial": ("trial", "an in-silico trial on a cohort, or the replication of a published one"),
    "synth": ("synth", "invented patients as FHIR NDJSON, for tests, demos and benchmarks"),
    "calibrate": ("calibrate", "re-estimate the forecast intervals from this site's own patients"),
    "knowledge": ("knowledge", "check the knowledge files: keys, codes, ranges, citations"),
    "settings": ("settings", "list every option, its value and where it came from"),
}


def build_parser(command: str = "") -> argparse.ArgumentParser:
    """The whole parser; only `command`'s module is loaded, the others show their one line."""
    parser = argparse.ArgumentParser(
        prog="fhir-twin",
        description="A digital twin and an explained draft care plan for every patient on a FHIR R4 server.",
        epilog="Decision support for clinicians. Every plan is a draft that a clinician must review.",
    )
    parser.add_argument("--version", action="version", version=f"fhir-twin {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name, (module, help_line) in COMMANDS.items():
        sub = commands.add_parser(
            name, help=help_line, description=help_line[0].upper() + help_line[1:] + "."
        )
        if name == command:
            loaded = importlib.import_module(f"fhir_twin.cli.{module}")
            loaded.add_arguments(sub)
            sub.set_defaults(run=loaded.run)
    return parser


def add_settings(parser: argparse.ArgumentParser, *names: str) -> None:
    """Flags for the named settings, and --settings FILE. Unset flags leave environment and file in force."""
    group = parser.add_argument_group("settings", "also FHIR_TWIN_<NAME> in the environment, or a TOML file")
    group.add_argument("--settings", metavar="FILE", type=Path, help="TOML file of settings")
    for option in OPTIONS:
        if option.name in names:
            flag = "--" + option.name.replace("_", "-")
            default = "" if option.default in ("", None) else f" (default: {option.default})"
            text = (option.help + default).replace("%", "%%")
            if option.kind == "bool":
                group.add_argument(flag, action=argparse.BooleanOptionalAction, default=None, help=text)
            else:
                group.add_argument(flag, metavar=option.kind.upper(), default=None, help=text)


def settings_of(arguments: argparse.Namespace, *names: str) -> object:
    """Settings from the parsed flags, the environment and the file."""
    flags = {name: getattr(arguments, name, None) for name in names}
    return load_settings(flags, file=getattr(arguments, "settings", None))


def _login() -> str:
    """Who calls the command, for the audit."""
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # a container's user may have no name
        return "unnamed"


def main(argv: list[str] | None = None) -> int:
    """Run one command; the exit code. Errors go to stderr in one line, without a stack trace."""
    argv = sys.argv[1:] if argv is None else argv
    command = next((word for word in argv if word in COMMANDS), "")
    try:
        arguments = build_parser(command).parse_args(argv)
        act_as(Actor(f"{command} by {_login()}"))
        return int(arguments.run(arguments))
    except TwinError as error:
        print(f"fhir-twin: {error.message}", file=sys.stderr)
        for issue in error.issues[:20]:
            print(f"  {issue.severity}: {issue.diagnostics} {issue.expression}".rstrip(), file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("fhir-twin: stopped", file=sys.stderr)
        return 130
    except BrokenPipeError:
        return 1
    except Exception as error:  # noqa: BLE001 - the last line of defence: nobody sees a stack trace
        run_id = log.opaque(repr(id(error)))
        log.failure("cli.bug", error, run=run_id)
        print(
            f"fhir-twin: an error of ours stopped this run (id {run_id}). Please report it with the "
            f"command and `FHIR_TWIN_LOG_LEVEL=ERROR` output; it holds no patient data.",
            file=sys.stderr,
        )
        return 1
