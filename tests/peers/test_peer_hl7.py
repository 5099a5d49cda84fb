"""MLLP with other people's clients: python-hl7 and node-hl7-client (H1 to H3)."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from v2_messages import PID, message

ROWS = ("OBR|1||F1|2160-0^C^LN", "OBX|1|NM|2160-0^C^LN||1.0|mg/dL|||||F|||20260301")
PACKAGES = ("node-hl7-client@3",)
SCRIPT = """
const { Client, Message } = require('node-hl7-client');
const port = Number(process.argv[2]);
const client = new Client({ host: '127.0.0.1' });
const seen = [];
const connection = client.createConnection({ port, waitAck: true }, (response) => {
  const found = response.getMessage();
  seen.push(found.get('MSA.1').toString() + ':' + found.get('MSA.2').toString());
});
(async () => {
  for (const number of ['N1', 'N2', 'N2', 'N3']) {
    const text = process.env.MESSAGE.replace('NUMBER', number).replace(/\\n/g, '\\r');
    await connection.sendMessage(new Message({ text }));
    const until = Date.now() + 5000;
    const wanted = seen.length + 1;
    while (seen.length < wanted && Date.now() < until) await new Promise((done) => setTimeout(done, 20));
  }
  console.log(seen.join(' '));
  process.exit(0);
})();
"""


def test_python_hl7_client_and_parser(door: Any) -> None:
    hl7 = pytest.importorskip("hl7", reason="needs python-hl7 (make peers)")
    from hl7.client import MLLPClient

    with MLLPClient("127.0.0.1", door.port) as client:
        for number, code in (("1", "AA"), ("1", "AA"), ("2", "AA")):
            raw = client.send_message(message(PID, *ROWS, number=number))
            answer = hl7.parse(raw.decode().strip("\x0b\x1c\r") + "\r")
            assert (str(answer.segment("MSA")[1]), str(answer.segment("MSA")[2])) == (code, number)
            assert str(answer.segment("MSH")[9]) == "ACK^R01^ACK"
        changed = client.send_message(message(PID, ROWS[0], ROWS[1].replace("1.0", "9.0"), number="2"))
        refused = hl7.parse(changed.decode().strip("\x0b\x1c\r") + "\r")
        assert str(refused.segment("MSA")[1]) == "AE"
        assert "205" in str(refused.segment("ERR")[3])
    assert door.kept() == 2


def test_python_hl7_sends_a_whole_file(door: Any, tmp_path: Path) -> None:
    """mllp_send, its command."""
    pytest.importorskip("hl7", reason="needs python-hl7 (make peers)")
    path = tmp_path / "messages.hl7"
    path.write_bytes(b"".join(message(PID, *ROWS, number=str(n)) for n in range(5)))
    code = "import sys; from hl7.client import mllp_send; sys.argv[0] = 'mllp_send'; mllp_send()"
    command = [
        sys.executable,
        "-c",
        code,
        "--port",
        str(door.port),
        "--file",
        str(path),
        "--loose",
        "127.0.0.1",
    ]
    done = subprocess.run(command, capture_output=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count(b"MSA|AA|") == 5
    assert door.kept() == 5


@pytest.fixture(scope="session")
def node(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with node-hl7-client, fetched from npm."""
    if not os.environ.get("FHIR_TWIN_PEERS"):
        pytest.skip("fetches packages from npm: make peers")
    if shutil.which("npm") is None:
        pytest.skip("needs Node.js and npm")
    folder = tmp_path_factory.mktemp("node")
    command = ["npm", "install", "--no-audit", "--no-fund", "--ignore-scripts", *PACKAGES]
    done = subprocess.run(command, cwd=folder, capture_output=True, timeout=300, check=False)
    if done.returncode:
        pytest.skip("npm could not fetch node-hl7-client")
    (folder / "send.js").write_text(SCRIPT, "utf-8")
    return folder


def test_node_hl7_client(door: Any, node: Path) -> None:
    text = message(PID, *ROWS, number="NUMBER").decode().rstrip("\r").replace("\r", "\n")
    environment = {**os.environ, "MESSAGE": text}
    command = ["node", "send.js", str(door.port)]
    done = subprocess.run(
        command, cwd=node, env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.stdout.split() == ["AA:N1", "AA:N2", "AA:N2", "AA:N3"], done.stderr
    assert door.kept() == 3
