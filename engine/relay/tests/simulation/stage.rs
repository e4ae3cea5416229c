//! The world from one seed: what everybody does, and the checkers that look at what arrives.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use engine_relay::{External, Listener, Listening, Relay, Settings};
use protocol_stun::{AttributeKind, ChannelData, Class, Family, Message, Method};
use protocol_turn::{Config, Credentials, Limits};
use shards_mesh::mesh;
use shards_runtime::{Io, Shard, ShardId};
use shards_sim::{Chance, Faults, MachineId, PeerDatagrams, Prng, SimIo, World};

use crate::client::{Asked, Client, REALM, SECRET, USER, Wish, password};
use crate::link::Link;
use crate::model::{LIFETIME, PEER_COUNT, PEERS, SLACK};
use crate::service::{Fault, RelayService};

/// Where clients come from, and whether by streams. The first two share an address, and so a
/// shard: what one keeps the other can take.
const CLIENTS: [(&str, bool); CLIENT_COUNT] = [
    ("198.51.100.0:4000", false),
    ("198.51.100.0:4001", false),
    ("198.51.100.2:0", true),
    ("[2001:db8:1::3]:4000", false),
    ("[2001:db8:1::4]:0", true),
];
const CLIENT_COUNT: usize = 5;
/// Has a timed name.
const TIMED: usize = 3;
/// How long a port is kept.
const KEPT: Duration = Duration::from_secs(30);
/// The addresses of the server: of both families, for datagrams and for streams.
const LISTENER_COUNT: usize = 4;
const STEP_COUNT: usize = 300;
const CHANNEL_FIRST: u16 = 0x4000;
/// Where the number of a payload lies in it.
const NUMBER_BYTES: usize = 8;

/// What was seen to happen.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Seen {
    pub allocations: u64,
    pub to_peers_by_send: u64,
    pub to_peers_by_channel: u64,
    pub to_clients_by_indication: u64,
    pub to_clients_by_channel: u64,
    /// Of these payloads, those of clients that come by streams, and those over IPv6.
    pub from_streams: u64,
    pub to_streams: u64,
    pub over_v6: u64,
    pub streams_made_anew: u64,
    pub kept_ports_taken: u64,
    pub timed_allocations: u64,
    /// Payloads that were lost, or stopped by the relay.
    pub never_arrived: u64,
    pub trace_hash: u64,
}

impl Seen {
    pub fn add(&mut self, other: &Seen) {
        self.allocations += other.allocations;
        self.to_peers_by_send += other.to_peers_by_send;
        self.to_peers_by_channel += other.to_peers_by_channel;
        self.to_clients_by_indication += other.to_clients_by_indication;
        self.to_clients_by_channel += other.to_clients_by_channel;
        self.from_streams += other.from_streams;
        self.to_streams += other.to_streams;
        self.over_v6 += other.over_v6;
        self.streams_made_anew += other.streams_made_anew;
        self.kept_ports_taken += other.kept_ports_taken;
        self.timed_allocations += other.timed_allocations;
        self.never_arrived += other.never_arrived;
    }
}

/// A payload on its way.
struct Sent {
    bytes: Vec<u8>,
    way: Way,
    has_arrived: bool,
}

#[derive(Clone, Copy)]
enum Way {
    ToPeer { client: usize, peer: usize, by_channel: bool },
    ToClient { peer: usize, relayed: SocketAddr },
}

/// A port that is kept behind a token.
struct Kept {
    token: [u8; 8],
    even: SocketAddr,
    sent_at: Instant,
    is_taken: bool,
}

pub struct Stage {
    world: World,
    prng: Prng,
    fault: Option<Fault>,
    shards: Vec<Shard<SimIo, RelayService>>,
    ids: Vec<MachineId>,
    clients: Vec<Client>,
    peers: Vec<PeerDatagrams>,
    sent: BTreeMap<u64, Sent>,
    /// When each password was withdrawn.
    withdrawn_at: Vec<Instant>,
    kept: Vec<Kept>,
    /// When the wall clock was set last.
    clock_set_at: Instant,
    seen: Seen,
}

