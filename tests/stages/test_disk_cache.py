import errno
import itertools
import os
import resource
import signal
import stat
import struct
import subprocess
import sys
import zlib

import numpy as np
import pytest

import headrace as hr
from headrace.testing import check_resume, same


class Source(hr.DataFlow):
    """Counts how often it is read."""

    def __init__(self, count, fail_at=None):
        self.count = count
        self.fail_at = fail_at
        self.read = 0

    def describe(self):
        return f"count={self.count}"

    def __len__(self):
        return self.count

    def __iter__(self):
        for number in range(self.count):
            if number == self.fail_at:
                raise OSError("the source's disk")
            self.read += 1
            yield number


@pytest.fixture
def path(tmp_path):
    folder = tmp_path / "Zwischenspeicher für Ähren"
    folder.mkdir()
    return folder / "cache"


def test_reads_the_input_once(path):
    source = Source(5)
    flow = hr.DiskCache(source, path)
    assert list(flow) == list(flow) == list(range(5))
    assert list(hr.DiskCache(source, str(path))) == list(range(5))
    assert source.read == 5
    assert os.listdir(path.parent) == ["cache"]


@pytest.mark.parametrize("allow_pickle", [True, False])
def test_keeps_plain_data_in_type_and_bits(path, allow_pickle):
    rows = [[np.arange(6).reshape(2, 3), {"a": b"\0" * 3_000_000}], None, (1, "ä"), np.float16(2)]
    flow = hr.DiskCache(hr.DataFromList(rows, shuffle=False), path, allow_pickle=allow_pickle)
    assert same(list(flow), rows)
    assert same(list(flow), rows)


def test_length_is_that_of_the_file_where_there_is_one(path):
    flow = hr.DiskCache(hr.Filter(Source(5), lambda n: n), path)
    with pytest.raises(hr.NoLengthError):
        len(flow)
    list(flow)
    assert len(flow) == 4


def test_an_empty_input(path):
    flow = hr.DiskCache(Source(0), path)
    assert list(flow) == list(flow) == []
    assert len(flow) == 0


def test_a_pass_that_is_left_early_writes_nothing(path):
    source = Source(5)
    flow = hr.DiskCache(source, path)
    assert list(itertools.islice(flow, 3)) == [0, 1, 2]
    assert os.listdir(path.parent) == []
    assert list(flow) == list(range(5))
    assert source.read == 8


def test_a_source_that_fails_leaves_nothing(path):
    source = Source(5, fail_at=3)
    flow = hr.DiskCache(source, path)
    with pytest.raises(OSError, match="the source's disk"):
        list(flow)
    assert os.listdir(path.parent) == []
    source.fail_at = None
    assert list(flow) == list(flow) == list(range(5))


def test_shuffles_each_pass_of_the_file_in_its_own_way(path):
    flow = hr.DiskCache(Source(30), path, shuffle=True)
    assert list(flow) == list(range(30))
    first, second = list(flow), list(flow)
    assert sorted(first) == sorted(second) == list(range(30))
    assert first != second


def test_of_two_iterators_one_writes(path):
    source = Source(4)
    flow = hr.DiskCache(source, path)
    one, other = iter(flow), iter(flow)
    assert list(zip(one, other, strict=True)) == [(n, n) for n in range(4)]
    assert os.listdir(path.parent) == ["cache"]
    assert source.read == 8
    assert list(flow) == list(range(4))
    assert source.read == 8


WRITER = """
import sys, headrace as hr
def numbers():
    for n in range(2000):
        if n == 1000:
            print("half", flush=True)
            sys.stdin.readline()
        yield n
print(sum(hr.DiskCache(hr.DataFromGenerator(numbers), sys.argv[1])))
"""


