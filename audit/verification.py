"""Examines released pictures: every face that the original had is looked up again, where it was.

A released face is embedded at the *original's* landmarks: the adversary knows where to look, and no face escapes
by not being detected any more.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from audit.config import AuditSettings
from audit.gallery import Gallery
from audit.metadata import inspect_metadata
from audit.overlap import assign, covered, pixel_change
from audit.records import (
    AuditedFace,
    AuditedPicture,
    AuditTask,
    EnrolledFace,
    FaceOrigin,
    GallerySearch,
)
from audit.search import search_people
from audit.second_detector import SecondDetector
from audit.strata import SECOND_DETECTOR, strata_of
from cfanet.errors import PictureError
from cfanet.images import decode
from cfanet.records import (
    Box,
    Comparison,
    Embeddings,
    FaceDecision,
    FaceRecord,
    ImageArray,
    ImageStatus,
    Landmarks,
    Recognizer,
)
from cfanet.search import angle_deg, pair_similarity

# Where the five points lie in a detector's box, as shares of its sides; used only where no landmarks are enrolled.
_POINTS_IN_BOX: Landmarks = np.array(
    [[0.30, 0.38], [0.70, 0.38], [0.50, 0.58], [0.34, 0.77], [0.66, 0.77]], dtype=np.float32
)


@dataclass(frozen=True, eq=False)
class _Probe:
    """One face to compare: the released picture and, as far as known, its original."""

    face: AuditedFace
    released: ImageArray
    original: ImageArray | None
    enrolled: EnrolledFace | None
    landmarks: Landmarks


class Auditor:
    """Compares released faces with their originals. Holds models; keeps nothing between calls."""

    def __init__(
        self,
        recognizers: Mapping[str, Recognizer],
        second_detector: SecondDetector,
        thresholds: Mapping[str, float],
        settings: AuditSettings,
    ) -> None:
        """Judge with `recognizers` at `thresholds` (similarity per recognizer name); ValueError if one is missing."""
        missing = sorted(set(recognizers) - set(thresholds))
        if missing:
            raise ValueError(f"no threshold for recognizer {missing[0]!r}: calibrate it first")
        self._recognizers = dict(recognizers)
        self._second_detector = second_detector
        self._thresholds = dict(thresholds)
        self._settings = settings

    def audit(self, tasks: Sequence[AuditTask]) -> tuple[AuditedPicture, ...]:
        """Examine pictures, in order. Faces carry embeddings until `search_gallery` has used them."""
        examined: list[tuple[AuditTask, tuple[str, ...], list[_Probe], list[AuditedFace]]] = []
        for task in tasks:
            findings = _file_findings(task)
            pixels = self._decode(task.released, findings)
            if pixels is None:
                examined.append((task, tuple(findings), [], _unreadable(task)))
                continue
            original = task.original
            if original is not None and original.shape != pixels.shape:
                findings.append(f"size changed: {_size(original)} became {_size(pixels)}")
                original = None
            probes, hopeless = self._probes(task, pixels, original)
            examined.append((task, tuple(findings), probes, hopeless + self._missed(task, pixels, original)))
        compared = iter(self._compare([probe for _, _, probes, _ in examined for probe in probes]))
        return tuple(
            AuditedPicture(task.ledger, tuple(next(compared) for _ in probes) + tuple(rest), findings, examined=True)
            for task, findings, probes, rest in examined
        )

    def _decode(self, data: bytes, findings: list[str]) -> ImageArray | None:
        try:
            return decode(data, self._settings.max_megapixels).pixels
        except PictureError as error:
            findings.append(f"released picture cannot be read: {error.reason}")
            return None

    def _probes(
        self, task: AuditTask, released: ImageArray, original: ImageArray | None
    ) -> tuple[list[_Probe], list[AuditedFace]]:
        """Faces that can be compared, and those that cannot."""
        probes, hopeless = [], []
        before = None if original is None else [face.box for face in self._second_detector.detect(original)]
        pairs, unrecorded = assign(task.ledger.faces, task.enrolled.faces)
        for record, enrolled in pairs:
            face = self._seen(self._face(task, record, enrolled, released, original), before)
            if enrolled is None and original is None:
                hopeless.append(replace(face, fta=True))
            else:
                probes.append(_Probe(face, released, original, enrolled, _landmarks(enrolled, record.box)))
        for enrolled in unrecorded:
            face = self._face(task, None, enrolled, released, original)
            landmarks = _landmarks(enrolled, enrolled.detection.box)
            probes.append(_Probe(face, released, original, enrolled, landmarks))
        return probes, hopeless

    def _face(
        self,
        task: AuditTask,
        record: FaceRecord | None,
        enrolled: EnrolledFace | None,
        released: ImageArray,
        original: ImageArray | None,
    ) -> AuditedFace:
        known = record or enrolled
        assert known is not None
        box = record.box if record else enrolled.detection.box if enrolled else (0.0, 0.0, 0.0, 0.0)
        change = None if original is None else pixel_change(original, released, box)
        score = enrolled.detection.score if enrolled else record.detector_score if record else None
        points = enrolled.detection.landmarks if enrolled else None
        return AuditedFace(
            sample_key=task.ledger.sample_key,
            face_index=known.face_index,
            origin=FaceOrigin.LEDGER if record else FaceOrigin.GALLERY,
            subject_id=enrolled.subject_id if enrolled else "",
            box=box,
            record=record,
            pixel_change=change,
            unchanged=None if change is None else change <= self._settings.unchanged_tolerance,
            strata=strata_of(box, (released.shape[0], released.shape[1]), score, points, task.enrolled.labels),
        )

    def _seen(self, face: AuditedFace, before: Sequence[Box] | None) -> AuditedFace:
        """Note whether the second detector sees this face in the original: how many it sees bounds what it misses."""
        if before is None or self._second_detector.name == "none":
            return face
        seen = "sees it" if covered(face.box, before) else "does not see it"
        return replace(face, strata={**face.strata, SECOND_DETECTOR: seen})

    def _missed(self, task: AuditTask, released: ImageArray, original: ImageArray | None) -> list[AuditedFace]:
        """Faces that only the second detector sees, where nothing was replaced or obscured."""
        treated = [face.box for face in task.ledger.faces if face.decision != FaceDecision.WITHHELD]
        treated += [face.detection.box for face in task.enrolled.faces]  # those are examined as unrecorded
        missed: list[AuditedFace] = []
        for seen in self._second_detector.detect(released):
            if covered(seen.box, treated):
                continue
            change = None if original is None else pixel_change(original, released, seen.box)
            missed.append(
                AuditedFace(
                    sample_key=task.ledger.sample_key,
                    face_index=len(missed),
                    origin=FaceOrigin.SECOND_DETECTOR,
                    subject_id="",
                    box=seen.box,
                    record=None,
                    pixel_change=change,
                    unchanged=None if change is None else change <= self._settings.unchanged_tolerance,
                    score=seen.score,
                )
            )
        return missed

    def _compare(self, probes: Sequence[_Probe]) -> list[AuditedFace]:
        """Embed released faces with every recognizer and compare each with its own original."""
        if not probes:
            return []
        images, landmarks = [p.released for p in probes], [p.landmarks for p in probes]
        embedded: dict[str, Embeddings] = {}
        comparisons: list[list[Comparison]] = [[] for _ in probes]
        for name, recognizer in self._recognizers.items():
            embedded[name] = recognizer.embed(images, landmarks)
            own = self._originals(name, recognizer, probes)
            similarity, angle = pair_similarity(embedded[name], own), angle_deg(embedded[name], own)
            for row, probe in enumerate(probes):
                reference = probe.enrolled.reference_id if probe.enrolled else _unenrolled_id(probe.face)
                threshold = self._thresholds[name]
                comparisons[row].append(
                    Comparison(name, "mated", reference, float(similarity[row]), float(angle[row]), threshold)
                )
        return [
            replace(
                probe.face,
                comparisons=tuple(comparisons[row]),
                embeddings={name: vectors[row] for name, vectors in embedded.items()},
            )
            for row, probe in enumerate(probes)
        ]

    def _originals(self, name: str, recognizer: Recognizer, probes: Sequence[_Probe]) -> Embeddings:
        """(N, d) embeddings of the originals: enrolled ones, or computed from the original's pixels."""
        rows = np.zeros((len(probes), recognizer.dim), dtype=np.float32)
        for row, probe in zip(rows, probes, strict=True):
            if probe.enrolled is None:
                assert probe.original is not None
                row[:] = recognizer.embed([probe.original], [probe.landmarks])[0]
            elif name in probe.enrolled.embeddings:
                row[:] = probe.enrolled.embeddings[name]
            else:
                raise ValueError(f"{probe.enrolled.reference_id} is not enrolled with {name!r}: enrol it again")
        return rows


