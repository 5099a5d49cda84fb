"""The error tree and `Issue`. Imports nothing.

    TwinError                      one class = one R4 issue-type code = one HTTP status
    +-- InvalidInput      invalid        400    +-- Conflict          conflict   409
    +-- UnknownCode       code-invalid   422    +-- TooCostly         too-costly 413
    +-- NotEnoughData     business-rule  422    +-- UpstreamError     exception  502
    +-- NotFound          not-found      404    |   +-- UpstreamTimeout timeout  504
    +-- NotSupported      not-supported  400    |   +-- Throttled     throttled  503
    +-- LoginRequired     login          401    +-- KnowledgeError    exception  500 (refuses to start)
    +-- Forbidden         forbidden      403    +-- Busy              throttled  503 (our own store: try again)
                                                +-- StoreError        exception  500

An exception ends a job. A bad *entry* is no exception: it becomes an `Issue` that rides along to the
report. Neither ever quotes a patient's value: `diagnostics` names the rule that failed, not the data.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

Severity = Literal["fatal", "error", "warning", "information"]


@dataclass(frozen=True, slots=True)
class Issue:
    """One finding about the input or the run; maps 1:1 to `OperationOutcome.issue` (R4).

    severity: R4 issue-severity. code: R4 issue-type ("invalid", "value", "processing", ...).
    expression: where, as FHIRPath or "Type/id" - never a value. diagnostics: what rule, in plain words.
    stage: read | code | assimilate | simulate | recommend | write | fetch.
    """

    severity: Severity
    code: str
    diagnostics: str
    expression: str = ""
    stage: str = "read"


class TwinError(Exception):
    """Base of all errors that we raise on purpose; its text is safe to show (no patient data)."""

    code: ClassVar[str] = "exception"
    status: ClassVar[int] = 500

    def __init__(self, message: str, *, issues: tuple[Issue, ...] = ()) -> None:
        super().__init__(message)
        self.message = message
        self.issues = issues


class InvalidInput(TwinError):
    code, status = "invalid", 400


class UnknownCode(TwinError):
    code, status = "code-invalid", 422


class NotEnoughData(TwinError):
    code, status = "business-rule", 422


class NotFound(TwinError):
    code, status = "not-found", 404


class NotSupported(TwinError):
    code, status = "not-supported", 400


class Conflict(TwinError):
    code, status = "conflict", 409


class LoginRequired(TwinError):
    code, status = "login", 401


class Forbidden(TwinError):
    code, status = "forbidden", 403


class TooCostly(TwinError):
    code, status = "too-costly", 413


class UpstreamError(TwinError):
    """A server we depend on failed. `http_status` is what it answered, 0 when it did not answer; `retry_after` the
    seconds after which it asks to be tried again, None when it did not say."""

    code, status = "exception", 502

    def __init__(
        self,
        message: str,
        *,
        http_status: int = 0,
        issues: tuple[Issue, ...] = (),
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message, issues=issues)
        self.http_status = http_status
        self.retry_after = retry_after


class UpstreamTimeout(UpstreamError):
    code, status = "timeout", 504


class Throttled(UpstreamError):
    code, status = "throttled", 503


class KnowledgeError(TwinError):
    """A file under mappings/ is wrong; names the file and the key. The service refuses to start."""


class Busy(TwinError):
    """We cannot take more just now: the store is locked, full or over its depth. Nothing was accepted; the sender
    shall try again after `retry_after` seconds."""

    code, status = "throttled", 503

    def __init__(self, message: str, *, retry_after: float = 5.0, issues: tuple[Issue, ...] = ()) -> None:
        super().__init__(message, issues=issues)
        self.retry_after = retry_after


class StoreError(TwinError):
    """Our own store is damaged, of a later version, or refuses what should work."""
