"""The gallery search against a plain matrix product of the same size: throughput, memory, a gallery of a million.

    python -m benchmarks.gallery [--references N] [--dim D] [--probes M ...]

Random unit vectors; one thread per process unless OMP_NUM_THREADS says otherwise. The product that is compared with is
`torch.mm` with nothing done to its result, over the search's own blocks or over larger ones, whichever is faster here,
in the same process, alternating with the search.
"""

import argparse
import resource
import sys
import time
from collections.abc import Callable

import numpy as np
import torch
from rich.console import Console
from rich.table import Table

import audit.search
from audit.gallery import Gallery
from audit.search import search_people
from cfanet.records import Embeddings
from cfanet.search import References, search

_ROWS, _BLOCK = 256, 8_192


def unit_vectors(n: int, dim: int, seed: int) -> Embeddings:
    """(n, dim) float32 unit vectors, drawn block by block."""
    random, rows = np.random.default_rng(seed), np.empty((n, dim), np.float32)
    for start in range(0, n, _BLOCK):
        block = rows[start : start + _BLOCK]
        block[:] = random.standard_normal(block.shape, np.float32)
        block /= np.linalg.norm(block, axis=1, keepdims=True)
    return rows


def plain_product(queries: Embeddings, references: Embeddings, size: int) -> None:
    """Every score, `size` references at a time, and nothing done with it."""
    for start in range(0, len(queries), _ROWS):
        rows = torch.from_numpy(queries[start : start + _ROWS])
        scores = torch.empty(len(rows), size)
        for offset in range(0, len(references), size):
            block = torch.from_numpy(references[offset : offset + size])
            torch.mm(rows, block.T, out=scores if len(block) == size else torch.empty(len(rows), len(block)))


def seconds(work: Callable[[], object]) -> float:
    """Processor time of this process: other work on the machine counts less than in wall-clock time."""
    started = time.process_time()
    work()
    return time.process_time() - started


def peak_gib() -> float:
    """Largest resident memory of this process so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def measure(gallery: Gallery, probes: int, repeats: int) -> tuple[float, float, float]:
    """Seconds of the plain product, of the audit's search and of the loop's; the best of each."""
    references = gallery.references
    queries = unit_vectors(probes, references.embeddings.shape[1], 2)
    own = [references.ids[i % len(references.ids)] for i in range(probes)]
    people = [gallery.subjects[i % len(references.ids)] for i in range(probes)]
    works: tuple[Callable[[], object], ...] = (
        lambda: plain_product(queries, references.embeddings, _BLOCK),
        lambda: plain_product(queries, references.embeddings, audit.search._BLOCK),
        lambda: search_people(queries, gallery, people, own),
        lambda: search(queries, references, 1),
    )
    taken = [[seconds(work) for work in works] for _ in range(repeats)]
    large, small, judge, loop = (min(column) for column in zip(*taken, strict=True))
    return min(large, small), judge, loop


def main() -> int:
    """Measure and print one line per number of probes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--references", type=int, default=1_000_000)
    parser.add_argument("--dim", type=int, default=512)
    parser.add_argument("--probes", type=int, nargs="+", default=[256, 1024])
    parser.add_argument("--repeats", type=int, default=2)
    given = parser.parse_args()
    vectors = unit_vectors(given.references, given.dim, 1)
    subjects = tuple(f"s{i // 3}" for i in range(given.references))
    gallery = Gallery(References(tuple(f"k{i}#0" for i in range(given.references)), vectors), subjects)
    search_people(vectors[:1], gallery, [""], [""])  # what is done once per gallery: an index of its people, norms
    console = Console()
    held = peak_gib()
    console.print(
        f"{given.references:,} references × {given.dim}: {vectors.nbytes / 2**30:.2f} GiB, held {held:.2f} GiB"
    )
    table = Table("probes", "product, s", "search, s", "of it", "loop's search", "of it", "peak, GiB", box=None)
    for probes in given.probes:
        plain, judge, loop = measure(gallery, probes, given.repeats)
        cells = (f"{probes:,}", f"{plain:.2f}", f"{judge:.2f}", f"{plain / judge:.0%}", f"{loop:.2f}")
        table.add_row(*cells, f"{plain / loop:.0%}", f"{peak_gib():.2f}")
    console.print(table)
    return 0


if __name__ == "__main__":
    sys.exit(main())
