"""Cookies that hold a random number: HttpOnly always, Secure wherever it can be, Partitioned in a frame (SL-16).

In a frame of the EHR a browser sends only SameSite=None cookies, which it accepts only when they are Secure; with
Partitioned they work where third-party cookies are blocked and are kept apart by EHR (CHIPS). Browsers treat loopback
as secure. Without frames SameSite=Lax is stricter, and enough.
"""

from __future__ import annotations

from flask import Response, current_app, request


def set_cookie(response: Response, name: str, value: str, *, path: str, seconds: int | None = None) -> None:
    """seconds: how long; None = until the browser is closed."""
    framed = embedded()
    response.set_cookie(
        name,
        value,
        max_age=seconds,
        path=path,
        httponly=True,
        secure=framed or is_https(),
        samesite="None" if framed else "Lax",
        partitioned=framed,
    )


def clear_cookie(response: Response, name: str, *, path: str) -> None:
    framed = embedded()
    response.delete_cookie(
        name,
        path=path,
        httponly=True,
        secure=framed or is_https(),
        samesite="None" if framed else "Lax",
        partitioned=framed,
    )


def embedded() -> bool:
    """The page may be shown in a frame of somebody else's."""
    return bool(current_app.extensions["fhir-twin"]["settings"].text("frame_ancestors"))


def is_https() -> bool:
    public = current_app.extensions["fhir-twin"]["settings"].text("public_url")
    return str(public).lower().startswith("https://") or request.is_secure
