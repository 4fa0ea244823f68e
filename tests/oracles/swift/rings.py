"""Make the three rings of a Swift of one disk: `rings.py FOLDER ACCOUNT_PORT CONTAINER_PORT OBJECT_PORT`."""

import sys
from pathlib import Path

from swift.common.ring import RingBuilder

folder, ports = Path(sys.argv[1]), map(int, sys.argv[2:])
for name, port in zip(("account", "container", "object"), ports, strict=True):
    builder = RingBuilder(2, 1, 0)
    builder.add_dev(
        {"id": 0, "region": 1, "zone": 1, "weight": 1, "ip": "127.0.0.1", "port": port, "device": "disk", "meta": ""}
    )
    builder.rebalance()
    builder.get_ring().save(str(folder / f"{name}.ring.gz"))