fn config(version: usize, fault: Option<Fault>) -> Config {
    let credentials = Credentials::new().with_user(USER, &password(version));
    let mut config = Config::new(REALM, credentials.with_secret(SECRET.as_bytes()));
    if fault == Some(Fault::PrivatePeers) {
        let networks = ["192.168.0.0/16", "fd00::/8"];
        config.policy.allowed = networks.map(|it| it.parse().expect("a network")).into();
    }
    config
}

fn server_of(family: Family) -> SocketAddr {
    match family {
        Family::V4 => SocketAddr::new(World::node_address(0), 3478),
        Family::V6 => address("[fd00::1]:3478"),
    }
}

fn address(text: &str) -> SocketAddr {
    text.parse().expect("an address")
}

impl Stage {
    /// What happened in the world of a seed, or what must not have.
    pub fn run(seed: u64, fault: Option<Fault>) -> Result<Seen, String> {
        let mut stage = Stage::new(seed, fault);
        for _ in 0..STEP_COUNT {
            stage.act();
            let duration = match stage.prng.below(20) {
                0 => Duration::from_secs(stage.prng.between(1, 200)),
                1..5 => Duration::from_millis(stage.prng.between(100, 5_000)),
                _ => Duration::from_micros(stage.prng.between(0, 50_000)),
            };
            stage.pass(duration)?;
            stage.judge_allocations()?;
        }
        // Nobody says anything any more.
        stage.world.set_faults(Faults::none());
        stage.pass(Duration::from_secs(700))?;
        stage.judge_end()?;
        stage.seen.trace_hash = stage.world.trace_hash();
        let arrived = stage.sent.values().filter(|sent| sent.has_arrived).count();
        stage.seen.never_arrived = (stage.sent.len() - arrived) as u64;
        Ok(stage.seen)
    }

    fn new(seed: u64, fault: Option<Fault>) -> Stage {
        let mut prng = Prng::new(seed);
        let mut faults = Faults::draw(&mut prng);
        faults.clock_jump_us_max = faults.clock_jump_us_max.min(200_000);
        // A run in which hardly anything arrives finds hardly anything.
        faults.datagram_loss = Chance(faults.datagram_loss.0.min(200));
        let world = World::new(seed, faults);
        let shard_count = 1 + prng.index(2);
        let mut limits = Limits::default();
        match fault {
            Some(Fault::PermissionForEver) => limits.permission_s = 86_400,
            Some(Fault::AllocationForEver) => {
                (limits.lifetime_default_s, limits.lifetime_max_s) = (86_400, 86_400);
            }
            Some(Fault::ReservationForEver) => limits.reservation_s = 86_400,
            _ => {}
        }
        let servers = [Family::V4, Family::V6].map(server_of);
        let listener = |address, listening| Listener { address, listening };
        let listeners =
            servers.map(|at| [listener(at, Listening::Udp), listener(at, Listening::Tcp)]).concat();
        let settings = Settings {
            config: config(0, fault),
            limits,
            listeners,
            own: Vec::new(),
            machine: Vec::new(),
            externals: servers.map(|at| External::own(at.ip())).into(),
            ports: 50_000..=50_999,
            tls: None,
            spreads_by_address: true,
            stream_count_max: 16,
            handshakes_per_tick_max: 4,
            seed: [7; 32],
            epoch: world.now(),
            shard: (0, shard_count as u16),
        };
        let (mut shards, mut ids) = (Vec::new(), Vec::new());
        for (index, port) in mesh::<Infallible>(shard_count, 4).into_iter().enumerate() {
            let index = index as u16;
            let io = world.machine(0, ShardId(index));
            ids.push(io.id());
            let settings = Settings { shard: (index, shard_count as u16), ..settings.clone() };
            let unix_s = io.wall_clock().as_secs();
            let relay = Relay::new(settings, io.now(), unix_s).expect("settings");
            shards.push(Shard::new(io, port, RelayService { relay, fault }));
        }
        let bind = |at: &str| world.peer_bind(address(at)).expect("a free address");
        let clients = CLIENTS.map(|(from, is_stream)| {
            let server = server_of(Family::of(&address(from)));
            let link = match is_stream {
                true => Link::stream(&world, address(from), server),
                false => Link::Datagrams(bind(from)),
            };
            Client::new(link, server)
        });
        let peers: Vec<_> = PEERS.map(bind).into();
        let mut clients: Vec<Client> = clients.into();
        if fault == Some(Fault::ClockNotFollowed) {
            clients[TIMED].timed_more_s = 20_000;
        }
        clients[TIMED].timed_s = Some(world.wall_clock().as_secs() + 100);
        Stage {
            prng,
            fault,
            shards,
            ids,
            clients,
            peers,
            sent: BTreeMap::new(),
            withdrawn_at: Vec::new(),
            kept: Vec::new(),
            clock_set_at: world.now(),
            seen: Seen::default(),
            world,
        }
    }

