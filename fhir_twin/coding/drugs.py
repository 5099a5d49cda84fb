"""What a drug is made of and which classes that puts it in. Data: mappings/drug-classes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from fhir_twin.coding.groups import closure
from fhir_twin.coding.words import key, tokens
from fhir_twin.errors import KnowledgeError
from mappings import Source

FOLDER, ATC_FILE = "drug-classes", "atc.tsv"


@dataclass(frozen=True, slots=True)
class Ingredient:
    """name: lower case, as RxNorm has it; rxcui: "" when it was not found in a public source."""

    name: str
    rxcui: str
    classes: frozenset[str]
    synonyms: tuple[str, ...]
    source: str


@dataclass(frozen=True, slots=True)
class DrugClass:
    """allergens: words of allergy lists for the whole class. systemic: only counts when the drug reaches the
    blood. cross: an allergy to one member is taken for the class."""

    name: str
    label: str
    includes: tuple[str, ...] = ()
    allergens: tuple[str, ...] = ()
    systemic: bool = False
    cross: bool = False


@dataclass(frozen=True, slots=True)
class Product:
    """A product or a combination: its ingredients, and the strength in mg per piece of a single ingredient (None
    when none is given)."""

    ingredients: tuple[str, ...]
    strength: float | None = None


@dataclass(frozen=True)
class DrugCatalogue:
    """products: RxCUI (ingredient, combination or product) -> what it is. names: words -> what it is.
    class_words: words -> class, for class-level allergens. harmless: allergens that are no drug. atc: ATC substance
    code -> its ingredients. atc_groups: ATC group code -> classes."""

    ingredients: Mapping[str, Ingredient]
    classes: Mapping[str, DrugClass]
    products: Mapping[str, Product]
    names: Mapping[tuple[str, ...], Product]
    class_words: Mapping[tuple[str, ...], str]
    harmless: frozenset[tuple[str, ...]]
    wider: Mapping[str, frozenset[str]]
    atc: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    atc_groups: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def classes_of_atc(self, code: str) -> tuple[str, ...]:
        """The classes of the narrowest group of this list that holds the ATC code, () when none does."""
        starts = (code[:size] for size in range(len(code), 2, -1))
        return next((self.atc_groups[s] for s in starts if s in self.atc_groups), ())

    def classes_of(self, ingredients: Iterable[str], own: Iterable[str] = ()) -> frozenset[str]:
        """Every class of these ingredients, with the unions they belong to."""
        found = set(own).union(*(self.ingredients[i].classes for i in ingredients if i in self.ingredients))
        return frozenset(found.union(*(self.wider[c] for c in found)))

    def rxcuis(self, ingredients: Iterable[str]) -> tuple[str, ...]:
        known = (self.ingredients[i].rxcui for i in ingredients if i in self.ingredients)
        return tuple(r for r in known if r)


def load_drug_catalogue(source: Source) -> DrugCatalogue:
    """Read mappings/drug-classes. Raises KnowledgeError naming the file and the entry."""
    ingredients: dict[str, Ingredient] = {}
    classes: dict[str, DrugClass] = {}
    combinations: list[tuple[str, dict[str, Any]]] = []
    harmless: set[tuple[str, ...]] = set()
    for file, table in source.toml(FOLDER):
        for entry in table.get("ingredient", ()):
            found = _ingredient(file, entry, table.get("source", ""))
            if found.name in ingredients:
                raise KnowledgeError(f"{FOLDER}/{file}: {found.name} is listed twice")
            ingredients[found.name] = found
        for name, entry in table.get("class", {}).items():
            classes[name] = _drug_class(file, name, entry)
        combinations += [(file, entry) for entry in table.get("combination", ())]
        harmless.update(tokens(w) for w in table.get("no-drug", ()))
    _check_classes(ingredients, classes)
    products, names = _singles(ingredients)
    for file, entry in combinations:
        _add_combination(file, entry, ingredients, products, names)
    _add_products(source, ingredients, products)
    words = {tokens(w): c.name for c in classes.values() for w in c.allergens}
    includes = {c.name: c.includes for c in classes.values()}
    wider = {name: closure(name, includes) for name in classes}
    atc, atc_groups = _atc(source, ingredients, classes)
    return DrugCatalogue(
        ingredients, classes, products, names, words, frozenset(harmless), wider, atc, atc_groups
    )


def _ingredient(file: str, entry: Mapping[str, Any], source: str) -> Ingredient:
    name, rxcui = entry.get("name", ""), entry.get("rxcui", "")
    if not name or name != name.lower() or (rxcui and not rxcui.isdigit()):
        raise KnowledgeError(
            f"{FOLDER}/{file}: {name!r} needs a lower-case name and a numeric or empty rxcui"
        )
    synonyms = tuple(entry.get("synonyms", ()))
    return Ingredient(name, rxcui, frozenset(entry.get("classes", ())), synonyms, entry.get("source", source))


def _drug_class(file: str, name: str, entry: Mapping[str, Any]) -> DrugClass:
    if not entry.get("label"):
        raise KnowledgeError(f"{FOLDER}/{file}: class {name} has no label")
    return DrugClass(
        name,
        entry["label"],
        tuple(entry.get("includes", ())),
        tuple(entry.get("allergens", ())),
        bool(entry.get("systemic", False)),
        bool(entry.get("cross", False)),
    )


def _check_classes(ingredients: Mapping[str, Ingredient], classes: Mapping[str, DrugClass]) -> None:
    named = {c for i in ingredients.values() for c in i.classes}.union(
        *(c.includes for c in classes.values())
    )
    unknown = sorted(named - classes.keys())
    if unknown:
        raise KnowledgeError(f"{FOLDER}: class {unknown[0]} is used but not described in classes.toml")


def _singles(
    ingredients: Mapping[str, Ingredient],
) -> tuple[dict[str, Product], dict[tuple[str, ...], Product]]:
    products: dict[str, Product] = {}
    names: dict[tuple[str, ...], Product] = {}
    for ingredient in ingredients.values():
        alone = Product((ingredient.name,))
        if ingredient.rxcui:
            if ingredient.rxcui in products:
                raise KnowledgeError(f"{FOLDER}: RxCUI {ingredient.rxcui} is given to two ingredients")
            products[ingredient.rxcui] = alone
        for name in (ingredient.name, *ingredient.synonyms):
            _add_name(names, name, alone)
    return products, names


def _add_name(names: dict[tuple[str, ...], Product], name: str, product: Product) -> None:
    words = tokens(name)
    if names.setdefault(words, product).ingredients != product.ingredients:
        raise KnowledgeError(f"{FOLDER}: the name {key(name)!r} stands for two drugs")


def _add_combination(
    file: str,
    entry: Mapping[str, Any],
    ingredients: Mapping[str, Ingredient],
    products: dict[str, Product],
    names: dict[tuple[str, ...], Product],
) -> None:
    parts = tuple(entry.get("ingredients", ()))
    unknown = [p for p in parts if p not in ingredients]
    if len(parts) < 2 or unknown:
        raise KnowledgeError(f"{FOLDER}/{file}: combination {parts} has an unknown ingredient or only one")
    product = Product(parts)
    if entry.get("rxcui"):
        products[entry["rxcui"]] = product
    for name in entry.get("synonyms", ()):
        _add_name(names, name, product)


def _add_products(
    source: Source, ingredients: Mapping[str, Ingredient], products: dict[str, Product]
) -> None:
    for file, rows in source.tsv(FOLDER):
        for row in rows if file != ATC_FILE else ():
            parts = tuple(row["ingredients"].split("|"))
            unknown = [p for p in parts if p not in ingredients]
            if unknown:
                raise KnowledgeError(f"{FOLDER}/{file}: unknown ingredient {unknown[0]}")
            strength = float(row["strength"]) if row["strength"] else None
            products[row["rxcui"]] = Product(parts, strength)


def _atc(
    source: Source, ingredients: Mapping[str, Ingredient], classes: Mapping[str, DrugClass]
) -> tuple[dict[str, tuple[str, ...]], dict[str, tuple[str, ...]]]:
    substances: dict[str, tuple[str, ...]] = {}
    groups: dict[str, tuple[str, ...]] = {}
    for file, rows in source.tsv(FOLDER):
        for row in rows if file == ATC_FILE else ():
            named = tuple(filter(None, row["ingredients"].split("|")))
            of = tuple(filter(None, row["classes"].split("|")))
            if set(named) - ingredients.keys() or set(of) - classes.keys() or bool(named) == bool(of):
                raise KnowledgeError(
                    f"{FOLDER}/{file}: {row['atc']} needs known ingredients or known classes"
                )
            (substances if named else groups)[row["atc"]] = named or of
    return substances, groups
