"""Witnesses: whoever cosigns that a log has only grown, and the log that asks them (specs/11).

``policy`` says whom a log asks and how many must agree; ``client`` asks them; ``wire`` is what both sides send
(c2sp.org/tlog-witness). The other side: ``decide`` judges what a log shows, ``memory`` is what a witness must not lose,
``evidence`` what it keeps of logs that contradict themselves, and ``cosigner`` puts it together.
"""
