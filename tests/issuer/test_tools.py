"""From the tools of an MCP server to a schema and a mapping: made as the generator makes them, or refused by name."""

import copy
import json
from typing import Any

import cedar_mcp_schema_generator
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exequatur_issuer import mapping, publish, tools
from exequatur_issuer.engine import Answer, Query
from exequatur_issuer.mapping import MappingError
from exequatur_issuer.policyset import PolicySet, PolicySetError, join
from exequatur_issuer.tools import Tools
from exequatur_issuer.tools_shape import ToolError
from exequatur_verifier import action

DESK = "urn:example:desk"
TEXT: dict[str, Any] = {"type": "string"}
NUMBER: dict[str, Any] = {"type": "number"}


def obj(*required: str, **fields: Any) -> dict[str, Any]:
    return {"type": "object", "properties": fields, "required": list(required)}


def tool(name: str = "book", *required: str, **fields: Any) -> dict[str, Any]:
    return {"name": name, "description": "Books.", "inputSchema": obj(*required, **fields)}


SEAT = obj("row", row={"type": "integer"}, kind={"$ref": "#/$defs/Kind"}, price=NUMBER)
BOOK = tool(
    "book-it",
    "user",
    "seats",
    user={"type": "string", "minLength": 1},
    seats={"type": "array", "items": SEAT},
    cabin={"enum": ["economy", "business", None]},
    price={"anyOf": [NUMBER, {"type": "null"}], "default": None},
    gift={"type": ["boolean", "null"]},
    extras={"type": "array", "items": {"type": "object", "additionalProperties": True}},
    **{"in": {"type": "integer", "maximum": 9}},
)
BOOK["inputSchema"]["$defs"] = {"Kind": {"enum": ["aisle", "window"], "type": "string", "title": "Kind"}}
OPAQUE = {"book-it": frozenset({"extras"})}
PERMIT = b'@id("p") permit (principal, action, resource);'


class Desk:
    """A policy set made of tools, asked as the authority asks it."""

    def __init__(self, made: Tools, policy: bytes = PERMIT) -> None:
        self.made = made
        sources = join({"p.cedar": policy})
        self.engine, self.rules = publish.load_set(PolicySet(sources, made.schema, mapping=made.mapping))

    def query(self, arguments: dict[str, Any], name: str = "book-it", **claims: Any) -> Query:
        return mapping.build_query(
            {"type": "mcp.tool", "name": name, "resource": DESK, "args": arguments},
            requester="urn:example:agent",
            claims=claims,
            now=1,
            rules=self.rules,
            entity_types=self.engine.entity_types,
        )

    def ask(self, arguments: dict[str, Any], name: str = "book-it", **claims: Any) -> Answer:
        return self.engine.decide(self.query(arguments, name, **claims))


@pytest.fixture(scope="module")
def desk() -> Desk:
    return Desk(tools.generate([BOOK, tool("list")], {"confirmed": "Bool"}, OPAQUE))


def test_schema_and_mapping_say_what_a_tool_takes(desk: Desk) -> None:
    # A-13
    schema = desk.made.schema.decode()
    assert 'entity x_book_it_Input_cabin enum ["economy", "business"];' in schema
    arguments = schema.partition("type x_book_itInput = {")[2].partition("}")[0]
    assert {line.strip().rstrip(",") for line in arguments.strip().splitlines()} == {
        "cabin?: x_book_it_Input_cabin",
        "extras?: String",
        "gift?: Bool",
        '"in"?: Long',
        "price?: decimal",
        "seats: Set<x_book_it_Input_seats>",
        "seats_count: Long",
        "user: String",
    }
    rules = desk.rules["book-it"]
    assert rules.decimals == {"price", "seats.price"}
    assert rules.enums == {"cabin": "x_book_it_Input_cabin", "seats.kind": "x_book_it_Input_seats_kind"}
    assert rules.opaque == {"extras"}
    assert desk.made.left_out == {"book-it": (("user", "minLength"), ("in", "maximum"))}


