"""Keeps the kernel's rules as the ``Firewall`` value says.

Owns: the nf_tables socket, the last value sent, the watch over foreign changes and the repair after them, and the
accepts in other people's FORWARD chains.  Decides nothing about rules (``firewall.py``).

Other tables may drop what ours lets through: dockerd sets the policy of FORWARD to drop, so does ufw.  Where dockerd's
DOCKER-USER chain exists our bridges are accepted there, otherwise in a FORWARD chain whose policy is drop.  These rules
carry a comment with our table's name and are found again by it, so a restart leaves no duplicates.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from corten.kernel.netlink import netfilter, statements
from corten.kernel.netlink.codec import NETLINK_NETFILTER, Request
from corten.kernel.netlink.netfilter import ChainFact, Notice, Rule
from corten.kernel.netlink.socket import Netlink
from corten.network import firewall as rules
from corten.network.firewall import Firewall

_LONGEST_DELAY = 10.0
_SETTLE = 0.05  # a flush comes as hundreds of notices: wait for the end of it
_REMOVALS = frozenset(
    {
        netfilter.NFT_MSG_DELTABLE,
        netfilter.NFT_MSG_DELCHAIN,
        netfilter.NFT_MSG_DELRULE,
        netfilter.NFT_MSG_NEWRULE,
        netfilter.NFT_MSG_DELSET,
        netfilter.NFT_MSG_NEWSETELEM,
        netfilter.NFT_MSG_DELSETELEM,
    }
)
_FOREIGN_CHAINS = ("DOCKER-USER", "FORWARD")


class Enforcer:
    """One table of ours and our accepts elsewhere."""

    def __init__(self, table: str, on_repair: Callable[[str], None] | None = None) -> None:
        self.current = Firewall(table)
        self.repairs = 0
        self._on_repair = on_repair
        self._mark = f"corten:{table}"
        self._frame = rules.frame(table)
        # One thread: changes are made in the order in which they were asked for, and never on the loop.
        self._thread = ThreadPoolExecutor(1, "nftables")
        self._netlink: Netlink | None = None
        self._watch: Netlink | None = None
        self._repair: asyncio.TimerHandle | None = None
        self._repairing: asyncio.Task[None] | None = None
        self._reason = ""
        self._streak = 0
        self._repaired_at = float("-inf")

    async def open(self, firewall: Firewall) -> None:
        """Put the whole table in place of what had its name, and watch it from now on."""
        self._netlink = Netlink.open(NETLINK_NETFILTER)
        await self._run(self._replace, firewall)
        self._watch = Netlink.open(NETLINK_NETFILTER)
        self._watch.subscribe(netfilter.NFNLGRP_NFTABLES)
        asyncio.get_running_loop().add_reader(self._watch.fileno(), self._notified)

    async def close(self) -> None:
        """Stop watching; the rules stay."""
        if self._repair:
            self._repair.cancel()
        if self._repairing:
            self._repairing.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._repairing
        if self._watch:
            asyncio.get_running_loop().remove_reader(self._watch.fileno())
            self._watch.close()
            self._watch = None
        await asyncio.to_thread(self._thread.shutdown, wait=True)
        if self._netlink:
            self._netlink.close()
            self._netlink = None

    async def apply(self, firewall: Firewall) -> None:
        """Make the kernel agree with a new value, changing only what differs."""
        if firewall != self.current:
            await self._run(self._change, firewall)

    async def uninstall(self) -> None:
        """Remove our table and our accepts."""
        await self._run(self._uninstall)

    # ── in the thread ──────────────────────────────────────────────────────────────────────────────

    async def _run(self, work: Callable[..., None], *args: Firewall) -> None:
        loop = asyncio.get_running_loop()
        await asyncio.shield(loop.run_in_executor(self._thread, work, *args))

    def _socket(self) -> Netlink:
        if self._netlink is None:
            raise OSError(errno.EBADF, "the firewall is not open")
        return self._netlink

    def _send(self, requests: list[Request]) -> None:
        self._socket().transact(netfilter.begin_batch(), requests, netfilter.end_batch())

    def _replace(self, firewall: Firewall) -> None:
        self._send(netfilter.replace_table(rules.ruleset(firewall)))
        self.current = firewall
        self._sync_foreign()

    def _change(self, firewall: Firewall) -> None:
        requests: list[Request] = []
        for change in rules.changes(self.current, firewall):
            requests += netfilter.delete_elements(self._frame, change.each, change.removed)
            requests += netfilter.add_elements(self._frame, change.each, change.added)
        same_bridges = firewall.segments == self.current.segments
        try:
            self._send(requests)
        except OSError:  # the kernel's state is not what we left: somebody flushed it, or changed elements
            self._replace(firewall)
            return
        self.current = firewall
        if not same_bridges:
            self._sync_foreign()

    def _uninstall(self) -> None:
        family, name = self._frame.family, self._frame.name
        self._send([netfilter.add_table(family, name), netfilter.delete_table(family, name)])
        self.current = Firewall(name)
        self._sync_foreign()

    def _sync_foreign(self) -> None:
        """Bring our accepts in the chains of others up to date."""
        socket = self._socket()
        chains = socket.dump(netfilter.list_chains(), netfilter.parse_chain)
        wanted = set(map(_address_of, _deciding_chains(chains)))
        bridges = sorted(segment.bridge for segment in self.current.segments)
        requests: list[Request] = []
        for chain in chains:
            if chain.name not in _FOREIGN_CHAINS or chain.table != "filter":
                continue
            place = (chain.family, chain.table, chain.name)
            found = socket.dump(netfilter.list_rules(*place), netfilter.parse_rule)
            requests += [netfilter.delete_rule(*place, rule.handle) for rule in found if rule.comment == self._mark]
            if place in wanted:
                requests += [netfilter.add_rule(*place, rule, first=True) for rule in self._accepts(bridges)]
        # A chain may vanish between listing and change (dockerd restarting): its next notice brings us back here.
        with contextlib.suppress(FileNotFoundError):
            self._send(requests)

    def _accepts(self, bridges: list[str]) -> list[Rule]:
        return [
            Rule((statements.interface(direction, bridge), statements.COUNTER, statements.ACCEPT), self._mark)
            for bridge in bridges
            for direction in ("iifname", "oifname")
        ]

    # ── watching ───────────────────────────────────────────────────────────────────────────────────

    def _notified(self) -> None:
        if self._watch is None or self._netlink is None:
            return
        try:
            messages = self._watch.notifications()
        except OSError as error:
            if error.errno != errno.ENOBUFS:
                raise
            self._schedule("notifications were lost")
            return
        for message in messages:
            notice = netfilter.parse_notice(message)
            if notice and notice.port != self._netlink.port:
                self._consider(notice)

    def _consider(self, notice: Notice) -> None:
        if notice.table == self.current.table and notice.family == self._frame.family and notice.kind in _REMOVALS:
            self._schedule(f"the table {notice.table} was changed from outside")
            return
        appeared = notice.kind in (netfilter.NFT_MSG_NEWCHAIN, netfilter.NFT_MSG_DELRULE)
        if appeared and notice.table == "filter" and notice.chain in _FOREIGN_CHAINS:
            self._schedule("")

    def _schedule(self, reason: str) -> None:
        """Repair soon: our table where there is a reason, and our accepts in other chains in any case."""
        self._reason = self._reason or reason
        if self._repair is None:
            # Somebody who undoes every repair at once must not cost us a processor.
            delay = min(_SETTLE * 2**self._streak, _LONGEST_DELAY)
            self._repair = asyncio.get_running_loop().call_later(delay, self._start_repair)

    def _start_repair(self) -> None:
        loop = asyncio.get_running_loop()
        self._repair = None
        self._streak = self._streak + 1 if loop.time() - self._repaired_at < _LONGEST_DELAY else 0
        self._repaired_at = loop.time()
        self._repairing = loop.create_task(self._do_repair())

    async def _do_repair(self) -> None:
        reason, self._reason = self._reason, ""
        try:
            await self._run(self._repair_table if reason else self._sync_foreign)
        except OSError as error:
            self._schedule(reason or str(error))
            reason = f"{reason}; the repair failed and is tried again: {error}"
        if reason:
            self.repairs += 1
            if self._on_repair:
                self._on_repair(reason)

    def _repair_table(self) -> None:
        self._replace(self.current)


def _address_of(chain: ChainFact) -> tuple[int, str, str]:
    return chain.family, chain.table, chain.name


def _deciding_chains(chains: list[ChainFact]) -> list[ChainFact]:
    """Where an accept of ours is needed: DOCKER-USER, or else a FORWARD chain that drops by default."""
    found = [chain for chain in chains if chain.table == "filter" and chain.name == "DOCKER-USER"]
    families = {chain.family for chain in found}
    drops = [
        chain
        for chain in chains
        if chain.table == "filter"
        and chain.name == "FORWARD"
        and chain.family in (netfilter.NFPROTO_IPV4, netfilter.NFPROTO_IPV6)
        and chain.policy == netfilter.NF_DROP
        and chain.family not in families
    ]
    return found + drops
