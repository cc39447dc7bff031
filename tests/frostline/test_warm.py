"""Messages to the warm process, and what happens where there is none; `test_warm_server.py` tests the process."""

import os
import socket
import subprocess
import sys
import threading

import pytest

from frostline import warm

STDIN = 0


@pytest.mark.parametrize("message", [{}, {"code": -9, "peak": 2**40}, {"text": "ü\n" * 50_000}, {"path": "\udcff"}])
def test_a_message_arrives_whole(message):
    ours, theirs = socket.socketpair()
    with ours, theirs:
        sender = threading.Thread(target=warm.send, args=(ours, message))
        sender.start()
        assert warm.receive(theirs) == message
        sender.join()


@pytest.mark.parametrize("sent", [b"", b"\0\0", (9).to_bytes(8, "big") + b'{"code"'])
def test_an_end_before_the_whole_message_is_none(sent):
    ours, theirs = socket.socketpair()
    with theirs:
        with ours:
            ours.sendall(sent)
        assert warm.receive(theirs) is None


def test_a_long_path_is_a_short_address(tmp_path):
    directory = tmp_path / ("long" * 50)
    directory.mkdir()
    with socket.socket(socket.AF_UNIX) as listener, warm.address(str(directory / "warm")) as short:
        assert len(short) < 100
        listener.bind(short)
    assert (directory / "warm").is_socket()


@pytest.mark.parametrize("place", ["", "nobody", "no directory/warm"])
def test_where_nobody_answers_nothing_is_run(tmp_path, monkeypatch, place):
    monkeypatch.setenv(warm.SOCKET, str(tmp_path / place) if place else "")
    assert warm.run(["-m", "this"], STDIN) is None


def test_a_process_that_ends_before_it_forks_is_none(tmp_path, monkeypatch):
    place = tmp_path / "warm"
    monkeypatch.setenv(warm.SOCKET, str(place))
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(place))
        listener.listen(1)

        def end():
            listener.accept()[0].close()

        ending = threading.Thread(target=end)
        ending.start()
        assert warm.run(["-m", "this"], STDIN) is None
        ending.join()


def test_the_client_starts_without_anything_that_is_not_in_the_standard_library():
    """It starts for every step, so it must not import what a new interpreter would."""
    code = f"import sys; sys.argv[1:] = ['-c', 'x']; exec(open({warm.__file__!r}).read().split('if __name__')[0])"
    code += "; print([name for name in sys.modules if name.split('.')[0] in ('frostline', 'numpy', 'pathlib')])"
    out = subprocess.run(
        [sys.executable, "-IS", "-c", code], capture_output=True, text=True, check=True, env=os.environ
    )
    assert out.stdout == "[]\n"
