"""Fresh bundles: the same artifact with the newest status lists, where the home's log can be asked (specs/09 §10)."""

from exequatur_issuer import bundles
from exequatur_verifier import bundle, statement
from exequatur_verifier.errors import ExequaturError

from .home import Home, now


def refresh(home: Home, data: bytes) -> bytes:
    """Return a bundle under the log's current head, with its status lists renewed where they are due.

    Raises ``MalformedError``, ``NotProvenError``, and what publishing a status list raises.
    """
    artifact, _ = statement.parse_transparent(bundle.decode(data).artifact)
    lists, log = home.status_lists(), home.authority_log
    if lists is not None:
        lists.fresh(bundles.lists_of(data), now())
    # What was issued to that runtime since has moved its memory on.
    return bundles.refresh(data, log, home.journal.heads(log.origin, artifact.claims.aud or ""))


def freshen(home: Home, data: bytes | None) -> bytes | None:
    """Return a bundle with the newest status lists if the home's log has newer ones than it, else as it is.

    Nothing is raised: what cannot be refreshed here is for the gate to judge, which denies with a list that is due.
    """
    if data is None or len(data) > bundle.MAX_BUNDLE:
        return data
    try:
        presented = bundle.decode(data)
        lists = home.status_lists()
        names = bundles.lists_of(data)
        if not names:
            return data
        if lists is not None:
            lists.fresh(names, now())
        stapled = {element.statement for element in presented.status}
        newest = bundles.newest_lists(presented, home.authority_log)
        if all(placed.statement in stapled for placed in newest.values()):
            return data
        return refresh(home, data)
    except (ExequaturError, OSError):
        return data
