"""Vectors that step 14 denies: no list, an old one, a foreign one, and what a list revokes (V-48 to V-52)."""

import zlib

from exequatur_verifier import Code
from exequatur_verifier.records import Epoch
from tests.support import governed as scene
from tests.support import world
from tests.support.governed import Grant, status_list
from tests.support.world import NOW
from tests.vectors.flip import denied
from tests.vectors.form import Vector
from tests.vectors.valid import vector
from tests.vectors.valid_governed import LISTED, governed, remembering, sound


@denied(Code.STATUS_STALE)
def no_list_named() -> Vector:
    # V-48
    """Trust asks for a status list, and the artifact names none."""
    return governed(LISTED)


@denied(Code.STATUS_STALE)
def status_list_missing() -> Vector:
    # V-48
    """The artifact names a status list that is not in the bundle."""
    return governed(status={}, left_out=("status",))


@denied(Code.STATUS_STALE)
def list_of_a_grant_missing() -> Vector:
    # V-48
    """The grant above the action names a status list that is not in the bundle."""
    return governed(grants=[Grant(record={"status": scene.entry(9)})], left_out=("status",))


@denied(Code.STATUS_STALE)
def list_by_a_stranger() -> Vector:
    # V-49
    """The status list is signed by a key that trust does not name."""
    return governed(status={}, status_by="stranger")


@denied(Code.STATUS_STALE)
def list_of_another_authority() -> Vector:
    # V-49
    """The status list is by another trusted authority than the artifact."""
    made = scene.build(status={}, status_by="second", status_claims={"iss": "urn:exequatur:authority:second"})
    key = world.text_key(world.signer("second"))
    other = f'[[issuers]]\niss = "urn:exequatur:authority:second"\nkeys = ["{key}"]\nactions = ["process.exec"]\n'
    return vector(made.bundle, scene.trust(made.log, extra=other))


@denied(Code.STATUS_STALE)
def list_signature() -> Vector:
    # V-49
    """The status list's signature is another's."""
    made = scene.build(status={})
    (given,) = made.bundle.status
    broken = given.statement[:-1] + bytes((given.statement[-1] ^ 1,))
    made.log.entries[made.log.entries.index(given.statement)] = broken
    return vector(scene.proven_again(made.bundle, made.log), scene.trust(made.log))


@denied(Code.STATUS_STALE)
def list_not_logged() -> Vector:
    # V-49
    """The status list stands at an index whose entry it is not."""
    made = sound(status={})
    (given,) = made.status
    assert made.policy is not None
    return governed(status={}, added={"status": (given._replace(positions=made.policy.positions),)})


@denied(Code.STATUS_STALE)
def list_not_compressed() -> Vector:
    # V-49
    """The status list is not compressed."""
    return governed(status={"packed": bytes(16)})


@denied(Code.STATUS_STALE)
def list_with_more_behind() -> Vector:
    # V-49
    """Bytes follow the compressed list."""
    return governed(status={"packed": status_list({}) + b"\x00"})


@denied(Code.STATUS_STALE)
def list_too_long() -> Vector:
    # V-49
    """The list is one byte longer than a mebibyte, unpacked."""
    return governed(status={"packed": zlib.compress(bytes((1 << 20) + 1), 9)})


@denied(Code.STATUS_STALE)
def list_of_three_bits() -> Vector:
    # V-49
    """The list has three bits for each index."""
    return governed(status={"bits": 3})


@denied(Code.STATUS_STALE)
def list_too_short() -> Vector:
    # V-49
    """The list ends before the artifact's index."""
    return governed(status={"packed": status_list({}, size=4)})


@denied(Code.STATUS_STALE)
def list_due() -> Vector:
    # V-50
    """The next version of the list was due, the leeway included."""
    return governed(status={"next_update": NOW - 51})


@denied(Code.STATUS_STALE)
def list_too_old() -> Vector:
    # V-50
    """The list is older than trust allows."""
    return governed("[status]\nmax_age = 100\n", status={}, status_claims={"iat": NOW - 91})


@denied(Code.STATUS_ROLLBACK)
def older_list() -> Vector:
    # V-51
    """The runtime remembers a newer version of the list."""
    return remembering(governed(status={"version": 3}), statuses={scene.LIST: 4})


@denied(Code.REVOKED)
def revoked() -> Vector:
    # V-52
    """The artifact is revoked."""
    return governed(status={"packed": status_list({7: 1})})


@denied(Code.REVOKED)
def suspended() -> Vector:
    # V-52
    """The artifact is suspended."""
    return governed(status={"packed": status_list({7: 2})})


@denied(Code.REVOKED)
def of_unknown_status() -> Vector:
    # V-52
    """The artifact has a status that nobody defined."""
    return governed(status={"packed": status_list({7: 3})})


@denied(Code.REVOKED)
def grant_revoked() -> Vector:
    # V-52
    """The grant above the action is revoked."""
    return governed(status={"packed": status_list({9: 1})}, grants=[Grant(record={"status": scene.entry(9)})])


@denied(Code.REVOKED)
def requester_revoked() -> Vector:
    # V-52
    """Who asked is revoked by name."""
    return governed(status={"subjects": ("urn:exequatur:requester:test",)})


@denied(Code.REVOKED)
def execution_revoked() -> Vector:
    # V-52
    """The execution is revoked by name."""
    return governed(status={"subjects": (world.SUBJECT,)})


@denied(Code.REVOKED)
def policy_revoked() -> Vector:
    # V-52
    """The policy is revoked by its id."""
    return governed(status={"policies": (scene.build().policy.id,)})


@denied(Code.REVOKED)
def requesters_key_revoked() -> Vector:
    # V-52
    """The key that asked is revoked."""
    return governed(status={"keys": (world.signer("requester").public_key.thumbprint,)})


@denied(Code.REVOKED)
def authoritys_key_revoked() -> Vector:
    # V-52
    """The key that signed the artifact is revoked."""
    return governed(status={"keys": (world.signer("authority").public_key.thumbprint,)})


@denied(Code.REVOKED)
def runtimes_key_revoked() -> Vector:
    # V-52
    """The key that the artifact is bound to is revoked."""
    return governed(status={"keys": (world.signer("runtime").public_key.thumbprint,)})


@denied(Code.REVOKED)
def epoch_revoked() -> Vector:
    # V-52
    """The policy's epochs up to this one are revoked."""
    return governed(status={"epochs": (Epoch(scene.SET, 1),)})


@denied(Code.STATUS_STALE)
def revoked_without_request() -> Vector:
    # V-52
    """Subjects are revoked by name, and who asked is not in the bundle."""
    return governed(status={"subjects": ("urn:exequatur:requester:other",)}, left_out=("request",))
