"""Findings about deals by Clint's API: names that Clint lacks, values that it refuses, parts that have no effect."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from collections.abc import Mapping as AnyMapping
from pathlib import PurePath

from bridge.mapping.document import MappingNode, Node, Scalar
from bridge.mapping.document import Sequence as ListNode
from bridge.mapping.evaluate import STATUSES, places
from bridge.mapping.expressions import Expression
from bridge.mapping.findings import Findings, HasPosition, Position, did_you_mean, shown
from bridge.mapping.lint import PLAIN_NAMES, kind_of_path, values_of_path
from bridge.mapping.model import FUNNEL, ClintDirectory, Field, Mapping, Setup
from bridge.mapping.spec import Block
from bridge.mapping.values import as_decimal, folded, or_none
from bridge.messages import N_, Message

MOST_TAGS = 5
"""Ours: a contact with more tags than these from one mapping is found by none of them."""
KEY_LENGTH = 20
"""Clint may cut the keys of its fields to this length, so two keys are the same where these characters are."""
_PERSONAL = {"name", "email", "mobilePhone", "phone", "cpfCnpj", "additionalEmails", "address", "company"}


def check_deals(mapping: Mapping, entries: Block, known: Setup, findings: Findings) -> None:
    """Report what is wrong with the deals of a mapping, as far as its file and the setup show it."""
    node = entries.value("funnel")
    funnel = {key.text: value for key, value in node.pairs} if isinstance(node, MappingNode) else {}
    outputs = {name: _outputs(value) for name, value in funnel.items()}
    _check_status(mapping, funnel, outputs.get("status", []), findings)
    for scalar in outputs.get("value", []):
        if or_none(as_decimal, scalar.text) is None:
            what = N_("value takes a number such as 129.90, got {got}")
            findings.nonsense(scalar, "funnel.value", what, got=shown(scalar.text))
    for scalar in outputs.get("user", []):
        if "@" not in scalar.text:
            what = N_("user takes the e-mail of a user of Clint, got {got}")
            findings.warning(scalar, "funnel.user", what, got=shown(scalar.text))
    tags = funnel.get("tags")
    if isinstance(tags, ListNode) and len(tags.items) > MOST_TAGS:
        what = N_("each contact gets {count} tags; keep the few that somebody looks for, and write the rest to fields")
        findings.warning(tags, "funnel.tags", what, count=len(tags.items))
    for name in ("stage", "status"):
        if name in funnel:
            _check_reached(mapping, name, funnel[name], findings)
    if isinstance(mapping.funnel.one_deal_per, Field):
        _check_key(mapping.funnel.one_deal_per.expressions[0], findings)
    if mapping.tells_funnel or mapping.destinations & known.api.keys():
        _check_key_field(mapping, findings)
    _check_destinations(mapping, entries, funnel, known, findings)


def check_same_origin(
    mapping: Mapping, others: Iterable[Mapping], api: AnyMapping[str, str], findings: Findings
) -> None:
    """Note the mappings that write the same event to the same origin by another destination.

    `api` has the origins of destinations by Clint's API.
    """
    for other in others:
        if other.account != mapping.account or other.name == mapping.name:
            continue
        for event in mapping.event_names:
            first, second = mapping.destination(event), other.destination(event)
            origins = {folded(one.funnel.origin or api.get(to, "")) for one, to in ((mapping, first), (other, second))}
            is_both = other.listens_to(event) and {first, second} <= api.keys()
            if is_both and first != second and len(origins) == 1:
                what = N_(
                    "{other} writes {event} to the same origin by the destination {second}, and this mapping by "
                    "{first}: both write the same deal, or two where their keys differ; let one of them write it"
                )
                facts = {"other": PurePath(other.path).name, "event": event, "first": first, "second": second}
                findings.note(Position(1, 1), "mapping.same_origin", what, **facts)
                break


def check_lines(mapping: Mapping, others: Iterable[Mapping], api: AnyMapping[str, str], findings: Findings) -> None:
    """Note the mappings that write the same deals of an origin in another line, and so in an order of their own."""
    own = _origins_written(mapping, api)
    for other in others:
        if other.account != mapping.account or other.name == mapping.name or other.line == mapping.line:
            continue
        both = own.keys() & _origins_written(other, api).keys()
        if both and _key_of(other) == _key_of(mapping):
            what = N_(
                "{other} (line {other_line}) and {mapping} (line {line}) write the same deals of the origin {origin}, "
                "and order holds within a line only: the one that is behind may take a deal back to an older stage; "
                "give both the same `line`"
            )
            facts = {"other": PurePath(other.path).name, "mapping": PurePath(mapping.path).name}
            facts |= {"line": mapping.line, "other_line": other.line, "origin": own[min(both)]}
            findings.note(Position(1, 1), "mapping.other_line", what, **facts)


def _origins_written(mapping: Mapping, api: AnyMapping[str, str]) -> dict[str, str]:
    """Return the origins of a mapping's deals as the files name them, by their folded names."""
    sent = {mapping.destination(event) for event in mapping.event_names} & api.keys()
    named = (mapping.funnel.origin or api[destination] for destination in sorted(sent))
    return {folded(name): name for name in named}


