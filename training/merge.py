"""The mean of two generators' weights: what lies between a run and the one that went on from it.

Fine-tuned weights and those they started from lie in one basin, and between them is often a better trade than either
(Izmailov et al., 2018; Wortsman et al., 2022).
"""

import json
from dataclasses import asdict

from cfanet.errors import WeightsError
from cfanet.networks.generator import Generator
from cfanet.weights import TrainedGenerator


def merged(first: TrainedGenerator, second: TrainedGenerator, share: float) -> Generator:
    """Weights with `share`, in [0, 1], of the second; WeightsError where the networks differ."""
    one, other = asdict(first.network.config), asdict(second.network.config)
    apart = ", ".join(f"{name} {one[name]} and {other[name]}" for name in one if one[name] != other[name])
    if apart:
        raise WeightsError(f"they are of two kinds ({apart}): merge a run and one that started from it")
    network = Generator(first.network.config)
    others = second.network.state_dict()
    network.load_state_dict(
        {name: value.lerp(others[name], share) for name, value in first.network.state_dict().items()}
    )
    return network.eval().requires_grad_(False)


def notes_of_merged(first: TrainedGenerator, second: TrainedGenerator, share: float) -> dict[str, str]:
    """Where the mean comes from: both files' digests and shares, and how the second was trained."""
    kept = ("steps", "pictures_seen", "start", "landmarks", "losses", "network", "training_faces")
    parts = json.dumps({first.digest: round(1.0 - share, 6), second.digest: round(share, 6)})
    return {name: second.metadata[name] for name in kept if name in second.metadata} | {"merged": parts}
