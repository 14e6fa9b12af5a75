"""A server process of its own for a test, on a free port, in a directory of its own.

The Python twin of server.rs. `SERVER` names the server's binary (default `redis-server`), `SHADOW_MODULE` the built
module.
"""

import os
import pathlib
import re
import socket
import subprocess
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
SETTINGS = ["--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]

# How long a condition may take before a test gives up on it.
PATIENCE = 20.0

# A free port may be taken by another process before the server binds it; another one is tried then.
PORTS_TO_TRY = 5


def binary():
    """The server to test with."""
    return os.environ.get("SERVER") or "redis-server"


def description():
    """The server's name and version."""
    text = subprocess.run([binary(), "--version"], check=True, capture_output=True, text=True).stdout
    version = re.search(r"v=(\S+)", text).group(1)
    return f"{pathlib.Path(binary()).name} {version}"


def module_path():
    """The built module."""
    path = pathlib.Path(os.environ.get("SHADOW_MODULE") or ROOT / "target/release/libshadow.so").resolve()
    if not path.is_file():
        raise SystemExit(f"there is no module at {path}: run `make build` first")
    return path


class Server:
    """A running server. It ends with the `with` block; when that is because of an error, its log is printed.

    `module` is a list of load arguments for the module, or None for a server without it.
    """

    def __init__(self, module=None):
        self._directory = tempfile.TemporaryDirectory(prefix="shadow-")
        self._log = pathlib.Path(self._directory.name) / "server.log"
        for attempt in range(1, PORTS_TO_TRY + 1):
            self._spawn(module)
            if self._came_up():
                return
            log = self._end()
            if attempt == PORTS_TO_TRY or "Address already in use" not in log:
                self._directory.cleanup()
                raise SystemExit(f"{binary()} did not start:\n{log}")

    def _spawn(self, module):
        with socket.socket() as listener:
            listener.bind(("127.0.0.1", 0))
            self.port = listener.getsockname()[1]
        command = [binary(), "--port", str(self.port), *SETTINGS]
        if module is not None:
            command += ["--loadmodule", str(module_path()), *module]
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                command, cwd=self._directory.name, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        self.pid = self._process.pid

    def _came_up(self):
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline and self._process.poll() is None:
            if self._answers():
                return True
            time.sleep(0.01)
        return False

    def _answers(self):
        """Whether this very process answers: another one may have got the port."""
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=1) as connection:
                connection.sendall(b"INFO server\r\nQUIT\r\n")
                reply = b""
                while chunk := connection.recv(65536):
                    reply += chunk
        except OSError:
            return False
        return b"process_id:%d\r" % self.pid in reply

    def _end(self):
        self._process.kill()
        self._process.wait()
        return self._log.read_text(errors="replace")

    def __enter__(self):
        return self

    def __exit__(self, kind, error, trace):
        log = self._end()
        if kind is not None:
            print(f"--- log of the server on port {self.port} ---\n{log}")
        self._directory.cleanup()
