import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from cfanet.errors import ConfigError, InputError
from cfanet.images import decode
from jobs.codecs.shard import Refusal, Sample
from jobs.codecs.video import VideoCodec, frame_number, video_items
from jobs.config import ReleaseConfig
from jobs.estimate import estimate
from jobs.plan import codec_for, make_plan, read_source
from jobs.run import dry_run
from jobs.storage import Entry, open_storage
from tests.cfanet.clips import pan, write_clip
from tests.cfanet.portraits import eileen_collins

Make = Callable[..., ReleaseConfig]


def wants_all(extension: str) -> bool:
    return True


def clip(path: Path, count: int = 4) -> None:
    write_clip(path, pan(eileen_collins(), (230, 120), (-2, 1), count))


def test_a_file_is_an_item_and_a_frame_is_a_sample(source: Path, make_config: Make) -> None:
    clip(source / "b" / "two.webm")
    clip(source / "one.mp4")
    (source / "notes.txt").write_text("who they are")
    config = make_config()
    name, items, ignored = read_source(config)
    assert name == "video" and [item.shard for item in items] == ["b/two.webm", "one.mp4"] and ignored == {"txt": 1}
    samples = list(codec_for(name, config).read(open_storage(str(source)), items[0], wants_all))
    assert [sample.key for sample in samples] == [f"b/two.webm:{n:09d}" for n in range(4)]
    for number, sample in enumerate(samples):
        assert isinstance(sample, Sample) and frame_number(sample.key) == number
        (member,) = sample.pictures
        assert sample.picture_id(member) == sample.key and member.data
        assert decode(member.data, 1.0).pixels.shape == (180, 240, 3)


def test_frames_that_nobody_wants_are_not_decoded(source: Path) -> None:
    (source / "one.mp4").write_bytes(b"whatever")
    (item,) = video_items("src", list(open_storage(str(source)).list()))
    (found,) = VideoCodec(1.0).read(open_storage(str(source)), item, lambda extension: False)
    assert isinstance(found, Refusal) and found.reason == "not_read" and found.member == "one.mp4"


def test_what_cannot_be_decoded_is_a_refusal_at_the_end(source: Path) -> None:
    clip(source / "one.mkv", 8)
    whole = (source / "one.mkv").read_bytes()
    (source / "one.mkv").write_bytes(whole[: len(whole) // 2])
    (item,) = video_items("src", list(open_storage(str(source)).list()))
    *_, last = VideoCodec(1.0).read(open_storage(str(source)), item, wants_all)
    assert isinstance(last, Refusal) and last.reason == "truncated"
    assert VideoCodec(1.0).count(open_storage(str(source)), item) == 0


def test_a_folder_of_pictures_and_videos_is_two_datasets(source: Path, make_config: Make) -> None:
    clip(source / "one.mp4")
    (source / "cover.jpg").write_bytes(b"\xff\xd8\xff")
    with pytest.raises(InputError, match="pictures and videos"):
        read_source(make_config())
    name, items, ignored = read_source(make_config(source__format="video"))
    assert name == "video" and len(items) == 1 and ignored == {"jpg": 1}


def test_two_spellings_of_one_name_are_refused() -> None:
    with pytest.raises(InputError, match="different spellings"):
        video_items("src", [Entry("a.mp4", 1, "1"), Entry("A.MP4", 1, "2")])


def test_without_pyav_the_plan_says_what_to_install(
    source: Path, make_config: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    (source / "one.mp4").write_bytes(b"x")
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(ConfigError, match=r"cfanet\[video\]"):
        read_source(make_config())


def test_a_single_file_is_a_source(source: Path, tmp_path: Path, make_config: Make) -> None:
    for name in ("one.mp4", "other.mp4"):
        clip(source / name)
    config = make_config(source__uri=str(source / "one.mp4"), destination__uri=str(source / "released"))
    _, items, ignored = read_source(config)
    assert [item.shard for item in items] == ["one.mp4"] and not ignored
    assert make_plan(config, "").todo == items  # a folder beside the file will do for its output
    with pytest.raises(InputError, match="lie inside each other"):
        make_plan(make_config(source__uri=str(source / "one.mp4"), destination__uri=str(source)), "")
    with pytest.raises(InputError, match=r"none\.mp4 does not exist"):
        read_source(make_config(source__uri=str(source / "none.mp4")))
    bucket = make_config(source__uri="s3://bucket/films/one.mp4").source
    assert (bucket.uri, bucket.only) == ("s3://bucket/films", "one.mp4")


def test_a_dry_run_asks_the_headers(source: Path, make_config: Make) -> None:
    clip(source / "one.mp4", 7)
    clip(source / "two.mp4", 5)
    config = make_config()
    assert estimate(config, dry_run(config)).pictures == 12


def test_one_face_a_person_is_for_videos_only(source: Path, make_config: Make) -> None:
    (source / "one.jpg").write_bytes(b"x")
    with pytest.raises(ConfigError, match="is for videos"):
        read_source(make_config(anonymize__identity="per_subject"))
