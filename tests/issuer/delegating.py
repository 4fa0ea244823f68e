"""A house where grants are asked for and held."""

import uuid
from collections.abc import Mapping
from typing import Any, NamedTuple

from exequatur_issuer import grants
from exequatur_issuer.authorize import Asked, Issued, Refused
from exequatur_issuer.grants import Wish
from exequatur_issuer.policyset import PolicySet
from exequatur_issuer.request import sign_request
from exequatur_verifier import bundle, constraints, statement
from exequatur_verifier.constraints import Constraints, Terms
from exequatur_verifier.match import Matcher, Operator
from exequatur_verifier.records import Authorization
from exequatur_verifier.statement import Statement
from tests.issuer.house import FACTS, NOW, RUNTIME, House, with_rules
from tests.issuer.ledger import REQUESTER
from tests.support import world

RULES = """
@id("grants") @uses("10") @ttl("1h") {asked}
permit (principal, action == Action::"exequatur.grant", resource == Grant::"process.exec")
when {{ context.depth < 3 }};
@id("commands") @uses("5") @ttl("10m") @limit_wall("30s") {wanted}
permit (principal, action == Action::"process.exec", resource);
"""
GIT = Constraints(args={"/name": Matcher(Operator.SUBPATH, "/usr/bin")})


def rules(*, asked: str = "", wanted: str = "") -> PolicySet:
    found = with_rules(RULES.format(asked=asked, wanted=wanted))
    # As the schema says of itself.
    return found._replace(schema=found.schema.replace(b"\n//+ ", b"\n"))


class Held(NamedTuple):
    """A grant and whoever holds it."""

    issued: Issued
    by: str


class Delegating:
    """A house where grants are asked for, under policies that permit them."""

    def __init__(self, house: House) -> None:
        self.house = house

    def asked(
        self,
        descriptor: Mapping[str, Any],
        parent: Held | None = None,
        *,
        by: str | None = None,
        iss: str = REQUESTER,
        now: int = NOW,
        facts: Mapping[str, bytes | str] = FACTS,
        **more: Any,
    ) -> Asked:
        """Return a request, by the holder of the parent unless somebody else is named."""
        salt = self.house.unique()
        request = sign_request(
            descriptor,
            world.signer(by or (parent.by if parent is not None else "requester")),
            iss=iss,
            audience=more.pop("audience", RUNTIME.id),
            subject=f"urn:uuid:{uuid.UUID(bytes=self.house.unique())}",
            unique=self.house.unique(),
            salt=salt,
            now=now,
            parent=None if parent is None else parent.issued.authorization,
            **more,
        )
        return Asked(request, salt, descriptor, facts, RUNTIME)

    def wish(
        self, holder: str = "agent", depth: int = 0, limits: Constraints = GIT, covers: str = "process.exec"
    ) -> Mapping[str, Any]:
        """Return the action of asking for a grant."""
        return grants.descriptor_of(Wish(covers, world.signer(holder).public_key, depth, limits), RUNTIME.id)

    def grant(self, holder: str = "agent", parent: Held | None = None, *, now: int = NOW, **more: Any) -> Held:
        """Return a grant for a holder, below another one if that is given."""
        depth, limits = more.pop("depth", 0), more.pop("limits", GIT)
        asked = self.asked(self.wish(holder, depth, limits), parent, facts={}, now=now, **more)
        return Held(self.house.issue(asked, now), holder)

    def refuse(self, asked: Asked, now: int = NOW) -> Refused:
        """Return the refusal of what is not within a grant; nothing of it is logged."""
        before = len(self.house.log.statements())
        refused = self.house.refuse(asked, now)
        assert (refused.code, refused.decision) == ("DELEGATION_INVALID", None)
        assert len(self.house.log.statements()) == before
        return refused


def artifact_of(issued: Issued) -> Statement:
    return statement.parse_transparent(bundle.decode(issued.bundle).artifact)[0]


def record_of(issued: Issued) -> Authorization:
    record = artifact_of(issued).record
    assert isinstance(record, Authorization)
    return record


def terms_of(issued: Issued) -> Terms:
    return constraints.decode_terms(bundle.decode(issued.bundle).terms)