def search_gallery(
    pictures: Sequence[AuditedPicture], galleries: Mapping[str, Gallery], thresholds: Mapping[str, float]
) -> tuple[AuditedPicture, ...]:
    """Search every examined face among all originals, exactly, and drop the embeddings.

    Adds to each face a GallerySearch per recognizer and a Comparison of kind "gallery" with the best other person.
    The result does not depend on how pictures are grouped.
    """
    faces = [face for picture in pictures for face in picture.faces if face.embeddings]
    found: dict[int, list[tuple[GallerySearch, Comparison | None]]] = {id(face): [] for face in faces}
    for name, gallery in galleries.items():
        if faces:
            for face, result in zip(faces, _search(name, faces, gallery, thresholds[name]), strict=True):
                found[id(face)].append(result)
    return tuple(
        replace(picture, faces=tuple(_with_searches(face, found.get(id(face), [])) for face in picture.faces))
        for picture in pictures
    )


def search_outside(
    pictures: Sequence[AuditedPicture],
    outside: Mapping[str, Mapping[str, Gallery]],
    thresholds: Mapping[str, float],
) -> tuple[AuditedPicture, ...]:
    """Search every examined face in other galleries; `outside` is recognizer → name → gallery.

    Adds a Comparison of kind "outside" per recognizer with the best of them all. Call it before `search_gallery`.
    """
    faces = [face for picture in pictures for face in picture.faces if face.embeddings]
    best: dict[int, list[Comparison]] = {id(face): [] for face in faces}
    for recognizer, galleries in outside.items():
        if faces:
            for face, found in zip(faces, _best_outside(recognizer, faces, galleries, thresholds), strict=True):
                best[id(face)] += [] if found is None else [found]
    return tuple(
        replace(
            picture,
            faces=tuple(
                replace(face, comparisons=(*face.comparisons, *best.get(id(face), []))) for face in picture.faces
            ),
        )
        for picture in pictures
    )


