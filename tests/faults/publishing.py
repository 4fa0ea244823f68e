"""What publishing does to a directory, and the judgement after it: whole objects, and no checkpoint too early."""

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

from exequatur_log.errors import StoreError
from exequatur_log.log import Log
from exequatur_log.publish.publisher import Published, publish
from exequatur_log.publish.store import CHECKPOINT, open_store
from tests.faults.logs import make_log, requests
from tests.faults.nursery import Arms, Say
from tests.faults.trial import DONE, REFUSED, WHOLE, Operation
from tests.faults.victim import NAME
from tests.log import scene

# Beside the log; what the tests publish to find out what is right, is elsewhere.
PUBLISHED: Final = "published"
_BEFORE: Final = 250
_AFTER: Final = 260

Files = Mapping[str, bytes]


class Known(NamedTuple):
    """What is to be published: all files, by name; and what was published before, if anything."""

    former: Files
    final: Files


def operations() -> list[Operation]:
    again = Operation("publish", _grown, publish_again, (), _judge, _role, PUBLISHED)
    return [again._replace(name="first publish", prepare=_fresh), again]


def publish_again(arms: Arms, say: Say, folder: Path) -> None:
    """Publish the head of a log; if that fails, publish it again once the disk is well."""
    arms.arm()
    try:
        _publish(folder, PUBLISHED)
    except StoreError as error:
        arms.disarm()
        say((REFUSED, str(error)))
        arms.end()
        _publish(folder, PUBLISHED)
    else:
        arms.disarm()
        say((DONE, None))
        arms.end()
    say(("published", None))


def _publish(folder: Path, target: str) -> Published:
    async def work() -> Published:
        async with await Log.open(folder / NAME) as log:
            # One object after the other, so that the calls come in one order.
            head = await log.head()
            return await publish(log, open_store(str(folder / target)), head.note, clock=lambda: scene.NOW, at_once=1)

    return asyncio.run(work())


def _files(target: Path) -> Files:
    """Return what a reader can find, by name: not what is being made."""
    found = {str(file.relative_to(target)): file for file in target.rglob("*") if file.is_file()}
    return {name: file.read_bytes() for name, file in found.items() if not name.startswith(".")}


def _fresh(folder: Path) -> Known:
    """Make a log of which nothing is published."""
    make_log(folder / NAME, _AFTER)
    return Known({}, _expected(folder))


def _grown(folder: Path) -> Known:
    """Make a log that has grown beyond a tile since it was published."""
    make_log(folder / NAME, _BEFORE)
    _publish(folder, PUBLISHED)
    former = _files(folder / PUBLISHED)
    with scene.reopen(folder / NAME) as log:
        log.register_many(requests(_AFTER - _BEFORE))
    return Known(former, {**former, **_expected(folder)})


def _expected(folder: Path) -> Files:
    _publish(folder, "expected")
    return _files(folder / "expected")


def _judge(folder: Path, known: Known, told: list[tuple[str, Any]]) -> str:
    target = folder / PUBLISHED
    found = _files(target)
    for name, data in found.items():
        if name != CHECKPOINT:
            assert data == known.final[name], f"{name} is not what it is for ever"
    checkpoint = found.get(CHECKPOINT)
    assert checkpoint in {known.former.get(CHECKPOINT), known.final[CHECKPOINT]}
    reached = known.final if checkpoint == known.final[CHECKPOINT] else known.former
    assert reached.keys() <= found.keys(), "the checkpoint is of tiles that are not there"
    if any(word in {DONE, "published"} for word, _ in told):
        assert checkpoint == known.final[CHECKPOINT], "what was published is gone"
    # Whoever begins again is not alarmed, and ends with all of it.
    _publish(folder, PUBLISHED)
    assert _files(target) == known.final
    return WHOLE


def _role(path: Path) -> str:
    if path == Path():
        return "root"
    if path.parts[0] == ".new":
        return (
            "folder of unfinished files"
            if len(path.parts) == 1
            else "lock"
            if path.name == "lock"
            else "unfinished file"
        )
    if path.name == CHECKPOINT:
        return "checkpoint"
    # A full one has a number of three digits for a name, a partial one its width in the folder of its number.
    if not (path.name.isdigit() and (len(path.name) == 3 or path.parent.suffix == ".p")):
        return "folder"
    return "bundle" if path.parts[1] == "entries" else "tile"
