"""Storage: everything of the log that knows SQL. SQLAlchemy Core on SQLite (aiosqlite) and PostgreSQL (asyncpg).

``place`` says where a log lies, ``database`` opens it there: ``sqlite`` or ``postgres``. ``schema`` has the tables and
``migrations`` makes them, ``writer`` is the one transaction that appends, ``queries`` and ``proofs`` what is read,
``prepared`` how, on a ``connection`` of either, and ``transfer`` moves all of it. Nothing above this package imports
SQLAlchemy, and nothing in it knows a rule of the log.
"""
