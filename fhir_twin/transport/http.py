"""One HTTP client class: limits, retries, no foreign redirects, the token only to its own origin.

One requests.Session per thread (requests does not promise thread safety). Answers of any status come back as a
`Reply`; only "no usable answer" raises. What a status means for FHIR is said in `answers`.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import random as uniform

import requests
from requests.structures import CaseInsensitiveDict
from requests.utils import get_environ_proxies
from urllib3.exceptions import HTTPError

from fhir_twin.errors import Forbidden, InvalidInput, TooCostly, UpstreamError, UpstreamTimeout
from fhir_twin.transport.failures import Failure, failure_of
from fhir_twin.transport.login import Authorization
from fhir_twin.transport.pace import Pace
from fhir_twin.transport.retry import Repeat, RetryPolicy, parse_retry_after
from fhir_twin.transport.trust import certificates
from fhir_twin.transport.urls import parse_base, target_of
from fhir_twin.transport.watchdog import DeadlineAdapter

_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_SAFE = frozenset({"GET", "HEAD", "PUT", "DELETE"})
_CHUNK = 1 << 18


@dataclass(frozen=True, slots=True)
class Limits:
    """Seconds to connect, to wait for the next bytes, and for one whole answer; bytes after decompression."""

    connect: float = 10.0
    read: float = 60.0
    total: float = 180.0
    max_bytes: int = 256_000_000
    max_redirects: int = 3


@dataclass(slots=True)
class Tally:
    """What a piece of work cost; filled by several threads."""

    requests: int = 0
    retries: int = 0
    seconds_waiting: float = 0.0
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def add(self, *, requests: int = 0, retries: int = 0, seconds: float = 0.0) -> None:
        with self._lock:
            self.requests += requests
            self.retries += retries
            self.seconds_waiting += seconds


@dataclass(frozen=True, slots=True, repr=False)
class Reply:
    """An answer: status, headers (any case), whole body. tries and waited (seconds) say what it took;
    retry_after is what the server asked for in the end."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    tries: int = 1
    waited: float = 0.0
    retry_after: float | None = None

    @property
    def content_type(self) -> str:
        return self.headers.get("Content-Type", "").split(";")[0].strip().lower()


@dataclass(frozen=True, slots=True)
class Wait:
    """Told to the user while a call waits: status 0 means that no answer came."""

    status: int
    seconds: float
    attempt: int


_LIMITS = Limits()
_RETRIES = RetryPolicy()