def _best_outside(
    recognizer: str, faces: Sequence[AuditedFace], galleries: Mapping[str, Gallery], thresholds: Mapping[str, float]
) -> list[Comparison | None]:
    queries = np.stack([face.embeddings[recognizer] for face in faces])
    nobody = [""] * len(faces)
    found: list[Comparison | None] = [None] * len(faces)
    for name, gallery in sorted(galleries.items()):
        searched = search_people(queries, gallery, nobody, nobody)
        for row, (similarity, position) in enumerate(zip(searched.best_other, searched.position, strict=True)):
            known = found[row]
            if position >= 0 and (known is None or similarity > known.similarity):
                reference = gallery.references.embeddings[position]
                angle = float(angle_deg(queries[row][None], reference[None])[0])
                place = f"{name}:{gallery.references.ids[position]}"
                found[row] = Comparison(recognizer, "outside", place, float(similarity), angle, thresholds[recognizer])
    return found


def _search(
    name: str, faces: Sequence[AuditedFace], gallery: Gallery, threshold: float
) -> list[tuple[GallerySearch, Comparison | None]]:
    queries = np.stack([face.embeddings[name] for face in faces])
    subjects = [face.subject_id for face in faces]
    own_ids = [next(c.reference_id for c in face.comparisons if c.recognizer == name) for face in faces]
    searched = search_people(queries, gallery, subjects, own_ids)
    references = gallery.references
    results: list[tuple[GallerySearch, Comparison | None]] = []
    for row in range(len(faces)):
        position, best = int(searched.position[row]), float(searched.best_other[row])
        other = references.ids[position] if position >= 0 else ""
        own = searched.own[row]
        found = GallerySearch(
            recognizer=name,
            n_references=len(references.ids),
            threshold=threshold,
            best_other_id=other,
            best_other_similarity=best,
            own_similarity=None if np.isnan(own) else float(own),
            true_rank=int(searched.rank[row]) or None,
        )
        comparison = None
        if other:
            angle = angle_deg(queries[row][None], references.embeddings[position][None])[0]
            comparison = Comparison(name, "gallery", other, best, float(angle), threshold)
        results.append((found, comparison))
    return results


def _with_searches(face: AuditedFace, found: Sequence[tuple[GallerySearch, Comparison | None]]) -> AuditedFace:
    added = tuple(comparison for _, comparison in found if comparison is not None)
    searches = tuple(search for search, _ in found)
    return replace(face, comparisons=face.comparisons + added, searches=searches, embeddings={})


def _file_findings(task: AuditTask) -> list[str]:
    findings = list(inspect_metadata(task.released))
    if task.ledger.status is ImageStatus.QUARANTINED:
        findings.append("released, although the ledger says it is quarantined")
    if task.ledger.output_sha256 != hashlib.sha256(task.released).hexdigest():
        findings.append("bytes differ from what the ledger recorded")
    if task.ledger.input_sha256 != task.enrolled.input_sha256:
        findings.append("the original enrolled is not the one the ledger recorded")
    return findings


def _unreadable(task: AuditTask) -> list[AuditedFace]:
    """Faces of a picture that could not be decoded: none of them is verified."""
    return [
        AuditedFace(task.ledger.sample_key, record.face_index, FaceOrigin.LEDGER, "", record.box, record, fta=True)
        for record in task.ledger.faces
    ]


def _landmarks(enrolled: EnrolledFace | None, box: Box) -> Landmarks:
    """The enrolled five points, or typical ones inside the box where they are unknown or coincide."""
    if enrolled is not None:
        points = enrolled.detection.landmarks
        if np.isfinite(points).all() and float(points.var(axis=0).sum()) > 1e-3:
            return points
    x1, y1, x2, y2 = box
    side = np.array([max(x2 - x1, 1.0), max(y2 - y1, 1.0)], dtype=np.float32)
    result: Landmarks = np.array([x1, y1], dtype=np.float32) + _POINTS_IN_BOX * side
    return result


def _unenrolled_id(face: AuditedFace) -> str:
    return f"{face.sample_key}#box{face.face_index}"


def _size(image: ImageArray) -> str:
    return f"{image.shape[1]}×{image.shape[0]}"
