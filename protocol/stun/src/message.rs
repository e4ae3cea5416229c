//! A message, read where it lies.
//!
//! ```text
//! |<-- header, 20 -->|<- seen: attributes() ->|<- not: behind integrity ->| FINGERPRINT |
//!                                              MESSAGE-INTEGRITY(-SHA256)
//! attribute: | kind, 2 | bytes of value, 2 | value | 0 to 3 bytes to the next multiple of 4 |
//! ```
//!
//! Invariants: once a `Message` exists, its attributes lie within it; what is behind the first
//! integrity attribute is not reachable, but for the second integrity and the fingerprint.

use crate::address;
use crate::attribute::{AttributeKind, Family, Icmp};
use crate::crc;
use crate::error_code::ErrorCode;
use crate::header::{Class, HEADER_BYTES, MAGIC_COOKIE, Method, TransactionId, split_type};
use crate::integrity::{Integrity, Key};
use crate::password::PasswordAlgorithm;
use std::net::SocketAddr;
use std::ops::Range;

/// Why bytes are no message, or a value none of its kind. Always the sender's fault; such a
/// message is dropped, such a value answered with 400.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Malformed {
    /// Fewer bytes than a header, or than the header says.
    Short,
    /// More bytes than the header says.
    Long,
    /// The first two bits are not zero: another protocol.
    Type,
    /// Not the magic cookie: another protocol, or RFC 3489.
    Cookie,
    /// The length is no multiple of four, or longer than the receiver takes.
    Length,
    /// An attribute reaches past the end.
    Attribute,
    /// Something stands behind FINGERPRINT.
    Order,
    /// An attribute's value is not one of its kind.
    Value,
}

/// A well-formed message: see the picture above.
#[derive(Clone, Copy, Debug)]
pub struct Message<'a> {
    bytes: &'a [u8],
    class: Class,
    method: Method,
    /// Where the attributes end that are seen.
    seen_end: usize,
    /// Where these attributes begin, if they are there.
    sha1_at: Option<usize>,
    sha256_at: Option<usize>,
    fingerprint_at: Option<usize>,
}

impl<'a> Message<'a> {
    /// Reads a whole message, neither more nor less.
    ///
    /// # Errors
    ///
    /// [`Malformed`], never `Value`.
    pub fn decode(bytes: &'a [u8]) -> Result<Message<'a>, Malformed> {
        let Some((header, rest)) = bytes.split_first_chunk::<HEADER_BYTES>() else {
            return Err(Malformed::Short);
        };
        let kind = u16::from_be_bytes([header[0], header[1]]);
        let (class, method) = split_type(kind).ok_or(Malformed::Type)?;
        if header[4..8] != MAGIC_COOKIE.to_be_bytes() {
            return Err(Malformed::Cookie);
        }
        let length = usize::from(u16::from_be_bytes([header[2], header[3]]));
        if !length.is_multiple_of(4) {
            return Err(Malformed::Length);
        }
        if rest.len() != length {
            return Err(if rest.len() < length { Malformed::Short } else { Malformed::Long });
        }
        let (sha1_at, sha256_at, fingerprint_at) = (None, None, None);
        let seen_end = bytes.len();
        let message =
            Message { bytes, class, method, seen_end, sha1_at, sha256_at, fingerprint_at };
        message.with_marks()
    }

    /// Walks all attributes once, remembering those that protect.
    fn with_marks(mut self) -> Result<Message<'a>, Malformed> {
        let mut at = HEADER_BYTES;
        while at < self.bytes.len() {
            if self.fingerprint_at.is_some() {
                return Err(Malformed::Order);
            }
            let (kind, value) = attribute_at(self.bytes, at).ok_or(Malformed::Attribute)?;
            match kind {
                AttributeKind::MESSAGE_INTEGRITY if self.is_unprotected() => {
                    self.sha1_at = Some(at);
                    self.seen_end = at;
                }
                AttributeKind::MESSAGE_INTEGRITY_SHA256 if self.sha256_at.is_none() => {
                    self.sha256_at = Some(at);
                    self.seen_end = self.seen_end.min(at);
                }
                AttributeKind::FINGERPRINT => {
                    self.fingerprint_at = Some(at);
                    self.seen_end = self.seen_end.min(at);
                }
                _ => {}
            }
            at += 4 + value.len().next_multiple_of(4);
        }
        Ok(self)
    }

    fn is_unprotected(&self) -> bool {
        self.sha1_at.is_none() && self.sha256_at.is_none()
    }

