"""Token answers, keys, the servers file, Backend Services (standards.md 3.3, interop.md B)."""

from __future__ import annotations

import json
import threading
import time
from pathlib import Path
from typing import Any

import jwt
import pytest
from ehr_peer import Client, Ehr, Quirks, ehr

from fhir_twin.cli import main
from fhir_twin.errors import InvalidInput, LoginRequired, TwinError, UpstreamError
from fhir_twin.model.registered import RegisteredServer
from fhir_twin.sandbox.stories import load_bundles
from fhir_twin.settings import load_settings
from fhir_twin.transport.http import Reply
from fhir_twin.transport.jwks import KeySource, read_jwks
from fhir_twin.transport.own_keys import LEAD, OwnKeys
from fhir_twin.transport.servers_edit import add_entry, remove_entry
from fhir_twin.transport.servers_file import read_servers
from fhir_twin.transport.smart_token import read_token_reply
from fhir_twin.wiring import open_server

NOW = 1_800_000_000.0


def reply(body: Any, status: int = 200) -> Reply:
    return Reply(status, {}, body if isinstance(body, bytes) else json.dumps(body).encode())


# --- token answers ------------------------------------------------------------------------------------


def test_a_plain_answer() -> None:
    found = read_token_reply(
        reply({"access_token": "t", "token_type": "BEARER", "expires_in": "300", "scope": "a b"})
    )
    assert (found.access_token, found.expires_in, found.scope, found.banner) == ("t", 300.0, "a b", True)
    assert "t" not in repr(found).replace("token", "").replace("tenant", "").split("expires_in")[0]


@pytest.mark.parametrize(
    ("extra", "field", "value"),
    [
        ({"patient": "Patient/1"}, "patient", "1"),
        ({"patient": 17}, "patient", "17"),
        ({"patient": "https://x.example/fhir/Patient/9"}, "patient", "9"),
        ({"need_patient_banner": False}, "banner", False),
        ({"need_patient_banner": "false"}, "banner", False),
        ({"need_patient_banner": "no idea"}, "banner", True),
        ({"need_patient_banner": None}, "banner", True),
        ({"scope": ["a", "b"]}, "scope", "a b"),
        ({"fhirContext": "X/1"}, "fhir_context", ({"reference": "X/1"},)),
        (
            {"fhirContext": [{"canonical": "c", "role": "r", "x": 1}]},
            "fhir_context",
            ({"canonical": "c", "role": "r"},),
        ),
        ({"fhirContext": [{"role": "r"}, 3]}, "fhir_context", ()),
    ],
)
def test_shapes_that_are_seen(extra: dict[str, Any], field: str, value: object) -> None:
    """SL-8 to SL-10, SL-12."""
    assert (
        getattr(read_token_reply(reply({"access_token": "t", "token_type": "bearer", **extra})), field)
        == value
    )


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"null",
        b'{"token_type":"Bearer"}',
        {"access_token": ""},
        {"access_token": "a\r\nX: y"},
        {"access_token": 7},
        {"access_token": "t", "token_type": "mac"},
        {"access_token": "t", "expires_in": -1},
        {"access_token": "t", "expires_in": "soon"},
        {"access_token": "t", "expires_in": True},
        {"access_token": "t", "expires_in": 1e300},
        {"access_token": "t", "patient": "../x"},
        {"access_token": "t", "patient": "Group/1"},
        {"access_token": "t", "patient": ["1"]},
    ],
)
def test_answers_that_cannot_be_used(body: Any) -> None:
    with pytest.raises(UpstreamError):
        read_token_reply(reply(body))


def test_a_refusal_keeps_the_servers_words_and_nothing_else() -> None:
    """A12, B5: printable, one line, not endless."""
    told = "bad\r\n\x1b[31m\u202e thing " + "x" * 999
    with pytest.raises(LoginRequired) as caught:
        read_token_reply(reply({"error": "invalid_grant", "error_description": told}, 400))
    assert "invalid_grant (bad" in caught.value.message
    assert caught.value.message.isprintable()
    assert len(caught.value.message) < 400
    with pytest.raises(UpstreamError):
        read_token_reply(reply({"error": "<script>"}, 400))


# --- keys ---------------------------------------------------------------------------------------------


def test_keys_rotate(tmp_path: Path) -> None:
    """BS-2: two at once; a new one signs after it has been published for an hour."""
    keys = OwnKeys(tmp_path)
    old = keys.make("ES384", NOW)
    assert keys.signing("ES384", NOW) == old, "the only one signs at once"
    new = keys.make("ES384", NOW + 10)
    assert {k["kid"] for k in keys.jwks()["keys"]} == {old.kid, new.kid}
    assert keys.signing("ES384", NOW + LEAD) == old
    assert keys.signing("ES384", NOW + LEAD + 11) == new
    keys.retire(old.kid)
    assert [k["kid"] for k in keys.jwks()["keys"]] == [new.kid]
    with pytest.raises(InvalidInput):
        keys.retire(new.kid)
    assert all(p.stat().st_mode & 0o077 == 0 for p in tmp_path.iterdir())


