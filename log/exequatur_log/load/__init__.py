"""The load tool that verifies: many clients of one served log, who believe nothing that they are told (specs/10 §9).

``ledger`` is what the clients were told, and finds what contradicts it; ``writers`` and ``readers`` ask, ``readback``
reads the whole log at the end; ``caller`` repeats what was not answered, over the connections of ``client``. ``run``
puts it together, ``report`` is what comes of it.
"""