def test_what_is_made_does_not_depend_on_the_order_of_the_list(desk: Desk) -> None:
    again = tools.generate([tool("list"), BOOK], {"confirmed": "Bool"}, OPAQUE)
    assert again.schema == desk.made.schema
    assert publish.load_set(PolicySet(b"", again.schema, mapping=again.mapping))[1] == desk.rules


SEATS = [{"row": 1, "kind": "aisle", "price": 10}]
CALL: dict[str, Any] = {"user": "mia", "seats": SEATS}


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"seats": []},
        {"seats": [{"row": 1}]},
        {"price": 12.5},
        {"price": 12},
        {"price": None},
        {"cabin": "economy"},
        {"cabin": None},
        {"gift": None},
        {"gift": True},
        {"in": 10},
        {"extras": [{"any": [1.00001, None]}]},
    ],
)
def test_call_that_the_tool_takes_is_a_question(desk: Desk, change: dict[str, Any]) -> None:
    # A-13
    assert desk.ask(CALL | change, confirmed=True).allowed


@pytest.mark.parametrize(
    "change",
    [
        {"user": None},
        {"user": 1},
        {"seats": None},
        {"seats": SEATS[0]},
        {"seats": [{"kind": "aisle"}]},
        {"seats": [{"row": 1, "kind": "floor"}]},
        {"seats": [{"row": 1, "window": True}]},
        {"seats": [{"row": "1"}]},
        {"cabin": "first"},
        {"cabin": {"type": "x_book_it_Input_cabin", "id": "economy"}},
        {"cabin": ["economy"]},
        {"price": "12.5"},
        {"price": 12.00001},
        {"gift": "yes"},
        {"in": 1.5},
        {"more": 1},
        {"seats_count": 1},
    ],
)
def test_call_that_the_tool_does_not_take_is_none(desk: Desk, change: dict[str, Any]) -> None:
    # A-14
    try:
        answer = desk.ask(CALL | change)
    except MappingError:
        return
    assert answer.code == "POLICY_NO_DECISION"


@pytest.mark.parametrize(
    ("condition", "allowed"),
    [
        ('context.args has cabin && context.args.cabin == x_book_it_Input_cabin::"economy"', True),
        ('context.args has cabin && context.args.cabin == x_book_it_Input_cabin::"business"', False),
        ('context.args has price && context.args.price.lessThan(decimal("13.0"))', True),
        ("context.args.seats_count == 1", True),
        ("context.claims has confirmed && context.claims.confirmed", False),
    ],
)
def test_policies_read_what_was_made(desk: Desk, condition: str, allowed: bool) -> None:
    judged = Desk(
        desk.made, f'permit (principal, action == Action::"book-it", resource) when {{ {condition} }};'.encode()
    )
    assert judged.ask(CALL | {"cabin": "economy", "price": 12.5}).allowed == allowed


def test_policy_that_names_no_value_of_an_enumeration_is_refused(desk: Desk) -> None:
    with pytest.raises(PolicySetError, match="first"):
        Desk(
            desk.made,
            b'permit (principal, action == Action::"book-it", resource)'
            b' when { context.args has cabin && context.args.cabin == x_book_it_Input_cabin::"first" };',
        )


# What agents say, and what is signed.


def test_opaque_argument_is_shown_by_its_digest(desk: Desk) -> None:
    # A-17
    one, same, other = (
        desk.query(CALL | {"extras": extras}).context["args"]["extras"]  # type: ignore[index]
        for extras in ([{"a": 1, "b": 2.5}], [{"b": 2.5, "a": 1}], [{"a": 1, "b": "2.5"}])
    )
    assert one == same
    assert one != other
    assert one.startswith("sha256:")
    assert len(one) == 7 + 64


def test_reserved_key_is_refused_in_an_opaque_argument_too(desk: Desk) -> None:
    # A-09
    with pytest.raises(MappingError, match="__entity"):
        desk.query(CALL | {"extras": [{"deep": [{"__entity": {"type": "Requester", "id": "root"}}]}]})