@pytest.mark.parametrize("algorithm", ["RS384", "ES384"])
def test_an_assertion_keeps_the_rules(tmp_path: Path, algorithm: Any) -> None:
    """B1."""
    keys = OwnKeys(tmp_path)
    keys.ensure(NOW)
    made = [keys.assertion("me", "https://as.example/token", algorithm, NOW) for _ in range(2)]
    head = jwt.get_unverified_header(made[0])
    assert (head["alg"], head["typ"], bool(head["kid"])) == (algorithm, "JWT", True)
    public = next(k for k in read_jwks(json.dumps(keys.jwks())) if k.kid == head["kid"])
    aud, old = "https://as.example/token", {"verify_exp": False, "verify_iat": False}
    claims = [jwt.decode(m, public.key, algorithms=[algorithm], audience=aud, options=old) for m in made]
    assert claims[0]["iss"] == claims[0]["sub"] == "me"
    assert claims[0]["exp"] - NOW <= 300
    assert claims[0]["jti"] != claims[1]["jti"]


def test_weak_private_and_odd_keys_are_left_out(tmp_path: Path) -> None:
    """security.md 5.3 row 25."""
    keys = OwnKeys(tmp_path)
    keys.ensure(NOW)
    good = keys.jwks()["keys"]
    odd = [
        {"kty": "oct", "k": "c2VjcmV0"},
        {"kty": "RSA", "n": "AQAB", "e": "AQAB"},
        {"kty": "EC", "crv": "P-1"},
        7,
    ]
    odd += [{**good[0], "use": "enc", "kid": "enc"}]
    assert len(read_jwks(json.dumps({"keys": good + odd}))) == len(good)
    for nothing in (b"", b"{}", b"[]", b'{"keys":7}'):
        with pytest.raises(UpstreamError):
            read_jwks(nothing)


def test_an_unknown_kid_asks_again_but_not_often(tmp_path: Path) -> None:
    """SS-5, and what is down serves from memory within a limit."""
    keys = OwnKeys(tmp_path)
    keys.ensure(NOW)
    clock, calls, down = [0.0], [0], [False]

    def fetch(_url: str) -> Reply:
        calls[0] += 1
        if down[0]:
            raise UpstreamError("down")
        return reply(keys.jwks())

    source = KeySource("https://x.example/jwks", fetch, clock=lambda: clock[0])
    kid = keys.signing("ES384", NOW).kid
    assert source.candidates(kid, "ES384")
    assert source.candidates("unknown", "ES384") == ()
    assert source.candidates("unknown", "ES384") == ()
    assert calls[0] == 1
    clock[0] = 61
    assert source.candidates("unknown", "ES384") == ()
    assert calls[0] == 2
    assert source.candidates(kid, "RS384") == (), "the algorithm is the key's own"
    down[0], clock[0] = True, 7200
    assert source.candidates(kid, "ES384"), "the last keys serve while the address is down"
    clock[0] = 200_000
    assert source.candidates(kid, "ES384") == ()


# --- the servers file ---------------------------------------------------------------------------------

