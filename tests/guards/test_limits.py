"""A hang ends in time, whatever it waits for; Ctrl-C is told from an exception of that name."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress

import pytest

from robustbench_lite.errors import UsageError
from robustbench_lite.guards.limits import Interrupted, Overtime, limited, listening


def loop():
    while True:
        pass


def stubborn():
    while True:
        with suppress(Exception):
            time.sleep(60)


def locked():
    lock = threading.Lock()
    lock.acquire()
    lock.acquire()


def deaf():
    """Swallows whatever it hears, three times."""
    for _ in range(3):
        with suppress(BaseException):
            time.sleep(60)
    time.sleep(60)


def under(seconds, work):
    with limited(seconds):
        work()


WAITS = {
    "loop": loop,
    "sleep": lambda: time.sleep(60),
    "stubborn": stubborn,
    "lock": locked,
    "process": lambda: subprocess.run([sys.executable, "-c", "import time; time.sleep(60)"], check=False),
    "event": lambda: threading.Event().wait(60),
}


@pytest.mark.parametrize("name", WAITS)
def test_whatever_hangs_ends_in_time(name):
    start = time.monotonic()
    with (
        pytest.raises(Overtime, match=r"took longer than 0.1 s, the limit that `timeout` or --cell-timeout sets"),
        limited(0.1),
    ):
        WAITS[name]()
    assert time.monotonic() - start < 30


def test_who_does_not_listen_is_told_again(monkeypatch):
    monkeypatch.setattr("robustbench_lite.guards.limits._AGAIN", 0.05)
    with pytest.raises(Overtime), limited(0.05):
        deaf()


def test_afterwards_nothing_is_armed_and_handlers_are_as_they_were():
    heard = []
    before = signal.signal(signal.SIGALRM, lambda *_: heard.append(1))
    try:
        for seconds in (None, 5.0):
            with limited(seconds):
                pass
        with pytest.raises(Overtime), limited(0.01):
            loop()
        assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)
        signal.raise_signal(signal.SIGALRM)
        assert heard == [1]
    finally:
        signal.signal(signal.SIGALRM, before)


def test_a_limit_around_a_limit_still_holds():
    def inside():
        under(30, lambda: None)
        with pytest.raises(Overtime, match=r"longer than 0.01 s"):
            under(0.01, loop)
        loop()

    with pytest.raises(Overtime, match=r"longer than 0.2 s"):
        under(0.2, inside)


def test_in_another_thread_it_is_refused():
    caught = []

    def work():
        with pytest.raises(UsageError, match="needs the main thread") as error, limited(1):
            pass
        caught.append(error)
        with limited(None), listening():
            pass

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert caught


def test_ctrl_c_is_told_from_an_exception_of_that_name():
    with pytest.raises(Interrupted), listening():
        signal.raise_signal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt) as error, listening():
        raise KeyboardInterrupt
    assert not isinstance(error.value, Interrupted)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_who_listens_already_goes_on(monkeypatch):
    heard = []
    before = signal.signal(signal.SIGINT, lambda *_: heard.append(1))
    try:
        with listening():
            signal.raise_signal(signal.SIGINT)
    finally:
        signal.signal(signal.SIGINT, before)
    assert heard == [1]