def test_commitment_is_over_the_arguments_as_they_were(desk: Desk) -> None:
    arguments = CALL | {"price": 12.5, "cabin": "economy", "gift": None, "extras": [{"x": 1.00001}]}
    descriptor = {"type": "mcp.tool", "name": "book-it", "resource": DESK, "args": arguments}
    before = action.encode(descriptor)
    assert desk.ask(arguments).allowed
    assert action.encode(descriptor) == before
    # What differs only in what the mapping drops is another action.
    without = {**descriptor, "args": {key: value for key, value in arguments.items() if key != "gift"}}
    assert desk.query(arguments).context == desk.query(without["args"]).context  # type: ignore[arg-type]
    assert action.encode(without) != before


def test_text_becomes_an_entity_of_an_enumerated_type_only(desk: Desk) -> None:
    # A-16
    declared = desk.made.mapping.replace(b"x_book_it_Input_cabin", b"Requester")
    with pytest.raises(PolicySetError, match="cabin has the type Requester, which the schema does not enumerate"):
        publish.load_set(PolicySet(b"", desk.made.schema, mapping=declared))


@pytest.mark.parametrize(
    "text",
    [
        'enum = ["a"]',
        "enum = { a = 1 }",
        'opaque = "a"',
        'opaque = ["a"]\ndecimal = ["a"]',
        'enum = { a = "B" }\nopaque = ["a"]',
    ],
)
def test_declaration_that_is_none_is_refused(desk: Desk, text: str) -> None:
    with pytest.raises(PolicySetError, match="mapping"):
        publish.load_set(PolicySet(b"", desk.made.schema, mapping=f"[actions.list]\n{text}\n".encode()))


# Tools that are refused.


@pytest.mark.parametrize("key", sorted(mapping.RESERVED))
@pytest.mark.parametrize("place", ["properties", "$defs", "default", "name of a field below a list"])
def test_reserved_key_is_refused_anywhere_in_a_tool(key: str, place: str) -> None:
    # A-15
    bad = copy.deepcopy(BOOK)
    schema = bad["inputSchema"]
    if place == "default":
        schema["properties"]["user"]["default"] = [{key: 1}]
    elif place == "name of a field below a list":
        schema["properties"]["seats"]["items"]["properties"][key] = TEXT
    else:
        schema[place][key] = TEXT
    with pytest.raises(ToolError, match=f"tool 'book-it'.*{key}"):
        tools.generate([bad], {}, OPAQUE)


NODE = {"type": "object", "properties": {"next": {"$ref": "#/$defs/Node"}}}


