"""A session's login towards the FHIR server: its token, renewed by its refresh token when it is needed (SL-14).

A refresh token is used once: of all threads and processes the one that gets the lease in the store renews, the
others wait for the new token (a server revokes the whole family when a rotated token comes twice).
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from fhir_twin.errors import LoginRequired, TwinError, UpstreamTimeout
from fhir_twin.storage.web_state import Kept, WebState
from fhir_twin.transport.smart_token import TokenClient

KIND = "session"
SKEW = 30.0
LEASE = 30.0
_POLL = 0.1
OVER = "the login at the record has ended: open the page from there again"


class SessionLogin:
    """An `Authorization` (transport.login) for the session under `tag`."""

    def __init__(
        self,
        state: WebState,
        tag: str,
        tokens: Callable[[], TokenClient],
        *,
        now: Callable[[], float] = time.time,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._state = state
        self._tag = tag
        self._tokens = tokens
        self._now = now
        self._sleep = sleep
        self._local = threading.local()  # the token that this thread was last given

    def __call__(self, renew: bool) -> str:
        """renew: the last token was answered with 401. Raises LoginRequired when there is no way to a new one."""
        kept = self._kept()
        token = str(kept.value["access_token"])
        refused = renew and token == getattr(self._local, "token", token)
        if (
            float(kept.value["token_ends"]) <= self._now() + SKEW and kept.value.get("refresh_token")
        ) or refused:
            token = self._renewed(kept, token)
        self._local.token = token
        return f"Bearer {token}"

    def _renewed(self, kept: Kept, old: str) -> str:
        deadline = self._now() + LEASE
        while self._now() < deadline:
            if str(kept.value["access_token"]) != old:
                return str(kept.value["access_token"])
            if not kept.value.get("refresh_token"):
                raise LoginRequired(OVER)
            leased = float(kept.value.get("lease", 0)) > self._now()
            if not leased and self._put(kept, {**kept.value, "lease": self._now() + LEASE}):
                return self._refresh()
            self._sleep(_POLL)
            kept = self._kept()
        raise UpstreamTimeout("the login is being renewed, which takes too long")

    def _refresh(self) -> str:
        kept = self._kept()
        try:
            reply = self._tokens().refresh(str(kept.value["refresh_token"]))
        except LoginRequired:
            self._put(kept, {**kept.value, "lease": 0, "refresh_token": ""})
            raise LoginRequired(OVER) from None
        except TwinError:
            self._put(kept, {**kept.value, "lease": 0})
            raise
        value = {
            **kept.value,
            "lease": 0,
            "access_token": reply.access_token,
            "token_ends": self._now() + reply.expires_in,
            "refresh_token": reply.refresh_token or kept.value["refresh_token"],
        }
        if reply.scope is not None:
            value["scope"] = reply.scope
        if reply.patient and reply.patient != value["patient"]:
            self._state.drop(KIND, self._tag)  # SS-6: a session never changes its patient
            raise LoginRequired("the record now names another patient; open the page from there again")
        if not self._put(kept, value):
            raise LoginRequired(OVER)
        return reply.access_token

    def _kept(self) -> Kept:
        kept = self._state.get(KIND, self._tag, now=self._now())
        if kept is None:
            raise LoginRequired(OVER)
        return kept

    def _put(self, kept: Kept, value: dict[str, object]) -> bool:
        return self._state.replace(
            KIND, self._tag, value, version=kept.version, now=self._now(), expires=kept.expires
        )
