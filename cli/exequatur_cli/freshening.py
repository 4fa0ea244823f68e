"""Fresh bundles: the same artifact with the newest status lists, where the home's log can be asked (specs/09 §10)."""

from contextlib import suppress

from exequatur_issuer import bundles
from exequatur_verifier import bundle, statement
from exequatur_verifier.errors import ExequaturError

from .home import Home, now


def refresh(home: Home, data: bytes) -> bytes:
    """Return a bundle under the log's current head, with its status lists published again where they are due.

    Raises ``MalformedError``, ``NotProvenError``, and what publishing a status list raises.
    """
    _publish(home, data)
    return _refresh(home, data)


def freshen(home: Home, data: bytes | None) -> bytes | None:
    """Return a bundle with the newest status lists if the home's log has newer ones than it, else as it is.

    Nothing is raised: what cannot be refreshed here is for the gate to judge, which denies with a list that is due.
    """
    if data is None or len(data) > bundle.MAX_BUNDLE:
        return data
    with suppress(ExequaturError, OSError):
        if not bundles.lists_of(data):
            return data
        with suppress(ExequaturError, OSError):
            # Who cannot publish a list can still take the one that another has published.
            _publish(home, data)
        presented = bundle.decode(data)
        stapled = {element.statement for element in presented.status}
        newest = bundles.newest_lists(presented, home.authority_log)
        if not all(placed.statement in stapled for placed in newest.values()):
            return _refresh(home, data)
    return data


def _publish(home: Home, data: bytes) -> None:
    """Publish the status lists that a bundle needs again where they are due."""
    lists = home.status_lists()
    if lists is not None:
        lists.fresh(bundles.lists_of(data), now())


def _refresh(home: Home, data: bytes) -> bytes:
    artifact, _ = statement.parse_transparent(bundle.decode(data).artifact)
    log = home.authority_log
    # What was issued to that runtime since has moved its memory on.
    return bundles.refresh(data, log, home.journal.heads(log.origin, artifact.claims.aud or ""))