def _key_of(mapping: Mapping) -> str:
    per = mapping.funnel.one_deal_per
    return per if isinstance(per, str) else per.source.text.strip()


def _outputs(node: Node) -> list[Scalar]:
    """Return the fixed texts that a value can give."""
    found: list[Scalar] = []
    for key, value in node.pairs if isinstance(node, MappingNode) else ():
        if key.text in {"text", "default"} and isinstance(value, Scalar):
            found.append(value)
        elif key.text == "lookup" and isinstance(value, MappingNode):
            found += [one for _, one in value.pairs if isinstance(one, Scalar) and one.text.strip()]
    return found


def _values_given(field: Field | None) -> tuple[str, ...]:
    """Return the values that Asaas documents for what a field gives as it is; empty where it documents none."""
    if field is None or field.lookup is not None or not isinstance(field.source, Expression):
        return ()
    return values_of_path(tuple(field.source.text.strip().split(".")))


def _check_status(mapping: Mapping, funnel: dict[str, Node], outputs: Sequence[Scalar], findings: Findings) -> None:
    for scalar in outputs:
        if scalar.text.strip().lower() not in STATUSES:
            what = N_("status takes open, won or lost, got {got}{hint}")
            hint = did_you_mean(scalar.text, STATUSES)
            findings.nonsense(scalar, "funnel.status", what, got=shown(scalar.text), hint=hint)
    given = _values_given(mapping.funnel.status)
    if given and not {one.lower() for one in given} & set(STATUSES):
        what = N_(
            "status takes open, won or lost, and {source} gives {first} and the like; write which is which: "
            "{{from: {source}, lookup: {{{first}: open}}}}"
        )
        facts = {"source": mapping.funnel.status and mapping.funnel.status.source.text.strip(), "first": given[0]}
        findings.nonsense(funnel["status"], "funnel.status", what, **facts)


def _check_reached(mapping: Mapping, name: str, node: Node, findings: Findings) -> None:
    """Note what a lookup of events gives for events that never come."""
    pairs = {key.text: value for key, value in node.pairs} if isinstance(node, MappingNode) else {}
    source, lookup = pairs.get("from"), pairs.get("lookup")
    if not isinstance(source, Scalar) or source.text.strip() != "event" or not isinstance(lookup, MappingNode):
        return
    heard = mapping.event_names
    for key, value in lookup.pairs:
        if key.text not in heard and isinstance(value, Scalar):
            what = N_("the mapping does not listen to {event}, so {name} never gets {value} from it")
            facts = {"event": shown(key.text), "name": name, "value": shown(value.text)}
            findings.note(key, "funnel.unreachable", what, **facts)
    looked_up = {key.text for key, value in lookup.pairs if isinstance(value, Scalar) and value.text.strip()}
    all_named = bool(mapping.events) and not any(one.endswith("*") for one in mapping.events)
    if "default" in pairs and all_named and set(heard) <= looked_up:
        what = N_("the lookup has each event of the mapping, so the default of {name} is never used; delete it")
        findings.note(pairs["default"], "funnel.unreachable", what, name=name)