    /// Somebody does something.
    fn act(&mut self) {
        let now = self.world.now();
        let (index, peer) = (self.prng.index(CLIENT_COUNT), self.prng.index(PEER_COUNT));
        let at = self.peers[peer].address();
        let number = CHANNEL_FIRST + peer as u16;
        let action = self.prng.below(100);
        if self.clients[index].has_vanished && action < 80 {
            return;
        }
        let client = &mut self.clients[index];
        if client.link.is_over(now) && action < 80 {
            self.seen.streams_made_anew += 1;
            client.renew_link(now);
        }
        match action {
            0..20 if client.relayed.is_empty() => {
                match !client.last_allocate.is_empty() && self.prng.below(2) == 0 {
                    true => client.allocate_again(now),
                    false => self.allocate(index),
                }
            }
            0..8 => client.refresh(now, 600),
            8 => client.refresh(now, 0),
            9 if self.prng.below(10) == 0 => match self.prng.below(3) {
                0 => {
                    client.has_vanished = true;
                    client.link.vanish();
                }
                order => {
                    if client.link.end(order == 1) {
                        client.leave(now);
                    }
                }
            },
            10..22 => {
                client.model.permitted_at[peer] = Some(now);
                client.permit(now, at);
            }
            22..34 => {
                client.model.permitted_at[peer] = Some(now);
                client.model.bound_at[peer] = Some(now);
                let is_planted = self.fault == Some(Fault::ChannelToAnother);
                let to = if is_planted { (peer + 1) % PEER_COUNT } else { peer };
                client.bind(now, number, self.peers[to].address());
            }
            34..56 => {
                let bytes = self.payload(Way::ToPeer { client: index, peer, by_channel: false });
                let client = &mut self.clients[index];
                if self.fault == Some(Fault::PermissionNotChecked) {
                    client.permit(now, at);
                }
                client.send(at, &bytes);
            }
            56..80 => {
                let bytes = self.payload(Way::ToPeer { client: index, peer, by_channel: true });
                self.clients[index].send_by_channel(number, &bytes);
            }
            80..97 => {
                let of_family = |address: &&SocketAddr| address.is_ipv4() == at.is_ipv4();
                let had: Vec<_> = client.had.iter().filter(of_family).copied().collect();
                let Some(relayed) = self.prng.pick(&had).copied() else { return };
                let relayed = client.relayed.iter().find(of_family).copied().unwrap_or(relayed);
                let bytes = self.payload(Way::ToClient { peer, relayed });
                let _ = self.peers[peer].send_to(relayed, &bytes);
            }
            97 => self.set_wall_clock(),
            99 if self.prng.below(2) == 0 => self.change_credentials(),
            _ => {}
        }
    }

