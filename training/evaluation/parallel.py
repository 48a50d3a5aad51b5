"""Experiments in processes: each group runs in order in one of them, and all share the cache's file."""

import os
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context, parent_process
from pathlib import Path
from typing import Any, TypeVar

from rich.console import Console

from training.evaluation.document import read_document

T = TypeVar("T")
Group = Mapping[str, Callable[[], tuple[Path, Path]]]
"""Experiments by name; each writes a document and returns its JSON and Markdown."""


def run_groups(groups: Sequence[Group], workers: int) -> dict[str, dict[str, Any]]:
    """Run all groups in `workers` processes; returns the documents by name. An error of any of them is raised."""
    found = run_jobs([partial(_run, group) for group in groups], workers)
    return {name: document for group in found for name, document in group.items()}


def run_jobs(jobs: Sequence[Callable[[], T]], workers: int) -> list[T]:
    """Call picklable jobs in `workers` processes, each taking the next one that is left; their values in order."""
    if workers < 2 or len(jobs) < 2:
        return [job() for job in jobs]
    spawn = get_context("spawn")
    with ProcessPoolExecutor(min(workers, len(jobs)), mp_context=spawn, initializer=_end_with_the_parent) as pool:
        return list(pool.map(_call, jobs))


def _end_with_the_parent() -> None:
    """A killed parent cannot tell its workers, who would go on unseen for minutes: each watches it."""
    parent = parent_process()

    def watch() -> None:
        if parent is not None:
            parent.join()
            os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _call(job: Callable[[], T]) -> T:
    return job()


def _run(group: Group) -> dict[str, dict[str, Any]]:
    documents = {}
    for name, experiment in group.items():
        started = time.monotonic()
        documents[name] = read_document(experiment()[0])
        Console(stderr=True).print(f"{name}: {time.monotonic() - started:.0f} s", highlight=False)
    return documents
