"""The private gallery on its own: enrol references without releasing anything, and calibrate thresholds on them."""

from audit.calibration import Calibration
from audit.calibration_store import calibrated
from audit.gallery import Snapshot, seal
from cfanet.errors import ConfigError
from cfanet.seeds import SeedKey
from jobs.config import ReleaseConfig
from jobs.gallery_store import GalleryStore
from jobs.pipeline import ray_session
from jobs.plan import read_source
from jobs.progress import Progress
from jobs.stages import ENROL, enrol_items, raise_failures
from jobs.storage import lies_inside
from jobs.tools import RealTools, Tools
from jobs.worker import JobContext


def enrol_gallery(config: ReleaseConfig, progress: Progress, tools: type[Tools] = RealTools) -> Snapshot:
    """Add the faces of a source to a gallery directory; ConfigError when none is named."""
    if not config.run.gallery and not config.destination.uri:
        raise ConfigError("no gallery is named: give --gallery DIR (a private folder, outside the dataset)")
    _, items, _ = read_source(config)
    if lies_inside(config.gallery_uri, config.source.uri):
        raise ConfigError(
            f"run.gallery {config.gallery_uri} lies inside SRC: it holds biometric data, keep it elsewhere"
        )
    context = JobContext(config, tools, SeedKey.random(), "gallery", "")
    with ray_session(config):
        snapshot, failures = enrol_items(context, items, progress, lambda stage, seconds, peak: None)
    raise_failures(ENROL, {shard: report.error for shard, report in failures.items()})
    return snapshot


def calibrate_gallery(config: ReleaseConfig, tools: type[Tools] = RealTools) -> list[Calibration]:
    """Every judge's thresholds on the labelled references of a gallery; kept beside it, where audits find them."""
    judges = tools(config.for_driver()).judges()
    with GalleryStore(config.gallery_uri).whole() as folder:
        digest = seal(folder).sha256
        return [calibrated(judge, folder, digest, config.audit) for judge in judges.values()]


if __name__ == "__main__":
    import sys

    from jobs.cli import main

    raise SystemExit(main(["gallery", "enrol", "--config", *sys.argv[1:]]))
