"""An anonymizer that fails and says that it did not."""

from collections.abc import Callable, Mapping

from cfanet.records import Detection, FaceDecision, ImageArray, ImageResult
from cfanet.search import References
from cfanet.seeds import SeedKey
from jobs.tools import PictureAnonymizer
from tests.jobs.fakes import FakeAnonymizer, FakeTools

Spoil = Callable[[ImageArray, ImageArray], ImageArray]  # original, anonymized -> what is released instead


class FakeLeakyAnonymizer(FakeAnonymizer):
    """Spoils some of the pictures in which it replaced a face, and does not look at what it releases."""

    spoil: Mapping[str, Spoil] = {}

    def run(self, images, ids, detections=None, named=None):  # type: ignore[no-untyped-def]
        results = super().run(images, ids, detections, named)
        return [self._spoilt(*pair) for pair in zip(images, results, strict=True)]

    def _spoilt(self, image: ImageArray, result: ImageResult) -> ImageResult:
        leak = self.spoil.get(result.id.rpartition("/")[2])
        if leak is None or result.image is None or all(face.decision != FaceDecision.REPLACED for face in result.faces):
            return result
        return ImageResult(result.id, result.status, result.detail, leak(image, result.image), result.faces)

    def check_released(
        self, original: ImageArray, released: ImageArray, result: ImageResult, moving: bool = False
    ) -> list[Detection]:
        return []  # blind


def leaky_tools(spoil: Mapping[str, Spoil]) -> type[FakeTools]:
    """Tools of an anonymizer that spoils these pictures, by the last part of their id."""

    class FakeLeakyTools(FakeTools):
        def anonymizer(self, key: SeedKey, galleries: Mapping[str, References]) -> PictureAnonymizer:
            anonymizer = FakeLeakyAnonymizer(key, galleries)
            anonymizer.spoil = spoil
            return anonymizer

    return FakeLeakyTools