def _check_key(expression: Expression, findings: Findings) -> None:
    """Warn of a key that many deals would share, or that says who a person is."""
    paths = [path for path in expression.paths if path]
    personal = next((path for path in paths if path[0] == "customer" and path[-1] in _PERSONAL), None)
    if personal:
        what = N_(
            "the key of a deal is written into a field that everybody sees, and {path} is personal; "
            "for a deal for each customer write one_deal_per: customer"
        )
        findings.warning(expression, "deal_key.personal", what, path=".".join(personal))
    elif all(_is_shared(path) for path in paths):
        what = N_(
            "{expression} is the same for many charges, which would all be one deal; name a code, such as {right}"
        )
        facts = {"expression": expression.text.strip(), "right": "payment.externalReference"}
        findings.warning(expression, "deal_key.same", what, **facts)


def _check_key_field(mapping: Mapping, findings: Findings) -> None:
    """Warn of a field of the deal that would write something else where the bridge keeps the code."""
    funnel = mapping.funnel
    per = funnel.one_deal_per.source.text if isinstance(funnel.one_deal_per, Field) else funnel.one_deal_per
    for field in mapping.fields:
        same = field.source.text.strip() == ("payment.id" if per == "charge" else per.strip())
        if field.group == "deal" and field.key[:KEY_LENGTH] == funnel.key_field[:KEY_LENGTH] and not same:
            what = N_(
                "the bridge keeps the code of each deal in {key}; delete this field, "
                "or name another one for the code by key_field"
            )
            findings.warning(field, "funnel.key_field", what, key=shown(funnel.key_field))


def _is_shared(path: tuple[str, ...]) -> bool:
    plain = path[0] in PLAIN_NAMES and len(path) == 1
    return plain or bool(values_of_path(path)) or kind_of_path(path) in {"number", "date", "boolean"}


def _check_destinations(
    mapping: Mapping, entries: Block, funnel: dict[str, Node], known: Setup, findings: Findings
) -> None:
    api = [name for name in sorted(mapping.destinations) if name in known.api]
    set_up = known.destinations is not None and mapping.destinations <= known.destinations
    if not api:
        if set_up and mapping.tells_funnel:
            key = entries.key("funnel" if "funnel" in entries else "one_deal_per")
            what = N_(
                "{key} has no effect: {destination} is a webhook, whose integration sets stage and status; "
                "send to a destination by the API, or delete {key}"
            )
            findings.note(key, "funnel.webhook", what, key=key.text, destination=shown(mapping.send_to))
        return
    if mapping.funnel.stage is None and mapping.funnel.status is None:
        what = N_(
            "neither stage nor status is set, so every deal stays open in the first stage of its origin; "
            "set them by event in funnel"
        )
        findings.note(entries.scalar("send_to") or entries.node, "funnel.no_place", what)
    origin = funnel.get("origin")
    if isinstance(origin, Scalar) and len(api) > 1:
        what = N_(
            "origin holds for every destination, so {destinations} lead to the same funnel; delete it, or the routes"
        )
        findings.warning(origin, "funnel.origin", what, destinations=", ".join(api))
    place: HasPosition = entries.scalar("send_to") or entries.node
    if known.clint is None:
        what = N_("the names of origins, stages, users and fields are not checked: Clint's API was not asked")
        findings.note(place, "funnel.unchecked", what)
        return
    wanted: list[tuple[HasPosition, str]] = [(place, known.api[name]) for name in api]
    if isinstance(origin, Scalar):
        wanted = [(origin, origin.text)]
    for where, name in wanted:
        _check_stages(mapping, where, name, funnel.get("stage"), known.clint, findings)
    _check_users(_outputs(funnel["user"]) if "user" in funnel else (), known.clint, findings)
    _check_fields(mapping, funnel.get("key_field") or place, known.clint, findings)


