//! A complete signalling server in a page: Symple v4 over WebSocket, on as many cores as it is
//! told.
//!
//! ```text
//! cargo run --release -p protocol-symple --example signalling -- ADDR [--shards N] [--token T]
//! ```
//!
//! It is served on `/` and `/ws`. Everybody is in `public`, and may join any room but another's.
//! `engine-http` has the sockets, `protocol-symple` knows what is said on them. A room lives on
//! the shard that its name hashes to; letters between shards are those of [`Everyone::send`].

use std::collections::BTreeMap;
use std::io::{self, Read};
use std::net::SocketAddr;

use engine_http::{
    CloseCode, Conversation, Ended, Everyone, Frame, Handler, Kind, Malformed, Message, Method,
    Placement, Replies, Request, Route, Serving, Site, Speaker, Timer,
};
use protocol_symple::{
    Access, Chosen, Config, ConnectionKey, Input, Output, RoomRules, Server, ShardIndex, Token,
};
use sha2::{Digest, Sha256};

const ROUTES: &[Route<Handler<Signalling>>] = &[
    Route::new(Method::Get, "/", Handler::WebSocket(visit)),
    Route::new(Method::Get, "/ws", Handler::WebSocket(visit)),
];

#[allow(dead_code, reason = "tests start it by themselves")]
fn main() -> io::Result<()> {
    let (usage, mut args) = ("signalling ADDR [--shards N] [--token T]", std::env::args().skip(1));
    let address = args.next().and_then(|text| text.parse().ok()).expect(usage);
    let (mut shards_count, mut token) = (1, None);
    while let Some(flag) = args.next() {
        let value = args.next().expect(usage);
        match flag.as_str() {
            "--shards" => shards_count = value.parse().expect(usage),
            "--token" => token = Some(value),
            _ => panic!("{usage}"),
        }
    }
    let serving = start(address, shards_count, token)?;
    println!("listening on ws://{}/", serving.address);
    serving.shards.join();
    Ok(())
}

/// Starts the shards.
pub fn start(
    address: SocketAddr,
    shards_count: u16,
    token: Option<String>,
) -> io::Result<Serving<Signalling>> {
    let access = token.map(|token| Access::Token(Token::new(token)));
    let rooms = RoomRules { chosen: Chosen::Any, ..Default::default() };
    let config = Config { access: access.unwrap_or_default(), rooms, ..Default::default() };
    let mut seed = [0; 32];
    std::fs::File::open("/dev/urandom")?.read_exact(&mut seed)?;
    let mut site = Site::new("signalling", ROUTES);
    let connection = &mut site.websockets.connection;
    connection.limits.message_bytes_max = config.limits.message_bytes_max as u64;
    connection.limits.frame_bytes_max = config.limits.message_bytes_max as u64;
    // A newcomer is told of everybody in its rooms at once.
    connection.queue.messages_max = config.limits.members_of_room_max * 2;
    connection.queue.bytes_max = 8 << 20;
    site.timer = Some(Timer {
        deadline: |state| state.server.deadline(),
        tick: |state| state.handle(Input::Tick),
    });
    let placement = Placement { shards_count: usize::from(shards_count), cores: Vec::new() };
    site.serve_on(address, &placement, move |everyone| {
        let me = ShardIndex(everyone.me() as u16);
        let server = Server::shard(config.clone(), me, shards_count);
        let (everyone, clients) = (everyone.clone(), BTreeMap::new());
        Signalling { everyone, server, clients, seed, visits_count: 0 }
    })
}

/// One shard.
pub struct Signalling {
    everyone: Everyone<Signalling>,
    server: Server,
    clients: BTreeMap<ConnectionKey, Speaker>,
    seed: [u8; 32],
    visits_count: u64,
}

/// One client.
struct Client(ConnectionKey);

fn visit(state: &mut Signalling, _: &Request<'_>) -> Box<dyn Conversation<Signalling>> {
    state.visits_count += 1;
    Box::new(Client(ConnectionKey(state.visits_count)))
}

impl Signalling {
    /// Something happens; what the server says to that is done.
    fn handle(&mut self, input: Input<'_>) {
        self.server.handle(self.everyone.now(), input);
        while let Some(output) = self.server.poll() {
            match output {
                Output::Send { to, text } => {
                    let frame = Frame::new(Kind::Text, text.as_bytes());
                    let speakers = to.iter().filter_map(|key| self.clients.get(key));
                    speakers.for_each(|speaker| speaker.send(&frame));
                }
                Output::Close { connection } => {
                    if let Some(speaker) = self.clients.get(&connection) {
                        speaker.close(CloseCode::POLICY, "");
                    }
                }
                Output::Mail { to, mail } => {
                    let open = move |state: &mut Signalling| state.handle(Input::Mail(*mail));
                    self.everyone.send(usize::from(to.0), open);
                }
                Output::Heard { .. } | Output::Ask { .. } => {}
            }
        }
    }
}

impl Conversation<Signalling> for Client {
    fn begin(&mut self, state: &mut Signalling, speaker: Speaker) {
        state.clients.insert(self.0, speaker);
        // Unpredictable: a hash of what nobody knows and what never comes again.
        let place = [state.everyone.me() as u64, state.visits_count].map(u64::to_be_bytes);
        let hash = Sha256::new().chain_update(state.seed).chain_update(place.concat()).finalize();
        let random = *hash.first_chunk().expect("thirty-two bytes");
        state.handle(Input::Connected { connection: self.0, random });
    }

    fn message(&mut self, state: &mut Signalling, message: Message<'_>, _: &mut Replies<'_>) {
        match (message.kind, str::from_utf8(&message.payload)) {
            (Kind::Text, Ok(text)) => state.handle(Input::Text { connection: self.0, text }),
            _ => state.clients[&self.0].close(CloseCode::UNSUPPORTED, "text only"),
        }
    }

    fn end(&mut self, state: &mut Signalling, why: Option<Ended>) {
        let too_long = [Malformed::MessageTooLong, Malformed::FrameTooLong].map(Ended::Malformed);
        match why {
            Some(why) if too_long.contains(&why) => {
                state.handle(Input::TooLarge { connection: self.0 });
            }
            _ => state.handle(Input::Disconnected { connection: self.0 }),
        }
        state.clients.remove(&self.0);
    }
}
