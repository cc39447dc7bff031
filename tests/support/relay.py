"""A relay in front of the bucket emulator that answers some requests as a failing network or server would.

Faults: `412`, `429` and `503` answer instead of the server; `reset` closes the connection before the request arrives,
and `lost` after it was answered; `torn` sends half of the answer. A function is a fault, too: it is called with a
function that asks the server, and returns status, headers and body.
"""

import http.server
import os
import threading
import urllib.error
import urllib.request
from collections import Counter

from frostline.storage import gcs

FAULTS = ("429", "503", "reset", "lost")
_PASSED_ON = ("Content-Type", "X-Goog-Hash", "X-Goog-Generation", "Content-Range", "Location", "Retry-After")


def flipped(ask):
    """A fault: the first bit of the answer's body changes on the way."""
    status, headers, data = ask()
    return status, headers, bytes([data[0] ^ 128]) + data[1:]


class _Server(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_):
        """Print nothing: clients that give up on a broken connection are expected."""


class Relay:
    """A context manager: inside it, buckets are reached through the relay.

    `fault(method, path, body)` returns the fault of a request, or None to let it pass.
    """

    def __init__(self, fault):
        self.struck = Counter()
        self._target = os.environ["STORAGE_EMULATOR_HOST"]
        self._server = _Server(("127.0.0.1", 0), self._handler(self._target, fault))
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))

    def __enter__(self):
        self._thread.start()
        self._reach(f"http://127.0.0.1:{self._server.server_port}")
        return self

    def __exit__(self, *_):
        self._reach(self._target)
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def _reach(self, address):
        """Send the client to another address; close the previous one, because collecting open sockets is a warning."""
        gcs._client()._http.close()
        os.environ["STORAGE_EMULATOR_HOST"] = address

    def _handler(self, target, fault):
        struck, lock = self.struck, threading.Lock()

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def relay(self):
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                with lock:
                    what = fault(self.command, self.path, body)
                    struck[what] += 1
                if what in ("412", "429", "503"):
                    self.answer(int(what), {}, b"{}")
                elif what == "reset":
                    self.close_connection = True
                elif callable(what):
                    self.answer(*what(lambda: self.ask(body)))
                else:
                    answer = self.ask(body)
                    if what == "lost":
                        self.close_connection = True
                    else:
                        self.answer(*answer, torn=what == "torn")

            do_GET = do_POST = do_PUT = do_DELETE = relay

            def ask(self, body):
                left_out = ("host", "accept-encoding")
                headers = {name: value for name, value in self.headers.items() if name.lower() not in left_out}
                request = urllib.request.Request(target + self.path, body or None, headers, method=self.command)
                try:
                    with urllib.request.urlopen(request) as answer:
                        return answer.status, answer.headers, answer.read()
                except urllib.error.HTTPError as error:
                    with error:
                        return error.code, error.headers, error.read()

            def answer(self, status, headers, data, *, torn=False):
                self.send_response(status)
                for name in _PASSED_ON:
                    if headers.get(name):
                        self.send_header(name, headers[name])
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data[: len(data) // 2] if torn else data)
                self.close_connection |= torn

            def log_message(self, *_):
                pass

        return Handler
