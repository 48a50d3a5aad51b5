"""A driver whose cluster is gone says so and ends; one whose cluster is slow does not."""

import os
import signal
import socket
import subprocess
import sys
import threading
from itertools import chain, repeat
from pathlib import Path

import psutil
import pytest

from jobs.watchdog import head_answers, watch_until_lost

DRIVER = """
import time
import ray
from jobs.config import load_config
from jobs.pipeline import ray_session
with ray_session(load_config(None, ["run.workers=1"])):
    print("up", flush=True)
    time.sleep(300)
"""

# Ray's head asks the raylet for its health twice a second instead of every three, and sooner gives it up.
ASKS_OFTEN = {
    "RAY_health_check_initial_delay_ms": "1000",
    "RAY_health_check_period_ms": "500",
    "RAY_health_check_timeout_ms": "2000",
}


def watch(answers: list[bool], lives: list[bool], patience_s: float) -> list[str]:
    """What is said when the cluster answers as told (the last answer for ever); ends by itself after 40 questions."""
    stop, said = threading.Event(), list[str]()
    replies, states = chain(answers, repeat(answers[-1])), chain(lives, repeat(lives[-1]))
    left = iter(range(40))

    def reply() -> bool:
        if next(left, None) is None:
            stop.set()
        return next(replies)

    watch_until_lost(stop, reply, lambda: next(states), said.append, 0.001, patience_s)
    return said


def test_silence_that_ends_in_time_is_forgiven() -> None:
    assert watch([True, False, False, True], [True], patience_s=60.0) == []


def test_a_head_that_stays_silent_and_a_dead_node_are_named() -> None:
    assert "head process" in watch([True, False], [True], patience_s=0.005)[0]
    assert "raylet" in watch([True], [True, False], patience_s=60.0)[0]


def test_a_listening_port_answers_and_a_closed_one_does_not() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"
        assert head_answers(address)
    assert not head_answers(address)


@pytest.mark.ray
def test_a_driver_whose_raylet_is_killed_ends_with_a_sentence() -> None:
    root = str(Path(__file__).resolve().parents[2])
    environment = os.environ | {"PYTHONPATH": root} | ASKS_OFTEN
    command = [sys.executable, "-c", DRIVER]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    ) as driver:
        try:
            assert driver.stdout is not None and driver.stdout.readline() == "up\n"
            (found,) = [child for child in psutil.Process(driver.pid).children() if "raylet" in child.name()]
            found.send_signal(signal.SIGKILL)
            _, said = driver.communicate(timeout=90)
        finally:
            driver.kill()
    assert driver.returncode == 1
    assert "run the same command again" in said
