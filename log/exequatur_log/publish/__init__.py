"""The log outside its database: tiles, bundles and a checkpoint in a directory or a bucket (specs/10 §9).

``store`` is what both can do, ``directory`` and ``bucket`` how they do it, ``probe`` whether they really do;
``publisher`` copies the log there, ``mirror`` serves it from there.
"""