GOOD = '[[server]]\nname = "a"\nbase = "https://x.example/fhir/"\nclient_id = "c"\n'


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("nonsense", "TOML"),
        ("[server]\nname='a'", "[[server]]"),
        (GOOD + "surprise = 1\n", "unknown keys surprise"),
        (GOOD.replace("https", "http"), "https"),
        (GOOD.replace('"c"', '""'), "client_id"),
        (GOOD + 'login = "magic"\n', "login is one of"),
        (GOOD + 'login = "secret"\n', "client_secret"),
        (GOOD + 'login = "secret"\nclient_secret_env = "NONE_SUCH"\n', "NONE_SUCH"),
        (GOOD + 'oauth_origins = "https://x"\n', "list of texts"),
        (GOOD + 'oauth_origins = ["http://x.example"]\n', "https"),
        (GOOD + 'backend_scopes = ["patient/*.rs"]\n', "system/"),
        (GOOD.replace("fhir/", "fh*r/"), "path segment"),
        (GOOD + GOOD, "same name"),
        (GOOD + '[[cds_client]]\nissuer = "i"\n', "jwks_url or jwks_file"),
        (
            GOOD + '[[cds_client]]\nissuer = "i"\njwks_url = "https://k.example"\nservers = ["b"]\n',
            "no server is named",
        ),
        (
            GOOD + '[[cds_client]]\nissuer = "i"\njwks_url = "https://k.example"\nalgorithms = ["HS256"]\n',
            "algorithms",
        ),
        (GOOD + '[cds]\norigins = ["https://ok.example"]\nunsigned = "yes"\n', "true or false"),
    ],
)
def test_a_wrong_file_names_entry_and_key(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "s.toml"
    path.write_text(text, "utf-8")
    with pytest.raises(InvalidInput) as caught:
        read_servers(path, {})
    assert words in caught.value.message


def test_bases_are_compared_after_normalisation() -> None:
    server = RegisteredServer("a", "https://x.example/v/sim/*/fhir", also=("https://y.example/fhir",))
    assert server.covers("https://x.example/v/sim/WzIsIiJd/fhir")
    assert server.covers("https://y.example/fhir")
    for other in (
        "https://x.example/v/sim/a/b/fhir",
        "https://x.example/v/sim//fhir",
        "https://y.example/fhirx",
    ):
        assert not server.covers(other)
    assert not server.covers("https://x.example.evil/v/sim/a/fhir")


def test_entries_come_and_go_and_the_rest_stays(tmp_path: Path) -> None:
    path = tmp_path / "s.toml"
    path.write_text("# mine\n" + GOOD, "utf-8")
    add_entry(path, "server", {"name": "b", "base": "https://b.example/fhir", "client_id": 'q"\\'})
    registry = read_servers(path)
    assert [s.name for s in registry.servers] == ["a", "b"]
    assert registry.servers[1].client_id == 'q"\\'
    with pytest.raises(InvalidInput):
        add_entry(path, "server", {"name": "b", "base": "https://b.example/fhir", "client_id": "c"})
    remove_entry(path, "server", "name", "a")
    assert [s.name for s in read_servers(path).servers] == ["b"]
    assert path.read_text("utf-8").startswith("# mine")


# --- Backend Services ---------------------------------------------------------------------------------


def backend(peer: Ehr, folder: Path, algorithm: str) -> Any:
    keys = OwnKeys(folder / "keys")
    keys.ensure(time.time())
    peer.fetch_jwks = lambda _url: keys.jwks()
    path = folder / "servers.toml"
    path.write_text(
        f'[[server]]\nname = "ehr"\nbase = "{peer.base}"\nclient_id = "twin"\nlogin = "key"\n'
        f'algorithm = "{algorithm}"\nbackend_scopes = ["system/*.rs"]\n',
        "utf-8",
    )
    chosen = {"server": "ehr", "servers_file": str(path), "key_folder": str(folder / "keys")}
    return open_server(load_settings(chosen, {}))


@pytest.mark.parametrize("algorithm", ["RS384", "ES384"])
def test_backend_services(tmp_path: Path, algorithm: str) -> None:
    """B1, B2, B4, BS-3: by name, one token for many threads, a new one after a 401, before the old one ends."""
    with ehr(Client(jwks_url="ours"), Quirks(expires_in=1000)) as peer:
        peer.load(load_bundles()[0])
        server = backend(peer, tmp_path, algorithm)
        threads = [threading.Thread(target=server.search, args=("Patient", {})) for _ in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(peer.calls("/token")) == 1
        peer.tokens.clear()
        assert server.search("Patient", {})
        assert len(peer.calls("/token")) == 2
        assert {f["scope"] for f in peer.calls("/token")} == {"system/*.rs"}
        assert peer.faults == []


def test_what_the_server_says_against_us_is_told(tmp_path: Path) -> None:
    """B5."""
    error = (401, {"error": "invalid_client", "error_description": "unknown kid"})
    with ehr(Client(jwks_url="ours"), Quirks(token_error=error)) as peer:
        server = backend(peer, tmp_path, "ES384")
        with pytest.raises(TwinError) as caught:
            server.search("Patient", {})
        assert "invalid_client (unknown kid)" in caught.value.message


# --- the command --------------------------------------------------------------------------------------


def test_servers_add_list_check(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with ehr(Client(jwks_url="ours")) as peer:
        keys = OwnKeys(tmp_path / "keys")
        keys.ensure(time.time())
        peer.fetch_jwks = lambda _url: keys.jwks()
        common = ["--servers-file", str(tmp_path / "s.toml"), "--key-folder", str(tmp_path / "keys")]
        add = ["servers", *common, "add", "ehr", peer.base, "--client-id", "twin", "--login", "key"]
        assert main([*add, "--backend-scope", "system/*.rs", "--authorize-post"]) == 0
        assert read_servers(tmp_path / "s.toml").servers[0].authorize_post
        assert main(["servers", *common, "list"]) == 0
        assert peer.base in capsys.readouterr().out
        code = main(["servers", *common, "check", "ehr", "--json"])
        checks = {c["name"]: c["state"] for c in json.loads(capsys.readouterr().out)}
        assert code == 0
        assert checks["authorize by POST"] == "warn"  # not announced: a GET is sent
        assert checks["SMART configuration"] == checks["PKCE"] == checks["Backend Services"] == "pass"
        peer.quirks.s256 = False
        peer.quirks.token_error = (400, {"error": "invalid_scope"})
        assert main(["servers", *common, "check", "ehr"]) == 1
        out = capsys.readouterr().out
        assert "fail   PKCE" in out
        assert "invalid_scope" in out
        assert main(["servers", *common, "add", "bad", "http://x.example/fhir", "--client-id", "c"]) == 2
