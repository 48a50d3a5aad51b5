"""Configuration of a release: TOML and `--set` overrides in, one frozen, validated, hashed object out."""

import copy
import difflib
import hashlib
import json
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any, Literal, get_args

from pydantic import BaseModel, Field, ValidationError, field_validator, model_validator

from audit.config import AuditSettings
from cfanet.config import AnonymizeSettings, Section
from cfanet.errors import ConfigError, InputError
from cfanet.images import IMAGE_EXTENSIONS
from cfanet.video_file import VIDEO_EXTENSIONS

_IDS = "shard and key"  # what a face's randomness and its reference are named after; another scheme, another digest


class SourceSettings(Section):
    """What is read."""

    uri: str = Field("", description="folder, or s3://bucket/prefix, of the originals")
    only: str = Field("", description="the one file of that folder that is read; set where `uri` names a video file")
    format: Literal["auto", "webdataset", "parquet", "folder", "video"] = "auto"
    image_columns: tuple[str, ...] = Field(
        (), description="picture columns of Parquet; default: every column that is binary, or a struct with `bytes`"
    )
    subject_field: str = Field(
        "identity",
        description="field of a sample's .json member that names the person; used for enrolment only, hashed, never "
        "written to the output",
    )
    label_fields: tuple[str, ...] = Field(
        (),
        description="fields of a sample's .json member that name groups (age band, skin tone): leak rates by group; "
        "they are written to the evidence",
    )

    @model_validator(mode="before")
    @classmethod
    def _file_in_folder(cls, values: Any) -> Any:
        """A video file is its folder, of which only that file is read."""
        uri = str(values.get("uri", "")) if isinstance(values, dict) else ""
        if uri.rpartition(".")[2].lower() not in VIDEO_EXTENSIONS or values.get("only"):
            return values
        folder, slash, name = uri.rpartition("/")
        return {**values, "uri": folder if folder else slash or ".", "only": name}


class DestinationSettings(Section):
    """What is written."""

    uri: str = Field("", description="folder, or s3://bucket/prefix, of the released dataset")
    keep_members: tuple[str, ...] = Field(
        (),
        description="extensions of non-image members, and columns of Parquet, that are copied as they are; all others "
        "are dropped and counted",
    )
    rename: Literal["keep", "hmac"] = Field(
        "keep", description="names of loose files: their paths, or pseudonyms whose key lies in the gallery"
    )

    @field_validator("keep_members")
    @classmethod
    def _no_pictures(cls, extensions: tuple[str, ...]) -> tuple[str, ...]:
        cleaned = tuple(extension.lower().lstrip(".") for extension in extensions)
        for extension in cleaned:
            if extension.rpartition(".")[2] in IMAGE_EXTENSIONS:
                raise ValueError(f"{extension!r} is a picture: pictures are anonymized, never copied")
            if extension.rpartition(".")[2] in VIDEO_EXTENSIONS:
                raise ValueError(
                    f"{extension!r} is a video: videos are anonymized in a folder of their own, never copied"
                )
        return cleaned


class RunSettings(Section):
    """How the work is spread and where private files lie. None of it changes the released pictures, except the key."""

    workers: int = Field(
        0, ge=0, le=4096, description="worker processes; 0: as many as the processors of the cluster allow"
    )
    cpus_per_worker: int = Field(1, ge=1, le=256)
    gpus_per_worker: float = Field(
        0.0, ge=0.0, le=1.0, description="a fraction shares a GPU; of several GPUs each has its own workers"
    )
    batch_size: int = Field(16, ge=1, le=4096, description="pictures that go through the networks together")
    files_per_shard: int = Field(256, ge=1, le=100_000, description="loose files in one work item")
    key_file: str | None = Field(None, description="makes a run repeatable; without it the key is drawn and discarded")
    database: str | None = Field(None, description="evidence; default: SQLite in DST/_cfanet/evidence.sqlite")
    gallery: str | None = Field(None, description="embeddings of the originals (private); default: DST.gallery")
    review: str | None = Field(
        None, description="INTERNAL page with crops of the worst cases, originals included (private); default: none"
    )
    max_withheld: float = Field(0.05, ge=0.0, le=1.0, description="share of pictures that may be quarantined")
    retry_withheld: bool = Field(False, description="try shards again that an earlier run withheld as a whole")
    obscure_rounds: int = Field(
        0,
        ge=0,
        le=10,
        description="how often a release that is refused for the sake of single faces, and for nothing else, is made "
        "again with those obscured: only their shards, but all is judged anew",
    )
    max_task_retries: int = Field(2, ge=0, le=100, description="new tries for a shard whose worker died")


