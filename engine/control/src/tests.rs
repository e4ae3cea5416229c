//! Tests of the control plane alone: messages in, outputs out, time by hand.

mod lifecycle;
mod listeners;
mod pulls;
mod recordings;
mod requests;
mod sources;

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use engine_config::Config;
use engine_node::{
    Counters, EndCause, ForwardedRequest, HomeStats, Message, MountId, PullOrder, Question,
    SessionId, SessionStats, ShardStats, Snapshot, StreamOffer, Verdict,
};
use hdrhistogram::Histogram;
use protocol_icy::StreamInfo;
use shards_runtime::{IoCounters, ShardId, Token};

use crate::{Control, Input, Output, Setup};

const PASSWORDS: &str = "[credentials]\nsource_password = \"src\"\nadmin_password = \"adm\"\n\
                         relay_password = \"rel\"\n";

/// A control plane of two shards, and all that it said.
struct World {
    control: Control,
    now: Instant,
    start: Instant,
    /// Messages to the shards that no test has taken, in the order sent.
    sent: VecDeque<(u16, Message)>,
    resolves: VecDeque<(u32, String, u16)>,
    orders: Vec<engine_events::Order>,
    is_finished: bool,
    /// What the first shard was told last.
    snapshot: Arc<Snapshot>,
    asks_count: u32,
}

/// What a claim came to.
#[derive(PartialEq, Eq, Debug)]
enum Claimed {
    Granted(SessionId),
    Refused(String),
    Waits,
}

#[allow(clippy::disallowed_methods, reason = "a test needs some instant to begin at")]
fn some_instant() -> Instant {
    Instant::now()
}

fn config(toml: &str) -> Arc<Config> {
    let text = format!("{PASSWORDS}{toml}");
    Arc::new(Config::parse("test.toml", &text).unwrap_or_else(|errors| panic!("{errors}")))
}

impl World {
    fn new(toml: &str) -> World {
        let now = some_instant();
        let started = Duration::from_secs(1_800_000_000);
        let setup = Setup { shards_count: 2, seed: 7, port: 8000, started };
        let control = Control::new(config(toml), setup, now);
        let snapshot = control.first_snapshot();
        let mut world = World {
            control,
            now,
            start: now,
            sent: VecDeque::new(),
            resolves: VecDeque::new(),
            orders: Vec::new(),
            is_finished: false,
            snapshot,
            asks_count: 0,
        };
        world.input(Input::Tick);
        world
    }

    fn input(&mut self, input: Input) {
        let wall_clock = Duration::from_secs(1_800_000_000) + (self.now - self.start);
        self.control.handle(self.now, wall_clock, input);
        while let Some(output) = self.control.poll() {
            match output {
                Output::Send { to, message } => {
                    if let (0, Message::Snapshot(snapshot)) = (to.0, &message) {
                        assert!(snapshot.version > self.snapshot.version, "versions go up");
                        self.snapshot = Arc::clone(snapshot);
                    }
                    self.sent.push_back((to.0, message));
                }
                Output::Resolve { id, host, port } => self.resolves.push_back((id, host, port)),
                Output::Keep(order) => self.orders.push(order),
                Output::Finished => self.is_finished = true,
            }
        }
    }

    fn message(&mut self, from: u16, message: Message) {
        self.input(Input::Message { from: ShardId(from), message });
    }

    /// Lets time pass, ticking whenever the control plane asked for it.
    fn wait(&mut self, time: Duration) {
        let end = self.now + time;
        while let Some(at) = self.control.deadline().filter(|at| *at <= end) {
            assert!(at >= self.now, "a deadline that was handled does not come again");
            self.now = at;
            self.input(Input::Tick);
            assert!(self.control.deadline().is_none_or(|next| next > at), "time goes on");
        }
        self.now = end;
        self.input(Input::Tick);
    }

    fn wait_s(&mut self, seconds: u64) {
        self.wait(Duration::from_secs(seconds));
    }

    /// The messages sent since the last call that `select` knows, the snapshots left out.
    fn take<T>(&mut self, select: impl Fn(u16, &Message) -> Option<T>) -> Vec<T> {
        let mut taken = Vec::new();
        self.sent.retain(|(to, message)| match select(*to, message) {
            Some(value) => {
                taken.push(value);
                false
            }
            None => true,
        });
        taken
    }

    fn ask(&mut self, shard: u16, question: Question) -> Token {
        self.asks_count += 1;
        let ask = Token { slot: self.asks_count, generation: 0 };
        self.message(shard, Message::Ask { ask, question: Box::new(question) });
        ask
    }

    /// Takes the answer to a question, if there is one.
    fn verdict(&mut self, token: Token) -> Option<Verdict> {
        let place = self.sent.iter().position(
            |(_, message)| matches!(message, Message::Verdict { ask, .. } if *ask == token),
        )?;
        match self.sent.remove(place) {
            Some((_, Message::Verdict { verdict, .. })) => Some(*verdict),
            _ => None,
        }
    }

    fn offer(content_type: &str) -> StreamOffer {
        StreamOffer {
            content_type: content_type.to_owned(),
            info: StreamInfo::default(),
            peer: SocketAddr::from(([192, 0, 2, 1], 4000)),
            agent: Some("encoder".to_owned()),
            is_v1: false,
        }
    }

    fn ask_claim(&mut self, shard: u16, mount: &str, offer: StreamOffer) -> Token {
        let (mount, stream) = (mount.to_owned(), Box::new(offer));
        self.ask(shard, Question::Claim { mount, stream, pull_order: None })
    }

