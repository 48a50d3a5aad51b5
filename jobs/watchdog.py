"""Watches the Ray cluster from the driver and says so when it goes away.

When the head process of a cluster dies, Ray 2.60 ends its driver after a minute, with exit status 1 and without a word;
when the process that represents the driver's machine dies, the driver waits for ever. Both would leave a user guessing.
"""

import contextlib
import os
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator

import ray

_EVERY_S = 3.0
_PATIENCE_S = 40.0  # less than the minute after which Ray ends the process; more than a head's restart takes
_INTERNAL_ERROR = 1  # exit status


@contextlib.contextmanager
def watched_cluster() -> Iterator[None]:
    """For the block, end the process with one sentence when the Ray cluster it uses is gone."""
    context = ray.get_runtime_context()
    node = context.get_node_id()
    address = str(context.gcs_address)
    stop = threading.Event()
    watch = (stop, lambda: head_answers(address), lambda: _node_lives(node), _give_up)
    thread = threading.Thread(target=watch_until_lost, args=watch, name="cluster watchdog", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def watch_until_lost(
    stop: threading.Event,
    answers: Callable[[], bool],
    lives: Callable[[], bool],
    lost: Callable[[str], None],
    every_s: float = _EVERY_S,
    patience_s: float = _PATIENCE_S,
) -> None:
    """Ask until `stop` is set; call `lost` with a reason once the head was silent for long or this node is dead."""
    silent_since: float | None = None
    while not stop.wait(every_s):
        if answers():
            silent_since = None
            if not lives():
                lost("Ray's process on this machine (the raylet) died.")
                return
            continue
        silent_since = silent_since or time.monotonic()
        if time.monotonic() - silent_since >= patience_s:
            lost("Ray's head process no longer answers; was it stopped (`ray stop`) or killed?")
            return


def head_answers(address: str) -> bool:
    """Whether anything accepts connections at "host:port"; a process that is only slow still does."""
    host, _, port = address.rpartition(":")
    try:
        with socket.create_connection((host.strip("[]"), int(port)), timeout=_EVERY_S):
            return True
    except OSError:
        return False


def _node_lives(node: str) -> bool:
    known = [entry["Alive"] for entry in ray.nodes() if entry["NodeID"] == node]  # type: ignore[no-untyped-call]
    return not known or any(known)


def _give_up(reason: str) -> None:
    """End at once: with its cluster gone, neither Ray nor an orderly exit of Python would return."""
    sys.stdout.flush()
    sys.stderr.write(f"\n{reason} What is finished stays; run the same command again to go on from there.\n")
    sys.stderr.flush()
    os._exit(_INTERNAL_ERROR)
