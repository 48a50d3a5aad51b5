"""LPIPS and FID: measured with their own weights, or not at all. Nothing is downloaded and nothing stands in."""

from collections.abc import Sequence
from functools import cache
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torchmetrics.image.lpip import LearnedPerceptualImagePatchSimilarity

from cfanet.records import ImageArray
from training.evaluation.quantities import Measured, NotMeasured, mean

ALEXNET = "alexnet-owt-7be5be79.pth"  # torchvision's, under which LPIPS 0.1 (alex) puts its linear heads
_SIDE = 64  # smallest side AlexNet's pooling is comfortable with


def lpips_missing() -> NotMeasured | None:
    """Why LPIPS cannot be measured here; None where it can."""
    path = Path(torch.hub.get_dir()) / "checkpoints" / ALEXNET
    if path.is_file():
        return None
    return NotMeasured(f"weights missing (put torchvision's {ALEXNET} into $TORCH_HOME/hub/checkpoints)")


@torch.inference_mode()
def lpips(a: ImageArray, b: ImageArray) -> float:
    """LPIPS 0.1, AlexNet (Zhang et al., 2018), of two (H, W, 3) uint8 RGB pictures of one size."""
    return float(_network()(_tensor(a), _tensor(b)))


@cache
def _network() -> LearnedPerceptualImagePatchSimilarity:
    return LearnedPerceptualImagePatchSimilarity(net_type="alex")


def lpips_cell(values: Sequence[float], missing: NotMeasured | None) -> Measured | NotMeasured:
    """The table's cell."""
    return mean(values) if missing is None else missing


def fid_cell() -> NotMeasured:
    """FID (Heusel et al., 2017) needs the Inception network of its authors, which no package here brings."""
    return NotMeasured(
        "weights missing (the Inception network of the FID's authors, pt_inception-2015-12-05-6726825d.pth; "
        "elsewhere: `fidelity --fid --input1 ORIGINALS --input2 RELEASED` of torch-fidelity)"
    )


def _tensor(image: ImageArray) -> torch.Tensor:
    """(1, 3, H, W) float32 in [-1, 1], the shorter side at least 64 pixels."""
    height, width = image.shape[:2]
    scale = max(1.0, _SIDE / min(height, width))
    size = (round(width * scale), round(height * scale))
    resized = np.array(Image.fromarray(np.ascontiguousarray(image)).resize(size, Image.Resampling.BICUBIC))
    return torch.from_numpy(resized).permute(2, 0, 1)[None].float() / 127.5 - 1.0
