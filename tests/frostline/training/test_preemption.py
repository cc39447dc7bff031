"""SIGTERM is a wish while training runs, and the sudden end that it always was before and after."""

import os
import signal
import subprocess
import sys
import threading

import pytest

from frostline.training.preemption import stop_requested


def test_the_signal_sets_the_flag_and_does_nothing_else():
    with stop_requested() as stopped:
        assert not stopped()
        os.kill(os.getpid(), signal.SIGTERM)
        assert stopped()
        os.kill(os.getpid(), signal.SIGTERM)
        assert stopped()


def test_the_handler_of_before_is_there_again_also_after_an_exception():
    before = signal.getsignal(signal.SIGTERM)
    mine = lambda *_: None  # noqa: E731
    signal.signal(signal.SIGTERM, mine)
    try:
        with stop_requested():
            assert signal.getsignal(signal.SIGTERM) is not mine
        assert signal.getsignal(signal.SIGTERM) is mine
        with pytest.raises(KeyError), stop_requested():
            raise KeyError
        assert signal.getsignal(signal.SIGTERM) is mine
    finally:
        signal.signal(signal.SIGTERM, before)


def test_a_second_training_in_the_process_starts_without_the_firsts_signal():
    with stop_requested():
        os.kill(os.getpid(), signal.SIGTERM)
    with stop_requested() as stopped:
        assert not stopped()


def test_outside_the_main_thread_nobody_asks_to_stop_and_no_handler_changes():
    before, said = signal.getsignal(signal.SIGTERM), []

    def train():
        with stop_requested() as stopped:
            said.append((stopped(), signal.getsignal(signal.SIGTERM) is before))

    thread = threading.Thread(target=train)
    thread.start()
    thread.join()
    assert said == [(False, True)]


def test_afterwards_the_signal_ends_the_process_as_it_always_did():
    script = (
        "import os, signal\nfrom frostline.training.preemption import stop_requested\n"
        "with stop_requested() as stopped:\n"
        "    os.kill(os.getpid(), signal.SIGTERM)\n    print(stopped(), flush=True)\n"
        "os.kill(os.getpid(), signal.SIGTERM)\nprint('still here')\n"
    )
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False, timeout=60)
    assert (ended.stdout, ended.returncode) == ("True\n", -signal.SIGTERM)
