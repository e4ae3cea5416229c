//! What the server itself says, as text, and how a client's text is read.

use serde_json::{Map, Value, json};

use crate::address::RoomName;

/// A fault that is told: `{"type":"error","status":…,"message":…}`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fault {
    /// HTTP's number for it.
    pub status: u16,
    /// What it is.
    pub message: &'static str,
}

impl Fault {
    pub(crate) const NO_DYNAMIC_ROOMS: Fault = fault(400, "Dynamic rooms disabled");
    pub(crate) const NO_USER: Fault = fault(401, "Missing user field");
    pub(crate) const BAD_USER: Fault = fault(401, "Invalid user field");
    pub(crate) const AUTH_FAILED: Fault = fault(401, "Authentication failed");
    pub(crate) const NOT_AUTHENTICATED: Fault = fault(401, "Not authenticated");
    pub(crate) const ROOM_NOT_ALLOWED: Fault = fault(403, "Room not allowed");
    pub(crate) const ROOM_PRIVATE: Fault = fault(403, "Room is private");
    pub(crate) const TOO_MANY_ROOMS: Fault = fault(403, "Too many rooms");
    pub(crate) const AUTH_TIMEOUT: Fault = fault(408, "Authentication timeout");
    pub(crate) const TOO_LARGE: Fault = fault(413, "Message too large");
    pub(crate) const TOO_MANY: Fault = fault(429, "Rate limit exceeded");
    pub(crate) const AT_CAPACITY: Fault = fault(503, "Server at capacity");
    pub(crate) const ROOM_FULL: Fault = fault(503, "Room is full");

    pub(crate) fn text(self) -> String {
        json!({"type": "error", "status": self.status, "message": self.message}).to_string()
    }
}

const fn fault(status: u16, message: &'static str) -> Fault {
    Fault { status, message }
}

/// A client's text: an object with a string `type`, or nothing.
pub(crate) fn read(text: &str) -> Option<(String, Map<String, Value>)> {
    let Value::Object(object) = serde_json::from_str(text).ok()? else { return None };
    let kind = object.get("type")?.as_str()?.to_owned();
    Some((kind, object))
}

/// An object as text.
pub(crate) fn text(object: &Map<String, Value>) -> String {
    serde_json::to_string(object).expect("keys are text")
}

pub(crate) fn welcome(peer: Map<String, Value>, rooms: &[RoomName]) -> String {
    let rooms: Vec<&str> = rooms.iter().map(RoomName::as_str).collect();
    json!({
        "type": "welcome", "protocol": "symple/4", "status": 200, "peer": peer, "rooms": rooms,
    })
    .to_string()
}

/// A presence that nobody sent: an announcement, a snapshot, an end.
pub(crate) fn presence(from: &str, data: Map<String, Value>) -> String {
    json!({"type": "presence", "from": from, "data": data}).to_string()
}

pub(crate) fn acknowledged(kind: &str, room: &RoomName) -> String {
    json!({"type": kind, "room": room.as_str()}).to_string()
}

pub(crate) fn shutdown() -> String {
    let message = "Server shutting down";
    json!({"type": "event", "name": "shutdown", "subtype": "shutdown", "message": message})
        .to_string()
}

/// What a presence may not say of its sender.
const RESERVED: [&str; 5] = ["id", "user", "online", "name", "type"];

/// Who somebody is, as the server knows it.
#[derive(Debug, Clone)]
pub(crate) struct Identity {
    pub id: String,
    pub user: String,
    pub name: String,
    /// What it said of itself when it authenticated.
    pub extras: Map<String, Value>,
}

impl Identity {
    pub(crate) fn address(&self) -> String {
        format!("{}|{}", self.user, self.id)
    }

    /// Presence data: what was said at first, what is said now, and over both what is known.
    pub(crate) fn data(&self, said: Option<&Map<String, Value>>) -> Map<String, Value> {
        let mut data = self.extras.clone();
        if let Some(said) = said {
            data.extend(unreserved(said));
        }
        data.insert("id".to_owned(), self.id.clone().into());
        data.insert("user".to_owned(), self.user.clone().into());
        data.insert("name".to_owned(), self.name.clone().into());
        data.insert("type".to_owned(), "Peer".into());
        data.insert("online".to_owned(), true.into());
        data
    }

    pub(crate) fn offline(&self) -> String {
        let mut data = self.data(None);
        data.insert("online".to_owned(), false.into());
        presence(&self.address(), data)
    }
}

/// What a peer may say of itself. A token is nobody else's business.
pub(crate) fn unreserved(said: &Map<String, Value>) -> Map<String, Value> {
    let is_own = |key: &str| !RESERVED.contains(&key) && key != "token";
    let own = said.iter().filter(|(key, _)| is_own(key));
    own.map(|(key, value)| (key.clone(), value.clone())).collect()
}
