"""MLLP over real sockets: frames however cut, TLS, acknowledgements, hostile senders (H1, H2, V2-1, V2-3, row 56)."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from fhir_twin.errors import InvalidInput
from fhir_twin.intake.mllp import Frames, Listener, Port
from fhir_twin.intake.reception import Letter, Reception
from fhir_twin.intake.site import Site

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
PID = "PID|1||123^^^HOSP^MR||DOE^JANE"


def message(number: str = "M1", kind: str = "ADT^A08", more: str = "", *lines: str) -> bytes:
    head = f"MSH|^~\\&|LAB|HOSP|TWIN|HERE|20260301120000||{kind}|{number}|P|2.5.1{more}"
    return ("\r".join((head, PID, *lines)) + "\r").encode()


def framed(data: bytes) -> bytes:
    return b"\x0b" + data + b"\x1c\r"


class Door:
    """A listener whose store is a dict."""

    def __init__(self, **port: object) -> None:
        self.kept: dict[str, Letter] = {}
        self.reception = Reception(self._keep, Site(), lambda: NOW)
        self.listener = Listener(
            Port(**port),  # type: ignore[arg-type]
            lambda data: self.reception.hl7v2(data).replies,
            lambda: self.reception.too_large().replies,
        )
        self.listener.start()

    def _keep(self, letter: Letter) -> bool:
        again = letter.key in self.kept
        self.kept[letter.key] = letter
        return again

    def call(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.listener.port), timeout=5)


@pytest.fixture
def door() -> Iterator[Door]:
    made = Door(max_bytes=100_000)
    yield made
    made.listener.stop()


def answers(connection: socket.socket, count: int = 1) -> list[str]:
    frames, found = Frames(100_000), []
    while len(found) < count:
        data = connection.recv(65536)
        if not data:
            break
        found += [m.decode() for m in frames.feed(data)]
    return found


def test_one_message_one_answer(door: Door) -> None:
    with door.call() as connection:
        connection.sendall(framed(message()))
        [answer] = answers(connection)
    head, msa = answer.split("\r")[:2]
    assert head.startswith("MSH|^~\\&|TWIN|HERE|LAB|HOSP|20260601120000+0000||ACK^A08^ACK|")
    assert msa == "MSA|AA|M1"
    assert len(door.kept) == 1


def test_frames_split_and_merged_on_one_connection(door: Door) -> None:
    """H1."""
    stream = b"".join(framed(message(f"M{n}")) for n in range(5))
    with door.call() as connection:
        for byte in stream[:300]:
            connection.sendall(bytes([byte]))
        connection.sendall(stream[300:])
        found = answers(connection, 5)
    assert [a.split("\r")[1] for a in found] == [f"MSA|AA|M{n}" for n in range(5)]


def test_many_connections_at_once(door: Door) -> None:
    seen: list[str] = []

    def talk(n: int) -> None:
        with door.call() as connection:
            for i in range(20):
                connection.sendall(framed(message(f"{n}-{i}")))
                seen.extend(answers(connection))

    threads = [threading.Thread(target=talk, args=(n,)) for n in range(8)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert len(seen) == 160
    assert len(door.kept) == 160


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ("", ["AA"]),
        ("|||AL|NE", ["CA"]),
        ("|||AL|AL", ["CA", "AA"]),
        ("|||NE|AL", ["AA"]),
        ("|||ER|SU", ["AA"]),
        ("|||SU|ER", ["CA"]),
    ],
)
def test_enhanced_mode(door: Door, more: str, expected: list[str]) -> None:
    """V2-3: MSH-15 and MSH-16."""
    found = [
        a.decode().split("\r")[1].split("|")[1] for a in door.reception.hl7v2(message(more=more)).replies
    ]
    assert found == expected


def test_no_answer_is_sent_where_none_is_wanted_and_acks_are_not_acknowledged(door: Door) -> None:
    assert door.reception.hl7v2(message(more="|||NE|NE")).replies == ()
    assert door.reception.hl7v2(message(kind="ACK^A08")).replies == ()


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"MSH", "AR"),
        (b"hello", "AR"),
        (b"", "AR"),
        (b"MSH|^^^^|A|B\r" + PID.encode(), "AR"),
        (message(kind="SIU^S12"), "AR"),
        (message(kind="ADT^A99"), "AR"),
        (message().replace(b"|P|", b"|T|"), "AR"),
        (message().replace(b"2.5.1", b"9.9"), "AR"),
        (message().replace(b"123^^^HOSP^MR", b""), "AE"),
        (message(kind="ADT^A40"), "AE"),
    ],
)
def test_refusals_say_why_and_quote_nothing(door: Door, data: bytes, code: str) -> None:
    """Row 56; FA-5 for v2: no patient data in answers."""
    [reply] = door.reception.hl7v2(data).replies
    text = reply.decode()
    assert text.split("\r")[1].startswith(f"MSA|{code}")
    assert text.split("\r")[2].startswith("ERR|")
    assert "DOE" not in text
    assert not door.kept


@pytest.mark.parametrize(
    "garbage",
    [
        b"GET / HTTP/1.1\r\n\r\n",
        b"\x1c\r" * 50,
        b"\x0b\x0b\x0b\x1c\r",
        b"\x0bMSH|^~\\&|A" + b"\x0b" + message()[:50],
    ],
)
def test_a_connection_survives_garbage(door: Door, garbage: bytes) -> None:
    with door.call() as connection:
        connection.sendall(garbage + framed(message("LAST")))
        found = []
        while not any("MSA|AA|LAST" in a for a in found):
            more = answers(connection)
            assert more, "the connection ended before the good message was answered"
            found += more


def test_a_frame_without_end_is_given_up_at_the_limit_and_others_go_on(door: Door) -> None:
    """Row 56: 100 MB without an end block."""
    with door.call() as bad:
        bad.sendall(b"\x0b")
        with contextlib.suppress(OSError):  # the listener hangs up on the way
            for _ in range(100):
                bad.sendall(b"x" * 10_000)
        with door.call() as good:
            good.sendall(framed(message()))
            assert "MSA|AA|M1" in answers(good)[0]
    assert len(door.kept) == 1


def test_tls(tmp_path: Path) -> None:
    certificate = _certificate(tmp_path)
    made = Door(certificate=certificate)
    context = ssl.create_default_context(cafile=str(certificate))
    context.check_hostname = False
    try:
        with context.wrap_socket(made.call()) as connection:
            connection.sendall(framed(message()))
            assert "MSA|AA|M1" in answers(connection)[0]
        with made.call() as plain:
            said = b""
            with contextlib.suppress(OSError):  # hung up on, or a TLS alert
                plain.sendall(framed(message()))
                said = plain.recv(1000)
            assert b"MSA" not in said
    finally:
        made.listener.stop()
    assert len(made.kept) == 1


def test_tls_files_that_cannot_be_read_are_said(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput):
        Door(certificate=tmp_path / "none.pem")


def _certificate(folder: Path) -> Path:
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    start = datetime.now(UTC) - timedelta(days=1)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(start)
        .not_valid_after(start + timedelta(days=9))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = folder / "both.pem"
    form = serialization.PrivateFormat.PKCS8
    path.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption())
        + made.public_bytes(serialization.Encoding.PEM)
    )
    return path
