"""FHIR R4 terminology services over loaded releases and over resources that come with the question.

CodeSystem, ValueSet and ConceptMap semantics: https://hl7.org/fhir/R4/terminology-service.html. Plain dicts in, plain
dicts out; no HTTP here.
"""
