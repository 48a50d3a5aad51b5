"""The private gallery on its own: enrol references without releasing anything, and calibrate thresholds on them."""

from pathlib import Path

from audit.calibration import Calibration
from audit.calibration_store import calibrated
from audit.gallery import Snapshot, seal
from cfanet.errors import ConfigError
from cfanet.seeds import SeedKey
from jobs.config import ReleaseConfig
from jobs.pipeline import ray_session
from jobs.plan import read_source
from jobs.progress import Progress
from jobs.stages import enrol_items
from jobs.tools import RealTools, Tools
from jobs.worker import JobContext


def enrol_gallery(config: ReleaseConfig, progress: Progress, tools: type[Tools] = RealTools) -> Snapshot:
    """Add the faces of a source to a gallery directory; ConfigError when none is named."""
    if not config.run.gallery and not config.destination.uri:
        raise ConfigError("no gallery is named: give --gallery DIR (a private folder, outside the dataset)")
    _, items, _ = read_source(config)
    if config.gallery_dir.resolve().is_relative_to(Path(config.source.uri).resolve()):
        raise ConfigError(
            f"run.gallery {config.gallery_dir} lies inside SRC: it holds biometric data, keep it elsewhere"
        )
    context = JobContext(config, tools, SeedKey.random(), "gallery", "")
    with ray_session(config):
        return enrol_items(context, items, progress, lambda stage, seconds, peak: None)


def calibrate_gallery(config: ReleaseConfig, tools: type[Tools] = RealTools) -> list[Calibration]:
    """Every judge's thresholds on the labelled references of a gallery; kept beside it, where audits find them."""
    digest = seal(config.gallery_dir).sha256
    return [calibrated(judge, config.gallery_dir, digest, config.audit) for judge in tools(config).judges().values()]


if __name__ == "__main__":
    import sys

    from jobs.cli import main

    raise SystemExit(main(["gallery", "enrol", "--config", *sys.argv[1:]]))
