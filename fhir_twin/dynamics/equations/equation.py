"""What a risk equation is here: named inputs with units and valid ranges, a formula, a citation, and refusals.

An `Equation` is called with keyword arguments (scalars, None, or arrays that broadcast together) and gives a
`Result`: a value per person, NaN where the equation refuses, and for every refusal the input and the reason.
Nothing is clipped or assumed on the way: an input outside the published range is refused, by name.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from fhir_twin.errors import InvalidInput

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]
Inputs = dict[str, Array]
Formula = Callable[[Inputs], Array]


@dataclass(frozen=True, slots=True)
class Input:
    """kind "number" | "flag" (True/False/1/0) | "sex" ("female"/"male") | "choice" (one of `choices`).

    low..high is the closed valid range in `unit`; `open_high` / `open_low` leave the end out. optional: missing
    (None, NaN) is allowed and reaches the formula as NaN."""

    name: str
    unit: str = ""
    kind: Literal["number", "flag", "sex", "choice"] = "number"
    low: float = -np.inf
    high: float = np.inf
    open_low: bool = False
    open_high: bool = False
    optional: bool = False
    choices: tuple[str, ...] = ()
    words: str = ""

    def outside(self, values: Array) -> tuple[Mask, Mask]:
        """(below, above) masks; NaN is neither."""
        below = values <= self.low if self.open_low else values < self.low
        above = values >= self.high if self.open_high else values > self.high
        return below, above


@dataclass(frozen=True, slots=True)
class Refusal:
    """Input `name` kept the equation from answering where `mask` is true. why: missing | below | above | invalid |
    scope (a rule on several inputs, `rule` says which)."""

    name: str
    why: Literal["missing", "below", "above", "invalid", "scope"]
    rule: str
    mask: Mask


@dataclass(frozen=True, slots=True, repr=False)
class Result:
    """value: the inputs' common shape, NaN where refused. `float(result)` and `np.asarray(result)` work."""

    value: Array
    unit: str
    refusals: tuple[Refusal, ...] = ()
    labels: tuple[str, ...] = ()

    @property
    def refused(self) -> Mask:
        """True where the equation gave no answer."""
        return np.isnan(self.value)

    def reasons(self, index: tuple[int, ...] = ()) -> tuple[str, ...]:
        """Why there is no answer for one person (index into the batch; () for a scalar call)."""
        return tuple(r.rule for r in self.refusals if bool(r.mask[index]))

    def label(self, index: tuple[int, ...] = ()) -> str:
        """The category's words for one person, "" when refused or when the answer is no category."""
        value = float(self.value[index])
        return "" if np.isnan(value) or not self.labels else self.labels[int(value)]

    def __float__(self) -> float:
        return float(self.value)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        return np.array(self.value, dtype=dtype, copy=True if copy is None else copy)


@dataclass(frozen=True, slots=True, repr=False)
class Equation:
    """name: registry key; labels: words of a category (value = position); scopes: rules over several inputs,
    (words, mask of those refused)."""

    name: str
    title: str
    inputs: tuple[Input, ...]
    formula: Formula
    unit: str
    citation: str
    doi: str = ""
    labels: tuple[str, ...] = ()
    scopes: tuple[tuple[str, Callable[[Inputs], Mask]], ...] = ()

    def __call__(self, **given: Any) -> Result:
        """Raises TypeError for an unknown argument name, InvalidInput for arrays that do not broadcast together;
        everything else is a refusal."""
        values, refusals = self._read(given)
        with np.errstate(all="ignore"):
            answer = np.array(self.formula(values), dtype=np.float64)
        for refusal in refusals:
            answer[refusal.mask] = np.nan
        return Result(answer, self.unit, tuple(r for r in refusals if r.mask.any()), self.labels)

    def reasons(self, **given: Any) -> tuple[str, ...]:
        """Why it would refuse one person, without working out the answer. Raises TypeError as a call does."""
        names = [i.name for i in self.inputs]
        if not self.scopes and given.keys() <= set(names):
            plain = zip(self.inputs, map(given.get, names), strict=True)
            if all(isinstance(value, _PLAIN) and _fits(item, value) for item, value in plain):
                return ()
        return tuple(r.rule for r in self._read(given)[1] if bool(r.mask))

    def _read(self, given: Mapping[str, Any]) -> tuple[Inputs, list[Refusal]]:
        values, refusals = read_inputs(self.inputs, given)
        for rule, outside in self.scopes:
            refusals.append(Refusal("", "scope", rule, _same_shape(outside(values), values)))
        return values, refusals


_PLAIN = bool | int | float | str | None