def writer(path):
    process = subprocess.Popen(
        [sys.executable, "-c", WRITER, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "half\n"
    return process


def test_two_processes_on_one_target(path):
    one, other = writer(path), writer(path)
    assert one.communicate("\n", timeout=30)[0] == other.communicate("\n", timeout=30)[0] == "1999000\n"
    assert os.listdir(path.parent) == ["cache"]
    third = subprocess.run([sys.executable, "-c", WRITER, path], capture_output=True, text=True, timeout=30)
    assert third.stdout == "1999000\n"  # it never asked for input: read from the file


def test_a_writer_that_was_killed_is_no_obstacle(path):
    process = writer(path)
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=30)
    assert sorted(os.listdir(path.parent)) == [".cache.lock", ".cache.part"]
    flow = hr.DiskCache(Source(5), path)
    assert list(flow) == list(flow) == list(range(5))
    assert os.listdir(path.parent) == ["cache"]


def test_a_full_disk(path):
    rows = hr.DataFromList([bytes(100_000)] * 60, shuffle=False)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2_000_000, limits[1]))
    try:
        with pytest.raises(OSError, match="DiskCache") as error:
            list(hr.DiskCache(rows, path))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert error.value.errno == errno.EFBIG
    assert error.value.filename == str(path.with_name(".cache.part"))
    assert os.listdir(path.parent) == []


def test_other_objects_need_pickle(path):
    rows = hr.DataFromList([1, {2, 3}], shuffle=False)
    with pytest.raises(TypeError, match="set, which only pickle can store") as error:
        list(hr.DiskCache(rows, path))
    assert "datapoint 1" in error.value.__notes__[0]
    assert "allow_pickle=True" in error.value.__notes__[1]
    assert os.listdir(path.parent) == []
    flow = hr.DiskCache(rows, path, allow_pickle=True)
    assert list(flow) == list(flow) == [1, {2, 3}]
    with pytest.raises(hr.FormatError, match=r"record 0, at byte .* allow_pickle=True if you trust who wrote it"):
        list(hr.DiskCache(rows, path))


def test_a_datapoint_that_cannot_be_pickled(path):
    with pytest.raises(TypeError, match="cannot be pickled") as error:
        list(hr.DiskCache([1, lambda: 2], path, allow_pickle=True))
    assert "datapoint 1" in error.value.__notes__[0]
    assert os.listdir(path.parent) == []


def test_a_foreign_file_is_left_alone(path):
    for content in (b"", b"important"):
        path.write_bytes(content)
        with pytest.raises(hr.FormatError, match=r"cache: no cache of headrace, it begins with b'.*left as it is"):
            hr.DiskCache(Source(3), path)
        assert path.read_bytes() == content


def test_a_file_that_comes_later_is_left_alone(path):
    flow = hr.DiskCache(Source(3), path)
    path.write_bytes(b"important")
    with pytest.raises(hr.FormatError, match="begins with b'importan'"):
        list(flow)
    assert path.read_bytes() == b"important"


def test_another_pipeline(path):
    list(hr.DiskCache(Source(3), path))
    with pytest.raises(
        hr.FormatError, match=r"another pipeline(.|\n)*saved: Source\(count=3\)\n  here:  Source\(count=4"
    ):
        hr.DiskCache(Source(4), path)


def test_every_truncation_is_noticed(path):
    list(hr.DiskCache(Source(3), path))
    whole = path.read_bytes()
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        with pytest.raises(hr.FormatError):
            list(hr.DiskCache(Source(3), path))
    path.write_bytes(whole + b"x")
    with pytest.raises(hr.FormatError, match=f"ends at byte {len(whole) + 1} without a trailer"):
        hr.DiskCache(Source(3), path)


def test_every_flipped_byte_is_noticed(path):
    list(hr.DiskCache(Source(3), path))
    whole = bytearray(path.read_bytes())
    for at in range(len(whole)):
        whole[at] ^= 1
        path.write_bytes(whole)
        with pytest.raises(hr.FormatError):
            list(hr.DiskCache(Source(3), path))
        whole[at] ^= 1