    /// Asks for an allocation of some kind.
    fn allocate(&mut self, index: usize) {
        let (now, wall_s) = (self.world.now(), self.world.wall_clock().as_secs());
        let is_even = |keeps_next| Wish::Even { keeps_next };
        let wish = match self.prng.below(8) {
            0 => Wish::V6,
            1 | 2 => Wish::Both,
            3 => is_even(false),
            4 => is_even(true),
            5 | 6 => {
                // Mostly one that is still there, and sometimes any that ever was.
                let is_old = self.prng.below(4) == 0;
                let may_be = |kept: &&Kept| is_old || !kept.is_taken;
                let found = self.kept.iter().rev().find(may_be);
                found.map_or(is_even(true), |kept| Wish::Kept(kept.token))
            }
            _ => Wish::Plain,
        };
        let client = &mut self.clients[index];
        let is_new_name = self.prng.below(3) == 0;
        if let Some(expiry_s) = client.timed_s.as_mut().filter(|_| is_new_name) {
            *expiry_s = wall_s + self.prng.between(10, 600);
        }
        client.allocate(now, wall_s, wish);
    }

    /// Somebody sets the wall clock, by up to two hours forwards or back.
    fn set_wall_clock(&mut self) {
        let (now, by) = (self.world.wall_clock(), Duration::from_secs(self.prng.below(7_200)));
        let is_back = self.prng.below(2) == 0;
        self.world.set_wall_clock(if is_back { now - by } else { now + by });
        self.clock_set_at = self.world.now();
    }

    fn change_credentials(&mut self) {
        self.withdrawn_at.push(self.world.now());
        let version = self.withdrawn_at.len();
        if self.fault == Some(Fault::OldCredentials) {
            return;
        }
        for shard in &mut self.shards {
            let configured = shard.service_mut().relay.configure(config(version, self.fault));
            configured.expect("a configuration");
        }
        for client in &mut self.clients {
            // Some are not told before they ask again.
            if self.prng.below(2) == 0 {
                client.version = version;
            }
        }
    }

    /// A payload like no other.
    fn payload(&mut self, way: Way) -> Vec<u8> {
        let number = self.sent.len() as u64;
        let mut bytes = number.to_be_bytes().to_vec();
        let length = self.prng.index(200);
        bytes.extend((0..length).map(|_| self.prng.next_u64() as u8));
        self.sent.insert(number, Sent { bytes: bytes.clone(), way, has_arrived: false });
        bytes
    }

    /// Lets time pass, and everybody do what is due.
    fn pass(&mut self, duration: Duration) -> Result<(), String> {
        let until = self.world.now() + duration;
        loop {
            let is_ready = |at: &usize| self.world.machine_ready(self.ids[*at]);
            let ready: Vec<usize> = (0..self.shards.len()).filter(is_ready).collect();
            if let Some(at) = self.prng.pick(&ready) {
                self.shards[*at].tick();
                continue;
            }
            let now = self.world.now();
            if now >= until {
                return Ok(());
            }
            let next = self.world.next_event().unwrap_or(until);
            self.world.advance_to(next.min(until));
            self.look_at_peers()?;
            self.look_at_clients()?;
        }
    }

    fn look_at_peers(&mut self) -> Result<(), String> {
        let now = self.world.now();
        for at in 0..PEER_COUNT {
            while let Some((from, bytes)) = self.peers[at].receive_from() {
                let sent = arrived(&mut self.sent, &bytes)?;
                let Way::ToPeer { client, peer, by_channel } = sent.way else {
                    return Err(format!("peer {at} got what was for a client"));
                };
                if peer != at {
                    return Err(format!("to the wrong peer: {at}, not {peer}"));
                }
                let own: [IpAddr; 2] = [Family::V4, Family::V6].map(|it| server_of(it).ip());
                if !own.contains(&from.ip()) || from.port() < 50_000 {
                    return Err(format!("from {from}, which was never lent"));
                }
                let judged = self.clients[client].model.judge(now, peer, by_channel);
                judged.map_err(|why| format!("client {client} reached peer {peer} {why}"))?;
                self.seen.from_streams += u64::from(CLIENTS[client].1);
                self.seen.over_v6 += u64::from(from.is_ipv6());
                match by_channel {
                    true => self.seen.to_peers_by_channel += 1,
                    false => self.seen.to_peers_by_send += 1,
                }
            }
        }
        Ok(())
    }