def _check_stages(
    mapping: Mapping,
    place: HasPosition,
    name: str,
    stage: Node | None,
    clint: ClintDirectory,
    findings: Findings,
) -> None:
    found = clint.named_origins(name)
    if not found:
        what = N_("Clint has no origin {origin}{hint}")
        hint = did_you_mean(name, [one for one, _ in clint.origins.values()])
        findings.warning(place, "clint.no_origin", what, origin=shown(name), hint=hint)
    elif len(found) > 1:
        what = N_("Clint has {count} origins called {origin}; write the id of the one that is meant")
        findings.warning(place, "clint.no_origin", what, count=len(found), origin=shown(name))
    if len(found) != 1:
        return
    label, stages = clint.origins[found[0]]
    labels = [one for _, one in stages]
    for scalar in _outputs(stage) if stage else ():
        if not clint.has_stage(found[0], scalar.text):
            what, hint = N_("no stage {stage} in origin {origin}{hint}"), did_you_mean(scalar.text, labels)
            findings.warning(scalar, "clint.no_stage", what, stage=shown(scalar.text), origin=shown(label), hint=hint)
    given = _values_given(mapping.funnel.stage)
    if stage and given and not any(clint.has_stage(found[0], one) for one in given):
        what = N_(
            "origin {origin} has no stage called {first} and the like, which {source} gives; "
            "write a lookup: {{from: {source}, lookup: {{{first}: {stage}}}}}"
        )
        source = mapping.funnel.stage.source.text.strip() if mapping.funnel.stage else ""
        facts = {"origin": shown(label), "first": given[0], "source": source, "stage": (labels or ["..."])[0]}
        findings.warning(stage, "clint.no_stage", what, **facts)


def _check_users(outputs: Iterable[Scalar], clint: ClintDirectory, findings: Findings) -> None:
    users = {folded(one) for one in clint.users}
    for scalar in outputs:
        if "@" in scalar.text and folded(scalar.text) not in users:
            # Without the e-mail, which is personal: the place says which one.
            findings.warning(scalar, "clint.no_user", N_("Clint has no user with this e-mail"))


def _check_fields(mapping: Mapping, key_place: HasPosition, clint: ClintDirectory, findings: Findings) -> None:
    lacking = set(missing_fields(mapping, clint))
    for field in mapping.fields:
        if (field.group, field.key) in lacking and field.key != FUNNEL:
            what = N_("Clint has no field {key} for {group}; make it there{hint}")
            hint = did_you_mean(field.key, clint.fields.get(field.group, {}))
            findings.warning(field, "clint.no_field", what, key=shown(field.key), group=Message(field.group), hint=hint)
    key_field = mapping.funnel.key_field
    if ("deal", key_field) in lacking and key_field not in {one.key for one in mapping.fields}:
        what = N_("Clint has no field {key} for deal, where the bridge keeps the code of each deal; make it there")
        findings.warning(key_place, "clint.no_field", what, key=shown(key_field))


def missing_fields(mapping: Mapping, clint: ClintDirectory) -> list[tuple[str, str]]:
    """Return group and key of each field that the mapping writes and Clint does not have."""
    where = places(mapping.fields)
    written = [(one.group, one.key) for one in mapping.fields if where[one.key] == f"{one.group}.fields"]
    known = {(group, key[:KEY_LENGTH]) for group, fields in clint.fields.items() for key in fields}
    wanted = dict.fromkeys([("deal", mapping.funnel.key_field), *written])
    return [(group, key) for group, key in wanted if (group, key[:KEY_LENGTH]) not in known]
