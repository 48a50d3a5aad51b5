from pathlib import Path

import torch
from torch import Tensor, nn

from cfanet.networks.generator import Generator
from cfanet.weights import IdentitySpread
from tests.training.fakes import fake_guide
from tests.training.prepared import write_prepared
from training.config import NetworkSettings
from training.data import load_faces
from training.guide import Guide
from training.measure import measure_generator


class FakePerfectGenerator(nn.Module):
    """Restores every picture and knows whose it is, whatever identity it is given."""

    def __init__(self, guide: Guide) -> None:
        super().__init__()
        self.guide = guide
        self.weight = nn.Parameter(torch.zeros(1))

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return x, self.guide(x)

    def decode(self, content: Tensor, identity: Tensor) -> Tensor:
        return content

    def move(self, crops: Tensor, content: Tensor, identity: Tensor, goal: Tensor) -> Tensor:
        return self.decode(content, goal)

    def identify(self, x: Tensor) -> Tensor:
        return self.guide(x)


def test_the_numbers_of_a_generator_with_known_answers(tmp_path: Path) -> None:
    write_prepared(tmp_path)
    faces, guide = load_faces(tmp_path, 32), Guide(fake_guide(), 32)
    seen = guide(faces.pictures.float() / 127.5 - 1.0)
    faces = type(faces)(faces.pictures, faces.identity, seen)
    spread = IdentitySpread.measure(seen)
    found = measure_generator(FakePerfectGenerator(guide), guide, faces, spread)  # type: ignore[arg-type]
    for name in ("restored", "restored_from_z", "swapped_own", "moved_own", "z_id", "z_id_of_moved"):
        assert abs(found[name] - 1.0) < 1e-5, name
    assert found["l1"] < 1e-6 and found["moved_l1"] < 1e-6
    others = torch.cosine_similarity(seen, seen.roll(len(seen) // 2, 0)).mean()
    assert abs(found["swapped"] - float(others)) < 1e-5


def test_an_untrained_generator_gets_numbers_in_range(tmp_path: Path) -> None:
    write_prepared(tmp_path)
    faces, guide = load_faces(tmp_path, 32), Guide(fake_guide(), 32)
    network = NetworkSettings(resolution=32, content_size=8, width=8, max_width=16, style_dim=16, discriminator_width=8)
    found = measure_generator(Generator(network.generator(16)), guide, faces, IdentitySpread.measure(faces.embedding))
    assert len(found) == 9
    assert all(-1.0 <= value <= 1.0 for name, value in found.items() if not name.endswith("l1"))
