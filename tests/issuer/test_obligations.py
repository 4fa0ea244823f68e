"""Annotations of permits, and how several permits are obeyed at once."""

from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exequatur_issuer.engine import Policy
from exequatur_issuer.obligations import ObligationError, Obligations, check, collect
from exequatur_verifier.constraints import (
    Constraints,
    Limits,
    Process,
    Sandbox,
    decode_terms,
    encode_terms,
    is_subset,
)
from exequatur_verifier.constraints import Terms as KernelTerms


def permit(**annotations: str) -> Policy:
    return Policy("p", "permit", annotations)


def test_every_annotation_has_its_place() -> None:
    everything = permit(
        id="p",
        doc="Everything.",
        ttl="5m",
        uses="1",
        lease="30s",
        limit_wall="30s",
        limit_cpu="2m",
        limit_memory="512MiB",
        limit_files="64",
        limit_processes="8",
        limit_file_size="1GiB",
        limit_output="100",
        sandbox_read="/usr /etc/ssl",
        sandbox_write="",
        sandbox_exec="/usr/bin",
        sandbox_net="8443 443",
        require="pidfd no-new-privs",
        image="path",
        script="path",
        require_approval="2",
    )
    assert collect([everything]) == Obligations(
        ttl=300,
        uses=1,
        approvals=2,
        constraints=Constraints(
            process=Process(image="path", script="path"),
            sandbox=Sandbox(
                read=("/etc/ssl", "/usr"),
                write=(),
                execute=("/usr/bin",),
                ports=(443, 8443),
                require=("no-new-privs", "pidfd"),
            ),
            limits=Limits(
                wall_ms=30_000,
                cpu_s=120,
                memory=512 << 20,
                files=64,
                processes=8,
                file_size=1 << 30,
                output=100,
            ),
            lease_s=30,
        ),
    )


def test_silence_demands_nothing() -> None:
    assert collect([permit(id="x", doc="y")]) == Obligations()
    assert collect([]) == Obligations()


def test_the_least_of_the_numbers_holds() -> None:
    #
    both = collect([permit(ttl="5m", uses="3", limit_cpu="1m"), permit(ttl="2h", uses="1", limit_memory="1KiB")])
    assert (both.ttl, both.uses) == (300, 1)
    assert both.constraints.limits == Limits(cpu_s=60, memory=1024)


def test_the_most_approvals_are_wanted() -> None:
    #
    assert collect([permit(require_approval="1"), permit(require_approval="3"), permit()]).approvals == 3


def test_only_what_all_lists_share_is_granted() -> None:
    #
    both = collect(
        [
            permit(sandbox_read="/usr /etc", sandbox_write="/tmp", sandbox_net="443 80"),
            permit(sandbox_read="/usr/lib /opt /etc", sandbox_write="/var", sandbox_net="443"),
            permit(sandbox_exec="/usr/bin"),
        ]
    )
    sandbox = both.constraints.sandbox
    assert sandbox.read == ("/etc", "/usr/lib")
    assert sandbox.write == ()
    assert sandbox.ports == (443,)
    assert sandbox.execute == ("/usr/bin",)


def test_a_neighbour_is_not_below() -> None:
    assert collect([permit(sandbox_read="/usr"), permit(sandbox_read="/usr2")]).constraints.sandbox.read == ()


def test_every_requirement_holds() -> None:
    #
    both = collect([permit(require="pidfd"), permit(require="no-new-privs pidfd"), permit()])
    assert both.constraints.sandbox.require == ("no-new-privs", "pidfd")


