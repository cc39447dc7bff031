"""Buckets: answers that are lost, torn, late or repeated, and bytes that change on the way."""

import json

import pytest

from frostline import storage
from frostline.errors import StorageError

from tests.support.relay import Relay, flipped

pytestmark = pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning")  # of connections that were broken


def once(what, method, part=""):
    left = [what]
    return lambda used, path, _: left.pop() if left and used == method and part in path else None


def after(fault):
    """The server does what was asked for; the next request has the fault."""
    faults = ["lost", fault]
    return lambda method, *_: faults.pop(0) if faults and method == "DELETE" else None


@pytest.mark.parametrize("second", [None, "412", "503", "lost", "reset"])
def test_a_deletion_whose_answer_was_lost_is_counted(gcs, second):
    storage.write_bytes(f"{gcs}/x", b"x")
    with Relay(after(second)) as relay:
        assert storage.delete(f"{gcs}/x") is True
    assert relay.struck["lost"] >= 1
    assert storage.list_files(gcs) == []
    assert storage.delete(f"{gcs}/x") is False


@pytest.mark.parametrize("second", [None, "412", "503", "lost"])
def test_a_check_that_a_place_can_be_written_survives_the_loss_of_an_answer(gcs, second):
    with Relay(after(second)) as relay:
        storage.check_writable(f"{gcs}/store")
    assert relay.struck["lost"] >= 1
    assert storage.list_files(gcs) == []


@pytest.mark.parametrize("fault", ["lost", "reset", "torn", "429", "503"])
@pytest.mark.parametrize(
    ("method", "part"), [("GET", "/o?"), ("GET", "alt=media"), ("GET", "/o/"), ("POST", "/upload/")]
)
def test_every_request_is_repeated(gcs, tmp_path, fault, method, part):
    storage.write_bytes(f"{gcs}/a/x", b"0123456789")
    with Relay(once(fault, method, part)) as relay:
        assert [item.size for item in storage.list_files(gcs)] == [10]
        assert storage.read_bytes(f"{gcs}/a/x") == b"0123456789"
        assert storage.read_bytes(f"{gcs}/a/x", offset=3, length=3) == b"345"
        assert storage.write_bytes(f"{gcs}/y", b"y") == storage.stat(f"{gcs}/y")
    assert relay.struck[fault] == 1


def wait(ask):
    return 429, {"Retry-After": "1", "Content-Type": "text/html"}, b"<html>slow down</html>"


def test_a_server_that_asks_for_patience_gets_it(gcs):
    with Relay(once(wait, "GET")) as relay:
        assert storage.list_files(gcs) == []
    assert relay.struck[wait] == 1


def broken(flip):
    """Break off the first download of content, and change a bit in the rest of it."""
    state = {"torn": False}

    def fault(method, path, _):
        if "alt=media" not in path:
            return None
        if not state["torn"]:
            state["torn"] = True
            return "torn"
        return flipped if flip else None

    return fault


CONTENT = bytes(range(256)) * 256


@pytest.mark.parametrize("flip", [False, True])
def test_a_download_that_was_resumed_is_checked_as_a_whole(gcs, tmp_path, flip):
    """The client does not: it skips the checksum of a part."""
    uri = f"{gcs}/data"
    storage.write_bytes(uri, CONTENT)
    works = {
        "read": lambda: storage.read_bytes(uri),
        "localize": lambda: storage.localize(uri, tmp_path / "into").read_bytes(),
    }
    for work in works.values():
        with Relay(broken(flip)) as relay:
            if flip:
                with pytest.raises(StorageError, match="does not have the checksum") as caught:
                    work()
                assert "\n" not in str(caught.value)
            else:
                assert work() == CONTENT
        assert (relay.struck["torn"], relay.struck[flipped] > 0) == (1, flip)
    assert list((tmp_path / "into").iterdir()) == ([] if flip else [tmp_path / "into" / "data"])


def test_content_that_is_cut_off_with_a_length_that_says_so_is_noticed(gcs, tmp_path):
    uri = f"{gcs}/data"
    storage.write_bytes(uri, CONTENT)

    def cut(ask):
        status, headers, data = ask()
        return status, headers, data[:-1]

    with Relay(lambda method, path, _: cut if "alt=media" in path else None):
        for work in (
            lambda: storage.read_bytes(uri),
            lambda: storage.read_bytes(uri, offset=1, length=10),
            lambda: storage.localize(uri, tmp_path / "into"),
        ):
            with pytest.raises(StorageError) as caught:
                work()
            assert "\n" not in str(caught.value)


def test_a_server_that_answers_a_part_with_the_whole_is_noticed(gcs):
    storage.write_bytes(f"{gcs}/x", b"0123456789")

    def whole(ask):
        _, headers, _ = ask()
        return 200, headers, b"0123456789"

    with Relay(lambda method, path, _: whole if "alt=media" in path else None):
        for offset, length in ((2, 3), (0, 3), (9, 1)):
            with pytest.raises(StorageError):
                storage.read_bytes(f"{gcs}/x", offset=offset, length=length)


def page(token, **changes):
    def answer(ask):
        status, headers, data = ask()
        return status, headers, json.dumps({**json.loads(data), **changes, "nextPageToken": token}).encode()

    return answer


def test_an_empty_page_of_a_list_is_not_its_end(gcs):
    storage.write_bytes(f"{gcs}/x", b"x")
    pages = [page("1", items=[]), page("2", items=[])]
    with Relay(lambda method, path, _: pages.pop(0) if pages and "/o?" in path else None):
        assert [item.uri for item in storage.list_files(gcs)] == [f"{gcs}/x"]
    assert pages == []


def test_a_list_that_leads_back_to_itself_is_told(gcs):
    storage.write_bytes(f"{gcs}/x", b"x")
    for tokens in (["a", "a"], ["a", "b", "a"]):
        pages = [page(token) for token in tokens]
        with (
            Relay(lambda method, path, _: pages.pop(0) if "/o?" in path else None),  # noqa: B023
            pytest.raises(StorageError, match="never ends"),
        ):
            storage.list_files(gcs)
