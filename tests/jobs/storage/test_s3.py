"""S3 over real HTTP: whole objects or none, pinned reads, any failure of the network survived or told."""

import hashlib
import io
import pickle
import random

import pytest

from cfanet.errors import ConfigError, InputError, StorageError
from jobs.storage import S3Storage, read_bytes, sha256_of, write_bytes
from jobs.storage.s3 import split_uri
from tests.jobs.s3 import SECRET, Bucket, FaultyProxy, variables

_BIG = random.Random(3).randbytes(20 * 2**20 + 7)  # three parts


@pytest.fixture
def bucket(endpoint: str, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Bucket:
    for name, value in variables(endpoint).items():
        monkeypatch.setenv(name, value)
    return Bucket(endpoint, "b" + hashlib.sha256(request.node.name.encode()).hexdigest()[:20])


@pytest.fixture
def storage(bucket: Bucket) -> S3Storage:
    return S3Storage(f"s3://{bucket.name}/some/prefix/")


@pytest.mark.parametrize("data", [b"", b"abc", _BIG], ids=["empty", "small", "parts"])
def test_write_and_read_back(storage: S3Storage, bucket: Bucket, data: bytes) -> None:
    with storage.open_write("a b/ü.bin") as file:
        for start in range(0, len(data), 3_000_000):
            file.write(data[start : start + 3_000_000])
    assert (file.sha256, file.size) == (hashlib.sha256(data).hexdigest(), len(data))
    assert bucket.get("some/prefix/a b/ü.bin") == data
    assert read_bytes(storage, "a b/ü.bin") == data and sha256_of(storage, "a b/ü.bin") == file.sha256
    assert bucket.uploads() == 0


def test_nothing_has_its_name_before_the_end_nor_after_an_error(storage: S3Storage, bucket: Bucket) -> None:
    write_bytes(storage, "file", b"old")
    with pytest.raises(RuntimeError), storage.open_write("file") as file:
        file.write(_BIG)
        assert bucket.get("some/prefix/file") == b"old"
        assert bucket.uploads() == 1
        raise RuntimeError
    assert bucket.get("some/prefix/file") == b"old"
    assert bucket.uploads() == 0


def test_random_access(storage: S3Storage) -> None:
    write_bytes(storage, "file", _BIG)
    reference, file = io.BytesIO(_BIG), storage.open_read("file")
    rng = random.Random(5)
    for _ in range(12):
        position, length = rng.randrange(len(_BIG) + 100), rng.choice((1, 4096, 3_000_000))
        assert (file.seek(position), reference.seek(position))[0] == position
        assert file.read(length) == reference.read(length)
    assert file.seek(-10, io.SEEK_END) == len(_BIG) - 10 and file.read() == _BIG[-10:]


def test_listing_is_sorted_whole_and_skips_private_objects(
    storage: S3Storage, bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("jobs.storage.s3._PAGE", 7)
    names = sorted(f"x/{number:04d}" for number in range(25))
    for name in names:
        bucket.put(f"some/prefix/{name}", b"1")
    bucket.put("some/prefix/_cfanet/manifest/x.json", b"1")
    bucket.put("some/prefix/x/", b"")
    bucket.put("some/prefixed", b"another dataset")
    assert [entry.path for entry in storage.list()] == names
    assert [entry.path for entry in storage.list("_cfanet/manifest")] == ["_cfanet/manifest/x.json"]


@pytest.mark.parametrize("name", ["../x", "a//b", "./a", "/a"])
def test_keys_that_are_no_paths_are_refused_not_passed_over(storage: S3Storage, bucket: Bucket, name: str) -> None:
    bucket.put(f"some/prefix/{name}", b"1")
    with pytest.raises(InputError, match="no path of a file"):
        list(storage.list())


def test_etag_changes_with_the_content_and_pins_what_is_read(storage: S3Storage) -> None:
    write_bytes(storage, "file", b"one")
    before = storage.entry("file")
    assert before is not None and read_bytes(storage, "file", before.etag) == b"one"
    write_bytes(storage, "file", b"two")
    with pytest.raises(StorageError, match="changed while"):
        storage.open_read("file", before.etag)
    storage.delete("file")
    storage.delete("file")
    assert storage.entry("file") is None
    with pytest.raises(FileNotFoundError):
        storage.open_read("file")


def test_a_whole_object_is_one_request(endpoint: str, bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    bucket.put("p/file", b"abc")
    bucket.put("p/empty", b"")
    with FaultyProxy(endpoint, share=0.0) as proxy:
        monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.endpoint)
        storage = S3Storage(f"s3://{bucket.name}/p")
        assert read_bytes(storage, "file") == b"abc" and proxy.counts["requests"] == 1
        assert read_bytes(storage, "empty") == b"" and proxy.counts["requests"] == 2


def test_an_object_that_changes_while_it_is_read_is_an_error_not_a_mixture(storage: S3Storage) -> None:
    write_bytes(storage, "file", _BIG)
    file = storage.open_read("file")
    assert file.read(10) == _BIG[:10]
    write_bytes(storage, "file", _BIG[::-1])
    with pytest.raises(StorageError, match="changed while"):
        file.seek(15_000_000)
        file.read(10)


def test_exclusive_writing_refuses_what_is_there_or_comes_first(storage: S3Storage, bucket: Bucket) -> None:
    write_bytes(storage, "file", b"first", exclusive=True)
    with pytest.raises(FileExistsError):
        write_bytes(storage, "file", b"second", exclusive=True)
    for data in (b"small", _BIG):
        key = f"raced {len(data)}"
        with pytest.raises(FileExistsError), storage.open_write(key, exclusive=True) as file:
            file.write(data)
            bucket.put(f"some/prefix/{key}", b"the other")
        assert bucket.get(f"some/prefix/{key}") == b"the other"
    assert bucket.uploads() == 0


def test_open_uploads_of_a_killed_run_are_cleared(storage: S3Storage, bucket: Bucket) -> None:
    for key in ("some/prefix/x", "elsewhere"):
        bucket.client.create_multipart_upload(Bucket=bucket.name, Key=key)
    storage.clear_scratch()
    left = bucket.client.list_multipart_uploads(Bucket=bucket.name)["Uploads"]
    assert [upload["Key"] for upload in left] == ["elsewhere"]


def test_what_cannot_work_is_said_in_one_sentence_without_secrets(
    bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(InputError, match=r"NoSuchBucket.*check the bucket"):
        S3Storage("s3://no-such-bucket/x").check_source()
    with pytest.raises(InputError, match="check the bucket"):
        S3Storage("s3://no-such-bucket/x").check_writable()
    with pytest.raises(ConfigError, match="s3://bucket/prefix") as error:
        split_uri(f"s3://AKID:{SECRET}@bucket/x")
    assert SECRET not in str(error.value)
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://user:{SECRET}@127.0.0.1:9")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    with pytest.raises(StorageError, match="AWS_ENDPOINT_URL") as unreachable:
        S3Storage(f"s3://{bucket.name}").check_source()
    assert SECRET not in str(unreachable.value)


def test_only_the_address_travels_between_processes(storage: S3Storage) -> None:
    assert storage.entry("file") is None  # a client is there now
    frozen = pickle.dumps(storage)
    assert SECRET.encode() not in frozen
    assert pickle.loads(frozen).uri == storage.uri


@pytest.mark.parametrize("kinds", [("500", "503"), ("cut", "lost")], ids="-".join)
def test_each_kind_of_fault_is_survived(
    endpoint: str, bucket: Bucket, monkeypatch: pytest.MonkeyPatch, kinds: tuple[str, ...]
) -> None:
    with FaultyProxy(endpoint, share=0.25, seed=1, kinds=kinds) as proxy:
        monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.endpoint)
        storage = S3Storage(f"s3://{bucket.name}/p")
        for number in range(2):
            write_bytes(storage, f"{number}", _BIG, exclusive=bool(number))
            assert read_bytes(storage, f"{number}") == _BIG
    assert all(proxy.counts[kind] for kind in kinds)
    assert bucket.get("p/0") == bucket.get("p/1") == _BIG
    monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
    S3Storage(f"s3://{bucket.name}/p").clear_scratch()  # an upload whose id got lost stays open until then
    assert bucket.uploads() == 0


def test_an_endpoint_that_never_recovers_is_an_error_not_a_short_object(
    endpoint: str, bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    bucket.put("p/file", _BIG)
    storage = S3Storage(f"s3://{bucket.name}/p")
    file = storage.open_read("file")
    assert file.read(1) == _BIG[:1]
    monkeypatch.setattr("jobs.storage.s3_read._FIRST_PAUSE_S", 0.0)
    monkeypatch.setattr(storage, "_get", lambda *_: io.BytesIO())
    file.seek(15_000_000)
    with pytest.raises(StorageError, match="breaks off at byte 15000000"):
        file.read(10)