class HttpClient:
    """Speaks to one base URL. Thread-safe; close() when done. `clock` is monotonic, `now` Unix time."""

    def __init__(
        self,
        base: str,
        *,
        authorization: Authorization | None = None,
        headers: Mapping[str, str] | None = None,
        ca_bundle: Path | None = None,
        limits: Limits = _LIMITS,
        retry: RetryPolicy = _RETRIES,
        rate: float = 0.0,
        on_wait: Callable[[Wait], None] | None = None,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], float] = time.time,
        sleep: Callable[[float], None] = time.sleep,
        random: Callable[[], float] = uniform,
    ) -> None:
        self.base = parse_base(base)
        self.limits = limits
        self.total = Tally()
        self._authorization = authorization
        self._headers = dict(headers or {})
        self._verify = certificates(ca_bundle)
        self._retry = retry
        self._pace = Pace(rate, clock, sleep)
        self._on_wait = on_wait
        self.clock = self._clock = clock
        self._now, self._sleep, self._random = now, sleep, random
        self._local = threading.local()
        self._sessions: list[requests.Session] = []
        self._guard = threading.Lock()
        self._process = os.getpid()
        self._proxies = get_environ_proxies(self.base.text, no_proxy=None)

    def __enter__(self) -> HttpClient:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        with self._guard:
            for session in self._sessions:
                session.close()
            self._sessions.clear()
            self._local = threading.local()

    def request(
        self,
        method: str,
        url: str,
        *,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        repeat: Repeat | None = None,
        tally: Tally | None = None,
    ) -> Reply:
        """Call `url` (relative to the base, or absolute on its origin).

        repeat: when it may be tried again; reads, PUT and DELETE are "safe" unless told otherwise, POST "never".
        Raises Forbidden (URL on another origin), InvalidInput (URL not allowed), UpstreamTimeout, TooCostly
        (answer too large) and UpstreamError (no connection, cut answer, foreign redirect)."""
        target = target_of(self.base, url)
        repeat = repeat or ("safe" if method in _SAFE else "never")
        tallies = (self.total, tally) if tally is not None else (self.total,)
        tried, waited, renew, began = 0, 0.0, False, self._clock()
        while True:
            tried += 1
            answer = self._attempt(method, target, body, headers, renew, tallies)
            if isinstance(answer, Reply) and answer.status == 401 and self._authorization and not renew:
                renew = True
                continue
            status = answer.status
            wait = self._retry.wait(tried, answer.retry_after, self._random())
            late = self._clock() - began + wait > self._retry.within
            if late or not self._retry.again(status, repeat, tried) or waited + wait > self._retry.budget:
                return _finish(answer, tried, waited)
            self._pause(status, wait, tried, tallies)
            waited += wait

    def _pause(self, status: int, wait: float, tried: int, tallies: tuple[Tally, ...]) -> None:
        if self._on_wait is not None:
            self._on_wait(Wait(max(status, 0), wait, tried))
        if status in (429, 503):
            self._pace.hold(wait)
        self._sleep(wait)
        for each in tallies:
            each.add(retries=1, seconds=wait)

    def _attempt(
        self,
        method: str,
        url: str,
        body: bytes | None,
        headers: Mapping[str, str] | None,
        renew: bool,
        tallies: tuple[Tally, ...],
    ) -> Reply | Failure:
        """One try, including redirects within the origin."""
        sent = {**self._headers, **(headers or {})}
        if self._authorization is not None:
            sent["Authorization"] = self._authorization(renew)
        held = self._pace.wait()
        for _ in range(self.limits.max_redirects + 1):
            for each in tallies:
                each.add(requests=1, seconds=held)
            held = 0.0
            try:
                reply = self._exchange(method, url, body, sent)
            except (requests.RequestException, HTTPError, OSError) as error:
                return failure_of(error)
            if reply.status not in _REDIRECTS or method not in ("GET", "HEAD"):
                return reply
            url = self._redirect(reply)
        raise UpstreamError("the FHIR server redirects in a circle", http_status=reply.status)

    def _redirect(self, reply: Reply) -> str:
        try:
            return target_of(self.base, reply.headers.get("Location", ""))
        except (Forbidden, InvalidInput):
            raise UpstreamError(
                f"the FHIR server answered with a redirect ({reply.status}) to another place; it was not followed",
                http_status=reply.status,
            ) from None

    def _exchange(self, method: str, url: str, body: bytes | None, headers: Mapping[str, str]) -> Reply:
        deadline = self._clock() + self.limits.total
        with self._session().request(
            method,
            url,
            data=body,
            headers=dict(headers),
            timeout=(self.limits.connect, min(self.limits.read, self.limits.total)),
            allow_redirects=False,
            stream=True,
            verify=self._verify,
            proxies=self._proxies,
        ) as response:
            content = self._content(response, deadline)
            asked = parse_retry_after(response.headers.get("Retry-After"), self._now())
            known: CaseInsensitiveDict[str] = CaseInsensitiveDict(response.headers)
            return Reply(response.status_code, known, content, retry_after=asked)

    @contextmanager
    def stream(
        self, url: str, headers: Mapping[str, str], *, token: bool, idle: float
    ) -> Iterator[requests.Response]:
        """GET any URL (the caller says where it may lead) for a body that is read piece by piece; one try. A 401 with
        `token` is asked again once with a renewed one. Raises what requests raises."""
        for renew in (False, True):
            sent = {**self._headers, **headers}
            if token and self._authorization is not None:
                sent["Authorization"] = self._authorization(renew)
            self._pace.wait()
            with self._session().get(
                url,
                headers=sent,
                timeout=(self.limits.connect, idle),
                allow_redirects=False,
                stream=True,
                verify=self._verify,
                proxies=self._proxies,
            ) as response:
                if response.status_code != 401 or not token or renew or self._authorization is None:
                    yield response
                    return

    def _content(self, response: requests.Response, deadline: float) -> bytes:
        """The whole body. read1 gives what is there, so that the deadline also holds for a slow drip."""
        parts: list[bytes] = []
        size = 0
        while part := response.raw.read1(_CHUNK, decode_content=True):
            size += len(part)
            if size > self.limits.max_bytes:
                raise TooCostly(f"an answer of the FHIR server is larger than {self.limits.max_bytes} bytes")
            if self._clock() > deadline:
                raise UpstreamTimeout(f"the FHIR server did not finish its answer in {self.limits.total:g} s")
            parts.append(part)
        return b"".join(parts)

    def _session(self) -> requests.Session:
        if self._process != os.getpid():  # a forked worker must not share its parent's sockets
            self._process, self._local, self._sessions = os.getpid(), threading.local(), []
        session: requests.Session | None = getattr(self._local, "session", None)
        if session is None:
            session = requests.Session()
            adapter = DeadlineAdapter(self.limits.total)
            session.mount("http://", adapter)
            session.mount("https://", adapter)
            session.trust_env = False  # a .netrc entry would replace our Authorization header
            session.headers["User-Agent"] = "fhir-twin"
            self._local.session = session
            with self._guard:
                self._sessions.append(session)
        return session


def _finish(answer: Reply | Failure, tried: int, waited: float) -> Reply:
    if isinstance(answer, Failure):
        if tried > 1:
            text = f"{answer.error.message} ({tried} tries, {waited:.0f} s of waiting)"
            raise type(answer.error)(text) from None
        raise answer.error
    return Reply(answer.status, answer.headers, answer.body, tried, waited, answer.retry_after)
