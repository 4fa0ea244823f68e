"""A bundle as a directory of its parts, for people and for other tools, and back again byte for byte (specs/04 §3).

artifact.cose            the authorization, as registered (an empty unprotected header)
receipt-1.cose …         its receipts
salt.bin  terms.cbor     the salt, and the encoded terms
policy.cose              the policy record; policy.positions.cbor is where it stands in the receipts' trees
request.cose             the request, approvals-1.cose … and status-1.cose … likewise, each with its positions
parents-1.cose …         the grants above it, the nearest first; parents-1.salt.bin and parents-1.terms.cbor open
                         its terms, and parents-1.request.cose is what it answers, where the bundle has that
checkpoint-1.txt …       signed notes
proofs.cbor              stapled consistency proofs
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from exequatur_verifier import bundle, cbor, shape, statement
from exequatur_verifier.bundle import Bundle, Element
from exequatur_verifier.errors import MalformedError

_NAME: Final = re.compile(
    r"[a-z]+(?:-[1-9][0-9]?)?\.(?:cose|bin|cbor|txt|positions\.cbor)"
    r"|parents-[1-9]\.(?:salt\.bin|terms\.cbor|request\.cose|request\.positions\.cbor)"
)
_LISTS: Final = ("approvals", "status")


def split(parts: Bundle, directory: Path) -> list[Path]:
    """Write the parts of a bundle into ``directory``, which is made for it; return the files.

    Raises ``MalformedError`` for an artifact that does not parse, and ``OSError``: ``FileExistsError`` if the
    directory exists.
    """
    files = {directory / name: content for name, content in _split(parts)}
    directory.mkdir(mode=0o700)
    for path, content in files.items():
        path.write_bytes(content)
    return list(files)


def join(directory: Path) -> Bundle:
    """Return the bundle whose parts ``split`` wrote; its encoding is the very bytes of before.

    Raises ``MalformedError``, also for a file of another name, and ``OSError``.
    """
    files = {path.name: path.read_bytes() for path in directory.iterdir()}
    for name in files:
        if not _NAME.fullmatch(name):
            raise MalformedError(f"{directory / name} is no part of a bundle")
    try:
        receipts = tuple(_series(files, "receipt", "cose"))
        fields: dict[str, Any] = {
            "v": bundle.VERSION,
            "artifact": statement.attach(files.pop("artifact.cose"), receipts),
            "salt": files.pop("salt.bin"),
            "terms": files.pop("terms.cbor"),
        }
    except KeyError as error:
        raise MalformedError(f"{directory} lacks {error.args[0]}") from None
    if "proofs.cbor" in files:
        fields["proofs"] = cbor.decode(files.pop("proofs.cbor"))
    if checkpoints := list(_series(files, "checkpoint", "txt")):
        fields["checkpoints"] = checkpoints
    for name in ("request", "policy"):
        if f"{name}.cose" in files:
            fields[name] = _element(files, name)
    for name in _LISTS:
        elements = [_element(files, f"{name}-{number}") for number in _numbers(files, name, "cose")]
        if elements:
            fields[name] = elements
    parents = [_parent(files, f"parents-{number}") for number in _numbers(files, "parents", "cose")]
    if parents:
        fields["parents"] = parents
    if files:
        raise MalformedError(f"{directory} holds {', '.join(sorted(files))}, which belong to nothing")
    return bundle.decode(cbor.encode(fields))


def _split(parts: Bundle) -> Iterator[tuple[str, bytes]]:
    artifact, receipts = statement.parse_transparent(parts.artifact)
    yield "artifact.cose", artifact.entry
    for number, receipt in enumerate(receipts, start=1):
        yield f"receipt-{number}.cose", receipt
    yield "salt.bin", parts.salt
    yield "terms.cbor", parts.terms
    for name in ("request", "policy"):
        element = getattr(parts, name)
        if element is not None:
            yield from _split_element(name, element)
    for name in _LISTS:
        for number, element in enumerate(getattr(parts, name), start=1):
            yield from _split_element(f"{name}-{number}", element)
    for number, parent in enumerate(parts.parents, start=1):
        yield from _split_element(f"parents-{number}", parent.authorization)
        yield f"parents-{number}.salt.bin", parent.salt
        yield f"parents-{number}.terms.cbor", parent.terms
        if parent.request is not None:
            yield from _split_element(f"parents-{number}.request", parent.request)
    for number, note in enumerate(parts.checkpoints, start=1):
        yield f"checkpoint-{number}.txt", note
    if parts.proofs:
        yield "proofs.cbor", cbor.encode(shape.plain(parts.proofs))


def _split_element(name: str, element: Element) -> Iterator[tuple[str, bytes]]:
    yield f"{name}.cose", element.statement
    yield f"{name}.positions.cbor", cbor.encode(shape.plain(element.positions))


def _numbers(files: dict[str, bytes], name: str, suffix: str) -> range:
    count = 0
    while f"{name}-{count + 1}.{suffix}" in files:
        count += 1
    return range(1, count + 1)


def _series(files: dict[str, bytes], name: str, suffix: str) -> Iterator[bytes]:
    for number in _numbers(files, name, suffix):
        yield files.pop(f"{name}-{number}.{suffix}")


def _parent(files: dict[str, bytes], name: str) -> dict[str, Any]:
    fields: dict[str, Any] = {"authorization": _element(files, name)}
    if f"{name}.request.cose" in files:
        fields["request"] = _element(files, f"{name}.request")
    try:
        return fields | {"salt": files.pop(f"{name}.salt.bin"), "terms": files.pop(f"{name}.terms.cbor")}
    except KeyError as error:
        raise MalformedError(f"the parts lack {error.args[0]}") from None


def _element(files: dict[str, bytes], name: str) -> list[Any]:
    try:
        return [files.pop(f"{name}.cose"), cbor.decode(files.pop(f"{name}.positions.cbor"))]
    except KeyError as error:
        raise MalformedError(f"the parts lack {error.args[0]}") from None
