"""What a video costs in memory by its length: the peak of each stage for a clip, and for one five times as long.

    python -m benchmarks.video_memory [--seconds N]

Frames are small and the models are stand-ins whose vectors have the size of real ones (512), so that what grows is
what is known about every frame and face: boxes, landmarks, vectors, records. Each stage runs in a process of its own.
"""

import argparse
import resource
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from audit.gallery import seal
from cfanet.records import Embeddings, ImageArray, Landmarks, Recognizer
from cfanet.search import References
from cfanet.seeds import SeedKey
from jobs.anonymize import AnonymizeWorker
from jobs.audit import AuditContext, AuditWorker
from jobs.config import load_config
from jobs.enrol import EnrolWorker
from jobs.gallery_store import GalleryStore
from jobs.run import open_run
from jobs.tools import PictureAnonymizer
from tests.cfanet.clips import write_clip
from tests.jobs.fakes import FakeAnonymizer, FakeRecognizer, FakeTools, picture

_RATE = 25  # frames a second
_FACES = 2
_DIM = 512
_NOISE = 0.005  # of each number: two vectors of one face have a cosine of 0.99
_STAGES = ("enrol", "anonymize", "audit")
_STAGE = "import sys; from benchmarks.video_memory import run_stage; run_stage(sys.argv[1], sys.argv[2])"


class FakeWideRecognizer(FakeRecognizer):
    """Vectors of the size of a real recognizer's, and like them never twice the same."""

    dim = _DIM

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self._noise = np.random.default_rng(0)

    def embed(self, images: Sequence[ImageArray], landmarks: Sequence[Landmarks]) -> Embeddings:
        """The fake's with a little noise."""
        found = super().embed(images, landmarks)
        wide = np.pad(found, ((0, 0), (0, _DIM - found.shape[1])))
        wide += self._noise.normal(0.0, _NOISE, wide.shape).astype(np.float32)
        wide /= np.linalg.norm(wide, axis=1, keepdims=True)
        return wide


class FakeWideTools(FakeTools):
    """Builds it."""

    def loop_recognizers(self) -> dict[str, Recognizer]:
        """One."""
        return {"fake-loop": FakeWideRecognizer("fake-loop")}

    def judges(self) -> dict[str, Recognizer]:
        """Two."""
        return {name: FakeWideRecognizer(name) for name in ("fake-judge", "fake-other-judge")}

    def anonymizer(self, key: SeedKey, galleries: Mapping[str, References]) -> PictureAnonymizer:
        """The fake, with the wide recognizer."""
        made = FakeAnonymizer(key, galleries)
        made.loop_recognizers = self.loop_recognizers()
        return made


def run_stage(folder: str, stage: str) -> None:
    """One stage of a release of `folder`/source, without Ray; prints the peak of this process in bytes."""
    values = {
        "source.uri": f"{folder}/source",
        "destination.uri": f"{folder}/released",
        "run.key_file": f"{folder}/key",
        "anonymize.min_replace_px": 8.0,
    }
    run = open_run(load_config(None, (), values), FakeWideTools)
    (item,) = run.plan.items
    if stage == "enrol":
        EnrolWorker(run.context).process(item)
        with GalleryStore(run.config.gallery_uri).whole() as gallery:
            seal(gallery)
    elif stage == "anonymize":
        AnonymizeWorker(run.context).process(item)
    else:
        thresholds = dict.fromkeys(FakeWideTools(run.config).judges(), 0.5)
        AuditWorker(AuditContext(**vars(run.context), thresholds=thresholds)).process(item)
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)


def peaks(seconds: float) -> dict[str, int]:
    """Peak bytes of each stage for a clip of this length with two faces in every frame."""
    with tempfile.TemporaryDirectory(prefix="cfanet-bench-") as folder:
        (Path(folder) / "key").write_bytes(b"0123456789abcdef")
        frame = picture([40, 20][:_FACES])
        write_clip(Path(folder) / "source" / "clip.mp4", [frame] * round(seconds * _RATE), sound=False)
        return {
            stage: int(
                subprocess.run([sys.executable, "-c", _STAGE, folder, stage], check=True, capture_output=True).stdout
            )
            for stage in _STAGES
        }


def main() -> int:
    """Print the peaks, and what a minute adds to them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60.0, help="of the shorter clip")
    given = parser.parse_args()
    short, long = peaks(given.seconds), peaks(5 * given.seconds)
    table = Table("stage", f"{given.seconds:g} s, MiB", f"{5 * given.seconds:g} s, MiB", "MiB a minute", box=None)
    for stage in _STAGES:
        grown = (long[stage] - short[stage]) / 2**20
        per_minute = grown / (4 * given.seconds / 60)
        table.add_row(stage, f"{short[stage] / 2**20:.0f}", f"{long[stage] / 2**20:.0f}", f"{per_minute:.1f}")
    console = Console()
    console.print(f"{_FACES} faces in each of {_RATE} frames a second, three recognizers of {_DIM} numbers")
    console.print(table)
    return 0


if __name__ == "__main__":
    sys.exit(main())
