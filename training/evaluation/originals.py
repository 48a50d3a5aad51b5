"""All originals, found and embedded once before any experiment: what galleries, thresholds and donors are made of."""

from dataclasses import replace
from functools import partial

from training.evaluation.bench import Bench, Request
from training.evaluation.parallel import run_jobs


def prepare_originals(request: Request, workers: int) -> None:
    """Fill the cache with every original's faces and embeddings, by the judges and by the loop's recognizers."""
    one = replace(request, method="cfa", limit=None, keys=None)
    run_jobs([partial(_prepare, one, part, workers) for part in range(workers)], workers)


def _prepare(request: Request, part: int, parts: int) -> None:
    bench = Bench(request)
    samples = bench.samples[part::parts]
    looks = bench.looks(samples)
    bench.embeddings(samples, looks)
    bench.enrol(looks)
