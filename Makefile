# What people use. Each target sets up what it needs; Python 3.11 is all that must be there.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
HAPI_PORT ?= 8090
HAPI := tests/hapi/server
OUT ?= out
ROUNDS ?= 2000
SECONDS ?= 120

.PHONY: screenshots population chaos tx-tests validate help demo demo-once test test-all lint types layers knowledge fix golden bench hapi hapi-server serve sandbox image docs clean

help:  ## this list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 14

$(STAMP): setup.cfg pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "fhir-twin needs Python 3.11 or newer; this is " + sys.version.split()[0])'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "setting up $(VENV) (one or two minutes the first time)"
	@$(BIN)/python -m pip install -q --disable-pip-version-check -e '.[dev]'
	@touch $(STAMP)

demo: $(STAMP)  ## sandbox server, sample patients, the main job, then the page and the API (ONCE=1: exit after the job)
	$(BIN)/fhir-twin demo $(if $(ONCE),--once)

demo-once: $(STAMP)  ## the demo's job, then exit
	$(BIN)/fhir-twin demo --once

test: $(STAMP)  ## the test suite (HAPI tests run where Java 17 and Maven are, else they skip and say so)
	$(BIN)/python -m pytest

lint: $(STAMP)  ## ruff: style and likely bugs
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

types: $(STAMP)  ## mypy, strict
	$(BIN)/mypy

layers: $(STAMP)  ## who may import whom
	$(BIN)/lint-imports --config setup.cfg

knowledge: $(STAMP)  ## check every knowledge file: keys, codes, ranges, citations
	$(BIN)/fhir-twin knowledge

fix: $(STAMP)  ## format, and mend what can be mended
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

fuzz: $(STAMP)  ## long fuzzing of readers and API (ROUNDS=2000 SECONDS=120); see tests/fuzz/README.md
	@$(BIN)/python -m pip install -q --disable-pip-version-check -e '.[dev,peers,fuzz]'
	FHIR_TWIN_FUZZ=$(ROUNDS) $(BIN)/python -m pytest -q tests/unit/intake tests/unit/fhir tests/faces/test_face_openapi.py
	@for reader in hl7v2 mllp ccda fhir_json fhir_xml; do echo "== $$reader"; \
	  $(BIN)/python tests/fuzz/fuzz_readers.py $$reader -max_total_time=$(SECONDS) -max_len=4096 || exit 1; done

peers: $(STAMP)  ## cross tests with other people's clients, from PyPI and npm (Node.js for the latter)
	@$(BIN)/python -m pip install -q --disable-pip-version-check -e '.[dev,peers]'
	FHIR_TWIN_PEERS=1 $(BIN)/python -m pytest -q -rs tests/peers tests/faces/test_face_openapi.py

golden: $(STAMP)  ## rewrite the reference simulations under version control; read the diff before you commit it
	$(BIN)/python tests/science/test_science_reference.py
	FHIR_TWIN_GOLDEN=1 $(BIN)/python -m pytest -q tests/science -k reference

chaos: $(STAMP)  ## the long fault tests: 1,000 random SIGKILLs across intake, planning and write-back (20 minutes)
	FHIR_TWIN_KILLS=1000 $(BIN)/python -m pytest -q -s tests/faults

bench: $(STAMP)  ## benchmarks: each prints ratios against a named peer in the same run
	@$(BIN)/python -m pip install -q --disable-pip-version-check -e '.[dev,bench]'
	@for file in benchmarks/bench_*.py; do echo "== $$file"; $(BIN)/python $$file || exit 1; done

$(HAPI)/target/hapi-server-1.jar: $(HAPI)/pom.xml $(wildcard $(HAPI)/src/main/java/hapi/*.java)
	@command -v java >/dev/null && command -v mvn >/dev/null || { echo "make hapi needs Java 17 and Maven 3.8, and one of them is missing here."; exit 1; }
	cd $(HAPI) && mvn -B -ntp -q package

hapi: $(STAMP) $(HAPI)/target/hapi-server-1.jar  ## a real HAPI FHIR JPA server on loopback, with sample patients (Ctrl-C stops it)
	$(BIN)/python $(HAPI)/start.py --port $(HAPI_PORT) --load

tx-tests: $(STAMP)  ## HL7's terminology tests on this service: make tx-tests TX=DIR [MODES=general,snomed] (DIR: your copy)
	@test -n "$(TX)" || { echo "make tx-tests TX=DIR wants the folder with test-cases.json of HL7/fhir-tx-ecosystem-ig"; exit 2; }
	$(BIN)/python tests/tx_ecosystem/run.py "$(TX)" --modes $(or $(MODES),general) $(if $(RELEASES),--releases "$(RELEASES)") -v

serve: $(STAMP)  ## the service on a server of yours: make serve SERVER=https://...
	$(BIN)/fhir-twin serve --server "$(SERVER)"

sandbox: $(STAMP)  ## only the sandbox FHIR server
	$(BIN)/fhir-twin sandbox

image:  ## the container image (needs a Docker engine)
	docker build -t fhir-twin .

PATIENTS ?= 10000
POPULATION := $(OUT)/population
population: $(STAMP)  ## a synthetic cohort (PATIENTS=10000): worklist, fairness, drift and trial reports in out/population
	rm -rf $(POPULATION)
	$(BIN)/fhir-twin synth --patients $(PATIENTS) --seed 1 --end 2026-10-01 --out $(POPULATION)/cohort
	$(BIN)/fhir-twin population run --input $(POPULATION)/cohort --out $(POPULATION)/past --as-of 2026-10-01 --index 2021-10-01
	$(BIN)/fhir-twin population run --input $(POPULATION)/cohort --out $(POPULATION)/now --as-of 2026-10-01 --keep-shards
	$(BIN)/fhir-twin population worklist $(POPULATION)/now --limit 20
	$(BIN)/fhir-twin population worklist $(POPULATION)/now --limit 10000 --format csv > $(POPULATION)/worklist.csv
	$(BIN)/fhir-twin population fairness $(POPULATION)/past --out $(POPULATION)/fairness.html --json
	-$(BIN)/fhir-twin population drift $(POPULATION)/past --out $(POPULATION)/drift.html --json
	$(BIN)/fhir-twin trial mappings/trials/cohort/statin.toml --cohort $(POPULATION)/now --out $(POPULATION)/trial.html --json
	$(BIN)/fhir-twin trial --published --out $(POPULATION)/published.html --json

validate: $(STAMP)  ## the scientific checks, as a report with plots (out/validation/report.html)
	$(BIN)/fhir-twin validate --out $(OUT)/validation

screenshots: $(STAMP)  ## a picture of the page in every state, into out/screenshots (needs Chromium and its driver)
	$(BIN)/python tests/browser/screenshots.py $(OUT)/screenshots

docs: $(STAMP)  ## make the generated pages of docs/ anew (settings, inputs of equations)
	$(BIN)/python docs/make_settings.py
	$(BIN)/python docs/make_equations.py

clean:  ## remove what was set up and built here
	rm -rf $(VENV) build *.egg-info $(HAPI)/target $(OUT) .pytest_cache .mypy_cache .ruff_cache
