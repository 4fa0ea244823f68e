"""The command line: one thin command over the log, the authority, the gate and the kernel.

It composes and it prints; it decides nothing. `exequatur_cli.entry` is the script's door, which a base
install can open, and `exequatur_cli.main` is the command itself, which needs `exequatur[cli]`.
"""
