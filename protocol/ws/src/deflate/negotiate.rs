//! How two ends agree (RFC 7692 §7.1), in the words of `Sec-WebSocket-Extensions` (RFC 6455 §9.1).

use super::{
    AgreedDeflate, Contexts, DeflateSettings, Deflating, Direction, EXTENSION, Inflating,
    WINDOW_BITS_MAX, WINDOW_BITS_MIN,
};

/// Most parameters of one extension; more than four are wrong in any case.
const PARAMETERS_COUNT_MAX: usize = 8;

/// The parameters of `permessage-deflate` in one offer or answer.
#[derive(Debug, Default, Clone, Copy)]
struct Parameters {
    server_no_context_takeover: bool,
    client_no_context_takeover: bool,
    server_max_window_bits: Option<u8>,
    /// `Some(None)`: it is there and has no value.
    client_max_window_bits: Option<Option<u8>>,
}

impl DeflateSettings {
    /// Appends the line with which a client offers it, with its CR LF.
    pub fn write_offer_line(&self, out: &mut Vec<u8>) {
        begin_line(out);
        if !self.peer_context {
            out.extend_from_slice(b"; server_no_context_takeover");
        }
        if !self.own_context {
            out.extend_from_slice(b"; client_no_context_takeover");
        }
        if self.peer_window() < WINDOW_BITS_MAX {
            write_bits("server_max_window_bits", self.peer_window(), out);
        }
        if self.own_window() < WINDOW_BITS_MAX {
            write_bits("client_max_window_bits", self.own_window(), out);
        } else {
            out.extend_from_slice(b"; client_max_window_bits");
        }
        out.extend_from_slice(b"\r\n");
    }

    /// The first offer that can be accepted, in the client's order; for a server.
    pub(crate) fn accept(&self, offers: &[&[u8]]) -> Option<AgreedDeflate> {
        let extensions = offers.iter().flat_map(|value| list(value));
        extensions.filter_map(parameters_of).flatten().find_map(|offer| self.accept_offer(offer))
    }

    fn accept_offer(&self, offer: Parameters) -> Option<AgreedDeflate> {
        let asked_of_us = offer.server_max_window_bits.unwrap_or(WINDOW_BITS_MAX);
        if asked_of_us < WINDOW_BITS_MIN {
            return None;
        }
        let peer_window_bits = match offer.client_max_window_bits {
            Some(bits) => bits.unwrap_or(WINDOW_BITS_MAX).min(self.peer_window()),
            // It does not understand a bound.
            None if self.peer_window() < WINDOW_BITS_MAX => return None,
            None => WINDOW_BITS_MAX,
        };
        Some(AgreedDeflate {
            own: Direction {
                keeps_context: self.own_context && !offer.server_no_context_takeover,
                window_bits: asked_of_us.min(self.own_window()),
            },
            peer: Direction {
                keeps_context: self.peer_context && !offer.client_no_context_takeover,
                window_bits: peer_window_bits,
            },
            repeats_own_window: offer.server_max_window_bits.is_some(),
            message_bytes_min: self.message_bytes_min,
        })
    }

    fn own_window(&self) -> u8 {
        self.own_window_bits.clamp(WINDOW_BITS_MIN, WINDOW_BITS_MAX)
    }

    fn peer_window(&self) -> u8 {
        self.peer_window_bits.clamp(WINDOW_BITS_MIN, WINDOW_BITS_MAX)
    }
}

impl AgreedDeflate {
    /// Appends the line with which a server accepts, with its CR LF, behind those of
    /// [`Upgrade::write_response_lines`](crate::Upgrade::write_response_lines).
    pub fn write_response_line(&self, out: &mut Vec<u8>) {
        begin_line(out);
        if !self.own.keeps_context {
            out.extend_from_slice(b"; server_no_context_takeover");
        }
        if !self.peer.keeps_context {
            out.extend_from_slice(b"; client_no_context_takeover");
        }
        if self.repeats_own_window || self.own.window_bits < WINDOW_BITS_MAX {
            write_bits("server_max_window_bits", self.own.window_bits, out);
        }
        if self.peer.window_bits < WINDOW_BITS_MAX {
            write_bits("client_max_window_bits", self.peer.window_bits, out);
        }
        out.extend_from_slice(b"\r\n");
    }

    /// Messages below this are not worth it.
    pub(crate) fn message_bytes_min(&self) -> usize {
        self.message_bytes_min
    }

    /// Both directions of a connection.
    pub(crate) fn streams(&self, contexts: &Contexts) -> (Deflating, Inflating) {
        // Eight bits are for the other end to write; whatever reads nine reads them too.
        let window_bits = self.peer.window_bits.max(WINDOW_BITS_MIN);
        let peer = Direction { window_bits, ..self.peer };
        (Deflating::new(self.own, contexts.clone()), Inflating::new(peer, contexts.clone()))
    }
}