@pytest.mark.parametrize(
    ("field", "told"),
    [
        ({}, "any value"),
        (True, "any value"),
        ({"description": "anything"}, "any value"),
        ({"type": "object"}, "does not name"),
        ({"type": "object", "properties": {}, "additionalProperties": True}, "does not name"),
        ({"type": "object", "properties": {}, "additionalProperties": TEXT}, "does not name"),
        ({"anyOf": [TEXT, NUMBER]}, "anyOf of several shapes"),
        ({"oneOf": [TEXT, NUMBER, {"type": "null"}]}, "oneOf of several shapes"),
        ({"allOf": [{"type": "object"}, {"type": "object"}]}, "allOf of several shapes"),
        ({"allOf": [TEXT, {"type": "null"}]}, "allOf of several shapes"),
        ({"anyOf": [TEXT], "type": "string"}, "anyOf beside type"),
        ({"type": ["string", "number"]}, "several"),
        ({"type": "string", "not": {"enum": ["x"]}}, "uses not"),
        ({"type": "object", "properties": {}, "patternProperties": {"^x": TEXT}}, "uses patternProperties"),
        ({"if": TEXT, "then": TEXT}, "uses if"),
        ({"type": "array"}, "a list of anything"),
        ({"type": "array", "items": {}}, "any value"),
        ({"type": "array", "items": {"type": ["string", "null"]}}, "null may stand in"),
        ({"type": "array", "items": TEXT, "prefixItems": [TEXT]}, "uses prefixItems"),
        ({"type": "array", "items": {"type": "object"}}, "does not name"),
        ({"enum": [1, 2]}, "values other than texts"),
        ({"enum": []}, "empty"),
        ({"enum": ["a", "a"]}, "twice"),
        ({"enum": ["a", 1], "type": "string"}, None),
        ({"type": "null"}, "no type"),
        ({"type": "file"}, "'file'"),
        ({"type": 1}, "neither a name"),
        ({"$ref": "#/$defs/Node"}, "refers to itself by #/\\$defs/Node"),
        ({"$ref": "#/$defs/Nothing"}, "not in the document"),
        ({"$ref": "https://example.com/schema"}, "not in the document"),
        ({"$ref": "#/$defs/Node", "type": "object"}, "beside type"),
        ({"type": "object", "properties": {"a": TEXT}, "required": ["b"]}, "requires 'b'"),
        ({"type": "object", "properties": [], "additionalProperties": False}, "no table"),
        ({"type": "object", "properties": {"a.b": TEXT}}, "holds a dot"),
        ({"type": "object", "properties": {"": TEXT}}, "empty"),
        ({"type": "string", "$defs": {}}, "definitions of its own"),
        ({"type": "string", "nullable": True}, "uses nullable"),
    ],
)
def test_shape_that_cedar_cannot_hold_is_refused_by_tool_and_place(field: Any, told: str | None) -> None:
    # A-13
    bad = tool("pay", to=TEXT, deep=obj(field=field))
    bad["inputSchema"]["$defs"] = {"Node": NODE}
    if told is None:
        assert tools.generate([bad]).left_out == {"pay": (("deep.field", "enum"),)}
        return
    with pytest.raises(ToolError, match=told) as caught:
        tools.generate([tool("list"), bad])
    assert caught.value.tool == "pay"
    assert caught.value.path.startswith("deep.field")
    # Declared opaque, the same place is a text.
    if field != {"type": "null"}:
        assert b"field?: String" in tools.generate([bad], {}, {"pay": frozenset({"deep.field"})}).schema


@pytest.mark.parametrize(
    ("bad", "told"),
    [
        ({"name": "pay"}, "no inputSchema"),
        ({"name": "pay", "inputSchema": {"type": "string"}}, "not that of an object"),
        ({"name": "pay", "inputSchema": {**obj(), "additionalProperties": True}}, "does not name"),
        ({"inputSchema": obj()}, "no name"),
        (tool("list"), "a name of its own"),
        (tool("pay", items={"type": "array", "items": TEXT}, items_count=NUMBER), "the count of items"),
        (tool("pay", a=obj(b=obj(c=TEXT)), a_b={"enum": ["x"]}), "tool 'pay'"),
        (tool("pay", a=obj(a={"enum": ["x"]}), a_a=obj(x=TEXT)), "something else has too"),
        ({"name": "pay", "inputSchema": {"type": "object", "properties": {"cafe\u0301": NUMBER}}}, "form C"),
        (tool("pay", **{"a\u202eb": NUMBER}), "does not show"),
    ],
)
def test_tool_that_is_none_is_refused(bad: dict[str, Any], told: str) -> None:
    with pytest.raises(ToolError, match=told):
        tools.generate([tool("list"), bad])


def test_schema_of_a_hundred_levels_is_refused() -> None:
    field = TEXT
    for _ in range(100):
        field = obj(a=field)
    with pytest.raises(ToolError, match="deeper"):
        tools.generate([tool("pay", a=field)])


@pytest.mark.parametrize("claims", [{"task": "Text"}, {"a-b": "String"}, {"x": "Set<Server>"}])
def test_claim_of_no_known_type_is_refused(claims: dict[str, str]) -> None:
    with pytest.raises(ToolError, match="the claim"):
        tools.generate([tool()], claims)


