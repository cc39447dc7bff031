"""Buckets: answers that are lost or wrong, and names that are hostile."""

import http.server
import os
import threading
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import pytest

from frostline import storage
from frostline.errors import NotFound, PreconditionFailed, StorageError
from frostline.storage import gcs as gcs_module

from tests.support import relay as relays


def one_line(caught, *parts):
    text = str(caught.value)
    assert "\n" not in text
    assert all(str(part) in text for part in parts), text


def test_a_missing_bucket_is_named(gcs):
    uri = "gs://no-such-bucket/models"
    with pytest.raises(StorageError) as caught:
        storage.check_writable(uri)
    one_line(caught, uri, "no such bucket")
    with pytest.raises(NotFound) as caught:
        storage.list_files(uri)
    one_line(caught, uri)


@pytest.mark.parametrize("bucket", ["-photos", "photos_"])
def test_a_name_that_no_bucket_can_have_is_told(gcs, bucket):
    for work in (storage.stat, storage.read_bytes, storage.list_files, storage.delete, storage.check_writable):
        with pytest.raises(StorageError) as caught:
            work(f"gs://{bucket}/x")
        one_line(caught, f"gs://{bucket}/", "Bucket names must")


def test_a_server_that_does_not_answer_properly_is_a_storage_error(relay):
    relay.answer_instead = 403
    with pytest.raises(StorageError) as caught:
        storage.read_bytes(f"{relay.bucket}/x")
    one_line(caught, f"{relay.bucket}/x", "403")


def test_an_object_name_that_leads_out_of_the_directory_is_not_downloaded(gcs, tmp_path):
    storage.write_bytes(f"{gcs}/prefix/../../escaped", b"x")
    with pytest.raises(StorageError, match="relative path"):
        storage.localize(f"{gcs}/prefix", tmp_path / "into")
    assert list(tmp_path.rglob("*escaped*")) == []


@pytest.mark.parametrize("condition", [None, storage.ABSENT])
def test_a_write_whose_answer_was_lost_is_repeated_and_counted_once(relay, condition):
    uri = f"{relay.bucket}/claim"
    relay.lose_answers = 1
    written = storage.write_bytes(uri, b"mine", if_generation=condition)
    assert relay.lose_answers == 0
    assert written == storage.stat(uri)
    assert len(relay.uploads) == 2


def test_the_same_bytes_of_another_writer_are_not_taken_for_the_own_ones(relay):
    uri = f"{relay.bucket}/claim"
    storage.write_bytes(uri, b"same")
    relay.lose_answers = 1
    with pytest.raises(PreconditionFailed):
        storage.write_bytes(uri, b"same", if_generation=storage.ABSENT)


def test_a_byte_flipped_on_the_way_down_is_noticed(relay, tmp_path):
    uri = f"{relay.bucket}/data"
    storage.write_bytes(uri, b"0123456789")
    relay.flip = True
    with pytest.raises(StorageError) as caught:
        storage.read_bytes(uri)
    one_line(caught, uri)
    with pytest.raises(StorageError):
        storage.localize(uri, tmp_path)
    assert list(tmp_path.iterdir()) == []


class Relay(http.server.BaseHTTPRequestHandler):
    """Passes requests on to the emulator and then, if configured to, loses the answer or damages it."""

    protocol_version = "HTTP/1.1"

    def relay(self):
        server = self.server
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        headers = {
            name: value for name, value in self.headers.items() if name.lower() not in ("host", "accept-encoding")
        }
        request = urllib.request.Request(server.target + self.path, body or None, headers, method=self.command)
        try:
            with urllib.request.urlopen(request) as answer:
                status, data, received = answer.status, answer.read(), answer.headers
        except urllib.error.HTTPError as error:
            with error:
                status, data, received = error.code, error.read(), error.headers
        if "/upload/" in self.path:
            server.uploads.append(status)
            if server.lose_answers:
                server.lose_answers -= 1
                status, data = 503, b""
        if server.flip and "alt=media" in self.path:
            data = data[:-1] + bytes([data[-1] ^ 1])
        if server.answer_instead:
            status, data = server.answer_instead, b"{}"
        self.send_response(status)
        for name in ("Content-Type", "X-Goog-Hash", "X-Goog-Generation", "Content-Range"):
            if received.get(name):
                self.send_header(name, received[name])
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    do_GET = do_POST = do_PUT = do_DELETE = relay

    def log_message(self, *_):
        pass


@pytest.fixture
def relay(gcs, monkeypatch):
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Relay)
    server.target, server.bucket = os.environ["STORAGE_EMULATOR_HOST"], gcs
    server.uploads, server.lose_answers, server.flip, server.answer_instead = [], 0, False, None
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", f"http://127.0.0.1:{server.server_port}")
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.parametrize("writers", [4, 32])
def test_every_unconditional_write_of_many_writers_succeeds(gcs, writers):
    uri, started = f"{gcs}/shared", threading.Barrier(writers)

    def write(number):
        started.wait()
        return storage.write_bytes(uri, str(number).encode())

    with ThreadPoolExecutor(writers) as pool:
        written = list(pool.map(write, range(writers)))
    assert len({one.generation for one in written}) == writers
    assert storage.stat(uri).generation == max(written, key=lambda one: int(one.generation)).generation


def test_an_unconditional_write_that_never_comes_first_says_so_and_pauses_between_its_attempts(gcs, monkeypatch):
    pauses = []
    monkeypatch.setattr(gcs_module, "time", SimpleNamespace(sleep=pauses.append))  # not of the client's own retries
    with relays.Relay(lambda method, *_: "412" if method == "POST" else None), pytest.raises(StorageError) as caught:
        storage.write_bytes(f"{gcs}/x", b"x")
    one_line(caught, f"{gcs}/x", "another writer")
    assert not isinstance(caught.value, PreconditionFailed)
    assert len(pauses) >= 5
    assert len(set(pauses)) == len(pauses)  # random, so that two writers do not meet again
    assert max(pauses) <= 5.0
