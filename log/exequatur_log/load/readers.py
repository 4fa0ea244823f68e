"""Readers: whatever the log offers to read, in random order, each answer checked against all that was told before.

What was acknowledged, or shown, before a question was sent must be in the answer; what came meanwhile may be.
"""

import asyncio
import json
import random
from urllib.parse import quote

from exequatur_verifier import statement, tiles
from exequatur_verifier.errors import MalformedError
from exequatur_verifier.tiles import Tile

from .caller import Caller, UnansweredError
from .ledger import Acknowledged, Head, Ledger
from .report import Tally
from .tiles import edge_root, edge_tiles, leaves_of, tile_at
from .violation import Code, Violation


class Reader:
    """One reader."""

    def __init__(self, caller: Caller, ledger: Ledger, tally: Tally, draw: random.Random) -> None:
        self._caller = caller
        self._ledger = ledger
        self._tally = tally
        self._draw = draw

    async def run(self, stop: asyncio.Event) -> None:
        """Read until told to stop."""
        acts = {
            "checkpoint": self.checkpoint,
            "consistency": self._consistency,
            "tiles": self._tiles,
            "receipt": self._receipt,
            "statement": self._statement,
            "inclusion": self._inclusion,
            "fresh receipt": self._fresh,
            "tlog-proof": self._tlog_proof,
            "lookup": self._lookup,
        }
        while not stop.is_set():
            name = self._draw.choice(list(acts))
            if not self._ledger.entries and name != "checkpoint":
                await asyncio.sleep(0.01)
                continue
            try:
                await acts[name]()
            except Violation as violation:
                self._tally.found(violation)
            except UnansweredError:
                self._tally.unanswered += 1
            else:
                self._tally.checks[name] += 1
        self.close()

    def close(self) -> None:
        """Close the connection."""
        self._caller.close()

    async def receipts(self, count: int) -> None:
        """Check the receipts of so many entries, or of all."""
        entries = self._ledger.entries
        for entry in self._draw.sample(entries, min(count, len(entries))):
            data = await self._caller.get("receipt", f"/entries/{entry.record.hex()}", entry)
            self._ledger.check_receipt(entry, data)

    async def checkpoint(self) -> Head:
        """Return the head of the checkpoint that is shown now."""
        least = self._ledger.published
        return self._ledger.check_checkpoint(await self._caller.get("checkpoint", "/checkpoint"), least)

    async def hashes(self, tile: Tile) -> list[bytes]:
        """Return the hashes of a tile."""
        path = tiles.format_path(tile)
        data = await self._caller.get("tile", f"/{path}")
        try:
            found = tiles.decode_hashes(data)
        except MalformedError as error:
            raise Violation(Code.TILE_WRONG, f"{path}: {error}", evidence={path: data}) from None
        if len(found) != tile.width:
            raise Violation(Code.TILE_WRONG, f"{path} has {len(found)} hashes", evidence={path: data})
        return found

    async def bundle(self, number: int, leaves: list[bytes]) -> list[bytes]:
        """Return the entries of a bundle, which are those of its tile's hashes, and those that were acknowledged."""
        path = tiles.format_path(Tile(None, number, len(leaves)))
        data = await self._caller.get("bundle", f"/{path}")
        try:
            entries = tiles.decode_entries(data)
        except MalformedError:
            entries = []
        for index, found in enumerate(entries, number * tiles.WIDTH):
            known = self._ledger.at(index)
            if known is not None:
                self._ledger.check_statement(known, found)
        if leaves_of(entries) != leaves:
            evidence = {path: data, tiles.format_path(Tile(0, number, len(leaves))): b"".join(leaves)}
            raise Violation(Code.TILE_WRONG, f"{path} does not hold the entries of its tile", evidence=evidence)
        return entries

    async def _tiles(self) -> None:
        """Check one tile and its bundle, and the way from there to the root of the checkpoint."""
        head = await self.checkpoint()
        edge = {tile: await self.hashes(tile) for tile in edge_tiles(head.size)}
        if edge_root(edge) != head.root:
            evidence = {"checkpoint": head.shown}
            evidence |= {tiles.format_path(tile): b"".join(hashes) for tile, hashes in edge.items()}
            raise Violation(Code.TILE_WRONG, f"the tiles do not make the root of size {head.size}", evidence=evidence)
        level, number = 0, self._draw.randrange(-(-head.size // tiles.WIDTH))
        tile = tile_at(level, number, head.size)
        hashes = edge[tile] if tile in edge else await self.hashes(tile)
        await self.bundle(number, hashes)
        # An older width of the same tile shows a part of it.
        width = self._draw.randint(1, tile.width)
        part = await self.hashes(tile._replace(width=width))
        if part != hashes[:width]:
            raise _unlike(tile, hashes, tile._replace(width=width), part)
        while tile.width == tiles.WIDTH:
            level, number, place = level + 1, number // tiles.WIDTH, number % tiles.WIDTH
            above = tile_at(level, number, head.size)
            higher = edge[above] if above in edge else await self.hashes(above)
            if higher[place] != tiles.subtree_root(hashes):
                raise _unlike(tile, hashes, above, higher)
            tile, hashes = above, higher

    async def _consistency(self) -> None:
        sizes = sorted(self._draw.choice(self._ledger.sizes) for _ in range(2))
        older, newer = (self._ledger.heads[size] for size in sizes)
        data = await self._caller.get("consistency", f"/proofs/consistency?from={older.size}&to={newer.size}")
        self._ledger.check_consistency(older, newer, data)

    async def _receipt(self) -> None:
        entry = self._entry()
        name = self._draw.choice((entry.record.hex(), str(entry.leaf_index)))
        self._ledger.check_receipt(entry, await self._caller.get("receipt", f"/entries/{name}", entry))

    async def _statement(self) -> None:
        entry = self._entry()
        data = await self._caller.get("statement", f"/entries/{entry.record.hex()}/statement", entry)
        self._ledger.check_statement(entry, data)

    async def _inclusion(self) -> None:
        entry = self._entry()
        size = self._draw.choice(self._ledger.sizes)
        if size <= entry.leaf_index:
            size = self._ledger.largest
        target = f"/proofs/inclusion?index={entry.leaf_index}&size={size}"
        data = await self._caller.get("inclusion", target, entry)
        self._ledger.check_inclusion(entry, self._ledger.heads[size], data)

    async def _fresh(self) -> None:
        entry, least = self._entry(), self._ledger.largest
        data = await self._caller.get("fresh receipt", f"/entries/{entry.record.hex()}/fresh", entry)
        self._ledger.check_fresh(entry, data, least)

    async def _tlog_proof(self) -> None:
        entry = self._entry()
        data = await self._caller.get("tlog-proof", f"/entries/{entry.record.hex()}/tlog-proof", entry)
        self._ledger.check_tlog_proof(entry, data)

    async def _lookup(self) -> None:
        entry = self._entry()
        sub = statement.parse(entry.statement).claims.sub
        data = await self._caller.get("lookup", f"/lookup?sub={quote(sub, safe='')}")
        try:
            answer = json.loads(data)
            covered, listed = answer["complete_to"], [(one["index"], one["record"]) for one in answer["entries"]]
        except (ValueError, KeyError, TypeError):
            raise Violation(Code.UNEXPECTED, "not an answer to a lookup", evidence={"answer": data}) from None
        # So few entries share a subject that an answer never stops before the end of the log.
        if covered <= entry.leaf_index or (entry.leaf_index, entry.record.hex()) not in listed:
            evidence = {"receipt": entry.receipt, "answer": data}
            raise Violation(Code.LOOKUP_WRONG, f"entry {entry.leaf_index} is not listed", entry.record, evidence)

    def _entry(self) -> Acknowledged:
        return self._draw.choice(self._ledger.entries)


def _unlike(one: Tile, hashes: list[bytes], other: Tile, others: list[bytes]) -> Violation:
    names = tiles.format_path(one), tiles.format_path(other)
    evidence = {names[0]: b"".join(hashes), names[1]: b"".join(others)}
    return Violation(Code.TILE_WRONG, f"{names[0]} and {names[1]} are not of one tree", evidence=evidence)
