"""What is secret is sealed before it is stored: tokens, launch states, the patient a session is about.

Fernet (AES-128-CBC with HMAC-SHA256, of the `cryptography` library) with a list of keys: the first one seals, all of
them open, so that a key can be changed without ending anybody's session. Names under which something is stored are
keyed hashes: who reads the database learns no session id and no patient id.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import hmac
import os
import secrets
from pathlib import Path

from cryptography.fernet import Fernet, InvalidToken, MultiFernet

from fhir_twin.errors import InvalidInput, LoginRequired


class Sealer:
    """Seals bytes with the first of `keys` (any texts of at least 16 characters), opens with each. Thread-safe."""

    def __init__(self, keys: tuple[str, ...]) -> None:
        if not keys or any(len(key) < 16 for key in keys):
            raise InvalidInput("a secret key needs at least 16 characters")
        self._fernet = MultiFernet([Fernet(_fernet_key(key)) for key in keys])
        self._names = [hashlib.sha256(b"names:" + key.encode()).digest() for key in keys]

    def seal(self, plain: bytes) -> bytes:
        return self._fernet.encrypt(plain)

    def open(self, sealed: bytes) -> bytes:
        """Raises LoginRequired when it was sealed with a key that is not in the list, or was tampered with."""
        try:
            return self._fernet.decrypt(sealed)
        except InvalidToken:
            raise LoginRequired("what was stored can no longer be opened: its key is gone") from None

    def name(self, text: str) -> str:
        """A keyed hash under the first key; what new rows are called."""
        return self.names(text)[0]

    def names(self, text: str) -> tuple[str, ...]:
        """The keyed hash under each key, newest first; what a row may be called."""
        return tuple(hmac.new(key, text.encode(), hashlib.sha256).hexdigest() for key in self._names)


def _fernet_key(key: str) -> bytes:
    return base64.urlsafe_b64encode(hashlib.sha256(b"seal:" + key.encode()).digest())


def read_keys(text: str, file: Path | None) -> tuple[str, ...]:
    """Keys from a setting (separated by commas) or from a file (one a line, # begins a comment)."""
    if text and file is not None:
        raise InvalidInput("give only one of secret_key and secret_key_file")
    if file is not None:
        try:
            lines = file.read_text("utf-8").splitlines()
        except (OSError, UnicodeDecodeError):
            raise InvalidInput(f"the file of secret keys {file} cannot be read") from None
        return tuple(line.strip() for line in lines if line.strip() and not line.startswith("#"))
    return tuple(part.strip() for part in text.split(",") if part.strip())


def own_key(folder: Path) -> tuple[str, ...]:
    """A key made once and kept in `folder` with access for its owner only; for use on one machine."""
    path = folder / "secret.key"
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    made = folder / f".secret.{os.getpid()}.{secrets.token_hex(4)}"
    handle = os.open(made, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "w", encoding="utf-8") as out:
        out.write(secrets.token_urlsafe(32) + "\n")
    with contextlib.suppress(FileExistsError):  # another process was first: its key holds
        os.link(made, path)
    made.unlink()
    return read_keys("", path)
