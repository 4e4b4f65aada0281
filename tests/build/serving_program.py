"""What an image runs in tests of `hps run`: it answers like Triton, and then like the REST facade.

    python serving_program.py [--tls FOLDER]

The facade is not there before Triton was asked twice, and is not ready at its first answer. It
speaks TLS with the key and the certificate of FOLDER. `POST /end` ends the program with code 5.
The launcher's arguments are taken, and mean nothing.
"""

import argparse
import http.server
import os
import signal
import ssl
import threading
from pathlib import Path

TRITON, FACADE = "/v2/health/ready", "/health/ready"
_UNREADY = {TRITON: 1, FACADE: 1}  # answers before the good one
_asked = {TRITON: 0, FACADE: 0}
_triton_is_ready = threading.Event()


class _Answer(http.server.BaseHTTPRequestHandler):
    timeout = 10

    def do_GET(self) -> None:
        if self.path not in _asked:
            self._answer(404)
            return
        _asked[self.path] += 1
        ready = _asked[self.path] > _UNREADY[self.path]
        self._answer(200 if ready else 503)
        if ready and self.path == TRITON:
            _triton_is_ready.set()

    def do_POST(self) -> None:
        if self.path == "/end":
            os._exit(5)
        self._answer(404)

    def _answer(self, status: int) -> None:
        self.send_response(status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


class _Server(http.server.ThreadingHTTPServer):
    tls: "ssl.SSLContext | None" = None

    def finish_request(self, request: object, client_address: object) -> None:
        try:
            if self.tls is not None:
                request = self.tls.wrap_socket(request, server_side=True)  # type: ignore[arg-type]
            super().finish_request(request, client_address)  # type: ignore[arg-type]
        except OSError:
            pass  # somebody who speaks no TLS, or who has gone


def serve(port: int, tls: "ssl.SSLContext | None" = None) -> None:
    """Serve until the end of the program."""
    server = _Server((os.environ.get("HPS_ADDRESS", "0.0.0.0"), port), _Answer)
    server.tls = tls
    server.serve_forever()


def main() -> None:
    """Serve where the environment says, or where an image does."""
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    parser = argparse.ArgumentParser()
    parser.add_argument("--tls", type=Path)
    folder = parser.parse_known_args()[0].tls
    tls = None
    if folder is not None:
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(folder / "certificate.pem", folder / "key.pem")
    port = int(os.environ.get("HPS_HTTP_PORT", "8000"))
    threading.Thread(target=serve, args=(port,), daemon=True).start()
    rest = int(os.environ.get("HPS_REST_PORT", "0"))
    _triton_is_ready.wait()
    if rest:
        threading.Thread(target=serve, args=(rest, tls), daemon=True).start()
    signal.pause()


if __name__ == "__main__":
    main()
