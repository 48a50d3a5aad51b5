"""Experiments in processes: each group runs in order in one of them, and all share the cache's file."""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from training.evaluation.document import read_document

Group = Mapping[str, Callable[[], tuple[Path, Path]]]
"""Experiments by name; each writes a document and returns its JSON and Markdown."""


def run_groups(groups: Sequence[Group], workers: int) -> dict[str, dict[str, Any]]:
    """Run all groups in `workers` processes; returns the documents by name. An error of any of them is raised."""
    if workers < 2 or len(groups) < 2:
        found = [_run(group) for group in groups]
    else:
        with ProcessPoolExecutor(min(workers, len(groups)), mp_context=get_context("spawn")) as pool:
            found = list(pool.map(_run, groups))
    return {name: document for group in found for name, document in group.items()}


def _run(group: Group) -> dict[str, dict[str, Any]]:
    return {name: read_document(experiment()[0]) for name, experiment in group.items()}
