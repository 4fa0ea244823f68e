"""The log over HTTP: SCRAPI for relying parties, C2SP tiles for auditors, and what neither has (specs/10).

``app`` puts it together, ``reader`` what of it needs no database; ``scrapi``, ``tiles``, ``proofs`` and ``lookup`` are
the surfaces, ``source`` what tiles and proofs come from, ``problems`` how they refuse, ``health`` and ``metrics`` for
operators, ``server`` the process. Nothing else imports a web framework.
"""