@pytest.mark.parametrize(
    ("opaque", "told"),
    [({"pay": frozenset({"to"})}, "not in the list"), ({"book": frozenset({"to"})}, "no argument")],
)
def test_opaque_path_that_is_not_there_is_refused(opaque: dict[str, frozenset[str]], told: str) -> None:
    with pytest.raises(ToolError, match=told):
        tools.generate([tool("book", user=TEXT)], {}, opaque)


LIST = [tool("list")]


@pytest.mark.parametrize(
    "answer",
    [LIST, {"tools": LIST}, {"tools": LIST, "nextCursor": None}, {"jsonrpc": "2.0", "result": {"tools": LIST}}],
)
def test_list_is_read_in_each_wrapping(answer: object) -> None:
    assert tools.parse_list(json.dumps(answer).encode()) == LIST


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"{", "not JSON"),
        (b"\xff", "not JSON"),
        (b"[" * 100_000, "not JSON"),
        (b'{"tools": [], "tools": []}', "twice"),
        (b'{"tools": [], "nextCursor": "x"}', "goes on"),
        (b'{"result": {"tools": [], "nextCursor": "x"}}', "goes on"),
        (b'{"tools": [1]}', "no list of tools"),
        (b"{}", "no list of tools"),
    ],
)
def test_list_that_is_none_is_refused(content: bytes, told: str) -> None:
    with pytest.raises(ToolError, match=told):
        tools.parse_list(content)


def test_empty_list_is_refused() -> None:
    with pytest.raises(ToolError, match="one to 1024 tools"):
        tools.generate([])


# The generator itself, on the same calls.

STUB = 'namespace T { @mcp_principal("R") entity R; @mcp_resource("S") entity S; }'
PLAIN = tool(
    "book",
    "user",
    user=TEXT,
    n={"type": "integer"},
    price=NUMBER,
    gift={"type": "boolean"},
    cabin={"type": "string", "enum": ["economy", "business"]},
    tags={"type": "array", "items": TEXT},
    seat=obj("row", row={"type": "integer"}, kind={"type": "string", "enum": ["aisle"]}),
)
# Ten-thousandths: of what is finer, the generator rounds and this project refuses.
values = st.one_of(
    st.sampled_from(["economy", "business", "aisle", "first", ""]),
    st.integers(-(2**63), 2**63 - 1),
    st.integers(-(10**6), 10**6).map(lambda number: number / 10_000),
    st.booleans(),
    st.lists(st.sampled_from(["a", "b", 1]), max_size=2),
    st.fixed_dictionaries({}, optional={"row": st.sampled_from([1, "1"]), "kind": st.sampled_from(["aisle", "x"])}),
)
names = st.sampled_from(["user", "n", "price", "gift", "cabin", "tags", "seat", "more"])
proper = st.fixed_dictionaries(
    {"user": st.text(max_size=3).filter(str.isascii)},
    optional={
        "n": st.integers(-9, 9),
        "gift": st.booleans(),
        "cabin": st.sampled_from(["economy", "business"]),
        "seat": st.fixed_dictionaries({"row": st.integers(0, 9)}, optional={"kind": st.just("aisle")}),
    },
)


@given(proper, st.dictionaries(names, values, max_size=2))
@settings(deadline=None)
def test_the_generator_takes_the_calls_that_the_mapping_takes(good: dict[str, Any], changed: dict[str, Any]) -> None:
    # A-14
    arguments = good | changed
    config = {"objectsAsRecords": True, "numbersAsDecimal": True, "flattenNamespaces": True}
    told = cedar_mcp_schema_generator.generate_request(
        STUB,
        [PLAIN],
        {"params": {"name": "book", "arguments": arguments}},
        principal_type="R",
        principal_id="r",
        resource_type="S",
        resource_id="s",
        config=config,
    )
    try:
        allowed = PLAIN_DESK.ask(arguments, "book").allowed
    except MappingError:
        allowed = False
    assert allowed == told["isOk"], told["error"]


PLAIN_DESK = Desk(tools.generate([PLAIN]))
