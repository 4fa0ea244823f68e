"""``make vectors``: writes specs/vectors, the same bytes every time.

Keys come from fixed seeds and ECDSA is deterministic; ML-DSA signatures are kept (``frozen``). A file that no vector
needs any more is removed.
"""

from hashlib import sha256
from pathlib import Path
from typing import Final

from exequatur_verifier import Code
from tests.vectors import (
    failing_consent,
    failing_delegation,
    failing_evidence,
    failing_form,
    failing_scope,
    failing_status,
    form,
    frozen,
    primitives,
)
from tests.vectors.flip import FAILING
from tests.vectors.form import FOLDER, Vector
from tests.vectors.valid import VALID, Maker

# What registers the failing vectors.
AREAS: Final = (failing_form, failing_evidence, failing_scope, failing_consent, failing_delegation, failing_status)

README: Final = Path(__file__).with_name("README.md")


def vectors() -> dict[str, tuple[Code | None, Maker]]:
    """Return every vector's maker by name, with the code it is to be denied with; by code and name, not by import."""
    valid = {name: (None, VALID[name]) for name in sorted(VALID)}
    order = {code: number for number, code in enumerate(Code)}
    names = sorted(FAILING, key=lambda name: (order[FAILING[name][0]], name))
    return {**valid, **{name: FAILING[name] for name in names}}


def files() -> dict[str, bytes]:
    """Return every file of specs/vectors but the frozen signatures, by its path there."""
    made: dict[str, bytes] = {}
    for name, (code, make) in vectors().items():
        vector = make()
        made |= {f"{name}/{file}": data for file, data in _folder(name, vector, code, make.__doc__ or "").items()}
    for file, text in primitives.files().items():
        made[f"primitives/{file}"] = text.encode()
    made["README.md"] = _readme().encode()
    sums = (f"{sha256(data).hexdigest()}  {file}\n" for file, data in sorted(made.items()))
    made["SHA256SUMS"] = "".join(sums).encode()
    return made


def main() -> None:
    """Write what is new or different, and remove what is no longer there."""
    made = {FOLDER / file: data for file, data in files().items()}
    written = 0
    for path, data in made.items():
        if not path.exists() or path.read_bytes() != data:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
            written += 1
    stale = [path for path in FOLDER.rglob("*") if path.is_file() and path not in made and path not in frozen.used]
    for path in stale:
        path.unlink()
    for folder in sorted((path for path in FOLDER.rglob("*") if path.is_dir()), reverse=True):
        if not any(folder.iterdir()):
            folder.rmdir()
    print(f"{len(vectors())} vectors in {FOLDER}: {written} files written, {len(stale)} removed")


def _folder(name: str, vector: Vector, code: Code | None, about: str) -> dict[str, bytes]:
    verdict = form.run(vector)
    if verdict.code is not code:
        raise AssertionError(f"{name} is to be denied with {code}, and was with {verdict.code}: {verdict.failure}")
    made = {"inputs.json": form.write(vector, " ".join(about.split())).encode()}
    made["expected.json"] = form.expected(verdict).encode()
    if vector.bundle is not None:
        made["bundle.exq"] = vector.bundle
    return made


def _readme() -> str:
    """Return the page of specs/vectors: what is written by hand, and the list of all vectors."""
    rows = []
    for name, (code, make) in vectors().items():
        verdict = "admitted" if code is None else f"`{code.name}`"
        rows.append(f"| [{name}]({name}) | {verdict} | {' '.join((make.__doc__ or '').split())} |")
    return README.read_text() + "\n".join(("| vector | verdict | what it shows |", "|---|---|---|", *rows)) + "\n"


if __name__ == "__main__":
    main()