    fn claimed(&mut self, token: Token) -> Claimed {
        match self.verdict(token) {
            None => Claimed::Waits,
            Some(Verdict::Granted(session)) => Claimed::Granted(session),
            Some(Verdict::SourceRefused(answer)) => Claimed::Refused(body(&answer)),
            Some(other) => panic!("a claim was answered with {other:?}"),
        }
    }

    fn claim_as(&mut self, shard: u16, mount: &str, offer: StreamOffer) -> Claimed {
        let token = self.ask_claim(shard, mount, offer);
        self.claimed(token)
    }

    /// A source of this mount that must be granted.
    fn source(&mut self, shard: u16, mount: &str) -> SessionId {
        match self.claim_as(shard, mount, World::offer("audio/mpeg")) {
            Claimed::Granted(session) => session,
            other => panic!("{mount} was not granted: {other:?}"),
        }
    }

    fn end(&mut self, session: SessionId) {
        self.message(0, Message::SourceEnded { session, cause: EndCause::Closed });
    }

    fn id(&self, mount: &str) -> MountId {
        self.snapshot.find(mount).unwrap_or_else(|| panic!("{mount} is unknown")).id
    }

    /// The session that listeners of a mount hear.
    fn heard(&self, mount: &str) -> Option<SessionId> {
        self.snapshot.find(mount)?.route.as_ref().map(|session| session.id)
    }

    /// Asks for one more listener: its home, or the words of the refusal.
    fn listen(&mut self, shard: u16, mount: &str) -> Result<String, String> {
        let question = Question::Admit { mount: self.id(mount), agent: None };
        let token = self.ask(shard, question);
        match self.verdict(token).expect("an admission is answered at once") {
            Verdict::Admitted(home) => {
                Ok(self.snapshot.mount(home).expect("a home is a mount").name.to_string())
            }
            Verdict::ListenerRefused(answer) => Err(body(&answer)),
            other => panic!("a listener was answered with {other:?}"),
        }
    }

    fn stats(&mut self, shard: u16, homes: &[(&str, u64)], sessions: &[(SessionId, u64)]) {
        let home = |(name, count): &(&str, u64)| HomeStats {
            mount: self.id(name),
            listeners_count: *count,
            listeners_peak: *count,
        };
        let mut homes: Vec<_> = homes.iter().map(home).collect();
        homes.sort_unstable();
        let row = |(session, bytes_sent): &(SessionId, u64)| SessionStats {
            session: *session,
            listeners_count: 0,
            bytes_sent: *bytes_sent,
            slow_listeners: 0,
            bytes_read: 0,
        };
        let clients_count = homes.iter().map(|home| home.listeners_count).sum();
        let stats = ShardStats {
            counters: Counters::default(),
            tick_us: Histogram::new_with_bounds(1, 1000, 2).expect("valid bounds"),
            ticks_count: 0,
            busy_us: 0,
            io: IoCounters::default(),
            clients_count,
            listeners_count: clients_count,
            sources_count: 0,
            window_bytes: 0,
            sessions: sessions.iter().map(row).collect(),
            turn: None,
            symple: None,
            rtc: None,
            homes,
        };
        self.message(shard, Message::Stats(Box::new(stats)));
    }

    fn orders(&mut self) -> Vec<PullOrder> {
        self.take(|_, message| match message {
            Message::StartPull(order) => Some((**order).clone()),
            _ => None,
        })
    }

    fn kills(&mut self) -> Vec<SessionId> {
        self.take(|_, message| match message {
            Message::KillSource(session) => Some(*session),
            _ => None,
        })
    }

    fn moves(&mut self) -> Vec<(u16, MountId, MountId)> {
        self.take(|shard, message| match message {
            Message::MoveListeners { from, to } => Some((shard, *from, *to)),
            _ => None,
        })
    }

    /// A request with these credentials.
    fn ask_http(&mut self, url: &str, credentials: &str) -> Token {
        self.ask_by("GET", url, credentials)
    }

    fn ask_by(&mut self, method: &str, url: &str, credentials: &str) -> Token {
        let (path, query) = url.split_once('?').map_or((url, None), |(p, q)| (p, Some(q)));
        let mut headers = vec![("host".to_owned(), "localhost:8000".to_owned())];
        if !credentials.is_empty() {
            use base64::Engine as _;
            let encoded = base64::engine::general_purpose::STANDARD.encode(credentials);
            headers.push(("authorization".to_owned(), format!("Basic {encoded}")));
        }
        let request = ForwardedRequest {
            method: method.to_owned(),
            path: path.to_owned(),
            query: query.map(str::to_owned),
            headers,
            body: Vec::new(),
            peer: SocketAddr::from(([192, 0, 2, 9], 5000)),
            is_secure: false,
        };
        self.ask(0, Question::Http(Box::new(request)))
    }

    fn answer(&mut self, token: Token) -> Option<(u16, String)> {
        match self.verdict(token)? {
            Verdict::Answer { status, bytes } => {
                let text = String::from_utf8_lossy(&bytes);
                let line = text.lines().next().unwrap_or_default().to_owned();
                assert!(line.contains(&format!(" {status} ")), "{line} for the log's {status}");
                Some((status, body(&bytes)))
            }
            other => panic!("a request was answered with {other:?}"),
        }
    }

    fn get(&mut self, url: &str, credentials: &str) -> (u16, String) {
        let token = self.ask_http(url, credentials);
        self.answer(token).unwrap_or_else(|| panic!("{url} is not answered at once"))
    }
}

/// What follows the head.
fn body(answer: &[u8]) -> String {
    let text = String::from_utf8_lossy(answer);
    text.split_once("\r\n\r\n").map(|(_, body)| body.to_owned()).unwrap_or_default()
}
