"""`python -m fhir_twin` and the `fhir-twin` command."""

import sys

from fhir_twin.cli import main

if __name__ == "__main__":
    sys.exit(main())
