//! WebSocket messages and what must come back, made beforehand; written without `protocol-ws`, so
//! that a mistake there cannot hide at both ends.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha1::{Digest, Sha1};

use crate::http;

/// Different messages, so that one that comes twice or on the wrong connection is found.
const VARIANTS: usize = 64;
const BINARY_AND_FINAL: u8 = 0x82;
const MASKED: u8 = 0x80;
/// Sixteen bytes in base64; the answer must be made from them (RFC 6455 §4.2.2).
const KEY: &str = "YSBrZXkgZm9yIGJlbmNoIQ==";
const GUID: &str = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// All messages of a load.
pub(crate) struct Echoes {
    /// Masked, as they are sent.
    pub(crate) outgoing: Vec<Vec<u8>>,
    /// Not masked, as they must come back.
    expected: Vec<Vec<u8>>,
}

impl Echoes {
    /// Messages of this size.
    pub(crate) fn new(message_bytes: usize) -> Self {
        let payload = |variant: usize| -> Vec<u8> {
            (0..message_bytes).map(|index| (variant * 31 + index * 7 + index / 251) as u8).collect()
        };
        let payloads: Vec<Vec<u8>> = (0..VARIANTS).map(payload).collect();
        let outgoing = payloads.iter().enumerate().map(|(variant, payload)| {
            let mask = (0x9E37_79B9_u32.wrapping_mul(variant as u32 + 1)).to_be_bytes();
            let mut frame = head(payload.len(), MASKED);
            frame.extend(mask);
            frame.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
            frame
        });
        let outgoing = outgoing.collect();
        let echo = |payload: &Vec<u8>| [head(payload.len(), 0), payload.clone()].concat();
        Echoes { outgoing, expected: payloads.iter().map(echo).collect() }
    }

    /// Takes received bytes of one message, of which `at` bytes came before. Says whether that
    /// completes it.
    ///
    /// # Errors
    /// What is wrong with them.
    pub(crate) fn take(
        &self,
        variant: usize,
        at: &mut usize,
        bytes: &[u8],
    ) -> Result<bool, String> {
        let expected = &self.expected[variant % VARIANTS];
        let rest = &expected[*at..];
        if bytes.len() > rest.len() {
            return Err("more than was said came back".into());
        }
        if bytes != &rest[..bytes.len()] {
            return Err(format!("what came back differs behind byte {at}"));
        }
        *at += bytes.len();
        let is_complete = *at == expected.len();
        if is_complete {
            *at = 0;
        }
        Ok(is_complete)
    }
}

/// The request that begins it.
pub(crate) fn upgrade(path: &str, host: &str) -> Vec<u8> {
    format!(
        "GET {path} HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Key: {KEY}\r\nSec-WebSocket-Version: 13\r\n\r\n"
    )
    .into_bytes()
}

/// Whether the answer to [`upgrade`] is right (RFC 6455 §4.1).
pub(crate) fn is_upgraded(head: &str) -> Result<(), String> {
    if http::status_of(head.as_bytes()) != Some(101) {
        return Err(head.lines().next().unwrap_or_default().to_owned());
    }
    let accept = STANDARD.encode(Sha1::digest(format!("{KEY}{GUID}")));
    if http::header(head, "sec-websocket-accept") != Some(accept.as_str()) {
        return Err("the server did not read the key".into());
    }
    match http::header(head, "sec-websocket-extensions") {
        Some(extension) => Err(format!("nobody asked for {extension}")),
        None => Ok(()),
    }
}

/// A frame's head without its mask (RFC 6455 §5.2).
fn head(length: usize, masked: u8) -> Vec<u8> {
    let mut head = vec![BINARY_AND_FINAL];
    match length {
        0..=125 => head.push(masked | length as u8),
        126..=0xFFFF => {
            head.push(masked | 126);
            head.extend((length as u16).to_be_bytes());
        }
        _ => {
            head.push(masked | 127);
            head.extend((length as u64).to_be_bytes());
        }
    }
    head
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn echoes_are_compared_byte_by_byte() {
        for message_bytes in [0, 64, 4_096, 70_000] {
            let echoes = Echoes::new(message_bytes);
            let expected = echoes.expected[5].clone();
            let mut at = 0;
            for byte in &expected[..expected.len() - 1] {
                assert_eq!(echoes.take(5, &mut at, &[*byte]), Ok(false));
            }
            assert_eq!(echoes.take(5, &mut at, &expected[expected.len() - 1..]), Ok(true));
            assert_eq!(at, 0);
            let longer = [&expected[..], b"x"].concat();
            assert!(echoes.take(5, &mut 0, &longer).is_err());
            if message_bytes > 0 {
                assert!(echoes.take(6, &mut 0, &expected).is_err());
            }
            assert_eq!(echoes.outgoing[5].len(), expected.len() + 4);
        }
    }

    #[test]
    fn the_handshake_is_checked() {
        // The example of RFC 6455 §1.3 has another key, so its accept is wrong here.
        let wrong = "HTTP/1.1 101 x\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n";
        assert!(is_upgraded(wrong).is_err());
        assert!(is_upgraded("HTTP/1.1 426 Upgrade Required\r\n").is_err());
    }
}
