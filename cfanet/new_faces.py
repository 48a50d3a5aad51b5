"""New faces for old ones: what the generator keeps of a face, and that face moved to new identities."""

from collections.abc import Iterator, Sequence
from itertools import groupby

import torch
from torch import Tensor

from cfanet.align import warp
from cfanet.colour import limit_colour
from cfanet.config import AnonymizeSettings
from cfanet.enlarge import enlargement
from cfanet.face import Face, known
from cfanet.landmark_keeper import LandmarkKeeper
from cfanet.paste import Patch, sharpness_at
from cfanet.records import ImageArray
from cfanet.structure import soften
from cfanet.weights import TrainedGenerator

_GPU_BATCH = 16


class NewFaces:
    """Makes new faces; what one face becomes does not depend on the others."""

    def __init__(self, generator: TrainedGenerator, settings: AnonymizeSettings, device: str = "cpu") -> None:
        """Share the generator's networks."""
        self._network = generator.network
        self._soften_after = settings.loop.soften_after
        self._colour_levels = settings.max_colour_change
        self._device = device
        self._keeper = LandmarkKeeper(settings.keep_landmarks, device) if settings.keep_landmarks else None

    @property
    def size(self) -> int:
        """Side of the generator's crops in pixels."""
        return self._network.config.resolution

    def encode(self, faces: Sequence[Face], images: Sequence[ImageArray]) -> None:
        """Take the crop, the content and the identity vector of aligned faces."""
        crops = [warp(images[face.picture], known(face.matrix), (self.size, self.size)) for face in faces]
        for start in range(0, len(faces), self._batch):
            batch = faces[start : start + self._batch]
            content, z_id = self._network.encode(self._stack(crops[start : start + self._batch]))
            for face, crop, code, vector in zip(batch, crops[start:], content, z_id, strict=False):
                face.crop, face.content, face.z_id = crop, code, vector.cpu()

    def prepare(self, faces: Sequence[Face], images: Sequence[ImageArray]) -> None:
        """Once for all attempts: how sharp a face is, and the face decoded as it is.

        What no code holds of it is the difference from that.
        """
        for face in faces:
            face.sharpness = sharpness_at(images[face.picture], known(face.matrix), self.size)
        for start in range(0, len(faces) if self._network.config.detail else 0, self._batch):
            batch = faces[start : start + self._batch]
            content = self._stack([known(face.content)[None] for face in batch])
            restored = self._network.decode(content, self._stack([known(face.z_id)[None] for face in batch]))
            for face, row in zip(batch, restored.float().cpu(), strict=False):
                face.restored = row[None]

    def patches(self, wanted: Sequence[tuple[Face, Sequence[Tensor]]]) -> Iterator[list[Patch]]:
        """For each face its new ones, one for each of its identities (d,) unit-norm."""
        crops = self._decode([(face, vector) for face, vectors in wanted for vector in vectors])
        for face, vectors in wanted:
            yield [Patch(next(crops), known(face.matrix), face.sharpness) for _ in vectors]

    def _decode(self, wanted: list[tuple[Face, Tensor]]) -> Iterator[Tensor]:
        """The crop of each face moved to a target, in batches that do not depend on the other faces."""
        for batch in self._batches(wanted):
            crops = self._stack([known(face.crop) for face, _ in batch])
            soft = [face.structured >= self._soften_after for face, _ in batch]
            content = self._stack(
                [self._content(face, softened)[None] for (face, _), softened in zip(batch, soft, strict=True)]
            )
            identity = self._stack([known(face.z_id)[None] for face, _ in batch])
            goal = self._stack([target[None] for _, target in batch])
            own = [  # of a softened look nothing sharp is carried over
                known(face.crop if softened or face.restored is None else face.restored)
                for (face, _), softened in zip(batch, soft, strict=True)
            ]
            moved = self._network.move(crops, content, identity, goal, self._stack(own)).float()
            if self._keeper is not None:
                moved = self._keeper.put_back(moved, self._stack([self._keeper.of(face) for face, _ in batch]))
            close = self._stack([torch.tensor([enlargement(known(face.matrix))]) for face, _ in batch])
            moved = limit_colour(moved, crops, self._colour_levels, close)
            yield from (crop[None] for crop in moved[: len(batch)].cpu())

    def _batches(self, wanted: list[tuple[Face, Tensor]]) -> Iterator[list[tuple[Face, Tensor]]]:
        """Batches of a fixed size on a GPU; on a CPU, where rounding depends on the size, all that one face wants."""
        if self._batch > 1:
            yield from (wanted[start : start + self._batch] for start in range(0, len(wanted), self._batch))
        else:
            yield from (list(several) for _, several in groupby(wanted, key=lambda entry: id(entry[0])))

    def _content(self, face: Face, soft: bool) -> Tensor:
        """What is kept of a face: its content, or that of its softened crop, which holds less of its fine structure."""
        if not soft:
            return known(face.content)
        if face.softened is None:
            crop = self._stack([soften(known(face.crop))])
            face.softened = self._network.encode(crop)[0][0]
        return face.softened

    @property
    def _batch(self) -> int:
        # On a CPU rounding depends on the size of a batch and little is gained; on a GPU the last one is filled up.
        return 1 if self._device == "cpu" else _GPU_BATCH

    def _stack(self, rows: list[Tensor]) -> Tensor:
        """Concatenate (1, …) tensors and fill up to the fixed batch with zeros."""
        batch = torch.cat([row.to(self._device) for row in rows])
        missing = self._batch - len(batch)
        return torch.cat([batch, batch.new_zeros(missing, *batch.shape[1:])]) if missing > 0 else batch
