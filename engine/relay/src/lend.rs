//! Relayed addresses: opened for an allocation, kept for a second one, closed at the end.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::time::Instant;

use protocol_turn::{
    AllocationId, Family, Port as Wish, PortShare, PortWish, RelayTransport, Release, ReservationId,
};
use shards_runtime::{BindOptions, Context, Io, Op, Socket, Token};

use crate::relay::Relay;
use crate::settings::Settings;
use crate::slot::{Port, Relayed, Slot, outer};
use crate::stats::Ended;

/// How many ports are tried when others of this machine have them.
const ATTEMPTS_MAX: usize = 8;

/// Datagrams of peers that may wait at one relayed address, bytes.
const RELAYED_QUEUE_BYTES: u32 = 512 * 1024;

/// What an allocation has.
pub(crate) struct Lent {
    pub(crate) allocation: AllocationId,
    /// The slots of its addresses, IPv4 first.
    pub(crate) tokens: [Option<Token>; 2],
    relayed: [Option<SocketAddr>; 2],
    since: Instant,
}

/// This shard's part of the ports, for each protocol and family.
pub(crate) struct Shares([PortShare; 4]);

impl Shares {
    pub(crate) fn new(settings: &Settings) -> Shares {
        let (index, count) = settings.shard;
        let share = PortShare::new(settings.ports.clone(), index, count, settings.seed);
        Shares([share.clone(), share.clone(), share.clone(), share])
    }

    pub(crate) fn has_ports(&self) -> bool {
        self.0[0].free_count() > 0
    }

    /// Ports of one family and both protocols, while none is lent.
    pub(crate) fn ports_count(&self) -> usize {
        self.0[0].free_count() * 4
    }

    fn of(&mut self, transport: RelayTransport, family: Family) -> &mut PortShare {
        let is_tcp = usize::from(transport == RelayTransport::Tcp);
        &mut self.0[is_tcp * 2 + index_of(family)]
    }

    pub(crate) fn give_back(&mut self, port: Port) {
        self.of(port.transport, port.family).give_back(port.number);
    }
}

impl Relay {
    /// Opens an address for an allocation; the answer is what the world is told.
    pub(crate) fn open<I: Io, M: Send>(
        &mut self,
        cx: &mut Context<'_, I, M>,
        allocation: AllocationId,
        family: Family,
        wish: Wish,
        transport: RelayTransport,
    ) -> Option<SocketAddr> {
        let token = match wish {
            Wish::Reserved(id) => self.kept.remove(&id)?,
            Wish::Any => self.bind(cx, family, PortWish::Any, transport)?,
            Wish::Even => self.bind(cx, family, PortWish::Even, transport)?,
            Wish::EvenAndNext(id) => {
                let token = self.bind(cx, family, PortWish::Pair, transport)?;
                self.keep_next(cx, token, id)?;
                token
            }
        };
        let Some(Slot::Relayed(relayed)) = self.slots.get_mut(token) else { return None };
        relayed.allocation = Some(allocation);
        let Relayed { socket, external, port, .. } = *relayed;
        let announced = self.settings.externals[external].announced;
        let address = SocketAddr::new(announced, port.number);
        let op = match transport {
            RelayTransport::Udp => Op::RecvFrom(socket),
            RelayTransport::Tcp => Op::Accept(socket),
        };
        cx.submit(outer(token), op);
        let lent = self.lent_to(allocation, cx.now());
        lent.tokens[index_of(family)] = Some(token);
        lent.relayed[index_of(family)] = Some(address);
        Some(address)
    }

    /// The allocation is over: closes what it had, and writes it down.
    pub(crate) fn release<I: Io, M: Send>(&mut self, cx: &mut Context<'_, I, M>, release: Release) {
        let index = place_of(release.allocation);
        let lent = self.lent.get_mut(index).and_then(Option::take);
        let lent = lent.filter(|lent| lent.allocation == release.allocation);
        for token in lent.iter().flat_map(|lent| lent.tokens).flatten() {
            self.close(cx, token);
        }
        let relayed = lent.as_ref().map_or([None; 2], |lent| lent.relayed);
        let lasted = lent.map_or_else(Default::default, |lent| cx.now() - lent.since);
        self.write_down(Ended { release, relayed, lasted });
    }

    pub(crate) fn release_family<I: Io, M: Send>(
        &mut self,
        cx: &mut Context<'_, I, M>,
        allocation: AllocationId,
        family: Family,
    ) {
        let now = cx.now();
        let token = self.lent_to(allocation, now).tokens[index_of(family)].take();
        if let Some(token) = token {
            self.close(cx, token);
        }
    }

