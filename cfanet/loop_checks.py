"""What the closed loop asks of a new face: that nobody is seen in it, and that the old one does not show through."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

from torch import Tensor

from cfanet.align import warp
from cfanet.config import LoopSettings
from cfanet.errors import ConfigError
from cfanet.face import Face, known
from cfanet.identity import IDENTITY_BRANCH
from cfanet.paste import Patch, paste
from cfanet.records import Comparison, ImageArray, Recognizer
from cfanet.search import References, angle_deg, pair_similarity, search
from cfanet.structure import face_patch, patch_correlation, structure_correlation
from cfanet.unchanged import clearly_changed

# Where the settings name no rate: towards a face's own original the loosest of these and `loop.fmr` that is known;
# towards the gallery, where every new face is compared with everybody, a rarer one than `loop.fmr`.
_ORIGINAL_FMRS = (1e-2, 1e-3)
_GALLERY_FMR = 1e-4


@dataclass(frozen=True)
class Verdict:
    """What the loop says of one new face."""

    away: bool  # nobody sees the original in it, its structure does not show, and it is clearly changed
    structured: bool  # the old one's fine structure shows
    passed: bool  # away, and nobody of the gallery is seen in it


class LoopChecks:
    """The loop's recognizers with their thresholds, and the limit of what may show of the old face.

    Without `loop.original_fmr` the limit towards the original is taken at 0.01, and from recognizers whose threshold
    was not measured there (most TorchScript files) at the looser of 0.001 and `loop.fmr` that was. Without
    `loop.gallery_fmr` the limit towards the gallery is taken at 0.0001, or at `loop.fmr` where that is not known or
    `loop.fmr` is rarer.
    """

    def __init__(
        self, loop: LoopSettings, recognizers: Mapping[str, Recognizer], galleries: Mapping[str, References]
    ) -> None:
        """ConfigError where a recognizer has no threshold at a rate that the settings name."""
        self._loop = loop
        self._recognizers = recognizers
        self._galleries = galleries
        self._towards_others = {n: self._towards_other(r) for n, r in recognizers.items()}
        self._towards_original = {n: self._towards_own(r) for n, r in recognizers.items()}

    def look_at_originals(self, faces: Sequence[Face], images: Sequence[ImageArray]) -> None:
        """Keep the middle of each face and every recognizer's view of it, in (H, W, 3) uint8 RGB pictures."""
        for face in faces:
            face.middle = face_patch(images[face.picture], face.box)
        for name, recognizer in self._recognizers.items():
            for face in faces:
                if name == IDENTITY_BRANCH and face.z_id is not None:
                    face.originals[name] = face.z_id.float().numpy()  # the same crop through the same network
                else:
                    face.originals[name] = recognizer.embed([images[face.picture]], [face.detection.landmarks])[0]

    def choose(self, face: Face, patches: Sequence[Patch], original: ImageArray, moving: bool = False) -> Patch | None:
        """Of one attempt's new faces the one that changes its (H, W, 3) uint8 RGB picture least and may stay, if any.

        The comparisons of the last that was looked at are kept with the face. Counts the attempts of which every face
        showed the original, and those that showed its fine structure every time: what follows is then tried further
        away. Faces that only resemble somebody of the gallery are as far as they must be, and go another way. `moving`:
        the picture is a frame of a video.
        """
        shown = structured = True
        for patch in sorted(patches, key=lambda patch: change(face, patch)):
            verdict = self.judge(face, patch, original, moving)
            if verdict.passed:
                return patch
            shown, structured = shown and not verdict.away, structured and verdict.structured
        face.shown += shown
        face.structured += shown and structured
        return None

    def judge(self, face: Face, patch: Patch, original: ImageArray, moving: bool = False) -> Verdict:
        """Look at one new face in its (H, W, 3) uint8 RGB picture; the comparisons are kept with the face."""
        candidate = paste(original, [patch])
        self._compare(face, candidate)
        structured = self._same_structure(face, patch.crop.clamp(-1, 1), candidate)
        away = not (structured or self._seen(face, "mated"))
        if self._loop.max_structure < 1.0:  # 1 never refuses: an angle of 0 may be asked for
            away = away and clearly_changed(original, candidate, face.box, moving)
        return Verdict(away, structured, away and not self._seen(face, "gallery"))

    def can_be_told(self, face: Face, picture: ImageArray) -> bool:
        """Whether a face that did not pass is still to be seen in a finished (H, W, 3) uint8 RGB picture.

        One that cannot be judged counts as seen.
        """
        if face.crop is None or not self._recognizers:
            return True
        for name, recognizer in self._recognizers.items():
            probe = recognizer.embed([picture], [face.detection.landmarks])
            limit = self._towards_original[name] - self._loop.margin
            if pair_similarity(probe, face.originals[name][None])[0] >= limit:
                return True
        size = face.crop.shape[-1]
        shown = warp(picture, known(face.matrix), (size, size))
        return self._same_structure(face, shown, picture)

    def _towards_other(self, recognizer: Recognizer) -> float:
        """The similarity from which a recognizer sees somebody of the gallery."""
        if self._loop.threshold is not None:
            return self._loop.threshold
        if self._loop.gallery_fmr is not None:
            return recognizer.threshold(self._loop.gallery_fmr)
        measured = recognizer.threshold(self._loop.fmr)
        with suppress(ConfigError):
            measured = recognizer.threshold(min(self._loop.fmr, _GALLERY_FMR))
        return measured

    def _towards_own(self, recognizer: Recognizer) -> float:
        """The similarity from which a recognizer sees the original."""
        if self._loop.threshold is not None:
            return self._loop.threshold
        if self._loop.original_fmr is not None:
            return recognizer.threshold(self._loop.original_fmr)
        measured = [recognizer.threshold(self._loop.fmr)]
        for fmr in _ORIGINAL_FMRS:
            with suppress(ConfigError):
                measured.append(recognizer.threshold(fmr))
        return min(measured)  # the loosest rate has the lowest threshold

    def _compare(self, face: Face, candidate: ImageArray) -> None:
        """Compare the pasted face with its original and with the gallery, by every recognizer of the loop."""
        comparisons: list[Comparison] = []
        for name, recognizer in self._recognizers.items():
            probe = recognizer.embed([candidate], [face.detection.landmarks])
            original = face.originals[name][None]
            angle = float(angle_deg(probe, original)[0])
            similarity = float(pair_similarity(probe, original)[0])
            comparisons.append(Comparison(name, "mated", "original", similarity, angle, self._towards_original[name]))
            if name == IDENTITY_BRANCH:
                face.measured_deg = angle
            references = self._galleries.get(name)
            if references is not None and references.ids:
                scores, positions = search(probe, references, 1)
                best = int(positions[0, 0])
                apart = float(angle_deg(probe, references.embeddings[best][None])[0])
                found = references.ids[best]
                threshold = self._towards_others[name]
                comparisons.append(Comparison(name, "gallery", found, float(scores[0, 0]), apart, threshold))
        face.comparisons = tuple(comparisons)

    def _same_structure(self, face: Face, crop: Tensor, picture: ImageArray) -> bool:
        """Whether the old fine structure shows, in an aligned crop or in the middle of the box, as audits look."""
        limit = self._loop.max_structure
        if structure_correlation(known(face.crop), crop) > limit:
            return True
        shown = patch_correlation(face.middle, face_patch(picture, face.box), face.box[2] - face.box[0])
        return shown is not None and shown > limit

    def _seen(self, face: Face, kind: str) -> bool:
        """Whether a comparison of that kind reached its threshold."""
        return any(c.kind == kind and c.similarity >= c.threshold - self._loop.margin for c in face.comparisons)


def change(face: Face, patch: Patch) -> float:
    """Mean absolute difference of a new face from the old one, both aligned crops in [-1, 1]."""
    return float((patch.crop - known(face.crop)).abs().mean())
