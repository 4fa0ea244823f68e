"""Changing ``trust.toml`` when keys change, and leaving everything else in it as its owner wrote it (specs/09 §9).

The file is text with comments, so it is edited as text, and then read again: what it means now must be what was meant,
and nothing else may mean anything else than before. Otherwise nothing is written, and the owner is told what to write.
"""

from collections.abc import Iterable
from itertools import pairwise
from typing import Final, Literal

from exequatur_verifier import trust_file
from exequatur_verifier.errors import ExequaturError, MalformedError
from exequatur_verifier.keys import PublicKey
from exequatur_verifier.trust import Issuer, Trust

from .settings import text_of

Table = Literal["issuers", "approvers"]
# The tables that name the keys of a role, each with its range.
TABLES: Final[dict[str, Table]] = {"authority": "issuers", "approver": "approvers"}
_NEW_LINE: Final = "\n"


class TrustEditError(ExequaturError):
    """The trust policy could not be changed by itself: what its owner is to write."""


def with_ranges(text: str, table: Table, wanted: Iterable[Issuer]) -> str:
    """Return ``text`` with a block of ``table`` for each of ``wanted``, which have one key each; raise when it cannot.

    A block that has the key gets the end of its range; a key in no block gets one, unless its range has ended.
    """
    before = trust_file.parse(text.encode())
    wanted = [one for one in wanted if not _is_narrower(before, table, one)]
    for one in wanted:
        text = _with_range(text, table, one)
    after = _parsed(text)
    known = {key: issuer for issuer in _signers(after, table) for key in issuer.keys}
    for one in wanted:
        found = known.get(one.keys[0])
        if (found is None and one.until is None) or (found is not None and found.until != one.until):
            raise TrustEditError(
                f"trust.toml could not be changed by itself; make this part of it:\n{block(table, one)}"
            )
    ends = {one.keys[0]: one.until for one in wanted}
    for issuer in _signers(before, table):
        for key in issuer.keys:
            if known.get(key) is None or known[key] != issuer._replace(until=ends.get(key, issuer.until)):
                raise TrustEditError(
                    "trust.toml could not be changed by itself: a block with several keys has one range for all;"
                    f" give each key a block of its own, and try again:\n{block(table, issuer._replace(keys=(key,)))}"
                )
    _check_rest(before, after, table)
    return text


def with_owners(text: str, added: Iterable[PublicKey], removed: Iterable[PublicKey]) -> str:
    """Return ``text`` with other policy owners; raise ``TrustEditError`` when it cannot."""
    before = trust_file.parse(text.encode())
    owners = list(before.policy.owners)
    for key in added:
        if key not in owners:
            if not owners:
                raise TrustEditError(f'trust.toml names no owners; write owners = ["{text_of(key)}"] under [policy]')
            text = _once(text, f'"{text_of(owners[0])}"', f'"{text_of(key)}", "{text_of(owners[0])}"')
            owners.insert(0, key)
    for key in removed:
        if key in owners:
            spelled = f'"{text_of(key)}"'
            joined = next((form for form in (f", {spelled}", f"{spelled}, ") if form in text), spelled)
            text = _once(text, joined, "")
            owners.remove(key)
    after = _parsed(text)
    if list(after.policy.owners) != owners:
        spelled = ", ".join(f'"{text_of(key)}"' for key in owners)
        raise TrustEditError(f"trust.toml could not be changed by itself; write owners = [{spelled}] under [policy]")
    _check_rest(before, after, "policy")
    return text


def with_runtime(text: str, key: PublicKey) -> str:
    """Return ``text`` with another key of its runtime; raise ``TrustEditError`` when it cannot."""
    before = trust_file.parse(text.encode())
    if before.runtime.key == key:
        return text
    text = _once(text, f'"{text_of(before.runtime.key)}"', f'"{text_of(key)}"')
    after = _parsed(text)
    if after.runtime != before.runtime._replace(key=key):
        raise TrustEditError(f'trust.toml could not be changed by itself; write key = "{text_of(key)}" under [runtime]')
    _check_rest(before, after, "runtime")
    return text


def block(table: Table, one: Issuer) -> str:
    """Return the block of a trust policy that trusts an issuer or an approver with one key."""
    actions = ", ".join(f'"{action}"' for action in one.actions)
    lines = [f"[[{table}]]", f'iss = "{one.iss}"', f'keys = ["{text_of(one.keys[0])}"]', f"actions = [{actions}]"]
    lines += [f"since = {one.since}"] if one.since else []
    lines += [] if one.until is None else [f"until = {one.until}"]
    return _NEW_LINE.join(lines) + _NEW_LINE


def _is_narrower(parsed: Trust, table: Table, wanted: Issuer) -> bool:
    """Say whether the owner of the file has ended that key's range already, there or earlier."""
    return any(
        wanted.keys[0] in issuer.keys
        and issuer.until is not None
        and (wanted.until is None or issuer.until <= wanted.until)
        for issuer in _signers(parsed, table)
    )


def _with_range(text: str, table: Table, wanted: Issuer) -> str:
    lines = text.splitlines()
    headers = [number for number, line in enumerate(lines) if line.lstrip().startswith("[")] + [len(lines)]
    place = len(lines)
    for begin, end in pairwise(headers):
        if lines[begin].split("#")[0].strip() != f"[[{table}]]":
            continue
        place = _last_line(lines, begin, end) + 1
        if any(f'"{text_of(wanted.keys[0])}"' in line for line in lines[begin:end]):
            if wanted.until is None:
                return text
            kept = [line for line in lines[begin:place] if line.split("=")[0].strip() != "until"]
            return _joined([*lines[:begin], *kept, f"until = {wanted.until}", *lines[place:]])
    if wanted.until is not None:
        return text
    return _joined([*lines[:place], "", *block(table, wanted).splitlines(), *lines[place:]])


def _last_line(lines: list[str], begin: int, end: int) -> int:
    """Return the last line of a block that says something: what follows belongs to the next."""
    return max(number for number in range(begin, end) if lines[number].strip() and lines[number].lstrip()[0] != "#")


def _joined(lines: list[str]) -> str:
    return _NEW_LINE.join(lines) + _NEW_LINE


def _once(text: str, old: str, new: str) -> str:
    if text.count(old) != 1:
        raise TrustEditError(f"trust.toml does not name {old} just once; write {new or 'nothing'} in its place")
    return text.replace(old, new)


def _parsed(text: str) -> Trust:
    try:
        return trust_file.parse(text.encode())
    except MalformedError as error:
        raise TrustEditError(f"trust.toml could not be changed by itself: {error}") from None


def _signers(parsed: Trust, table: Table) -> tuple[Issuer, ...]:
    return parsed.issuers if table == "issuers" else parsed.approvers


def _check_rest(before: Trust, after: Trust, changed: str) -> None:
    for name in Trust._fields:
        if name not in ("digest", changed) and getattr(before, name) != getattr(after, name):
            raise TrustEditError(f"trust.toml could not be changed by itself: {name} would not be what it was")