    /// What it is in its transaction.
    pub fn class(&self) -> Class {
        self.class
    }

    /// What it is about.
    pub fn method(&self) -> Method {
        self.method
    }

    /// What its asker calls it.
    pub fn transaction_id(&self) -> TransactionId {
        TransactionId(self.bytes[8..HEADER_BYTES].try_into().expect("the header is there"))
    }

    /// The whole of it.
    pub fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// The attributes before the first that protects, in their order.
    pub fn attributes(&self) -> Attributes<'a> {
        Attributes { bytes: &self.bytes[..self.seen_end], at: HEADER_BYTES }
    }

    /// The value of the first attribute of this kind; later ones do not count (RFC 8489 §14).
    pub fn find(&self, kind: AttributeKind) -> Option<&'a [u8]> {
        self.attributes().find(|attribute| attribute.kind == kind).map(|found| found.value)
    }

    /// Where in [`Message::bytes`] the value of the first attribute of this kind lies: for who
    /// passes it on without copying it.
    pub fn range_of(&self, kind: AttributeKind) -> Option<Range<usize>> {
        let mut attributes = self.attributes();
        loop {
            let at = attributes.at + 4;
            let attribute = attributes.next()?;
            if attribute.kind == kind {
                return Some(at..at + attribute.value.len());
            }
        }
    }

    /// The kinds that its reader must know and that are not among `known`: what a 420 lists
    /// (RFC 8489 §6.3.1).
    pub fn unknown_required(&self, known: &[AttributeKind]) -> impl Iterator<Item = AttributeKind> {
        let kinds = self.attributes().map(|attribute| attribute.kind);
        kinds.filter(|kind| kind.is_required() && !known.contains(kind))
    }

    /// Whether it carries this integrity.
    pub fn has_integrity(&self, how: Integrity) -> bool {
        self.integrity_at(how).is_some()
    }

    /// Whether it carries this integrity, and it was made with this key.
    pub fn is_from(&self, key: &Key, how: Integrity) -> bool {
        let Some(at) = self.integrity_at(how) else { return false };
        let Some((_, code)) = attribute_at(self.bytes, at) else { return false };
        let length = length_through(at, code.len());
        key.is_of(how, [&self.bytes[..2], &length, &self.bytes[4..at]], code)
    }

    /// Whether it carries FINGERPRINT.
    pub fn has_fingerprint(&self) -> bool {
        self.fingerprint_at.is_some()
    }

    /// Whether it carries FINGERPRINT, and the right one.
    pub fn has_good_fingerprint(&self) -> bool {
        let Some(at) = self.fingerprint_at else { return false };
        let parts = [&self.bytes[..2], &length_through(at, 4), &self.bytes[4..at]];
        let fingerprint = crc::fingerprint(parts).to_be_bytes();
        attribute_at(self.bytes, at).is_some_and(|(_, value)| value == fingerprint)
    }

    /// An address in the clear (MAPPED-ADDRESS, ALTERNATE-SERVER).
    ///
    /// # Errors
    ///
    /// `Malformed::Value`, here and in all that follow.
    pub fn address(&self, kind: AttributeKind) -> Result<Option<SocketAddr>, Malformed> {
        self.find(kind).map(address::decode).transpose()
    }

    /// An XORed address (XOR-MAPPED-ADDRESS, XOR-PEER-ADDRESS, XOR-RELAYED-ADDRESS).
    pub fn xor_address(&self, kind: AttributeKind) -> Result<Option<SocketAddr>, Malformed> {
        self.xor_addresses(kind).next().transpose()
    }

    /// All XORed addresses of a kind: CreatePermission has several.
    pub fn xor_addresses(
        &self,
        kind: AttributeKind,
    ) -> impl Iterator<Item = Result<SocketAddr, Malformed>> + use<'a> {
        let id = self.transaction_id();
        let found = self.attributes().filter(move |attribute| attribute.kind == kind);
        found.map(move |found| address::decode(found.value).map(|xored| address::xor(xored, id)))
    }

    /// A value of exactly this many bytes (RESERVATION-TOKEN, USERHASH).
    pub fn array<const N: usize>(&self, kind: AttributeKind) -> Result<Option<[u8; N]>, Malformed> {
        let value = self.find(kind).map(<[u8; N]>::try_from);
        value.transpose().map_err(|_| Malformed::Value)
    }

    /// A number of four bytes (LIFETIME, PRIORITY).
    pub fn u32(&self, kind: AttributeKind) -> Result<Option<u32>, Malformed> {
        Ok(self.array(kind)?.map(u32::from_be_bytes))
    }

    /// A number of eight bytes (ICE-CONTROLLED, ICE-CONTROLLING).
    pub fn u64(&self, kind: AttributeKind) -> Result<Option<u64>, Malformed> {
        Ok(self.array(kind)?.map(u64::from_be_bytes))
    }

    /// CHANNEL-NUMBER, whatever its range.
    pub fn channel_number(&self) -> Result<Option<u16>, Malformed> {
        let value: Option<[u8; 4]> = self.array(AttributeKind::CHANNEL_NUMBER)?;
        Ok(value.map(|[high, low, ..]| u16::from_be_bytes([high, low])))
    }

    /// REQUESTED-ADDRESS-FAMILY or ADDITIONAL-ADDRESS-FAMILY; within, none for a number that is
    /// no family.
    pub fn family(&self, kind: AttributeKind) -> Result<Option<Option<Family>>, Malformed> {
        let value: Option<[u8; 4]> = self.array(kind)?;
        Ok(value.map(|[number, ..]| Family::from_number(number)))
    }

    /// REQUESTED-TRANSPORT: the protocol's IP number.
    pub fn requested_transport(&self) -> Result<Option<u8>, Malformed> {
        let value: Option<[u8; 4]> = self.array(AttributeKind::REQUESTED_TRANSPORT)?;
        Ok(value.map(|[protocol, ..]| protocol))
    }

    /// EVEN-PORT; within, whether the next port is to be kept (its R bit).
    pub fn even_port(&self) -> Result<Option<bool>, Malformed> {
        let value: Option<[u8; 1]> = self.array(AttributeKind::EVEN_PORT)?;
        Ok(value.map(|[bits]| bits & 0x80 != 0))
    }

    /// ERROR-CODE with its words.
    pub fn error_code(&self) -> Result<Option<(ErrorCode, &'a str)>, Malformed> {
        let Some(value) = self.find(AttributeKind::ERROR_CODE) else { return Ok(None) };
        ErrorCode::decode(value).ok_or(Malformed::Value).map(Some)
    }

    /// PASSWORD-ALGORITHM; within, none for one that we do not know.
    pub fn password_algorithm(&self) -> Result<Option<Option<PasswordAlgorithm>>, Malformed> {
        self.find(AttributeKind::PASSWORD_ALGORITHM).map(PasswordAlgorithm::decode).transpose()
    }

    /// ICMP.
    pub fn icmp(&self) -> Result<Option<Icmp>, Malformed> {
        let value: Option<[u8; 8]> = self.array(AttributeKind::ICMP)?;
        let read = |[_, _, kind, code, data @ ..]: [u8; 8]| Icmp {
            kind,
            code,
            data: u32::from_be_bytes(data),
        };
        Ok(value.map(read))
    }

    fn integrity_at(&self, how: Integrity) -> Option<usize> {
        match how {
            Integrity::Sha1 => self.sha1_at,
            Integrity::Sha256 => self.sha256_at,
        }
    }
}

