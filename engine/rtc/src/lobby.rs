//! Sessions of a program that has no shards: one socket of UDP, and one thread that does it all.
//!
//! ```text
//! HTTP's thread ── Door::answer ──► session ─┐
//! another's     ── Door::bring ───► T ───────┼─► Lobby::wait: outputs of sessions, and Ts
//! socket's thread ────────────────► datagram ┘
//! ```
//!
//! Whose a datagram is, is asked of each session in turn: right for a handful. A server has
//! [`Rtc`].
//!
//! [`Rtc`]: crate::Rtc

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::{Duration, Instant};

use media_rtc::{
    IceCredentials, Input, LocalCandidate, OfferError, Output, Role, Session, SessionConfig,
    Transport,
};

/// What may wait for the thread that calls [`Lobby::wait`]. Beyond, datagrams are lost, as on the
/// way; whoever brings something waits.
const WAITING_MAX: usize = 1_024;

/// Sessions at once; more are turned away. Each datagram may be asked of all of them.
const SESSIONS_MAX: usize = 64;

/// How soon the socket's thread sees that the lobby is gone.
const LOOK_AGAIN: Duration = Duration::from_millis(200);

/// The longest datagram that is taken, bytes.
const DATAGRAM_BYTES_MAX: usize = 2_048;

/// A session's number in its lobby. Never used twice.
pub type Guest = u64;

/// What the thread waits for.
#[derive(Debug)]
pub enum Happened<T> {
    /// A session says this. [`Output::Transmit`] is done already; with [`Output::Closed`] the
    /// session is gone.
    Said(Guest, Output),
    /// Somebody brought this.
    Brought(T),
}

#[derive(Debug)]
enum Arrival<T> {
    Session(Box<Session>),
    Datagram(SocketAddr, Vec<u8>),
    Brought(T),
}

/// The way in, for any thread.
#[derive(Debug)]
pub struct Door<T> {
    arrivals: SyncSender<Arrival<T>>,
    config: SessionConfig,
    sessions_count: Arc<AtomicUsize>,
}

impl<T> Clone for Door<T> {
    fn clone(&self) -> Door<T> {
        Door {
            arrivals: self.arrivals.clone(),
            config: self.config.clone(),
            sessions_count: self.sessions_count.clone(),
        }
    }
}

impl<T> Door<T> {
    /// Answers an offer; the session is in the lobby.
    ///
    /// # Errors
    /// The offer cannot be answered, or the lobby is closed or full.
    pub fn answer(&self, role: Role, offer: &[u8]) -> Result<String, OfferError> {
        let malformed = |what: &str| OfferError::Malformed(what.to_owned());
        let offer = std::str::from_utf8(offer).map_err(|_| malformed("not UTF-8"))?;
        let credentials = credentials().map_err(|_| OfferError::Closed)?;
        let (session, answer) = Session::answer(now(), &self.config, &credentials, role, offer)?;
        let is_full = self.sessions_count.fetch_add(1, Relaxed) >= SESSIONS_MAX;
        let arrival = Arrival::Session(Box::new(session));
        if is_full || self.arrivals.try_send(arrival).is_err() {
            self.sessions_count.fetch_sub(1, Relaxed);
            return Err(OfferError::Closed);
        }
        Ok(answer)
    }

    /// Brings something to the lobby's thread; waits while much waits there. `false`: it is closed.
    pub fn bring(&self, brought: T) -> bool {
        self.arrivals.send(Arrival::Brought(brought)).is_ok()
    }
}

/// Sessions, and the socket that they share.
#[derive(Debug)]
pub struct Lobby<T> {
    socket: Arc<UdpSocket>,
    address: SocketAddr,
    arrivals: Receiver<Arrival<T>>,
    sessions: BTreeMap<Guest, Session>,
    /// Those that are here, and those on their way in.
    sessions_count: Arc<AtomicUsize>,
    /// The last one's number.
    last: Guest,
}

