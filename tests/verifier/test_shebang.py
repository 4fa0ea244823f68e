"""The first line of a script, compared with what Linux makes of it."""

import os
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exequatur_verifier import shebang
from exequatur_verifier.errors import MalformedError

ECHO = os.path.realpath("/bin/echo")


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (b"#!/bin/sh\n", (b"/bin/sh",)),
        (b"#! \t/bin/sh \t\n", (b"/bin/sh",)),
        (b"#!/bin/sh -e\n", (b"/bin/sh", b"-e")),
        (b"#!/bin/sh\t-e  -u \n", (b"/bin/sh", b"-e  -u")),
        (b"#!/bin/sh\r\n", (b"/bin/sh\r",)),
        (b"#!/usr/bin/env python3\n", (b"python3",)),
        (b"#!/bin/env /opt/python3\n", (b"/opt/python3",)),
    ],
)
def test_line_names_its_program(line: bytes, expected: tuple[bytes, ...]) -> None:
    assert shebang.parse(line) == shebang.parse(line + b"echo rest") == expected


@pytest.mark.parametrize(
    "line",
    [
        b"#!\n",
        b"#!/bin/sh",
        b"#! \t \n",
        b"#!/bin/sh\0\n",
        b"#!bin/sh\n",
        b"#!./sh\n",
        b"#!sh\n",
        b"#!/usr/bin/env\n",
        b"#!/usr/bin/env -S python3 -u\n",
        b"#!/usr/bin/env -i\n",
        b"#!/usr/bin/env A=b\n",
        b"#!/usr/bin/env python3 -u\n",
        b"#!/usr/bin/env python3\t-u\n",
        b"#!/usr/bin/env bin/python3\n",
        b"#!/usr/bin/env ./python3\n",
        b"#!env bin/python3\n",
    ],
)
def test_line_that_hides_its_program_is_refused(line: bytes) -> None:
    with pytest.raises(MalformedError):
        shebang.parse(line)


def test_line_that_linux_would_cut_is_refused() -> None:
    longest = b"#!/bin/sh " + b"a" * 245
    assert shebang.parse((longest + b"\n")[: shebang.HEAD]) == (b"/bin/sh", b"a" * 245)
    with pytest.raises(MalformedError):
        shebang.parse((longest + b"a\n")[: shebang.HEAD])


@given(rest=st.text(alphabet=" \t-ab=\r", max_size=12).map(str.encode))
def test_linux_passes_the_same_arguments(rest: bytes, tmp_path_factory: pytest.TempPathFactory) -> None:
    script = tmp_path_factory.mktemp("scripts") / "script"
    head = b"#!" + os.fsencode(ECHO) + b" " + rest + b"\n"
    script.write_bytes(head)
    script.chmod(0o755)
    linux = subprocess.run([script, "last"], check=True, capture_output=True).stdout
    arguments = [*shebang.parse(head)[1:], os.fsencode(script), b"last"]
    assert linux == subprocess.run([ECHO, *arguments], check=True, capture_output=True).stdout


@pytest.mark.parametrize("length", range(250, 260))
def test_what_is_accepted_near_the_limit_is_what_linux_runs(length: int, tmp_path: Path) -> None:
    script = tmp_path / "script"
    head = (b"#!" + os.fsencode(ECHO) + b" ").ljust(length, b"a") + b"\n"
    script.write_bytes(head)
    script.chmod(0o755)
    linux = subprocess.run([script], check=True, capture_output=True).stdout.split()
    if length > shebang.HEAD - 1:
        with pytest.raises(MalformedError):
            shebang.parse(head[: shebang.HEAD])
    else:
        assert linux == [*shebang.parse(head[: shebang.HEAD])[1:], os.fsencode(script)]
