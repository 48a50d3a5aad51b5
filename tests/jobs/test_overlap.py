"""One step ahead and one behind, never more, in order, and no error is lost."""

import contextlib
import threading
from collections.abc import Iterator

import pytest

from jobs.overlap import ahead, behind


def test_the_next_item_is_made_while_this_one_is_used_and_no_further() -> None:
    made: list[int] = []
    second = threading.Event()

    def source() -> Iterator[int]:
        for number in range(5):
            made.append(number)
            if number == 1:
                second.set()
            yield number

    with contextlib.closing(ahead(source())) as items:
        assert next(items) == 0
        assert second.wait(10), "the second was made before it was asked for"
        assert made == [0, 1]
        assert list(items) == [1, 2, 3, 4]


def test_an_error_comes_in_its_place_and_leaving_early_ends_the_thread() -> None:
    def source() -> Iterator[int]:
        yield 1
        raise ValueError("bad")

    items = ahead(source())
    assert next(items) == 1
    with pytest.raises(ValueError, match="bad"):
        next(items)
    items = ahead(iter(range(100)))
    next(items)
    items.close()
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("read ahead")]


def test_actions_run_in_order_one_at_a_time_and_all_have_ended_after_the_block() -> None:
    done: list[int] = []
    go = threading.Event()
    with behind() as later:
        later.call(lambda: (go.wait(10), done.append(1))[1])
        assert done == []
        go.set()
        later.call(lambda: done.append(2))
        assert done[0] == 1
    assert done == [1, 2]


def test_what_an_action_raises_is_raised_by_the_next_call_or_at_the_end() -> None:
    def fail() -> None:
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"), behind() as later:
        later.call(fail)
    with pytest.raises(OSError, match="disk full"), behind() as later:
        later.call(fail)
        later.call(lambda: pytest.fail("nothing follows an error"))
