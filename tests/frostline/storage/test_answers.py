"""Answers of other servers, such as a captive portal: retried, then told in one line, and never taken for content."""

import json

import pytest

from frostline import storage
from frostline.errors import NotFound, StorageError

from tests.support.relay import Relay

PAGE = b"<html><body>Please <a href='/login'>log in</a></body></html>"
HTML = {"Content-Type": "text/html"}
JSON = {"Content-Type": "application/json"}

STRANGE = {
    "page": (200, HTML, PAGE),
    "empty": (200, JSON, b""),
    "nothing": (200, {}, b""),
    "list": (200, JSON, b"[]"),
    "null": (200, JSON, b"null"),
    "text": (200, JSON, b'"hello"'),
    "cut": (200, JSON, b'{"kind": "storage#obj'),
    "deep": (200, JSON, b"[" * 100_000),
    "bytes": (200, JSON, b"\xff\xfe\x00"),
    "items": (200, JSON, b'{"items": {"name": "x"}}'),
    "nameless": (200, JSON, b'{"items": [{}]}'),
    "missing": (404, HTML, PAGE),
}


@pytest.fixture
def impatient(gcs, monkeypatch):
    """Retries that take a second, not two minutes."""
    from google.cloud.storage import retry

    for name, seconds in {"_timeout": 1.0, "_initial": 0.05, "_maximum": 0.2}.items():
        monkeypatch.setattr(retry.DEFAULT_RETRY, name, seconds)
    return gcs


def one_line(error):
    text = str(error)
    assert "\n" not in text
    assert len(text) < 1000
    return text


def works(bucket, tmp_path):
    source = tmp_path / "source"
    source.write_bytes(b"x")
    large = tmp_path / "large"
    if not large.exists():
        with large.open("wb") as file:
            file.truncate(9 * 2**20)  # is sent in pieces
    return {
        "stat": lambda: storage.stat(f"{bucket}/x"),
        "read": lambda: storage.read_bytes(f"{bucket}/x"),
        "part": lambda: storage.read_bytes(f"{bucket}/x", offset=2, length=3),
        "list": lambda: storage.list_files(bucket),
        "write": lambda: storage.write_bytes(f"{bucket}/new", b"new"),
        "create": lambda: storage.write_bytes(f"{bucket}/other", b"new", if_generation=storage.ABSENT),
        "upload": lambda: storage.upload_file(large, f"{bucket}/large"),
        "delete": lambda: storage.delete(f"{bucket}/x"),
        "localize": lambda: storage.localize(f"{bucket}/x", tmp_path / "into"),
        "check": lambda: storage.check_writable(bucket),
    }


WORKS = ("stat", "read", "part", "list", "write", "create", "upload", "delete", "localize", "check")


@pytest.mark.parametrize("work", WORKS)
def test_a_page_in_place_of_every_answer_is_told(impatient, tmp_path, work):
    storage.write_bytes(f"{impatient}/x", b"0123456789")
    for strange in ("page", "missing"):
        with Relay(lambda *_: lambda ask: STRANGE[strange]), pytest.raises(StorageError) as caught:  # noqa: B023
            works(impatient, tmp_path)[work]()
        text = one_line(caught.value)
        assert "does not answer as Cloud Storage: received status" in text
        assert "text/html" in text
        assert not isinstance(caught.value, NotFound)
    assert not (tmp_path / "into" / "x").exists()


@pytest.mark.parametrize("strange", STRANGE)
def test_what_is_no_description_of_an_object_or_list_is_told(impatient, strange):
    with Relay(lambda *_: lambda ask: STRANGE[strange]):
        for work in (storage.stat, storage.list_files):
            with pytest.raises(StorageError, match="does not answer as Cloud Storage") as caught:
                work(f"{impatient}/x")
            one_line(caught.value)


@pytest.mark.parametrize("work", WORKS)
def test_a_page_that_goes_away_costs_nothing_but_time(impatient, tmp_path, work):
    storage.write_bytes(f"{impatient}/x", b"0123456789")
    left = [1, 1, 1, 1]

    def fault(*_):
        return (lambda ask: STRANGE["page"]) if left and left.pop() else None

    with Relay(fault):
        works(impatient, tmp_path)[work]()
    assert len(storage.list_files(impatient)) == {"write": 2, "create": 2, "upload": 2, "delete": 0}.get(work, 1)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_to_a_login_page_is_told_and_not_followed(impatient, status):
    """Not even one that ends in JSON without an error."""
    away = {"Location": "http://ann:secret@127.0.0.1:9/login?next=alt=media"}
    with Relay(lambda *_: lambda ask: (status, away, b"")):
        for work in (storage.stat, storage.read_bytes, storage.list_files, storage.delete):
            with pytest.raises(StorageError, match=f"status {status}, which leads to http://127") as caught:
                work(f"{impatient}/x")
            assert "secret" not in one_line(caught.value)


def without(*fields):
    def changed(ask):
        status, headers, data = ask()
        document = json.loads(data)
        for item in document.get("items", [document]):
            for field in fields:
                item.pop(field, None)
        return status, headers, json.dumps(document).encode()

    return lambda method, path, _: None if "alt=media" in path or method == "DELETE" else changed


@pytest.mark.parametrize("fields", [("size",), ("size", "crc32c", "md5Hash")])
def test_an_empty_object_may_be_described_without_a_size(gcs, fields):
    with Relay(without(*fields)):
        written = storage.write_bytes(f"{gcs}/empty", b"")
        assert (written.size, storage.stat(f"{gcs}/empty"), storage.list_files(gcs)) == (0, written, [written])
        storage.check_writable(gcs)
        assert storage.read_bytes(f"{gcs}/empty") == b""


def test_another_object_without_a_size_is_not_taken_for_an_empty_one(gcs):
    storage.write_bytes(f"{gcs}/x", b"x")
    with Relay(without("size")):
        for work in (storage.stat, storage.list_files):
            with pytest.raises(StorageError, match="without its size or generation"):
                work(f"{gcs}/x" if work is storage.stat else gcs)


def test_a_description_without_a_generation_is_told(gcs):
    storage.write_bytes(f"{gcs}/x", b"x")
    with Relay(without("generation")):
        for work in (storage.stat, storage.delete, lambda uri: storage.write_bytes(uri, b"y")):
            with pytest.raises(StorageError, match="without its size or generation") as caught:
                work(f"{gcs}/x")
            one_line(caught.value)


@pytest.mark.parametrize("field", ["size", "generation"])
@pytest.mark.parametrize("value", ["many", "", [], {"a": 1}])
def test_a_number_that_is_none_is_told(gcs, field, value):
    storage.write_bytes(f"{gcs}/x", b"x")

    def changed(ask):
        status, headers, data = ask()
        return status, headers, json.dumps({**json.loads(data), field: value}).encode()

    with Relay(lambda *_: changed), pytest.raises(StorageError) as caught:
        storage.stat(f"{gcs}/x")
    one_line(caught.value)


def test_a_users_password_in_the_emulators_address_is_not_told(impatient, monkeypatch):
    from frostline.storage import gcs

    with Relay(lambda *_: lambda ask: STRANGE["page"]):
        address = gcs.os.environ["STORAGE_EMULATOR_HOST"]
        gcs._client()._http.close()
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", address.replace("//", "//ann:secret@"))
        with pytest.raises(StorageError) as caught:
            storage.stat(f"{impatient}/x")
        gcs._client()._http.close()
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", address)
    assert "secret" not in one_line(caught.value)
