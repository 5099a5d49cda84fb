"""TextCoder: the one thing other packages use. Text and kind in, CodingDecision out; bad text raises nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

from terminology.decision import Assertion, CodingDecision, Kind
from terminology.text.context import Context
from terminology.text.normalise import MAX_NOTE, MAX_PHRASE

_MEMO = 50_000
BATCH = 400  # texts from which loading the compiled path is worth its second


class TextCoder:
    """Codes short clinical texts. Thread-safe for reading; decisions are memoised per (text, kind)."""

    def __init__(self, engines: Mapping[Kind, Callable[[], Engine]], release: str, context: Context) -> None:
        self._factories = engines
        self._context = context
        self._engines: dict[Kind, Engine] = {}
        self.release = release
        self._memo: dict[tuple[str, Kind], CodingDecision] = {}

    def code(self, text: str, kind: Kind = "problem") -> CodingDecision:
        """The whole of `text` as one mention. Abstains with a reason when it is empty, too long or unclear."""
        found = self._memo.get((text, kind))
        if found is None:
            found = self._decide(text, kind)
            if len(text) <= MAX_PHRASE:
                if len(self._memo) >= _MEMO:
                    self._memo.clear()
                self._memo[text, kind] = found
        return found

    def code_all(self, text: str, kind: Kind = "problem") -> tuple[CodingDecision, ...]:
        """Every mention in `text`, in order of its span; `span` points into `text`."""
        if len(text) > MAX_NOTE:
            return (too_long(kind, self.release),)
        return self.engine(kind).code_all(text)

    def assertion(self, text: str, span: tuple[int, int]) -> Assertion:
        """What the sentence around `span` says about it: present, absent, possible, historical ..."""
        if len(text) > MAX_NOTE:
            raise ValueError("too long")
        return self._context.of_span(text, span)[0]

    def code_many(self, texts: Iterable[str], kind: Kind = "problem") -> list[CodingDecision]:
        """As `code` for each text, in order. Large batches go through the engine's batch path: every text once, and
        what is not known word for word in machine code where numba is there."""
        asked = list(texts)
        fresh = dict.fromkeys(t for t in asked if (t, kind) not in self._memo)
        if len(fresh) < BATCH:
            return [self.code(text, kind) for text in asked]
        short = [t for t in fresh if len(t) <= MAX_PHRASE]
        found = dict(zip(short, self.engine(kind).code_many(short), strict=True))
        answers = [found[t] if t in found else self.code(t, kind) for t in asked]
        for text in short[: max(0, _MEMO - len(self._memo))]:
            self._memo[text, kind] = found[text]
        return answers

    def display(self, code: str) -> str | None:
        """The title of a code that the coder can give ("E11.22"; a 7th character may follow); None for no such code."""
        return self.engine("problem").display(code)

    def engine(self, kind: Kind) -> Engine:
        """The engine of a kind, made on first use. Raises ValueError for an unknown kind."""
        found = self._engines.get(kind)
        if found is None:
            if kind not in self._factories:
                raise ValueError(f"unknown kind {kind!r}; one of {', '.join(self._factories)}")
            found = self._engines.setdefault(kind, self._factories[kind]())
        return found

    def _decide(self, text: str, kind: Kind) -> CodingDecision:
        if len(text) > MAX_PHRASE:
            return too_long(kind, self.release)
        return self.engine(kind).code(text)


class Engine:
    """How one kind of text is coded."""

    def code(self, text: str) -> CodingDecision:
        raise NotImplementedError

    def code_all(self, text: str) -> tuple[CodingDecision, ...]:
        raise NotImplementedError

    def display(self, code: str) -> str | None:  # noqa: ARG002
        """The title of a code of this engine's vocabulary; None where it has none."""
        return None

    def code_many(self, texts: Sequence[str]) -> list[CodingDecision]:
        """As `code` for each text; engines that know a faster way for many have their own."""
        return [self.code(text) for text in texts]


def too_long(kind: Kind, release: str) -> CodingDecision:
    """The text itself is not kept."""
    return CodingDecision("", kind, (0, 0), "present", (), (), 0.0, "abstain", "too long", (), (), release)