def test_a_damaged_record_is_named_with_its_offset(path):
    list(hr.DiskCache(hr.DataFromList([b"aaaa", b"bbbb"], shuffle=False), path))
    whole = path.read_bytes()
    path.write_bytes(whole.replace(b"bbbb", b"bbxb"))
    running = iter(hr.DiskCache(hr.DataFromList([b"aaaa", b"bbbb"], shuffle=False), path))
    assert next(running) == b"aaaa"
    with pytest.raises(hr.FormatError, match=r"cache: damaged: the checksum of record 1, at byte \d+, does not match"):
        next(running)


def test_another_version(path):
    list(hr.DiskCache(Source(3), path))
    whole = path.read_bytes()
    length = struct.unpack("<I", whole[8:12])[0]
    header = whole[16 : 16 + length].replace(b'"version": 1', b'"version": 9')
    path.write_bytes(whole[:12] + struct.pack("<I", zlib.crc32(header)) + header + whole[16 + length :])
    with pytest.raises(hr.FormatError, match="it has version 9, this headrace reads version 1"):
        hr.DiskCache(Source(3), path)


def test_a_file_that_may_not_be_read_or_written(path):
    with pytest.raises(FileNotFoundError, match="there is no folder"):
        hr.DiskCache(Source(3), path / "deeper" / "cache")
    if os.geteuid() == 0:
        return  # root may do everything
    os.chmod(path.parent, stat.S_IRUSR | stat.S_IXUSR)
    with pytest.raises(PermissionError):
        list(hr.DiskCache(Source(3), path))


def test_copies_of_a_runner_share_the_file(path):
    def pipeline():
        return hr.DiskCache(hr.DataFromList(range(50), shuffle=False), path)

    with hr.MultiThreadRunner(pipeline, 4, 3, shard=True) as flow:
        assert sorted(flow) == sorted(flow) == list(range(50))
    assert os.listdir(path.parent) == ["cache"]


@pytest.mark.parametrize("cached", [False, True])
def test_a_state_before_the_first_datapoint_of_an_iterator(path, cached):
    make = lambda: hr.DiskCache(hr.DataFromList(range(3), shuffle=False), path)  # noqa: E731
    if cached:
        list(make())
    flow = make()
    running = iter(flow)
    state = flow.state_dict()
    del running
    again = make()
    again.load_state_dict(state)
    assert list(again) == list(again) == [0, 1, 2]


def test_resumes_from_the_file(path):
    list(hr.DiskCache(hr.DataFromList(range(6), shuffle=False), path))
    for shuffle in (True, False):
        check_resume(lambda shuffle=shuffle: hr.DiskCache(hr.DataFromList(range(6), shuffle=False), path, shuffle))


def test_a_pass_that_was_read_from_the_input_goes_on_there(path):
    hr.seed(4)
    undisturbed = list(hr.DataFromList(range(9)))
    flow = hr.DiskCache(hr.DataFromList(range(9)), path)
    running = iter(flow)
    first = list(itertools.islice(running, 4))
    state = flow.state_dict()
    running.close()
    hr.seed(None)
    again = hr.DiskCache(hr.DataFromList(range(9)), path)
    again.load_state_dict(state)
    assert first + list(again) == undisturbed
    assert os.listdir(path.parent) == []
    assert sorted(again) == list(range(9))
    assert os.listdir(path.parent) == ["cache"]


def test_a_pass_from_a_file_that_is_gone_or_another_one(path):
    flow = hr.DiskCache(hr.DataFromList(range(9)), path)
    list(flow)
    running = iter(flow)
    next(running)
    state = flow.state_dict()
    running.close()
    path.unlink()
    again = hr.DiskCache(hr.DataFromList(range(9)), path)
    again.load_state_dict(state)
    with pytest.raises(hr.StateError, match="which is gone"):
        next(iter(again))
    list(hr.DiskCache(hr.DataFromList(range(9)), path))
    again = hr.DiskCache(hr.DataFromList(range(9)), path)
    again.load_state_dict(state)
    with pytest.raises(hr.StateError, match="other contents"):
        next(iter(again))