    fn look_at_clients(&mut self) -> Result<(), String> {
        let now = self.world.now();
        for at in 0..CLIENT_COUNT {
            while let Some(bytes) = self.clients[at].link.receive() {
                let bytes = bytes?;
                if bytes[0] & 0xC0 == 0x40 {
                    let decoded = ChannelData::decode(&bytes);
                    let decoded = decoded.map_err(|_| "malformed ChannelData".to_owned())?;
                    let peer = usize::from(decoded.number - CHANNEL_FIRST);
                    self.reached_client(now, at, peer, &bytes[decoded.data], true)?;
                    continue;
                }
                let message = Message::decode(&bytes);
                let message = message.map_err(|_| "a malformed message".to_owned())?;
                if message.class() != Class::Indication {
                    self.answered(now, at, &message)?;
                    continue;
                }
                let from = message.xor_address(AttributeKind::XOR_PEER_ADDRESS);
                let from = from.ok().flatten().ok_or("an indication without a peer")?;
                let Some(data) = message.find(AttributeKind::DATA) else { continue };
                let is_it = |peer: &PeerDatagrams| peer.address() == from;
                let peer = self.peers.iter().position(is_it).ok_or("data of nobody")?;
                if message.method() != Method::DATA {
                    return Err(format!("an indication of {:?}", message.method()));
                }
                self.reached_client(now, at, peer, data, false)?;
            }
        }
        Ok(())
    }

    fn answered(&mut self, now: Instant, at: usize, message: &Message<'_>) -> Result<(), String> {
        let Some(allocated) = self.clients[at].answered(now, message) else { return Ok(()) };
        self.seen.allocations += 1;
        self.judge_kept(at, &allocated, message)?;
        if let Some((expiry_s, wall_s)) = allocated.timed_s {
            self.seen.timed_allocations += 1;
            // What the clock showed between then and now is known while nobody set it.
            let is_known = self.clock_set_at + SLACK < allocated.sent_at;
            return match is_known && wall_s > expiry_s + SLACK.as_secs() {
                true => Err(format!("client {at} has an allocation by a name past its time")),
                false => Ok(()),
            };
        }
        let withdrawn = self.withdrawn_at.get(allocated.version);
        match withdrawn.is_some_and(|at| *at < allocated.sent_at) {
            true => Err(format!("client {at} has an allocation by withdrawn credentials")),
            false => Ok(()),
        }
    }

    /// Even ports, and those that are kept.
    fn judge_kept(
        &mut self,
        at: usize,
        allocated: &Asked,
        message: &Message<'_>,
    ) -> Result<(), String> {
        let relayed = self.clients[at].relayed[0];
        let token = message.find(AttributeKind::RESERVATION_TOKEN);
        let token = token.map(|token| token.try_into().map_err(|_| "a token of another length"));
        match allocated.wish {
            Wish::Even { .. } if !relayed.port().is_multiple_of(2) => {
                return Err(format!("{relayed} is not even"));
            }
            Wish::Even { keeps_next: true } => {
                let token = token.ok_or("no token")??;
                let sent_at = allocated.sent_at;
                self.kept.push(Kept { token, even: relayed, sent_at, is_taken: false });
            }
            Wish::Kept(token) => {
                let kept = self.kept.iter_mut().find(|kept| kept.token == token);
                let kept = kept.ok_or("a token that nobody was given")?;
                let next = SocketAddr::new(kept.even.ip(), kept.even.port() + 1);
                if std::mem::replace(&mut kept.is_taken, true) || relayed != next {
                    return Err(format!("{relayed} was not what {token:?} kept"));
                }
                if allocated.sent_at > kept.sent_at + KEPT + SLACK {
                    return Err(format!("{relayed} was kept for too long"));
                }
                self.seen.kept_ports_taken += 1;
            }
            _ if token.is_some() => return Err("a token that nobody asked for".to_owned()),
            Wish::Both if self.clients[at].relayed.len() != 2 => {
                return Err(format!("{:?} are not two", self.clients[at].relayed));
            }
            Wish::V6 if relayed.is_ipv4() => return Err(format!("{relayed} is not of IPv6")),
            _ => {}
        }
        Ok(())
    }

