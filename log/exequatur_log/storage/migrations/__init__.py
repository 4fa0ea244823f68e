"""The tables' history: each revision in ``versions`` makes the next form of them, and nothing goes back.

``alembic_version`` holds the revision that a log's tables have, and so marks its format. A log is made by all
revisions in their order; an older one is brought to the newest by ``exequatur log migrate`` and by nothing else,
because whoever migrates should have a copy. A revision is given its operations as an argument: alembic's own
module-wide ``op`` is one for the whole process, which may make several logs at once.
"""

from pathlib import Path
from typing import Final

from alembic.migration import MigrationContext
from alembic.operations import Operations
from alembic.script import ScriptDirectory
from sqlalchemy import Connection

from exequatur_log.storage.revisions import NEWEST

__all__ = ["upgrade"]

_SCRIPTS: Final = ScriptDirectory(str(Path(__file__).parent))


def upgrade(connection: Connection, former: str | None, target: str = NEWEST) -> None:
    """Take the tables from revision ``former``, ``None`` if there are none, to ``target``; the caller commits."""
    context = MigrationContext.configure(connection)
    if former is not None:
        # The tables of the first format bore no mark.
        context.stamp(_SCRIPTS, former)
    for script in reversed(list(_SCRIPTS.walk_revisions(former or "base", target))):
        if script.revision != former:
            script.module.upgrade(Operations(context))
    context.stamp(_SCRIPTS, target)
