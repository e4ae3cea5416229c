//! A client of TURN that asks for things at any time, by datagrams or a stream, and what it
//! believes to have.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Instant;

use protocol_stun::{
    AttributeKind, Builder, ChannelData, Class, Family, Integrity, Key, Message, Method,
    PasswordAlgorithm, TransactionId,
};
use protocol_turn::timed_credential;

use crate::link::Link;
use crate::model::{Model, SLACK};

pub const REALM: &str = "example.org";
pub const USER: &str = "anna";
/// What timed names are signed with.
pub const SECRET: &str = "shared";

/// The password after so many changes.
pub fn password(version: usize) -> String {
    format!("secret {version}")
}

/// A request whose answer is not there yet.
#[derive(Clone)]
pub struct Asked {
    pub method: Method,
    pub sent_at: Instant,
    pub version: usize,
    pub lifetime_s: u32,
    pub bytes: Vec<u8>,
    pub wish: Wish,
    /// When its name ends, and what the wall clock showed, where the name is a timed one.
    pub timed_s: Option<(u64, u64)>,
}

/// What an Allocate asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wish {
    /// An address of IPv4.
    Plain,
    V6,
    Both,
    /// An even port, and perhaps the next one to be kept.
    Even {
        keeps_next: bool,
    },
    /// The port that was kept behind a token.
    Kept([u8; 8]),
}

/// An address that a client came from.
pub struct Origin {
    pub address: SocketAddr,
    /// When the stream from there ended, and the server was told.
    pub gone_at: Option<Instant>,
}

pub struct Client {
    pub link: Link,
    pub server: SocketAddr,
    /// Where it came from, ever; the present one is the last.
    pub origins: Vec<Origin>,
    /// When its name ends, in seconds of the wall clock, where it has a timed one; and by how much
    /// later the name itself says so.
    pub timed_s: Option<u64>,
    pub timed_more_s: u64,
    pub nonce: Vec<u8>,
    /// Which password it knows.
    pub version: usize,
    /// The relayed addresses that it believes to have.
    pub relayed: Vec<SocketAddr>,
    /// All that it ever had.
    pub had: Vec<SocketAddr>,
    /// Whether it may have one that it does not know of: an Allocate was not answered.
    pub may_have_more: bool,
    pub asked: BTreeMap<[u8; 12], Asked>,
    pub last_allocate: Vec<u8>,
    pub has_vanished: bool,
    pub model: Model,
    id: u64,
}

impl Client {
    pub fn new(link: Link, server: SocketAddr) -> Client {
        let origin = link.address().map(|address| Origin { address, gone_at: None });
        Client {
            link,
            server,
            origins: origin.into_iter().collect(),
            timed_s: None,
            timed_more_s: 0,
            nonce: Vec::new(),
            version: 0,
            relayed: Vec::new(),
            had: Vec::new(),
            may_have_more: false,
            asked: BTreeMap::new(),
            last_allocate: Vec::new(),
            has_vanished: false,
            model: Model::default(),
            id: 0,
        }
    }

    pub fn say(&mut self, bytes: &[u8]) {
        self.link.say(self.server, bytes);
    }

    /// Makes a stream anew that is over.
    pub fn renew_link(&mut self, now: Instant) {
        if !self.link.is_over(now) || self.has_vanished {
            return;
        }
        self.leave(now);
        self.link.renew();
        let address = self.link.address();
        self.origins.extend(address.map(|address| Origin { address, gone_at: None }));
    }

    /// Its stream has ended, and the server knows.
    pub fn leave(&mut self, now: Instant) {
        if let Some(origin) = self.origins.last_mut() {
            origin.gone_at.get_or_insert(now);
        }
        self.relayed.clear();
        self.last_allocate.clear();
        self.asked.clear();
    }

    fn credential(&self) -> (String, String) {
        match self.timed_s {
            Some(expiry_s) => {
                timed_credential(SECRET.as_bytes(), USER, expiry_s + self.timed_more_s)
            }
            None => (USER.to_owned(), password(self.version)),
        }
    }

