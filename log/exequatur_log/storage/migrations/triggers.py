"""Triggers of the same meaning in both databases: what they are there for is never done, whoever tries.

They guard against mistakes, our own included. They do not defend against someone who can write the file or owns the
tables: that is what the signatures are for.
"""

from alembic.operations import Operations


def refuse(op: Operations, table: str, name: str, event: str, message: str, *, when: str = "TRUE") -> None:
    """Refuse to ``event`` (UPDATE, DELETE, INSERT) a row, ``when`` that holds of ``NEW`` and ``OLD``."""
    full = f"{table}_{name}"
    if op.get_bind().dialect.name == "sqlite":
        condition = "" if when == "TRUE" else f" WHEN {when}"
        op.execute(
            f"CREATE TRIGGER {full} BEFORE {event} ON {table}{condition} "
            f"BEGIN SELECT RAISE(ABORT, '{table}: {message}'); END"
        )
        return
    _function(op, full, f"IF {when} THEN {_raise(table, message)} END IF; RETURN NEW;")
    op.execute(f"CREATE TRIGGER {full} BEFORE {event} ON {table} FOR EACH ROW EXECUTE FUNCTION exequatur_{full}()")


def keep(op: Operations, table: str) -> None:
    """Refuse to change a row."""
    refuse(op, table, "keep", "UPDATE", "what is logged stays as it is")


def stay(op: Operations, table: str) -> None:
    """Refuse to remove a row, or all of them at once."""
    message = "nothing is removed from a log"
    refuse(op, table, "stay", "DELETE", message)
    if op.get_bind().dialect.name != "sqlite":
        _function(op, f"{table}_whole", _raise(table, message))
        _for_statement(op, f"{table}_whole", f"BEFORE TRUNCATE ON {table}")


def contiguous(op: Operations) -> None:
    """Refuse entries whose indices do not follow those that stand, from zero on."""
    message = "indices are contiguous"
    if op.get_bind().dialect.name == "sqlite":
        next_one = "coalesce((SELECT max(leaf_index) + 1 FROM entries), 0)"
        refuse(op, "entries", "next", "INSERT", message, when=f"NEW.leaf_index != {next_one}")
        return
    # Once for all rows of a COPY: a call for each of thousands would cost more than writing them.
    body = (
        "SELECT min(leaf_index), max(leaf_index), count(*) INTO lowest, highest, rows FROM added; "
        "SELECT coalesce(max(leaf_index) + 1, 0) INTO next_one FROM entries WHERE leaf_index < lowest; "
        "IF rows > 0 AND (lowest <> next_one OR highest - lowest + 1 <> rows) THEN "
    )
    _function(
        op,
        "entries_next",
        f"{body}{_raise('entries', message)} END IF; RETURN NULL;",
        declare="lowest bigint; highest bigint; rows bigint; next_one bigint;",
    )
    _for_statement(op, "entries_next", "AFTER INSERT ON entries REFERENCING NEW TABLE AS added")


def _function(op: Operations, name: str, body: str, declare: str = "") -> None:
    declared = f"DECLARE {declare} " if declare else ""
    op.execute(
        f"CREATE FUNCTION exequatur_{name}() RETURNS trigger LANGUAGE plpgsql AS $$ {declared}BEGIN {body} END $$"
    )


def _for_statement(op: Operations, name: str, event: str) -> None:
    op.execute(f"CREATE TRIGGER {name} {event} FOR EACH STATEMENT EXECUTE FUNCTION exequatur_{name}()")


def _raise(table: str, message: str) -> str:
    return f"RAISE EXCEPTION '{table}: {message}' USING ERRCODE = 'integrity_constraint_violation';"
