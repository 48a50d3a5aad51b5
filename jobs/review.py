"""The internal review: crops of the worst cases, original beside released, on one page that never lies in DST.

Written only where `run.review` names a file. The report itself never shows a picture.
"""

import base64
import io
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from audit.files import write_text
from audit.report import render_review
from cfanet.records import Box, ImageArray
from jobs.codecs.shard import Refusal, Sample, WorkItem
from jobs.ledger import read_ledger
from jobs.pictures import source_pictures, wants_pictures
from jobs.plan import codec_for
from jobs.run import Run
from jobs.storage import Entry, Storage, open_storage

_SHOWN_PX = 224
_MARGIN = 0.35  # of the face's box, so that hair and surroundings can be judged too


@dataclass(frozen=True)
class Case:
    """One face of the worst, as the page shows it."""

    face: str
    recognizer: str
    decision: str
    similarity: float
    true_rank: int | None
    matched: bool
    before: str  # data: URI
    after: str


def write_review(run: Run, report: Mapping[str, Any], path: Path) -> int:
    """Write the page for the worst cases of a report; returns how many it shows."""
    worst = {
        (judge["recognizer"], case["face"]): case
        for judge in report["measured"]["judgements"]
        for case in judge["worst"]
    }
    wanted = {face.rpartition("#")[0] for _, face in worst}
    crops = {name: pair for item in run.plan.items for name, pair in _crops(run, item, wanted)}
    cases = [
        Case(
            face, recognizer, case["decision"], case["similarity"], case["true_rank"], case["matched"], *crops[face]
        )
        for (recognizer, face), case in worst.items()
        if face in crops
    ]  # fmt: skip
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, render_review(run.context.run_id, cases))
    path.chmod(0o600)
    return len(cases)


def _crops(run: Run, item: WorkItem, wanted: set[str]) -> Iterator[tuple[str, tuple[str, str]]]:
    """(face id, crops before and after) of the recorded faces of the wanted pictures of one item."""
    manifest = run.manifests.get(item.shard)
    if manifest is None or manifest.withheld:
        return
    faces = {e.picture.sample_key: e.picture.faces for e in read_ledger(run.storage, item.shard)}
    names = wanted & set(faces)
    if not names:
        return
    files = tuple(Entry(output.path, output.size, "") for output in manifest.outputs)
    before = _pictures(run, open_storage(run.config.source.uri), item, names)
    after = _pictures(run, run.storage, WorkItem(item.shard, item.format, files, ""), names)
    for name in sorted(names & set(before) & set(after)):
        for face in faces[name]:
            pair = (_crop(before[name], face.box), _crop(after[name], face.box))
            yield f"{name}#{face.face_index}", pair


def _pictures(run: Run, storage: Storage, item: WorkItem, names: set[str]) -> dict[str, ImageArray]:
    found = {}
    for sample in codec_for(item.format, run.config).read(storage, item, wants_pictures):
        if isinstance(sample, Refusal) or not names & _names(sample):
            continue
        for picture in source_pictures(sample, run.config.audit.max_megapixels):
            if picture.id in names and picture.picture is not None:
                found[picture.id] = picture.picture.pixels
    return found


def _names(sample: Sample) -> set[str]:
    return {sample.picture_id(member) for member in sample.pictures}


def _crop(image: ImageArray, box: Box) -> str:
    """The face with a margin, as a data: URI."""
    x, y = _MARGIN * (box[2] - box[0]), _MARGIN * (box[3] - box[1])
    height, width = image.shape[:2]
    corners = (max(0.0, box[0] - x), max(0.0, box[1] - y), min(width, box[2] + x), min(height, box[3] + y))
    left, top, right, bottom = (round(value) for value in corners)
    if left >= right or top >= bottom:
        left, top, right, bottom = 0, 0, width, height
    face = Image.fromarray(image[top:bottom, left:right])
    face = face.resize((_SHOWN_PX, max(1, round(_SHOWN_PX * face.height / face.width))))
    buffer = io.BytesIO()
    face.save(buffer, "JPEG", quality=90)
    return f"data:image/jpeg;base64,{base64.b64encode(buffer.getvalue()).decode()}"