/// One attribute of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attribute<'a> {
    /// What it is.
    pub kind: AttributeKind,
    /// Its value, without padding.
    pub value: &'a [u8],
}

/// The attributes of a message.
#[derive(Clone, Debug)]
pub struct Attributes<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Iterator for Attributes<'a> {
    type Item = Attribute<'a>;

    fn next(&mut self) -> Option<Attribute<'a>> {
        let (kind, value) = attribute_at(self.bytes, self.at)?;
        self.at += 4 + value.len().next_multiple_of(4);
        Some(Attribute { kind, value })
    }
}

/// The attribute that begins at an offset, if it lies within the bytes, padding included.
fn attribute_at(bytes: &[u8], at: usize) -> Option<(AttributeKind, &[u8])> {
    let (&[a, b, c, d], rest) = bytes.get(at..)?.split_first_chunk()?;
    let length = usize::from(u16::from_be_bytes([c, d]));
    rest.get(..length.next_multiple_of(4))?;
    Some((AttributeKind(u16::from_be_bytes([a, b])), &rest[..length]))
}

/// The header's length if the message ended with the attribute at `at` of these value bytes.
pub(crate) fn length_through(at: usize, value_bytes: usize) -> [u8; 2] {
    let end = at + 4 + value_bytes.next_multiple_of(4);
    let length = u16::try_from(end - HEADER_BYTES).expect("a message has at most 64 KiB");
    length.to_be_bytes()
}
