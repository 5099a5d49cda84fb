"""What requests and urllib3 raise, in our words: their own texts quote URLs, ours never do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import requests
from urllib3.exceptions import NewConnectionError

from fhir_twin.errors import UpstreamError, UpstreamTimeout


@dataclass(frozen=True, slots=True)
class Failure:
    """No usable answer. kind: -1 never reached the server, 0 outcome unknown, -2 must not be tried again."""

    kind: int
    error: UpstreamError
    retry_after: None = None

    @property
    def status(self) -> int:
        """For the rules of retrying, beside those of an answer."""
        return self.kind


def failure_of(error: Exception) -> Failure:
    """requests' own texts quote the URL; ours never do."""
    if isinstance(error, requests.exceptions.SSLError):
        if "CERTIFICATE_VERIFY_FAILED" in str(error):
            return Failure(-2, UpstreamError("the TLS certificate of the FHIR server could not be verified"))
        return Failure(
            -2, UpstreamError("no TLS connection to the FHIR server (does it speak https at all?)")
        )
    if isinstance(error, requests.exceptions.ConnectTimeout):
        return Failure(-1, UpstreamTimeout("no connection to the FHIR server in the time allowed"))
    if isinstance(error, requests.exceptions.Timeout | TimeoutError) or "timed out" in str(error).lower():
        return Failure(0, UpstreamTimeout("the FHIR server did not answer in the time allowed"))
    if isinstance(error, requests.exceptions.ProxyError):
        return Failure(-1, UpstreamError("no connection through the HTTP proxy"))
    if isinstance(_cause(error), NewConnectionError):
        return Failure(
            -1, UpstreamError("no connection to the FHIR server (refused, or its name is not known)")
        )
    if isinstance(error, requests.exceptions.InvalidHeader | requests.exceptions.InvalidURL):
        return Failure(-2, UpstreamError("a request could not be made: a header or URL is not allowed"))
    return Failure(0, UpstreamError("the connection to the FHIR server broke off; the answer is incomplete"))


def _cause(error: Exception) -> Any:
    inner: Any = error.args[0] if error.args else None
    return getattr(inner, "reason", inner)
