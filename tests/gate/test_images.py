"""Sealed images: a copy that runs, that nobody changes, and that is what was hashed."""

import errno
import fcntl
import hashlib
import mmap
import os
import subprocess
from pathlib import Path

import pytest

from exequatur_gate import images
from exequatur_gate.images import is_sealed, is_unchanged, seal
from exequatur_verifier import host
from exequatur_verifier.host import UnmeasurableError

ECHO = os.path.realpath(b"/bin/echo")


def test_image_is_the_file_byte_for_byte() -> None:
    content = Path(os.fsdecode(ECHO)).read_bytes()
    image = seal(ECHO)
    assert image.handle is not None
    assert os.pread(image.handle, len(content) + 1, 0) == content
    assert (image.path, image.digest, image.head) == (ECHO, hashlib.sha256(content).digest(), content[:256])
    assert host.hash_file(ECHO) == image._replace(handle=None)
    image.close()


def test_image_runs() -> None:
    image = seal(ECHO)
    handle = image.handle
    assert handle is not None
    program = f"/proc/self/fd/{handle}"
    run = subprocess.run([b"echo", b"ok"], executable=program, pass_fds=[handle], capture_output=True, check=True)
    assert run.stdout == b"ok\n"
    image.close()


def test_image_cannot_be_changed_by_anybody() -> None:
    # G-13
    image = seal(ECHO)
    handle = image.handle
    assert handle is not None
    assert is_sealed(handle)
    assert not os.get_inheritable(handle)
    size = os.fstat(handle).st_size
    with pytest.raises(PermissionError):
        os.pwrite(handle, b"x", 0)
    with pytest.raises(PermissionError):
        os.ftruncate(handle, size - 1)
    with pytest.raises(PermissionError):
        os.ftruncate(handle, size + 1)
    with pytest.raises(PermissionError):
        mmap.mmap(handle, size, prot=mmap.PROT_WRITE)
    with pytest.raises(PermissionError):
        fcntl.fcntl(handle, fcntl.F_ADD_SEALS, 0)
    # Its owner may give back the mode, which gives nothing back of the content.
    os.fchmod(handle, 0o700)
    reopened = os.open(f"/proc/self/fd/{handle}", os.O_RDWR)
    with pytest.raises(PermissionError):
        os.pwrite(reopened, b"x", 0)
    os.close(reopened)
    assert is_unchanged(image, handle)
    image.close()


def test_other_descriptors_are_not_sealed() -> None:
    # G-13
    memory = host.create_memory_file("open")
    assert not is_sealed(memory)
    os.close(memory)
    with Path(os.fsdecode(ECHO)).open("rb") as file:
        assert not is_sealed(file.fileno())


def test_later_change_of_the_file_does_not_reach_the_image(tmp_path: Path) -> None:
    path = tmp_path / "tool"
    path.write_bytes(b"#!measured\n")
    image = seal(os.fsencode(path))
    path.write_bytes(b"#!swapped!\n")
    assert image.handle is not None
    assert os.pread(image.handle, 100, 0) == b"#!measured\n"
    with path.open("rb") as file:
        assert not is_unchanged(image, file.fileno())
    image.close()


def test_unusual_names_are_sealed(tmp_path: Path) -> None:
    path = os.fsencode(tmp_path / ("\udcff " + "n" * 240))
    Path(os.fsdecode(path)).write_bytes(b"")
    image = seal(path)
    assert (image.path, image.head) == (path, b"")
    image.close()


def test_file_that_cannot_be_sealed_leaves_nothing_open(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = os.fsencode(tmp_path / "tool")
    Path(os.fsdecode(path)).write_bytes(b"x" * 1000)
    before = len(list(Path("/proc/self/fd").iterdir()))
    with pytest.raises(UnmeasurableError):
        seal(os.fsencode(tmp_path))
    with monkeypatch.context() as patch:
        patch.setattr(images, "LARGEST", 999)
        with pytest.raises(UnmeasurableError):
            seal(path)
    with monkeypatch.context() as patch:
        patch.setattr(os, "memfd_create", lambda *_: refuse())
        with pytest.raises(UnmeasurableError):
            seal(path)
    with monkeypatch.context() as patch:
        patch.setattr(images, "seal_memory_file", lambda _: refuse())
        with pytest.raises(UnmeasurableError):
            seal(path)
    assert len(list(Path("/proc/self/fd").iterdir())) == before
    seal(path).close()


def refuse() -> None:
    raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))
