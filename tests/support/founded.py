"""A founded home for tests: made once in a test process, which takes a while, and copied wherever it is changed.

Trust and memory name keys, not paths, so a copy is as good as the original, which nobody changes.
"""

import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from exequatur_cli.founding import found, subject
from exequatur_cli.home import Home, now, unique
from exequatur_gate.home import find_passphrase
from exequatur_issuer.authorize import Asked, Issued, RuntimeIdentity
from exequatur_issuer.request import sign_request
from exequatur_verifier.action import Descriptor
from exequatur_verifier.host import hash_file, measure, offered
from exequatur_verifier.signing import Signer

ENVIRON = {b"PATH": b"/usr/bin:/bin", b"SECRET": b"not kept"}
SHELL = os.path.realpath(b"/bin/sh")


@pytest.fixture(scope="session")
def founded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home as ``init`` makes it; copy it before you change it."""
    return found(tmp_path_factory.mktemp("founded") / "home").path


@pytest.fixture
def home(founded: Path, tmp_path: Path) -> Path:
    """A home of this test's own."""
    return copy(founded, tmp_path / "home")


@pytest.fixture
def opened(home: Path) -> Iterator[Home]:
    """That home, opened."""
    with enter(home) as entered:
        yield entered


def copy(home: Path, target: Path) -> Path:
    shutil.copytree(home, target)
    return target


def enter(home: Path) -> Home:
    return Home(home, find_passphrase(str(home)))


def ask(
    home: Home, descriptor: Descriptor, facts: Mapping[str, Any], *, signer: Signer | None = None, **terms: Any
) -> Asked:
    """Return a fresh request of the home's requester for its own runtime.

    ``signer`` is that requester's, loaded before, which takes a while; ``terms`` are ``claims``, ``ttl`` and ``uses``.
    """
    salt, runtime = unique(), home.settings.runtimes["local"]
    request = sign_request(
        descriptor,
        signer or home.signer("requester"),
        iss=home.settings.requester.iss,
        audience=runtime.id,
        subject=subject(),
        unique=unique(),
        salt=salt,
        now=now(),
        disclosure=home.settings.disclosure,
        **terms,
    )
    return Asked(request, salt, descriptor, facts, RuntimeIdentity(runtime.id, runtime.key.encoded))


def issue(home: Home, commands: Sequence[Sequence[bytes]], cwd: Path, **terms: Any) -> list[bytes]:
    """Return a bundle for each command as it would be measured in ``cwd``, with the environment ``ENVIRON``."""
    asked, signer = [], home.signer("requester")
    for argv in commands:
        command = measure(argv, cwd=os.fsencode(cwd), environ=ENVIRON, load=hash_file, enforcement=offered())
        asked.append(ask(home, command.descriptor, command.facts.measured, signer=signer, **terms))
    answers = home.authority(now()).authorize_many(asked, now=now())
    return [answer.bundle for answer in answers if isinstance(answer, Issued)]
