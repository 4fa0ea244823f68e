"""The policy set of a new home, as files to be written into its ``policy/`` folder.

It permits its own requester every command and forbids one named example, so that the first command of a newcomer
works, and the files say that this is broad and how to narrow it.
"""

import re
from importlib import resources
from typing import Final

_FILES: Final = ("cases.toml", "mapping.toml", "schema.cedarschema", "starter.cedar")
_REQUESTER: Final = b"urn:exequatur:requester:home"
_PLAIN: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9:._/@-]{0,199}")


def starter_policy(requester: str) -> dict[str, bytes]:
    """Return the files by name, for the home whose requester signs as ``requester`` (its iss).

    ``policyset.read`` accepts a directory with these files. Raises ``ValueError`` for an iss that would have to
    be quoted in Cedar.
    """
    if not _PLAIN.fullmatch(requester):
        raise ValueError(f"not a plain name for a requester: {requester!r}")
    folder = resources.files(__name__)
    return {name: (folder / name).read_bytes().replace(_REQUESTER, requester.encode()) for name in _FILES}
