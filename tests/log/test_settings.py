"""``log.toml``: what it may say, and that nothing else passes (specs/10 §9)."""

import re
import textwrap
from pathlib import Path

import pytest

from exequatur_log import settings
from exequatur_log.settings import Publish, Settings, Witness
from exequatur_verifier.errors import MalformedError


def read(tmp_path: Path, text: str) -> Settings:
    path = tmp_path / "log.toml"
    path.write_text(text)
    return settings.read(path)


def test_without_a_file_the_log_is_a_file_and_public_at_once(tmp_path: Path) -> None:
    assert settings.read(tmp_path / "log.toml") == Settings(None, None, None)


def test_the_example_names_every_setting(tmp_path: Path) -> None:
    (example,) = re.findall(r"\n\n((?: {4}.*\n|\n)+)", settings.__doc__ or "")
    found = read(tmp_path, textwrap.dedent(example))
    assert found.publish is not None
    assert found.witness is not None
    assert found.database == "postgresql://log@db.example/exequatur"
    assert None not in found.publish
    assert found.witness.required


def test_what_is_left_out_has_its_default(tmp_path: Path) -> None:
    found = read(tmp_path, '[publish]\nto = "public"\n[witness]\npolicy = "p"\n')
    assert found == Settings(None, Publish("public"), Witness("p"))
    assert (found.publish, found.witness) == (Publish("public", None, None, None, 1), Witness("p", False, 5, 300))


@pytest.mark.parametrize(
    "text",
    [
        "databse = 'x'",
        "database = 1",
        "[publish]",
        "[publish]\nto = 'x'\nevery = 0",
        "[publish]\nto = 'x'\nevery = true",
        "[witness]\npolicy = 'x'\nrequired = 'yes'",
        "[witness]\npolicy = 'x'\ntimeout = 86401",
        "[witness]\nrequired = true",
        "[witness",
    ],
)
def test_anything_else_is_an_error_that_names_the_file(tmp_path: Path, text: str) -> None:
    with pytest.raises(MalformedError, match=r"log\.toml"):
        read(tmp_path, text)
