"""Write docs/settings.md from the settings table (a test holds the page against the code)."""

from pathlib import Path

from fhir_twin.settings import ENV_PREFIX, OPTIONS

HEAD = f"""# Settings

Made by `make docs` from `fhir_twin/settings.py`. Order of precedence: command-line flag, environment
(`{ENV_PREFIX}<NAME>` in upper case), a TOML file (`--settings FILE` or `{ENV_PREFIX}SETTINGS`), default. An unknown
name is refused. `fhir-twin settings` shows what is in force and where it came from.

| option | kind | default | what it does |
|---|---|---|---|
"""


def main() -> None:
    rows = [
        f"| `{o.name}` | {o.kind} | {o.default if o.default not in ('', None) else ''} | {o.help} |"
        for o in OPTIONS
    ]
    Path(__file__).with_name("settings.md").write_text(HEAD + "\n".join(rows) + "\n", "utf-8")


if __name__ == "__main__":
    main()