def test_a_weaker_form_needs_every_permit() -> None:
    #
    assert collect([permit(image="path"), permit(image="path")]).constraints.process.image == "path"
    assert collect([permit(image="path"), permit()]).constraints.process.image == "sealed"
    assert collect([permit(script="path"), permit()]).constraints.process.script == "sealed"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("ttl", ""),
        ("ttl", "0s"),
        ("ttl", "05m"),
        ("ttl", "-5m"),
        ("ttl", "5"),
        ("ttl", "5 m"),
        ("ttl", "5M"),
        ("ttl", "5m\n"),
        ("ttl", "٥m"),
        ("ttl", "9999999999999s"),
        ("uses", "0"),
        ("uses", "1s"),
        ("uses", "many"),
        ("uses", "+1"),
        ("limit_wall", "1MiB"),
        ("limit_memory", "1MB"),
        ("limit_memory", "1.5MiB"),
        ("sandbox_read", "usr"),
        ("sandbox_read", "/usr/../etc"),
        ("sandbox_read", "/usr/"),
        ("sandbox_net", "https"),
        ("sandbox_net", "0"),
        ("sandbox_net", "65536"),
        ("require", ""),
        ("require", "No-New-Privs"),
        ("image", "sealed"),
        ("script", ""),
        ("require_approval", "0"),
    ],
)
def test_a_malformed_value_is_an_error(name: str, value: str) -> None:
    #
    with pytest.raises(ObligationError) as caught:
        collect([permit(), permit(**{name: value})])
    assert caught.value.policy == "p"
    assert name in str(caught.value)


@pytest.mark.parametrize(
    "name",
    [
        "ttl_max",
        "TTL",
        "Uses",
        "limit",
        "limit_wal",
        "sandbox_network",
        "require_approvals",
        "images",
        "leases",
    ],
)
def test_a_name_that_is_nearly_one_is_an_error(name: str) -> None:
    #
    with pytest.raises(ObligationError):
        collect([permit(**{name: "1"})])


@pytest.mark.parametrize("name", ["id", "doc", "owner", "license", "control", "tt"])
def test_other_names_mean_nothing_here(name: str) -> None:
    #
    assert collect([permit(**{name: "1"})]) == Obligations()


def test_a_set_is_checked_before_it_decides_anything() -> None:
    #
    check([permit(ttl="5m"), Policy("f", "forbid", {"id": "f", "doc": "No."})])
    with pytest.raises(ObligationError):
        check([permit(ttl="5m"), permit(ttl="five")])
    with pytest.raises(ObligationError, match="nothing to oblige"):
        check([Policy("f", "forbid", {"ttl": "5m"})])


PATHS = st.lists(st.sampled_from(["/", "/usr", "/usr/lib", "/usr2", "/etc/ssl"]), max_size=3).map(" ".join)
NUMBERS = st.integers(1, 10**6).map(str)
ANNOTATIONS: st.SearchStrategy[Mapping[str, str]] = st.fixed_dictionaries(
    {},
    optional={
        "ttl": NUMBERS.map("{}s".format),
        "lease": NUMBERS.map("{}m".format),
        "uses": NUMBERS,
        "limit_wall": NUMBERS.map("{}s".format),
        "limit_memory": NUMBERS.map("{}KiB".format),
        "limit_files": NUMBERS,
        "sandbox_read": PATHS,
        "sandbox_write": PATHS,
        "sandbox_exec": PATHS,
        "sandbox_net": st.lists(st.sampled_from(["80", "443", "8443"]), max_size=3).map(" ".join),
        "require": st.sampled_from(["pidfd", "no-new-privs pidfd", "sealed-image"]),
        "image": st.just("path"),
        "script": st.just("path"),
        "require_approval": st.integers(1, 5).map(str),
    },
)


@given(annotations=st.lists(ANNOTATIONS, min_size=1, max_size=4))
def test_what_all_demand_together_satisfies_each(annotations: list[Mapping[str, str]]) -> None:
    #
    permits = [Policy(f"p{n}", "permit", each) for n, each in enumerate(annotations)]
    together = collect(permits)
    for each in permits:
        alone = collect([each])
        assert is_subset(together.constraints, alone.constraints)
        assert alone.ttl is None or (together.ttl is not None and together.ttl <= alone.ttl)
        assert alone.uses is None or (together.uses is not None and together.uses <= alone.uses)
        assert together.approvals >= alone.approvals
    assert together == collect(reversed(permits))
    terms = KernelTerms(together.constraints, {})
    assert decode_terms(encode_terms(terms)) == terms
