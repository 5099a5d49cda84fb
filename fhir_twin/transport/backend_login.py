"""SMART Backend Services as an Authorization: a token by signed assertion, kept until shortly before its end (B4)."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from fhir_twin.errors import UpstreamError
from fhir_twin.model.scopes import read_scopes
from fhir_twin.transport.smart_token import TokenClient

SKEW = 30.0


class BackendLogin:
    """An `Authorization` (transport.login): one request for a token at a time, however many threads want one.

    renew=True (after a 401) asks for a new one, unless another thread got one since the failed call."""

    def __init__(
        self, client: Callable[[], TokenClient], *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._client = client
        self._clock = clock
        self._guard = threading.Lock()
        self._header = ""
        self._ends = -1.0

    def __call__(self, renew: bool) -> str:
        seen = self._header
        with self._guard:
            fresh = self._clock() < self._ends
            if fresh and not (renew and self._header == seen):
                return self._header
            reply = self._client().client_credentials()
            if reply.scope is not None and not read_scopes(reply.scope).scopes:
                raise UpstreamError("the authorization server granted no scope that reads anything")
            self._ends = self._clock() + reply.expires_in - min(SKEW, reply.expires_in / 2)
            self._header = f"Bearer {reply.access_token}"
            return self._header