impl<T: Send + 'static> Lobby<T> {
    /// Opens a lobby at a free port of this address, which is added to the configuration's
    /// candidates.
    ///
    /// # Errors
    /// The system has no socket or thread for it.
    pub fn open(ip: IpAddr, mut config: SessionConfig) -> io::Result<(Lobby<T>, Door<T>)> {
        let socket = Arc::new(UdpSocket::bind((ip, 0))?);
        let address = socket.local_addr()?;
        socket.set_read_timeout(Some(LOOK_AGAIN))?;
        config.candidates.push(LocalCandidate { address, transport: Transport::Udp });
        let (sender, arrivals) = sync_channel(WAITING_MAX);
        let (datagrams, shared) = (sender.clone(), Arc::downgrade(&socket));
        let receive = move || {
            let mut buffer = [0; DATAGRAM_BYTES_MAX];
            while let Some(socket) = shared.upgrade() {
                // No datagram in time, or what the network said of an earlier one.
                let Ok((count, from)) = socket.recv_from(&mut buffer) else { continue };
                datagrams.try_send(Arrival::Datagram(from, buffer[..count].to_vec())).ok();
            }
        };
        std::thread::Builder::new().name("datagrams".to_owned()).spawn(receive)?;
        let sessions_count = Arc::<AtomicUsize>::default();
        let door = Door { arrivals: sender, config, sessions_count: sessions_count.clone() };
        let sessions = BTreeMap::new();
        Ok((Lobby { socket, address, arrivals, sessions, sessions_count, last: 0 }, door))
    }

    /// Waits for what happens next. Datagrams come and go in here.
    pub fn wait(&mut self) -> Happened<T> {
        loop {
            if let Some(said) = self.poll() {
                return said;
            }
            let deadline = self.sessions.values().filter_map(Session::deadline).min();
            let wait = deadline.map(|at| at.saturating_duration_since(now()));
            match self.arrivals.recv_timeout(wait.unwrap_or(LOOK_AGAIN)) {
                Ok(Arrival::Session(session)) => {
                    self.last += 1;
                    self.sessions.insert(self.last, *session);
                }
                Ok(Arrival::Datagram(source, bytes)) => self.datagram(source, &bytes),
                Ok(Arrival::Brought(brought)) => return Happened::Brought(brought),
                Err(_) => {}
            }
            self.tick();
        }
    }

    /// One of the sessions, while it is there.
    pub fn get_mut(&mut self, guest: Guest) -> Option<&mut Session> {
        self.sessions.get_mut(&guest)
    }

    /// The next output that is not only to be sent.
    fn poll(&mut self) -> Option<Happened<T>> {
        for (guest, session) in &mut self.sessions {
            while let Some(output) = session.poll() {
                let Output::Transmit(transmit) = output else {
                    return Some(Happened::Said(*guest, output));
                };
                // What the network does not take now is lost, as on the way.
                self.socket.send_to(&transmit.bytes, transmit.destination).ok();
            }
        }
        let before = self.sessions.len();
        self.sessions.retain(|_, session| !session.is_closed());
        self.sessions_count.fetch_sub(before - self.sessions.len(), Relaxed);
        None
    }

    fn datagram(&mut self, source: SocketAddr, bytes: &[u8]) {
        let (destination, transport) = (self.address, Transport::Udp);
        let mut sessions = self.sessions.values_mut();
        let whose = sessions.find_map(|session| {
            session.accepts(source, destination, transport, bytes).then_some(session)
        });
        if let Some(session) = whose {
            session.handle(now(), Input::Datagram { source, destination, transport, bytes });
        }
    }

    fn tick(&mut self) {
        let now = now();
        let is_due = |session: &&mut Session| session.deadline().is_some_and(|at| at <= now);
        self.sessions.values_mut().filter(is_due).for_each(|it| it.handle(now, Input::Tick));
    }
}

fn credentials() -> Result<IceCredentials, getrandom::Error> {
    let mut random = [0; 24];
    getrandom::fill(&mut random)?;
    Ok(IceCredentials::from_random("", random).expect("an empty prefix is one"))
}

#[allow(clippy::disallowed_methods, reason = "its driver is the clock")]
fn now() -> Instant {
    Instant::now()
}