    /// Sends a signed request and remembers it.
    pub fn ask(
        &mut self,
        now: Instant,
        method: Method,
        lifetime_s: u32,
        write: impl FnOnce(&mut Builder<'_>),
    ) {
        self.id += 1;
        let mut id = [0; 12];
        id[..8].copy_from_slice(&self.id.to_be_bytes());
        let mut buffer = [0; 1024];
        let mut builder = Builder::new(&mut buffer, Class::Request, method, TransactionId(id));
        write(&mut builder);
        let (name, password) = self.credential();
        builder.attribute(AttributeKind::USERNAME, name.as_bytes());
        builder.attribute(AttributeKind::REALM, REALM.as_bytes());
        builder.attribute(AttributeKind::NONCE, &self.nonce);
        let (name, realm) = (name.as_bytes(), REALM.as_bytes());
        let key = Key::long_term(PasswordAlgorithm::Md5, name, realm, password.as_bytes());
        let used = builder.integrity(Integrity::Sha1, &key).finish().expect("room");
        let bytes = buffer[..used].to_vec();
        self.say(&bytes);
        let version = self.version;
        let (wish, timed_s) = (Wish::Plain, None);
        let asked = Asked { method, sent_at: now, version, lifetime_s, bytes, wish, timed_s };
        self.asked.insert(id, asked);
    }

    pub fn allocate(&mut self, now: Instant, wall_s: u64, wish: Wish) {
        self.model.kept_at = Some(now);
        self.model.ended_at = None;
        self.may_have_more = true;
        self.ask(now, Method::ALLOCATE, 600, |builder| {
            builder.attribute(AttributeKind::REQUESTED_TRANSPORT, &[17, 0, 0, 0]);
            match wish {
                Wish::Plain => {}
                Wish::V6 => {
                    builder.family(AttributeKind::REQUESTED_ADDRESS_FAMILY, Family::V6);
                }
                Wish::Both => {
                    builder.family(AttributeKind::ADDITIONAL_ADDRESS_FAMILY, Family::V6);
                }
                Wish::Even { keeps_next } => {
                    builder.attribute(AttributeKind::EVEN_PORT, &[u8::from(keeps_next) << 7]);
                }
                Wish::Kept(token) => {
                    builder.attribute(AttributeKind::RESERVATION_TOKEN, &token);
                }
            }
        });
        let timed_s = self.timed_s.map(|expiry_s| (expiry_s, wall_s));
        let asked = self.asked.values_mut().next_back().expect("just asked");
        (asked.wish, asked.timed_s) = (wish, timed_s);
        self.last_allocate = asked.bytes.clone();
    }

    /// The same request again, as after a timeout.
    pub fn allocate_again(&mut self, now: Instant) {
        self.model.kept_at = Some(now);
        self.model.ended_at = None;
        self.may_have_more = true;
        let bytes = self.last_allocate.clone();
        self.say(&bytes);
    }

    pub fn refresh(&mut self, now: Instant, lifetime_s: u32) {
        if lifetime_s > 0 {
            self.model.kept_at = Some(now);
        }
        self.ask(now, Method::REFRESH, lifetime_s, |builder| {
            builder.u32(AttributeKind::LIFETIME, lifetime_s);
        });
    }

    pub fn permit(&mut self, now: Instant, peer: SocketAddr) {
        self.ask(now, Method::CREATE_PERMISSION, 0, |builder| {
            builder.xor_address(AttributeKind::XOR_PEER_ADDRESS, peer);
        });
    }

    pub fn bind(&mut self, now: Instant, number: u16, peer: SocketAddr) {
        self.ask(now, Method::CHANNEL_BIND, 0, |builder| {
            builder.channel_number(number);
            builder.xor_address(AttributeKind::XOR_PEER_ADDRESS, peer);
        });
    }

    pub fn send(&mut self, peer: SocketAddr, data: &[u8]) {
        let mut buffer = [0; 1024];
        let id = TransactionId([9; 12]);
        let mut builder = Builder::new(&mut buffer, Class::Indication, Method::SEND, id);
        builder.xor_address(AttributeKind::XOR_PEER_ADDRESS, peer);
        let used = builder.attribute(AttributeKind::DATA, data).finish().expect("room");
        self.say(&buffer[..used]);
    }

    pub fn send_by_channel(&mut self, number: u16, data: &[u8]) {
        let length = u16::try_from(data.len()).expect("short");
        self.say(&[&ChannelData::header(number, length)[..], data].concat());
    }

    /// An answer came; the request with it if it is the first success of an Allocate.
    pub fn answered(&mut self, now: Instant, message: &Message<'_>) -> Option<Asked> {
        let is_success = message.class() == Class::Success;
        if let Some(nonce) = message.find(AttributeKind::NONCE) {
            self.nonce = nonce.to_vec();
        }
        let relayed = message.xor_addresses(AttributeKind::XOR_RELAYED_ADDRESS);
        let relayed: Vec<_> = relayed.map(|address| address.expect("well-formed")).collect();
        if is_success && !relayed.is_empty() {
            // Also of a request that was answered before: the same one may make another later.
            self.had.extend(&relayed);
            self.relayed = relayed;
            self.may_have_more = false;
        }
        let asked = self.asked.remove(&message.transaction_id().0)?;
        let code = message.error_code().expect("well-formed").map(|(code, _)| code);
        match asked.method {
            Method::ALLOCATE if is_success => {
                self.model.began_at = Some(asked.sent_at);
                return Some(asked);
            }
            Method::REFRESH if is_success && asked.lifetime_s == 0 => {
                self.relayed.clear();
                // An Allocate that was under way may have made another.
                if self.model.kept_at.is_none_or(|kept| kept + SLACK < asked.sent_at) {
                    self.model.ended_at = Some(now);
                }
            }
            Method::ALLOCATE => {}
            _ if code == Some(protocol_stun::ErrorCode::ALLOCATION_MISMATCH) => {
                self.relayed.clear()
            }
            _ => {}
        }
        None
    }
}