    /// Nobody came for a port that was kept.
    pub(crate) fn forget_reserved<I: Io, M: Send>(
        &mut self,
        cx: &mut Context<'_, I, M>,
        id: ReservationId,
    ) {
        if let Some(token) = self.kept.remove(&id) {
            self.close(cx, token);
        }
    }

    /// The slot of an allocation's address of a family.
    pub(crate) fn relayed_token(&self, allocation: AllocationId, family: Family) -> Option<Token> {
        let lent = self.lent.get(place_of(allocation))?.as_ref()?;
        (lent.allocation == allocation).then(|| lent.tokens[index_of(family)])?
    }

    fn lent_to(&mut self, allocation: AllocationId, now: Instant) -> &mut Lent {
        let index = place_of(allocation);
        if self.lent.len() <= index {
            self.lent.resize_with(index + 1, || None);
        }
        let fresh = Lent { allocation, tokens: [None; 2], relayed: [None; 2], since: now };
        self.lent[index].get_or_insert(fresh)
    }

    /// Binds a port of this shard; with a pair the next one is still to be bound.
    fn bind<I: Io, M: Send>(
        &mut self,
        cx: &mut Context<'_, I, M>,
        family: Family,
        wish: PortWish,
        transport: RelayTransport,
    ) -> Option<Token> {
        let external = self.next_external(family)?;
        let local = self.settings.externals[external].local;
        // Others on this machine may have some: those come back when one was found.
        let mut tried = Vec::new();
        let mut found = None;
        for _ in 0..ATTEMPTS_MAX {
            let Some(number) = self.shares.of(transport, family).take(wish) else { break };
            match bind_at(cx, SocketAddr::new(local, number), transport) {
                Ok(socket) => {
                    let port = Port { transport, family, number };
                    found = Some((socket, port));
                    break;
                }
                Err(error) => {
                    tried.push(number);
                    if error.kind() != ErrorKind::AddrInUse {
                        tracing::warn!(%error, %local, number, "cannot open a relayed address");
                        break;
                    }
                }
            }
        }
        let share = self.shares.of(transport, family);
        for number in tried {
            share.give_back(number);
            if wish == PortWish::Pair {
                share.give_back(number + 1);
            }
        }
        let (socket, port) = found?;
        let relayed = Relayed { socket, allocation: None, port, external, sends_in_flight: 0 };
        Some(self.insert(Slot::Relayed(relayed)))
    }

    /// Binds the neighbour of a pair's even port and keeps it. Without it there is no pair, and the
    /// first is closed as well.
    fn keep_next<I: Io, M: Send>(
        &mut self,
        cx: &mut Context<'_, I, M>,
        token: Token,
        id: ReservationId,
    ) -> Option<()> {
        let Some(Slot::Relayed(first)) = self.slots.get(token) else { return None };
        let first = *first;
        let port = Port { number: first.port.number + 1, ..first.port };
        let local = self.settings.externals[first.external].local;
        match bind_at(cx, SocketAddr::new(local, port.number), port.transport) {
            Ok(socket) => {
                let kept = Relayed { socket, port, ..first };
                let kept = self.insert(Slot::Relayed(kept));
                self.kept.insert(id, kept);
                Some(())
            }
            Err(_) => {
                self.shares.give_back(port);
                self.close(cx, token);
                None
            }
        }
    }

    /// The next of the addresses that are lent.
    fn next_external(&mut self, family: Family) -> Option<usize> {
        let externals = &self.settings.externals;
        let count = externals.len();
        let from = self.next_external;
        let is_it = |at: &usize| externals[*at].family() == family;
        let found = (0..count).map(|step| (from + step) % count).find(is_it)?;
        self.next_external = (found + 1) % count;
        Some(found)
    }
}

fn bind_at<I: Io, M: Send>(
    cx: &mut Context<'_, I, M>,
    address: SocketAddr,
    transport: RelayTransport,
) -> std::io::Result<Socket> {
    let options = BindOptions {
        v6_only: true,
        fragmentable: true,
        reports_icmp: true,
        receive_queue_bytes: RELAYED_QUEUE_BYTES,
        ..BindOptions::default()
    };
    match transport {
        RelayTransport::Udp => cx.io().bind(address, options).map(|(socket, _)| socket),
        // Connections to peers leave from the same port (RFC 6062 §5.2).
        RelayTransport::Tcp => {
            let options =
                BindOptions { shared: true, backlog: 16, v6_only: true, ..BindOptions::default() };
            cx.io().listen(address, options).map(|(socket, _)| socket)
        }
    }
}

pub(crate) const fn index_of(family: Family) -> usize {
    match family {
        Family::V4 => 0,
        Family::V6 => 1,
    }
}

/// Where an allocation stands in the protocol's table.
fn place_of(allocation: AllocationId) -> usize {
    allocation.number() as u32 as usize
}