/// What a server's lines say to our offer; for a client. `Err` where they are no answer to it.
pub(crate) fn check_answer(
    lines: &[&[u8]],
    offer: Option<&DeflateSettings>,
) -> Result<Option<AgreedDeflate>, ()> {
    if !lines.iter().all(|line| are_well_formed(line)) {
        return Err(());
    }
    let mut extensions = lines.iter().flat_map(|value| list(value));
    let Some(extension) = extensions.next() else { return Ok(None) };
    if extensions.next().is_some() {
        return Err(());
    }
    let (offer, answer) = (offer.ok_or(())?, parameters_of(extension).flatten().ok_or(())?);
    let peer_window_bits = answer.server_max_window_bits.unwrap_or(WINDOW_BITS_MAX);
    let own_window_bits = match answer.client_max_window_bits {
        // Its answer has a value (§7.1.2.2), and below nine we cannot compress.
        Some(bits) => bits.filter(|bits| *bits >= WINDOW_BITS_MIN).ok_or(())?,
        None => WINDOW_BITS_MAX,
    };
    let is_beyond = peer_window_bits > offer.peer_window()
        || !offer.peer_context && !answer.server_no_context_takeover;
    if is_beyond {
        return Err(());
    }
    Ok(Some(AgreedDeflate {
        own: Direction {
            keeps_context: offer.own_context && !answer.client_no_context_takeover,
            window_bits: own_window_bits.min(offer.own_window()),
        },
        peer: Direction {
            keeps_context: !answer.server_no_context_takeover,
            window_bits: peer_window_bits,
        },
        repeats_own_window: false,
        message_bytes_min: offer.message_bytes_min,
    }))
}

fn begin_line(out: &mut Vec<u8>) {
    out.extend_from_slice(b"Sec-WebSocket-Extensions: ");
    out.extend_from_slice(EXTENSION.as_bytes());
}

fn write_bits(name: &str, bits: u8, out: &mut Vec<u8>) {
    out.extend_from_slice(format!("; {name}={bits}").as_bytes());
}

/// `None` where it is another extension; `Some(None)` where a parameter is one that nobody
/// defined, is there twice, or has a value that is none (§7.1: to be declined).
fn parameters_of(extension: &[u8]) -> Option<Option<Parameters>> {
    let mut parts = split(extension, b';');
    let name = parts.next()?;
    name.eq_ignore_ascii_case(EXTENSION.as_bytes()).then(|| {
        let mut parameters = Parameters::default();
        let mut count = 0;
        parts
            .all(|part| {
                count += 1;
                count <= PARAMETERS_COUNT_MAX && parameters.set(part).is_some()
            })
            .then_some(parameters)
    })
}

impl Parameters {
    fn set(&mut self, part: &[u8]) -> Option<()> {
        let (name, value) = name_and_value(part);
        let bits = match value {
            Some(value) => Some(window_bits(value)?),
            None => None,
        };
        let is_new = match (name, bits) {
            (b"server_no_context_takeover", None) => {
                !std::mem::replace(&mut self.server_no_context_takeover, true)
            }
            (b"client_no_context_takeover", None) => {
                !std::mem::replace(&mut self.client_no_context_takeover, true)
            }
            (b"server_max_window_bits", Some(bits)) => {
                self.server_max_window_bits.replace(bits).is_none()
            }
            (b"client_max_window_bits", bits) => {
                self.client_max_window_bits.replace(bits).is_none()
            }
            _ => false,
        };
        is_new.then_some(())
    }
}

/// 8 to 15 without a zero in front (§7.1.2).
fn window_bits(value: &[u8]) -> Option<u8> {
    match value {
        [digit @ b'8'..=b'9'] => Some(digit - b'0'),
        [b'1', digit @ b'0'..=b'5'] => Some(10 + digit - b'0'),
        _ => None,
    }
}

fn name_and_value(part: &[u8]) -> (&[u8], Option<&[u8]>) {
    match part.iter().position(|byte| *byte == b'=') {
        Some(at) => {
            let value = part[at + 1..].trim_ascii();
            let unquoted = value.strip_prefix(b"\"").and_then(|rest| rest.strip_suffix(b"\""));
            (part[..at].trim_ascii(), Some(unquoted.unwrap_or(value)))
        }
        None => (part, None),
    }
}

/// The items of a list, of which empty ones are none (RFC 9110 §5.6.1).
fn list(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    split(value, b',').filter(|item| !item.is_empty())
}

/// The parts between separators that stand outside of quotes, trimmed.
fn split(value: &[u8], separator: u8) -> impl Iterator<Item = &[u8]> {
    let mut is_quoted = false;
    value
        .split(move |byte| {
            is_quoted ^= *byte == b'"';
            !is_quoted && *byte == separator
        })
        .map(<[u8]>::trim_ascii)
}

/// Whether a line has the form of RFC 6455 §9.1: `name; parameter; parameter=value, name …`.
pub(crate) fn are_well_formed(value: &[u8]) -> bool {
    value.iter().filter(|byte| **byte == b'"').count() % 2 == 0
        && list(value).all(|extension| {
            let mut parts = split(extension, b';');
            parts.next().is_some_and(is_token)
                && parts.all(|part| {
                    let (name, value) = name_and_value(part);
                    is_token(name) && value.is_none_or(is_token)
                })
        })
}

fn is_token(text: &[u8]) -> bool {
    let of_token = |byte: &u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte);
    !text.is_empty() && text.iter().all(of_token)
}