    /// Data came to a client, by what it says from this peer.
    fn reached_client(
        &mut self,
        now: Instant,
        at: usize,
        said: usize,
        data: &[u8],
        by_channel: bool,
    ) -> Result<(), String> {
        let sent = arrived(&mut self.sent, data)?;
        let Way::ToClient { peer, relayed } = sent.way else {
            return Err(format!("client {at} got what was for a peer"));
        };
        if peer != said {
            return Err(format!("client {at} got data by the channel of another: {said}"));
        }
        let client = &self.clients[at];
        if !client.had.contains(&relayed) && !client.may_have_more {
            return Err(format!("to the wrong client: {at} never had {relayed}"));
        }
        let judged = client.model.judge(now, peer, by_channel);
        judged.map_err(|why| format!("peer {peer} reached client {at} {why}"))?;
        self.seen.to_streams += u64::from(CLIENTS[at].1);
        self.seen.over_v6 += u64::from(relayed.is_ipv6());
        match by_channel {
            true => self.seen.to_clients_by_channel += 1,
            false => self.seen.to_clients_by_indication += 1,
        }
        Ok(())
    }

    /// Every allocation is one that somebody asked for in its lifetime.
    fn judge_allocations(&self) -> Result<(), String> {
        let now = self.world.now();
        for shard in &self.shards {
            for held in shard.service().relay.allocations(now) {
                let of = |client: &Client| {
                    let mut origins = client.origins.iter();
                    origins
                        .rfind(|origin| origin.address == held.client.address)
                        .map(|it| it.gone_at)
                };
                let found = self.clients.iter().find_map(|client| Some((client, of(client)?)));
                let (client, gone_at) = found.ok_or("an allocation of nobody")?;
                if gone_at.is_some_and(|at| now > at + SLACK) {
                    return Err(format!("{} outlives its stream", held.client.address));
                }
                let until = client.model.kept_at.map(|at| at + LIFETIME + SLACK);
                if until.is_none_or(|until| now > until) {
                    return Err(format!("{} outlives its lifetime", held.client.address));
                }
            }
        }
        Ok(())
    }

    /// Nothing is left of anybody.
    fn judge_end(&self) -> Result<(), String> {
        self.judge_allocations()?;
        let shard_count = self.shards.len();
        for shard in &self.shards {
            let (relay, stats) = (&shard.service().relay, shard.service().relay.stats());
            let held = stats.allocation_count + stats.permission_count + stats.channel_count;
            if held + stats.connection_count + stats.stream_count > 0 {
                return Err(format!("tables are not empty: {stats:?}"));
            }
            if relay.sockets_count() != LISTENER_COUNT {
                return Err(format!("{} sockets are left", relay.sockets_count()));
            }
        }
        let open = self.world.sockets_open(0);
        let in_flight = self.world.operations_in_flight(0);
        let buffers = self.world.buffers_outstanding(0);
        let listening = LISTENER_COUNT * shard_count;
        if (open, in_flight, buffers) != (listening, listening, 0) {
            return Err(format!("left: {open} open, {in_flight} in flight, {buffers} buffers"));
        }
        Ok(())
    }
}

/// What was sent as these bytes.
fn arrived<'a>(sent: &'a mut BTreeMap<u64, Sent>, bytes: &[u8]) -> Result<&'a Sent, String> {
    let number = bytes.first_chunk::<NUMBER_BYTES>().map(|number| u64::from_be_bytes(*number));
    let known = number.and_then(|number| sent.get_mut(&number));
    let known = known.filter(|known| known.bytes == bytes).ok_or("not what was sent")?;
    known.has_arrived = true;
    Ok(known)
}
