"""Settings of the anonymizer: validated, frozen, hashed with every output. Unknown keys are errors."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class Section(BaseModel):
    """Base of every settings section."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class DetectorSettings(Section):
    """How faces are found."""

    name: Literal["mtcnn"] = "mtcnn"
    min_face_px: int = Field(12, ge=8, le=512, description="smallest face side looked for, pixels")
    score: float = Field(0.5, gt=0.0, lt=1.0, description="last-stage confidence at which a region counts as a face")
    cut_faces: bool = Field(True, description="look a second time, for faces that the picture's border cuts")


class LoopSettings(Section):
    """The closed loop: who checks a new face, and what happens when it does not pass."""

    recognizers: tuple[str, ...] = Field(
        ("identity-branch",), min_length=1, description="recognizers that check each new face; never the auditor's"
    )
    fmr: float = Field(1e-3, gt=0.0, lt=0.5, description="false match rate of their thresholds where no other is named")
    gallery_fmr: float | None = Field(
        None,
        gt=0.0,
        lt=0.5,
        description="the same towards everybody of the gallery, thousands at once; default: 0.0001 where the "
        "recognizer knows it, else fmr",
    )
    original_fmr: float | None = Field(
        None,
        gt=0.0,
        lt=0.5,
        description="the same towards a face's own original, whose pixels it shares: stricter; default: the loosest of "
        "0.01, 0.001 and fmr that the recognizer knows",
    )
    threshold: float | None = Field(
        None,
        gt=-1.0,
        le=2.0,
        description="one similarity threshold for all of them instead of the calibrated ones; 2 never refuses",
    )
    margin: float = Field(0.02, ge=0.0, lt=0.5, description="how far below the threshold a new face must stay")
    max_structure: float = Field(
        0.95,
        ge=0.0,
        le=1.0,
        description="correlation of fine structure with the old face from which a new one is refused; 1 never refuses",
    )
    soften_after: int = Field(
        3,
        ge=1,
        le=64,
        description="attempts with too much of the old face's structure after which further ones are made of a "
        "softened look at it",
    )
    gallery: bool = Field(True, description="also check each new face against every original of the dataset")
    candidates: int = Field(
        4,
        ge=1,
        le=64,
        description="new faces made at each attempt; of those that pass, the least changed is taken",
    )
    draws: int = Field(
        16,
        ge=1,
        le=1024,
        description="directions drawn for each new face; the one that leads furthest from everybody of the gallery is "
        "taken, where the identity branch looks at one",
    )
    max_attempts: int = Field(12, ge=1, le=64, description="attempts per face before it is obscured or withheld")
    angle_step_deg: float = Field(
        5.0, ge=0.0, le=90.0, description="further away after an attempt that showed the original"
    )
    on_failure: Literal["obscure", "quarantine"] = "obscure"


class VideoSettings(Section):
    """Faces of videos: how sightings become tracks, and what fills the frames between them."""

    max_gap_s: float = Field(
        1.0, ge=0.0, le=10.0, description="how long a face may go unseen between two sightings and be the same track"
    )
    lead_s: float = Field(
        1.0, ge=0.0, le=5.0, description="how long a face is followed before its first and after its last sighting"
    )
    smooth_s: float = Field(0.08, ge=0.0, le=1.0, description="landmarks are smoothed over about this time, both ways")
    samples: int = Field(
        8, ge=1, le=64, description="frames of a track on which its new identity is tried before it is chosen"
    )
    sound: bool = Field(True, description="copy the sound; voices identify people too")


class DonorSettings(Section):
    """Faces that k-same, k-same-eigen and donor-swap borrow from."""

    file: str = Field("", description="safetensors file of `cfanet evaluate donors`; as private as the originals")
    k: int = Field(10, ge=2, le=1000, description="faces in an average of k-same and k-same-eigen")
    components: int = Field(64, ge=1, le=1000, description="eigenfaces of k-same-eigen")


Method = Literal[
    "cfa", "inpaint", "mask", "blur", "pixelate", "k-same", "k-same-eigen", "donor-swap", "fixed-blur", "fixed-pixelate"
]


class AnonymizeSettings(Section):
    """What replaces a face."""

    method: Method = Field(
        "cfa", description="cfa, or one of those it is compared with; blur and the like only obscure"
    )
    identity: Literal["per_face", "per_subject"] = Field(
        "per_face",
        description="per_subject: of one video, tracks that look like one person get one new face; pseudonymisation",
    )
    generator: str = Field("default", description='"default" or the path of a .safetensors generator')
    angle_deg: float = Field(96.0, ge=0.0, le=180.0, description="angle between the original and the new identity")
    keep_landmarks: float = Field(
        0.5,
        ge=0.0,
        le=1.0,
        description="share of the way that nose and mouth of a new face are put back to where they lay, "
        "for pose and smile; 0 leaves them",
    )
    keep_eyes: float = Field(
        0.5,
        ge=0.0,
        le=1.0,
        description="share of the opening or closing of eyes, as far as it can be foretold, that new identities are "
        "turned away from; more leaves fewer ways to somebody new",
    )
    keep_smile: float = Field(
        0.2,
        ge=0.0,
        le=1.0,
        description="the same for the width of the smile",
    )
    max_colour_change: float = Field(
        10.0,
        ge=0.0,
        le=255.0,
        description="levels of 255 by which the colour, not the brightness, of areas of a new face may leave the old "
        "one's; in close-ups a fifth of it; 255 leaves painted cheeks and lips",
    )
    min_replace_px: float = Field(
        32.0, ge=0.0, description="narrower faces are obscured: recognizers cannot tell whether a new one passes"
    )
    min_replace_score: float = Field(
        0.99,
        ge=0.0,
        le=1.0,
        description="faces that the detector is less sure of, in videos in most frames, are obscured: their landmarks "
        "are too poor to judge whether a new one passes",
    )
    min_replace_inside: float = Field(
        0.6,
        ge=0.0,
        le=1.0,
        description="faces of whose box a smaller share lies in the picture are obscured: of half a face, recognizers "
        "see more of what surrounds it",
    )
    obscurer: Literal["inpaint", "mask", "blur", "pixelate"] = Field(
        "inpaint",
        description="used where a face cannot be replaced: its surroundings carried on into its place, one grey, block "
        "means blurred, or the block means",
    )
    max_megapixels: float = Field(64.0, gt=0.0, description="larger pictures are quarantined, undecoded")
    jpeg_quality: int = Field(95, ge=50, le=100)
    donors: DonorSettings = DonorSettings()
    fixed_kernel_px: int = Field(15, ge=3, le=255, description="of fixed-blur and fixed-pixelate, weak on purpose")
    detector: DetectorSettings = DetectorSettings()
    loop: LoopSettings = LoopSettings()
    video: VideoSettings = VideoSettings()
