"""Models of known cost: the tests' stand-ins, which also sleep. The whole job runs, and none of its time is theirs."""

import os
import time
from collections.abc import Mapping, Sequence

from cfanet.records import Detection, ImageArray, ImageResult
from cfanet.search import References
from cfanet.seeds import SeedKey
from jobs.tools import PictureAnonymizer
from tests.jobs.fakes import FakeAnonymizer, FakeTools

COST, LOG = "CFANET_BENCH_COST", "CFANET_BENCH_LOG"
"""Environment of the workers: seconds a picture; folder in which each worker notes when it worked."""


class FakeCostlyAnonymizer(FakeAnonymizer):
    """Takes a known time for every picture."""

    def run(
        self,
        images: Sequence[ImageArray],
        ids: Sequence[str],
        detections: Sequence[list[Detection]] | None = None,
        named: Sequence[Mapping[int, str]] | None = None,
    ) -> list[ImageResult]:
        """Sleep, and answer as the fake does."""
        started = time.time()
        time.sleep(float(os.environ[COST]) * len(images))
        if folder := os.environ.get(LOG):
            with open(os.path.join(folder, str(os.getpid())), "a", encoding="ascii") as log:
                log.write(f"{started} {time.time()} {len(images)}\n")
        return super().run(images, ids, detections, named)


class FakeCostlyTools(FakeTools):
    """Builds it."""

    def anonymizer(self, key: SeedKey, galleries: Mapping[str, References]) -> PictureAnonymizer:
        """The costly one."""
        return FakeCostlyAnonymizer(key, galleries)
