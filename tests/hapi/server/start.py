"""Start the real HAPI FHIR JPA server of this folder on loopback, wait until it answers, load sample patients.

    python tests/hapi/server/start.py --port 8090 [--load]

Stops cleanly on Ctrl-C or SIGTERM. A missing Java is said in one sentence.
"""

from __future__ import annotations

import argparse
import shutil
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

FOLDER = Path(__file__).parent
JAR = FOLDER / "target" / "hapi-server-1.jar"


def start(port: int, *, wait: float = 240.0, log: Path | None = None) -> tuple[subprocess.Popen[bytes], str]:
    """The process and its base URL, once `/metadata` answers. Raises RuntimeError with one sentence."""
    if shutil.which("java") is None:
        raise RuntimeError("A real HAPI server needs Java 17, and no java is on the PATH.")
    if not JAR.exists():
        raise RuntimeError("The HAPI server is not built; `make hapi` builds it (Maven 3.8).")
    output = log.open("wb") if log is not None else subprocess.DEVNULL
    classpath = f"{JAR}:{FOLDER / 'target' / 'lib' / '*'}"
    command = ["java", "-Xmx1500m", "-cp", classpath, "hapi.HapiServer", str(port)]
    process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT)
    if not isinstance(output, int):
        output.close()  # the child has its own
    base = f"http://127.0.0.1:{port}/fhir"
    deadline = time.monotonic() + wait
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise RuntimeError(f"The HAPI server stopped with exit code {process.returncode} while starting.")
        try:
            with urllib.request.urlopen(f"{base}/metadata", timeout=20):
                return process, base
        except (urllib.error.URLError, OSError):
            time.sleep(1)
    stop(process)
    raise RuntimeError(f"The HAPI server did not answer within {wait:.0f} s.")


def stop(process: subprocess.Popen[bytes]) -> None:
    """Ask it to end; kill it when it does not within 20 s."""
    process.terminate()
    try:
        process.wait(20)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--port", type=int, default=8090)
    parser.add_argument("--load", action="store_true", help="load fhir-twin's sample patients")
    arguments = parser.parse_args()
    print("starting HAPI FHIR (about 40 s) ...", flush=True)
    try:
        process, base = start(arguments.port)
    except RuntimeError as error:
        print(error, file=sys.stderr)
        return 1
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    try:
        if arguments.load:
            subprocess.run(
                [sys.executable, "-m", "fhir_twin", "load", "--server", base, "--samples"], check=True
            )
        print(
            f"HAPI FHIR answers at {base}\n  try: fhir-twin run --server {base} --all\nCtrl-C stops it.",
            flush=True,
        )
        process.wait()
    except (KeyboardInterrupt, SystemExit):
        print("\nstopping HAPI FHIR")
    except subprocess.CalledProcessError:
        return 1
    finally:
        stop(process)
    return 0


if __name__ == "__main__":
    sys.exit(main())
