"""Storage: everything of the log that knows SQL. SQLAlchemy Core on SQLite through aiosqlite.

``schema`` has the tables, ``database`` the file with its connections and its lock, ``writer`` the one
transaction that appends, ``queries`` and ``proofs`` what is read, ``prepared`` how. Nothing above this
package imports SQLAlchemy, and nothing in it knows a rule of the log.
"""
