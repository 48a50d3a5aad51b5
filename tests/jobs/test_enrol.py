"""The enrolling worker: faces and labels into the gallery, nothing else anywhere."""

from collections.abc import Callable
from pathlib import Path

from audit.gallery import has_shard, read_shard
from jobs.config import ReleaseConfig
from jobs.enrol import EnrolWorker, stamp_of
from jobs.plan import read_source
from jobs.worker import JobContext
from tests.jobs.fakes import encoded, write_tar


def test_faces_are_enrolled_under_pseudonyms(
    source: Path, make_config: Callable[..., ReleaseConfig], make_context: Callable[[ReleaseConfig], JobContext]
) -> None:
    label = b'{"identity": "Ada Lovelace"}'
    members = [("a.png", encoded([1, 2])), ("a.json", label), ("b.png", encoded([1])), ("b.json", label)]
    write_tar(source / "s.tar", [*members, ("c.png", encoded()), ("broken.png", b"")])
    config = make_config()
    context = make_context(config)
    (item,) = read_source(config)[1]
    assert not has_shard(Path(config.gallery_uri), "s", stamp_of(context, item))
    summary = EnrolWorker(context).process(item)
    assert (summary.pictures, summary.faces, summary.undecodable) == (3, 3, 1)
    assert has_shard(Path(config.gallery_uri), "s", stamp_of(context, item))
    pictures = {p.sample_key: p for p in read_shard(Path(config.gallery_uri), "s")}
    assert [len(pictures[key].faces) for key in ("s/a", "s/b", "s/c")] == [2, 1, 0]
    first, second = pictures["s/a"].faces
    assert first.subject_id == pictures["s/b"].faces[0].subject_id != ""
    assert second.subject_id == ""
    assert set(first.embeddings) == {"fake-loop", "fake-judge"}
    assert b"Lovelace" not in b"".join(p.read_bytes() for p in Path(config.gallery_uri).rglob("*") if p.is_file())


def test_other_settings_or_another_source_mean_enrolling_again(
    source: Path, make_config: Callable[..., ReleaseConfig], make_context: Callable[[ReleaseConfig], JobContext]
) -> None:
    write_tar(source / "s.tar", [("a.png", encoded([1]))])
    config = make_config()
    (item,) = read_source(config)[1]
    EnrolWorker(make_context(config)).process(item)
    other = make_context(make_config(anonymize__detector__score=0.7))
    assert not has_shard(Path(config.gallery_uri), "s", stamp_of(other, item))
    assert has_shard(Path(config.gallery_uri), "s", stamp_of(make_context(make_config(anonymize__angle_deg=10)), item))
    write_tar(source / "s.tar", [("a.png", encoded([2]))])
    (changed,) = read_source(config)[1]
    assert not has_shard(Path(config.gallery_uri), "s", stamp_of(make_context(config), changed))
