//! The call protocol: messages with a subtype `call:…`, directed at one peer.
//!
//! ```text
//!  caller                          callee
//!    init      ───────────────────▶
//!              ◀───────────────────  accept, or reject with a reason
//!    offer     ───────────────────▶
//!              ◀───────────────────  answer
//!    candidate ◀──────────────────▶  candidate     any time after accept
//!    layer     ───────────────────▶                which layer of a simulcast is wanted
//!              ◀──────────────────▶  layers        which there are, asked and answered
//!    hangup    ◀──────────────────▶  hangup        either side
//! ```
//!
//! The caller always offers, even one that only wants to receive.

use serde_json::{Map, Value, json};

/// One step of a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Call {
    /// Somebody calls.
    Init,
    /// The call is taken.
    Accept,
    /// It is not, and why: `busy`, `declined`, or something else.
    Reject {
        /// Why.
        reason: String,
    },
    /// The caller's description of the session.
    Offer {
        /// In SDP.
        sdp: String,
    },
    /// The callee's.
    Answer {
        /// In SDP.
        sdp: String,
    },
    /// A way to reach the one who sends it.
    Candidate(Candidate),
    /// Which layers there are of a simulcast: asked with no data, answered with WHEP's event
    /// `layers`. Ours: peers that do not know it pass it over.
    Layers(Map<String, Value>),
    /// The layer that whoever watches wants: `mediaId` and `encodingId`, as WHEP has them.
    Layer(Map<String, Value>),
    /// The end, and why.
    Hangup {
        /// Why.
        reason: String,
    },
}

/// A candidate of ICE.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// `candidate:…`; the prefix `a=` that some write is gone. Empty: there are no more.
    pub candidate: String,
    /// The media section that it belongs to, where its sender says so.
    pub sdp_mid: Option<String>,
    /// Likewise by its place.
    pub sdp_m_line_index: Option<u16>,
}

impl Call {
    /// Reads a message of type `message`; `None` where it is not a step of a call, or lacks what
    /// the step needs.
    pub fn parse(message: &Map<String, Value>) -> Option<Call> {
        if message.get("type").and_then(Value::as_str) != Some("message") {
            return None;
        }
        let step = message.get("subtype")?.as_str()?.strip_prefix("call:")?;
        let data = message.get("data").and_then(Value::as_object);
        let text = |key: &str| data.and_then(|data| data.get(key)).and_then(Value::as_str);
        let reason = || text("reason").unwrap_or(step).to_owned();
        Some(match step {
            "init" => Call::Init,
            "accept" => Call::Accept,
            "reject" => Call::Reject { reason: reason() },
            "offer" => Call::Offer { sdp: text("sdp")?.to_owned() },
            "answer" => Call::Answer { sdp: text("sdp")?.to_owned() },
            "layers" => Call::Layers(data.cloned().unwrap_or_default()),
            "layer" => Call::Layer(data.cloned().unwrap_or_default()),
            "hangup" => Call::Hangup { reason: reason() },
            "candidate" => {
                let candidate = text("candidate")?;
                let index = data.and_then(|data| data.get("sdpMLineIndex"));
                Call::Candidate(Candidate {
                    candidate: candidate.strip_prefix("a=").unwrap_or(candidate).to_owned(),
                    sdp_mid: text("sdpMid").filter(|mid| !mid.is_empty()).map(str::to_owned),
                    sdp_m_line_index: index
                        .and_then(Value::as_u64)
                        .and_then(|it| it.try_into().ok()),
                })
            }
            _ => return None,
        })
    }

    /// The message, without `from`, `to` and `id`.
    pub fn message(&self) -> Map<String, Value> {
        let (step, data) = match self {
            Call::Init => ("init", json!({})),
            Call::Accept => ("accept", json!({})),
            Call::Reject { reason } => ("reject", json!({"reason": reason})),
            Call::Offer { sdp } => ("offer", json!({"type": "offer", "sdp": sdp})),
            Call::Answer { sdp } => ("answer", json!({"type": "answer", "sdp": sdp})),
            Call::Layers(layers) => ("layers", Value::Object(layers.clone())),
            Call::Layer(wish) => ("layer", Value::Object(wish.clone())),
            Call::Hangup { reason } => ("hangup", json!({"reason": reason})),
            Call::Candidate(candidate) => ("candidate", candidate.data()),
        };
        let mut message = Map::new();
        message.insert("type".to_owned(), "message".into());
        message.insert("subtype".to_owned(), format!("call:{step}").into());
        message.insert("data".to_owned(), data);
        message
    }
}

impl Candidate {
    fn data(&self) -> Value {
        let mut data = Map::new();
        data.insert("candidate".to_owned(), self.candidate.clone().into());
        data.insert("sdpMid".to_owned(), self.sdp_mid.clone().unwrap_or_default().into());
        if let Some(index) = self.sdp_m_line_index {
            data.insert("sdpMLineIndex".to_owned(), index.into());
        }
        Value::Object(data)
    }
}