class ReleaseConfig(Section):
    """Everything a release needs to know."""

    source: SourceSettings = SourceSettings()
    destination: DestinationSettings = DestinationSettings()
    anonymize: AnonymizeSettings = AnonymizeSettings()
    audit: AuditSettings = AuditSettings()
    run: RunSettings = RunSettings()

    @property
    def gallery_uri(self) -> str:
        """Where the private gallery lies: a folder, or an s3:// address."""
        return self.run.gallery or f"{self.destination.uri.rstrip('/')}.gallery"

    def for_workers(self) -> "ReleaseConfig":
        """The same without what only the driver needs: the database's URL and the place of the key are secrets."""
        return self.model_copy(update={"run": self.run.model_copy(update={"database": None, "key_file": None})})

    def for_driver(self) -> "ReleaseConfig":
        """The same for the networks that the driver loads only to know their names: its machine may have no GPU."""
        return self.model_copy(update={"run": self.run.model_copy(update={"gpus_per_worker": 0.0})})

    @property
    def device(self) -> str:
        """Where the networks run."""
        return "cuda" if self.run.gpus_per_worker > 0 else "cpu"

    def digest(self, key_fingerprint: str) -> str:
        """SHA-256 of what decides the output's content, hex: not of paths, workers or batches.

        `key_fingerprint` is that of the key file, "" where the key is discarded. Model files count by content.
        """
        content = {
            "version": code_version(),
            "ids": _IDS,
            "key": key_fingerprint,
            "keep_members": sorted(self.destination.keep_members),
            "rename": self.destination.rename,
            "image_columns": sorted(self.source.image_columns),
            "anonymize": _with_file_digests(self.anonymize.model_dump(mode="json")),
        }
        return canonical_digest(content)

    def enrolment_digest(self) -> str:
        """SHA-256 of what decides the gallery's content, hex."""
        content = {
            "version": code_version(),
            "ids": _IDS,
            "detector": self.anonymize.detector.model_dump(mode="json"),
            "max_megapixels": self.anonymize.max_megapixels,
            "generator": self.anonymize.generator,
            "loop": list(self.anonymize.loop.recognizers),
            "audit": list(self.audit.recognizers),
            "rename": self.destination.rename,
            "subject_field": self.source.subject_field,
            "label_fields": list(self.source.label_fields),
            "image_columns": sorted(self.source.image_columns),
            "gallery_schema": 3,
        }
        return canonical_digest(_with_file_digests(content))


def canonical_json(value: object) -> str:
    """JSON with sorted keys and no spaces: equal values give equal text."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True)


def canonical_digest(value: object) -> str:
    """SHA-256 of a value's canonical JSON, hex."""
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()


def code_version() -> str:
    """Version of this package; "0" when it runs from a folder that was never installed."""
    try:
        return metadata.version("cfanet")
    except metadata.PackageNotFoundError:
        return "0"


