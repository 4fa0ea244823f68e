"""The transparency log: an append-only RFC 9162 tree of signed statements.

It admits statements by its registration policy, sequences them in batches of one commit and one signature,
and answers with receipts (RFC 9942), checkpoints (C2SP tlog-checkpoint) and proofs. Importing the package
loads nothing; the storage behind it needs `exequatur[log]` (specs/03, specs/04).
"""
