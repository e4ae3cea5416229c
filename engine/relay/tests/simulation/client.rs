//! A client of TURN that asks for things at any time, and what it believes to have.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Instant;

use protocol_stun::{
    AttributeKind, Builder, ChannelData, Class, Integrity, Key, Message, Method, PasswordAlgorithm,
    TransactionId,
};
use shards_sim::PeerDatagrams;

use crate::model::{Model, SLACK};

pub const REALM: &str = "example.org";
pub const USER: &str = "anna";

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
}

pub struct Client {
    pub socket: PeerDatagrams,
    pub server: SocketAddr,
    pub nonce: Vec<u8>,
    /// Which password it knows.
    pub version: usize,
    /// The relayed address that it believes to have.
    pub relayed: Option<SocketAddr>,
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
    pub fn new(socket: PeerDatagrams, server: SocketAddr) -> Client {
        Client {
            socket,
            server,
            nonce: Vec::new(),
            version: 0,
            relayed: None,
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
        // What cannot be sent is lost, as on the way.
        let _ = self.socket.send_to(self.server, bytes);
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
        builder.attribute(AttributeKind::USERNAME, USER.as_bytes());
        builder.attribute(AttributeKind::REALM, REALM.as_bytes());
        builder.attribute(AttributeKind::NONCE, &self.nonce);
        let password = password(self.version);
        let (name, realm) = (USER.as_bytes(), REALM.as_bytes());
        let key = Key::long_term(PasswordAlgorithm::Md5, name, realm, password.as_bytes());
        let used = builder.integrity(Integrity::Sha1, &key).finish().expect("room");
        let bytes = buffer[..used].to_vec();
        self.say(&bytes);
        let version = self.version;
        let asked = Asked { method, sent_at: now, version, lifetime_s, bytes };
        self.asked.insert(id, asked);
    }

    pub fn allocate(&mut self, now: Instant) {
        self.model.kept_at = Some(now);
        self.model.ended_at = None;
        self.may_have_more = true;
        self.ask(now, Method::ALLOCATE, 600, |builder| {
            builder.attribute(AttributeKind::REQUESTED_TRANSPORT, &[17, 0, 0, 0]);
        });
        self.last_allocate = self.asked.values().next_back().expect("just asked").bytes.clone();
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
        let relayed = message.xor_address(AttributeKind::XOR_RELAYED_ADDRESS);
        if let Some(relayed) = relayed.expect("well-formed").filter(|_| is_success) {
            // Also of a request that was answered before: the same one may make another later.
            self.relayed = Some(relayed);
            self.had.push(relayed);
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
                self.relayed = None;
                // An Allocate that was under way may have made another.
                if self.model.kept_at.is_none_or(|kept| kept + SLACK < asked.sent_at) {
                    self.model.ended_at = Some(now);
                }
            }
            Method::ALLOCATE => {}
            _ if code == Some(protocol_stun::ErrorCode::ALLOCATION_MISMATCH) => self.relayed = None,
            _ => {}
        }
        None
    }
}
