"""The whole job in this process, with fakes: outcome, records, and going on after an interruption."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from audit.gallery import gallery_rows
from cfanet.errors import GateRefused, InputError, WithheldError
from jobs.config import ReleaseConfig
from jobs.gallery_store import GalleryStore
from jobs.ledger import read_ledger
from jobs.manifest import read_manifest
from jobs.progress import Progress
from jobs.release import anonymize, audit, release, report
from jobs.storage import LocalStorage
from tests.jobs.fakes import FakeAnonymizer, FakeTools, encoded, folder_digest, write_tar

Make = Callable[..., ReleaseConfig]
pytestmark = pytest.mark.usefixtures("inline")


@pytest.fixture
def dataset(source: Path) -> Path:
    """Three shards with faces."""
    for shard in range(3):
        write_tar(source / f"{shard}.tar", [(f"{shard}-{i}.png", encoded([i] * (i % 3))) for i in range(1, 6)])
    return source


def test_a_release_is_sealed_and_binds_what_it_released(
    dataset: Path, tmp_path: Path, make_config: Make, quiet: Progress
) -> None:
    outcome = release(make_config(), quiet, FakeTools)
    outcome.raise_for_status()
    released = tmp_path / "released"
    seal = json.loads((released / "RELEASE.json").read_text())
    assert seal["shards"] == {name: digest for name, digest in folder_digest(released).items() if name.endswith(".tar")}
    assert len(seal["shards"]) == 3
    assert {"_cfanet/report.html", "_cfanet/ledger/0.parquet", "_cfanet/manifest/2.json"} <= set(seal["evidence"])
    record = json.loads((released / "_cfanet/run.json").read_text())
    assert record["status"] == "released" and record["counts"]["pictures"] == 15
    assert record["shards"] == {"planned": 3, "done": 3, "withheld": 0}
    assert {"enrol", "anonymize", "audit"} <= set(record["stage_seconds"])
    assert record["peak_memory_bytes"]["largest_worker"] > 0
    assert Path(outcome.report_uri).is_file()


def test_secrets_and_embeddings_stay_out_of_the_output(
    dataset: Path, tmp_path: Path, make_config: Make, quiet: Progress
) -> None:
    key = tmp_path / "secret-key-name.bin"
    key.write_bytes(b"a very secret key of 32 bytes...")
    release(make_config(run__key_file=str(key)), quiet, FakeTools)
    content = b"".join(p.read_bytes() for p in (tmp_path / "released").rglob("*") if p.is_file())
    assert content and b"very secret" not in content and b"secret-key-name" not in content
    assert b"embedding." not in content


def test_the_same_key_gives_the_same_bytes_and_another_key_others(
    dataset: Path, tmp_path: Path, make_config: Make, quiet: Progress
) -> None:
    digests = []
    for number, secret in enumerate((b"0123456789abcdef", b"0123456789abcdef", b"fedcba9876543210")):
        key = tmp_path / f"key-{number}"
        key.write_bytes(secret)
        place = tmp_path / f"out-{number}"
        anonymize(make_config(run__key_file=str(key), destination__uri=str(place)), quiet, FakeTools)
        digests.append(folder_digest(place))
    assert len(digests[0]) == 3
    assert digests[0] == digests[1]
    assert all(digests[0][name] != digests[2][name] for name in digests[0])


def test_a_second_run_does_nothing_and_changes_nothing(
    dataset: Path, tmp_path: Path, make_config: Make, quiet: Progress, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = release(make_config(), quiet, FakeTools)
    before = {p: p.stat().st_mtime_ns for p in (tmp_path / "released").rglob("*.tar")}
    monkeypatch.setattr(FakeAnonymizer, "run", _never)
    second = release(make_config(), quiet, FakeTools)
    assert second.run.context.run_id == first.run.context.run_id
    assert {p: p.stat().st_mtime_ns for p in (tmp_path / "released").rglob("*.tar")} == before
    assert second.verdict is not None and second.verdict.passed


def _never(*_: Any) -> Any:
    raise AssertionError("nothing was left to anonymize")


def test_a_run_that_stopped_in_the_middle_goes_on(
    dataset: Path, tmp_path: Path, make_config: Make, quiet: Progress, monkeypatch: pytest.MonkeyPatch
) -> None:
    import jobs.stages

    original = jobs.stages.run_stage

    def stop_after_one(worker: Any, context: Any, items: Any) -> Any:
        for number, outcome in enumerate(original(worker, context, items)):
            if worker.__name__ == "AnonymizeWorker" and number == 1:
                raise KeyboardInterrupt
            yield outcome

    monkeypatch.setattr("jobs.stages.run_stage", stop_after_one)
    with pytest.raises(KeyboardInterrupt):
        release(make_config(), quiet, FakeTools)
    assert not (tmp_path / "released/RELEASE.json").exists()
    monkeypatch.setattr("jobs.stages.run_stage", original)
    done_before = [s for s in "012" if read_manifest(LocalStorage(tmp_path / "released"), s)]
    assert 0 < len(done_before) < 3
    outcome = release(make_config(), quiet, FakeTools)
    outcome.raise_for_status()
    assert len(outcome.run.manifests) == 3
    assert len(outcome.run.key_fingerprints) == 2  # the discarded key of the first run is gone for good


def test_a_seal_is_withdrawn_before_anything_it_vouches_for_changes(
    dataset: Path, tmp_path: Path, make_config: Make, quiet: Progress, monkeypatch: pytest.MonkeyPatch
) -> None:
    release(make_config(), quiet, FakeTools)
    assert (tmp_path / "released/RELEASE.json").exists()
    anonymize(make_config(anonymize__angle_deg=45), quiet, FakeTools)
    assert not (tmp_path / "released/RELEASE.json").exists()


def test_a_refused_release_has_no_seal_and_says_why(
    dataset: Path, tmp_path: Path, make_config: Make, quiet: Progress, monkeypatch: pytest.MonkeyPatch
) -> None:
    release(make_config(), quiet, FakeTools)
    # A sample that vanishes from the output after it was written is what the judge must not overlook.
    write_tar(tmp_path / "released/0.tar", [])
    outcome = audit(make_config(), quiet, FakeTools)
    assert not (tmp_path / "released/RELEASE.json").exists()
    with pytest.raises(GateRefused, match="gate refused"):
        outcome.raise_for_status()


def test_too_much_withheld_is_an_error_of_its_own(source: Path, make_config: Make, quiet: Progress) -> None:
    write_tar(source / "0.tar", [("a.png", encoded([1])), ("b.png", b"")])
    outcome = release(make_config(), quiet, FakeTools)
    with pytest.raises(WithheldError, match="1 of 2 pictures"):
        outcome.raise_for_status()
    release(make_config(run__max_withheld=0.5), quiet, FakeTools).raise_for_status()


def test_report_again_from_the_evidence(dataset: Path, tmp_path: Path, make_config: Make, quiet: Progress) -> None:
    release(make_config(), quiet, FakeTools)
    (tmp_path / "released/_cfanet/report.html").unlink()
    outcome = report(make_config(), FakeTools)
    assert Path(outcome.report_uri).is_file() and outcome.verdict is not None and outcome.verdict.passed


def test_audit_needs_a_finished_destination(dataset: Path, make_config: Make, quiet: Progress) -> None:
    with pytest.raises(InputError, match="run `cfanet anonymize` first"):
        audit(make_config(), quiet, FakeTools)


def test_a_folder_of_pictures_is_released_too(source: Path, tmp_path: Path, make_config: Make, quiet: Progress) -> None:
    for name in ("a/1.png", "a/2.png", "3.png"):
        (source / name).parent.mkdir(exist_ok=True)
        (source / name).write_bytes(encoded([1]))
    release(make_config(), quiet, FakeTools).raise_for_status()
    assert set(folder_digest(tmp_path / "released")) == {"3.png", "a/1.png", "a/2.png", "RELEASE.json"}


def test_the_same_key_in_two_shards_is_two_people_with_two_new_faces(
    source: Path, tmp_path: Path, make_config: Make, quiet: Progress
) -> None:
    for shard in ("a", "b"):
        write_tar(source / f"{shard}.tar", [("000.png", encoded([3])), ("001.png", encoded([4]))])
    outcome = release(make_config(), quiet, FakeTools)
    outcome.raise_for_status()
    with GalleryStore(outcome.run.config.gallery_uri).whole() as folder:
        ids = [row.reference_id for row in gallery_rows(folder)]
    assert ids == ["a/000#0", "a/001#0", "b/000#0", "b/001#0"]
    released = LocalStorage(tmp_path / "released")
    entries = {shard: read_ledger(released, shard) for shard in ("a", "b")}
    assert [entry.picture.sample_key for entry in entries["a"]] == ["000", "001"]  # as stored
    seeds = {entry.picture.faces[0].seed_id for found in entries.values() for entry in found}
    assert len(seeds) == 4