def _fits(item: Input, value: bool | float | str | None) -> bool:
    """Would a plain value pass for certain? What is not certain is looked at closely."""
    if value is None:
        return item.optional
    if item.kind == "sex":
        return value in ("female", "male")
    if item.kind == "flag":
        return isinstance(value, bool)
    if item.kind != "number" or isinstance(value, str | bool):
        return False
    return item.low < value < item.high


def read_inputs(inputs: tuple[Input, ...], given: Mapping[str, Any]) -> tuple[Inputs, list[Refusal]]:
    """Arguments as float arrays of one shape (sex: 1 = female; choices: index), and the refusals so far."""
    unknown = sorted(set(given) - {i.name for i in inputs})
    if unknown:
        names = ", ".join(i.name for i in inputs)
        raise TypeError(f"unknown input {', '.join(unknown)}; this equation takes {names}")
    raw = [_numbers(i, given.get(i.name)) for i in inputs]
    try:
        arrays = np.broadcast_arrays(*(numbers for numbers, _ in raw))
    except ValueError:
        shapes = ", ".join(f"{i.name} {n.shape}" for i, (n, _) in zip(inputs, raw, strict=True) if n.shape)
        raise InvalidInput(f"inputs do not broadcast together: {shapes}") from None
    values = {i.name: np.array(a) for i, a in zip(inputs, arrays, strict=True)}
    refusals: list[Refusal] = []
    for item, (_, bad) in zip(inputs, raw, strict=True):
        refusals += _refusals(item, values, np.broadcast_to(bad, values[item.name].shape))
    return values, refusals


def _refusals(item: Input, values: Inputs, bad: Mask) -> list[Refusal]:
    array = values[item.name]
    found = []
    if bad.any():
        words = ", ".join(item.choices) or {"sex": "female, male", "flag": "true, false"}.get(
            item.kind, "a number"
        )
        found.append(Refusal(item.name, "invalid", f"{item.name} must be {words}", bad))
    missing = np.isnan(array) & ~bad
    if missing.any() and not item.optional:
        found.append(Refusal(item.name, "missing", f"{item.name} is not known", missing))
    below, above = (mask & ~bad for mask in item.outside(array))
    if below.any():
        sign = "above" if item.open_low else "at least"
        found.append(
            Refusal(
                item.name, "below", f"{item.name} must be {sign} {item.low:g} {item.unit}".rstrip(), below
            )
        )
    if above.any():
        sign = "below" if item.open_high else "at most"
        found.append(
            Refusal(
                item.name, "above", f"{item.name} must be {sign} {item.high:g} {item.unit}".rstrip(), above
            )
        )
    return found


def _numbers(item: Input, given: Any) -> tuple[Array, Mask]:
    """The argument as floats (NaN = missing) and where it was given but cannot be read."""
    if item.kind in ("sex", "choice"):
        return _words(item, given)
    if isinstance(given, np.ndarray) and given.dtype.kind in "fiub":
        numbers = given.astype(np.float64)
    elif given is None or isinstance(given, str):
        numbers = np.array(np.nan)
    elif isinstance(given, bool | int | float):
        numbers = np.array(float(given))
    else:
        numbers = np.array(given, dtype=object)
        unread = np.vectorize(_float, otypes=[np.float64])
        numbers = unread(numbers) if numbers.size else numbers.astype(np.float64)
    bad = np.isinf(numbers)  # what cannot be read as a number comes back as infinite
    if isinstance(given, str):
        bad = np.array(True)
    if item.kind == "flag":
        bad = bad | ~(np.isnan(numbers) | (numbers == 0.0) | (numbers == 1.0))
    return numbers, np.asarray(bad)


def _float(value: Any) -> float:
    """NaN for None (and pandas' NA), infinity for what is no number (words are not read as numbers)."""
    if value is None or type(value).__name__ == "NAType":
        return np.nan
    try:
        return np.inf if isinstance(value, str) else float(value)
    except (TypeError, ValueError):
        return np.inf


def _words(item: Input, given: Any) -> tuple[Array, Mask]:
    table = {"female": 1.0, "f": 1.0, "male": 0.0, "m": 0.0}
    if item.kind == "choice":
        table = {word.lower(): float(i) for i, word in enumerate(item.choices)}
    words = np.array(given, dtype=object)
    numbers = np.full(words.shape, np.nan)
    bad = np.zeros(words.shape, dtype=bool)
    for index in np.ndindex(words.shape):
        word = "" if words[index] is None else str(words[index]).strip().lower()
        if word in ("", "nan", "<na>"):
            continue
        number = table.get(word)
        bad[index] = number is None
        numbers[index] = np.nan if number is None else number
    return numbers, bad


def _same_shape(mask: Mask, values: Inputs) -> Mask:
    shape = next(iter(values.values())).shape
    return np.array(np.broadcast_to(mask, shape))
