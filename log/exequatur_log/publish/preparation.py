"""Preparing publication as ``log.toml`` says: the store, the witnesses, and what of the log is public already."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from exequatur_log.batch import Clock
from exequatur_log.errors import DifferingRewriteError, FatalLogError
from exequatur_log.head import SignedHead, WitnessedHead
from exequatur_log.log import Log
from exequatur_log.settings import Publish, Settings, Witness
from exequatur_log.witness import policy as policies
from exequatur_log.witness.policy import WitnessPolicy
from exequatur_verifier import checkpoint
from exequatur_verifier.errors import ExequaturError, MalformedError

from .probe import probe
from .publication import Copy, Cosign, Cosigned, Prepare, Prepared, Shown, Steps, Witnessed
from .publisher import check_published, publish
from .store import Bucket, Store, open_store

if TYPE_CHECKING:
    from exequatur_log.witness.client import Witnesses


def preparing(settings: Settings, folder: Path, clock: Clock) -> Prepare:
    """Return what prepares the publication of a log; ``folder`` is where relative paths begin.

    Preparing raises ``FatalLogError`` if what is published contradicts the log, ``StoreError`` if the store does not
    answer or is not fit, ``MalformedError`` for a policy of witnesses that is none.
    """

    @asynccontextmanager
    async def prepare(log: Log) -> AsyncIterator[Prepared]:
        async with AsyncExitStack() as stack:
            steps, store, policy = Steps(), None, None
            if settings.publish is not None:
                store = _store(settings.publish, folder)
                await probe(store)
                steps = steps._replace(copy=_copying(log, store, clock), every=settings.publish.every)
            if settings.witness is not None:
                policy = _read_policy(folder / settings.witness.policy, log)
                asked = await stack.enter_async_context(_witnesses(policy, settings.witness, clock))
                cosign = _cosigning(log, asked)
                steps = steps._replace(cosign=cosign, required=settings.witness.required, renew=settings.witness.renew)
            yield Prepared(steps, *await _public(log, store, policy))

    return prepare


async def check_directory(log: Log, settings: Settings, folder: Path) -> None:
    """Raise ``FatalLogError`` if the directory that the log is published to contradicts it.

    That costs a file to read, so whoever opens the log can afford it; a bucket is for those who publish to it.
    """
    if settings.publish is not None and "://" not in settings.publish.to:
        await check_published(log, _store(settings.publish, folder))


async def checkpoint_of(log: Log, size: int, settings: Settings, folder: Path, clock: Clock) -> bytes | None:
    """Return the checkpoint of the head of that size, if one was signed, with the cosignatures of a quorum if it can.

    Witnesses are asked unless a quorum has cosigned that checkpoint before; where they are none, it bears what they
    gave.
    """
    heads = await log.heads(after=size - 1, limit=1)
    if not heads or heads[0].size != size:
        return None
    if settings.witness is None:
        return heads[0].note
    kept = await log.witnessed(size)
    if kept is not None and clock() - kept.time < settings.witness.renew:
        return kept.note
    policy = _read_policy(folder / settings.witness.policy, log)
    async with _witnesses(policy, settings.witness, clock) as witnesses:
        found = await _cosigning(log, witnesses)(heads[0])
    if found.time is not None:
        await log.keep_witnessed(WitnessedHead(size, found.time, found.note))
    return found.note


def _store(publish: Publish, folder: Path) -> Store:
    if "://" not in publish.to:
        return open_store(str(folder / publish.to))
    credentials = None if publish.credentials is None else folder / publish.credentials
    return open_store(publish.to, Bucket(publish.endpoint, publish.region, credentials))


def _copying(log: Log, store: Store, clock: Clock) -> Copy:
    async def copy(note: bytes) -> Shown:
        try:
            done = await publish(log, store, note, clock=clock)
        except DifferingRewriteError as error:
            raise FatalLogError(str(error)) from error
        return Shown(done.size, done.note)

    return copy


def _witnesses(policy: WitnessPolicy, settings: Witness, clock: Clock) -> "Witnesses":
    # The HTTP client takes a while to import, and most who open a log ask no witness.
    from exequatur_log.witness.client import Witnesses

    return Witnesses(policy, timeout=settings.timeout, clock=clock)


def _cosigning(log: Log, witnesses: "Witnesses") -> Cosign:
    async def cosign(head: SignedHead) -> Cosigned:
        found = await witnesses.gather(head.note, log.consistency)
        for name, outcome in found.outcomes.items():
            if outcome.evidence is not None:
                raise FatalLogError(
                    f"the witness {name} holds a checkpoint that this log signed and that is not of its history; the "
                    f"log was restored from an older copy, or its keys sign elsewhere too: {outcome.evidence.decode()}"
                )
        return Cosigned(found.note, found.time, {name: str(outcome) for name, outcome in found.outcomes.items()})

    return cosign


def _read_policy(path: Path, log: Log) -> WitnessPolicy:
    try:
        policy = policies.parse(path.read_bytes())
    except (OSError, MalformedError) as error:
        raise MalformedError(f"{path}: {error}") from None
    if not set(policy.log_keys) & set(log.identity.checkpoint_keys):
        raise MalformedError(f"{path} names no key that the checkpoints of {log.identity.origin} are signed with")
    return policy


async def _public(log: Log, store: Store | None, policy: WitnessPolicy | None) -> tuple[Shown, Witnessed]:
    """Return what is public of the log already: what stands in the store, what a quorum has cosigned."""
    shown, witnessed = Shown(), Witnessed()
    kept = None if policy is None else await log.witnessed()
    if kept is not None and policy is not None and _is_cosigned(kept.note, policy):
        shown, witnessed = Shown(kept.size, kept.note), Witnessed(kept.size, kept.time)
    if store is not None:
        standing = await check_published(log, store)
        shown = Shown() if standing is None else Shown(standing.checkpoint.size, standing.note)
    return shown, witnessed if witnessed.size <= shown.size else Witnessed()


def _is_cosigned(note: bytes, policy: WitnessPolicy) -> bool:
    keys = [witness.key for witness in policy.witnesses.values()]
    try:
        return policy.is_quorum(checkpoint.open(note, policy.log_keys, keys).cosigned)
    except ExequaturError:
        return False
