"""The firewall of one daemon as one value: a table of nf_tables, family inet.

Owns: which rules there are and what is in their sets.  Pure: it prints as nft(8) would list it, and differences
between two states are lists of set elements.  Who sends it: ``enforcer.py``.

The rules never change; networks and published ports are members of sets.  So starting a container costs a few set
elements, a range of ten thousand ports is one element, and a packet passes the same dozen rules whatever runs.

    bridges, sealed   all our bridges / those of internal networks
    inside            pairs of one bridge, where its containers may talk to one another
    same4, same6      a subnet and its bridge
    open4, open6      subnets that may be reached directly (gateway mode nat-unprotected)
    routed4, routed6  container ports that may be reached directly (gateway mode routed)
    masquerade4, …    subnets that leave with the host's address; source4, …: with a given one
    bound4, …         published on one host address;  ports4, … on all of them;  …span4: ranges of ports

Beside others: our table only ever drops what is for our own bridges, so two daemons, dockerd and a host firewall do
not touch one another.  What *they* drop stays dropped; ``enforcer.py`` adds accepts to DOCKER-USER where dockerd runs.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_network

from corten.kernel.netlink import statements as say
from corten.kernel.netlink.datatypes import IFNAME, INET_PROTO, INET_SERVICE, IPV4_ADDR, IPV6_ADDR, DataType
from corten.kernel.netlink.netfilter import NFPROTO_INET, Chain, Element, Rule, Set, Statement, Table
from corten.network.model import IPAddress, IPNetwork

PROTOCOLS = {"tcp": 6, "udp": 17, "sctp": 132}
PRIORITY_RAW, PRIORITY_DSTNAT, PRIORITY_FILTER, PRIORITY_SRCNAT = -300, -100, 0, 100
_LOOPBACK4 = ip_network("127.0.0.0/8")
_LOOPBACK6 = ip_network("::1/128")


@dataclass(frozen=True, slots=True)
class Segment:
    """A bridge and the subnets on it, as the firewall sees a network."""

    bridge: str
    subnets: tuple[IPNetwork, ...]
    internal: bool = False
    icc: bool = True
    masqueraded: bool = True
    source4: IPv4Address | None = None  # leave with this address instead of the outgoing link's
    source6: IPv6Address | None = None
    mode4: str = "nat"
    mode6: str = "nat"

    def mode(self, version: int) -> str:
        return self.mode4 if version == 4 else self.mode6


@dataclass(frozen=True, slots=True)
class Forward:
    """One or more neighbouring ports of the host that lead to ports of a container.

    ``host`` None means every address of the host.  ``last`` above ``first`` is a range that keeps its numbers.
    ``direct``: no translation, only leave to reach the container's own address (gateway mode routed).
    """

    protocol: str
    host: IPAddress | None
    first: int
    last: int
    container: IPAddress
    port: int
    direct: bool = False


@dataclass(frozen=True, slots=True)
class Firewall:
    """Everything that the rules depend on."""

    table: str
    segments: frozenset[Segment] = frozenset()
    forwards: frozenset[Forward] = frozenset()


def _sets() -> dict[str, Set]:
    found = [
        Set("bridges", (IFNAME,)),
        Set("sealed", (IFNAME,)),
        Set("inside", (IFNAME, IFNAME)),
    ]
    for version, address in ((4, IPV4_ADDR), (6, IPV6_ADDR)):
        target: tuple[DataType, ...] = (address, INET_SERVICE)
        found += [
            Set(f"same{version}", (address, IFNAME), interval=True),
            Set(f"open{version}", (address,), interval=True),
            Set(f"routed{version}", (address, INET_PROTO, INET_SERVICE), interval=True),
            Set(f"masquerade{version}", (address,), interval=True),
            Set(f"source{version}", (address,), (address,), interval=True),
            Set(f"bound{version}", (address, INET_PROTO, INET_SERVICE), target),
            Set(f"boundspan{version}", (address, INET_PROTO, INET_SERVICE), (address,), interval=True),
            Set(f"ports{version}", (INET_PROTO, INET_SERVICE), target),
            Set(f"portspan{version}", (INET_PROTO, INET_SERVICE), (address,), interval=True),
        ]
    return {each.name: each for each in found}


SETS = _sets()


def _rule(*parts: Statement) -> Rule:
    return Rule(parts)


def _publish_rules() -> Iterable[Rule]:
    for version, word in ((4, "ip"), (6, "ip6")):
        ports = ("meta l4proto", "th dport")
        bound = (f"{word} daddr", *ports)
        family = say.protocol_family(version)
        yield _rule(say.nat_by_map("dnat", version, SETS[f"bound{version}"], *bound))
        yield _rule(say.nat_by_map("dnat", version, SETS[f"boundspan{version}"], *bound))
        local = say.destination_is_local()
        yield _rule(family, local, say.nat_by_map("dnat", version, SETS[f"ports{version}"], *ports))
        yield _rule(family, local, say.nat_by_map("dnat", version, SETS[f"portspan{version}"], *ports))


def _source_rules() -> Iterable[Rule]:
    # What comes from the host's own 127.0.0.1 cannot be answered; what a container sends to itself or to a neighbour
    # through a published port must come back through the host to be translated back.
    # (By address, not by iifname: what br_netfilter shows us of bridged packets has none at this hook.)
    yield _rule(say.prefix("ip saddr", _LOOPBACK4), say.member(SETS["bridges"], "oifname"), say.MASQUERADE)
    for version, word in ((4, "ip"), (6, "ip6")):
        same = say.member(SETS[f"same{version}"], f"{word} saddr", "oifname")
        yield _rule(same, say.ct_status("dnat"), say.MASQUERADE)
        yield _rule(same, say.RETURN)
        subnets = SETS[f"masquerade{version}"]
        # Networks see one another's own addresses where they may see one another at all.
        yield _rule(say.member(subnets, f"{word} saddr"), say.member(subnets, f"{word} daddr"), say.RETURN)
        yield _rule(say.nat_by_map("snat", version, SETS[f"source{version}"], f"{word} saddr"))
        yield _rule(say.member(subnets, f"{word} saddr"), say.MASQUERADE)


def _forward_rules() -> Iterable[Rule]:
    bridges, sealed = SETS["bridges"], SETS["sealed"]
    yield _rule(say.member(SETS["inside"], "iifname", "oifname"), say.ACCEPT)
    yield _rule(say.member(sealed, "iifname"), say.DROP)
    yield _rule(say.member(sealed, "oifname"), say.DROP)
    to_ours = say.member(bridges, "oifname")
    yield _rule(to_ours, say.ct_state("established", "related"), say.ACCEPT)
    yield _rule(to_ours, say.ct_status("dnat"), say.ACCEPT)
    for version, word in ((4, "ip"), (6, "ip6")):
        ports = (f"{word} daddr", "meta l4proto", "th dport")
        yield _rule(to_ours, say.member(SETS[f"open{version}"], f"{word} daddr"), say.ACCEPT)
        yield _rule(to_ours, say.member(SETS[f"routed{version}"], *ports), say.ACCEPT)
    yield _rule(to_ours, say.DROP)


def _chains() -> tuple[Chain, ...]:
    loopback = (
        _rule(say.prefix("ip daddr", _LOOPBACK4), say.RETURN),
        _rule(say.prefix("ip6 daddr", _LOOPBACK6), say.RETURN),
    )
    publish = _rule(say.jump("publish"))
    # route_localnet makes 127.0.0.1 reachable through our bridges: not from the containers, please.
    martian = _rule(say.member(SETS["bridges"], "iifname"), say.prefix("ip daddr", _LOOPBACK4), say.DROP)
    return (
        Chain("publish", tuple(_publish_rules())),
        Chain("guard", (martian,), "filter", "prerouting", PRIORITY_RAW),
        # A packet from outside for 127.0.0.1 must stay a martian: translating it would let it in.
        Chain("prerouting", (*loopback, publish), "nat", "prerouting", PRIORITY_DSTNAT),
        Chain("output", (loopback[1], publish), "nat", "output", PRIORITY_DSTNAT),
        Chain("postrouting", tuple(_source_rules()), "nat", "postrouting", PRIORITY_SRCNAT),
        Chain("forward", tuple(_forward_rules()), "filter", "forward", PRIORITY_FILTER),
    )


CHAINS = _chains()


def _span(network: IPNetwork) -> tuple[IPAddress, IPAddress]:
    return network.network_address, network.broadcast_address


def _segment_elements(segment: Segment) -> Iterable[tuple[str, Element]]:
    bridge = segment.bridge
    yield "bridges", Element((bridge,))
    if segment.icc:
        yield "inside", Element((bridge, bridge))
    if segment.internal:
        yield "sealed", Element((bridge,))
    for subnet in segment.subnets:
        version, span = subnet.version, _span(subnet)
        yield f"same{version}", Element((span, (bridge, bridge)))
        if segment.internal:
            continue
        mode = segment.mode(version)
        if mode == "nat-unprotected":
            yield f"open{version}", Element((span,))
        if segment.masqueraded and mode in ("nat", "nat-unprotected"):
            yield f"masquerade{version}", Element((span,))
            source = segment.source4 if version == 4 else segment.source6
            if source:
                yield f"source{version}", Element((span,), (source,))


def _forward_element(forward: Forward) -> tuple[str, Element]:
    version, protocol = forward.container.version, PROTOCOLS[forward.protocol]
    if forward.direct:
        last = forward.port + forward.last - forward.first
        return f"routed{version}", Element((forward.container, protocol, (forward.port, last)))
    if forward.first == forward.last:
        target = (forward.container, forward.port)
        if forward.host is None:
            return f"ports{version}", Element((protocol, forward.first), target)
        return f"bound{version}", Element((forward.host, protocol, forward.first), target)
    ports = (forward.first, forward.last)
    if forward.host is None:
        return f"portspan{version}", Element((protocol, ports), (forward.container,))
    return f"boundspan{version}", Element((forward.host, protocol, ports), (forward.container,))


def elements(firewall: Firewall) -> dict[str, frozenset[Element]]:
    """What is in each set."""
    found: dict[str, set[Element]] = {name: set() for name in SETS}
    for segment in firewall.segments:
        for name, element in _segment_elements(segment):
            found[name].add(element)
    for forward in firewall.forwards:
        name, element = _forward_element(forward)
        found[name].add(element)
    return {name: frozenset(members) for name, members in found.items()}


def ruleset(firewall: Firewall) -> Table:
    """The whole table."""
    members = elements(firewall)
    sets = tuple(Set(each.name, each.key, each.data, each.interval, members[each.name]) for each in SETS.values())
    return Table(firewall.table, NFPROTO_INET, sets, CHAINS)


def frame(table: str) -> Table:
    """The table without elements: what changes of elements are addressed to."""
    return Table(table, NFPROTO_INET, tuple(SETS.values()), CHAINS)


@dataclass(frozen=True, slots=True)
class Change:
    """Elements to take out of and to put into one set."""

    each: Set
    removed: frozenset[Element]
    added: frozenset[Element]


def changes(before: Firewall, after: Firewall) -> list[Change]:
    """What to change, touching only what differs between the two values."""
    gone = elements(Firewall(before.table, before.segments - after.segments, before.forwards - after.forwards))
    come = elements(Firewall(after.table, after.segments - before.segments, after.forwards - before.forwards))
    found = []
    for name, each in SETS.items():
        removed, added = gone[name] - come[name], come[name] - gone[name]
        if removed or added:
            found.append(Change(each, removed, added))
    return found