def load_config(
    path: Path | None,
    overrides: Sequence[str] = (),
    values: Mapping[str, Any] | None = None,
    recorded: Mapping[str, Any] | None = None,
) -> ReleaseConfig:
    """Read a TOML file, apply `a.b=c` overrides (c in TOML, or else a plain string), then `values` (dotted keys).

    `recorded`, the configuration of an earlier run, takes the file's place where no path is given.
    ConfigError, in one sentence, names the key, where it stands and the nearest key that exists.
    """
    tree: dict[str, Any] = _read_toml(path) if path is not None else copy.deepcopy(dict(recorded or {}))
    origin = {key: str(path or "the recorded configuration") for key in _dotted(tree)}
    for override in overrides:
        key, found, text = override.partition("=")
        if not found or not key.strip():
            raise ConfigError(f"--set {override!r} is not of the form section.key=value, as in anonymize.angle_deg=100")
        _assign(tree, key.strip(), _parse_value(text), f"--set {override}")
        origin[key.strip()] = f"--set {override}"
    for key, value in (values or {}).items():
        _assign(tree, key, value, "the command line")
        origin[key] = "the command line"
    try:
        return ReleaseConfig.model_validate(tree)
    except ValidationError as error:
        raise ConfigError(_explain(error, origin, str(path) if path else "the command line")) from error


def _read_toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(
            f"config file {path} cannot be read ({error.strerror}): give the path of a TOML file"
        ) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"config file {path} is not valid TOML: {error}") from error


def _parse_value(text: str) -> Any:
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text.strip()


def _assign(tree: dict[str, Any], dotted: str, value: Any, where: str) -> None:
    *sections, last = dotted.split(".")
    node = tree
    for section in sections:
        node = node.setdefault(section, {})
        if not isinstance(node, dict):
            raise ConfigError(f"{where}: {section!r} is a value, not a section")
    node[last] = value


def _dotted(tree: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    for key, value in tree.items():
        yield prefix + key
        if isinstance(value, dict):
            yield from _dotted(value, f"{prefix}{key}.")


def _explain(error: ValidationError, origin: Mapping[str, str], default: str) -> str:
    first = error.errors()[0]
    location = [str(part) for part in first["loc"]]
    dotted = ".".join(location)
    where = next((origin[key] for key in _prefixes(location) if key in origin), default)
    if first["type"] == "extra_forbidden":
        return f"unknown key {dotted!r} in {where}: {_nearest(dotted)}"
    message = str(first["msg"]).removeprefix("Value error, ").lower()
    return f"{dotted} = {first['input']!r} in {where} is not valid: {message}"


def _prefixes(location: Sequence[str]) -> list[str]:
    return [".".join(location[:length]) for length in range(len(location), 0, -1)]


def _nearest(dotted: str) -> str:
    known = list(known_keys(ReleaseConfig))
    close = difflib.get_close_matches(dotted, known, n=1, cutoff=0.6)
    if not close:  # perhaps only the section is missing
        close = [key for key in known if key.rpartition(".")[2] == dotted.rpartition(".")[2]]
    if close:
        return f"did you mean {close[0]!r}?"
    siblings = [key for key in known if key.rpartition(".")[0] == dotted.rpartition(".")[0]]
    return "known keys there are " + ", ".join(siblings or [key for key in known if "." not in key])


def known_keys(model: type[BaseModel], prefix: str = "") -> Iterator[str]:
    """Every key of a settings class and its sections, dotted."""
    for name, field in model.model_fields.items():
        yield prefix + name
        kinds = (field.annotation, *get_args(field.annotation))
        for kind in kinds:
            if isinstance(kind, type) and issubclass(kind, BaseModel):
                yield from known_keys(kind, f"{prefix}{name}.")


def _with_file_digests(value: Any) -> Any:
    """Replace the path of a model file by its content's digest, so that another file is another configuration."""
    if isinstance(value, dict):
        return {key: _with_file_digests(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_with_file_digests(item) for item in value]
    if isinstance(value, str):
        kind, _, name = value.rpartition(":")
        path = Path(name)
        if path.suffix and path.is_file():
            with path.open("rb") as file:
                return f"{kind}:{hashlib.file_digest(file, 'sha256').hexdigest()}"
    return value
