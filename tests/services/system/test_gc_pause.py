"""While anybody needs the collector to pause, it does, whoever else has done with it."""

from __future__ import annotations

import gc
import threading

from convscout.services.system.gc_pause import pause_gc


def test_it_pauses_until_the_last_thread_has_left() -> None:
    inside, leave = threading.Event(), threading.Event()

    def other() -> None:
        with pause_gc():
            inside.set()
            assert leave.wait(30)

    thread = threading.Thread(target=other)
    thread.start()
    assert inside.wait(30)
    with pause_gc():
        leave.set()
        thread.join()
        assert not gc.isenabled()
    assert gc.isenabled()


def test_who_has_turned_it_off_finds_it_so() -> None:
    gc.disable()
    try:
        with pause_gc(), pause_gc():
            assert not gc.isenabled()
        assert not gc.isenabled()
    finally:
        gc.enable()
