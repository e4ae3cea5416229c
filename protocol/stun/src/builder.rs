//! Writes a message into a buffer of the caller.
//!
//! Invariants: the header's length is right after every step; padding is zero; when the buffer
//! is too short nothing is written any more and `finish` says so.

use crate::address::{self, ADDRESS_BYTES_MAX};
use crate::attribute::{AttributeKind, Family, Icmp};
use crate::crc;
use crate::error_code::ErrorCode;
use crate::header::{Class, HEADER_BYTES, MAGIC_COOKIE, Method, TransactionId, type_of};
use crate::integrity::{Integrity, Key};
use crate::message::{Message, length_through};
use crate::password::PasswordAlgorithm;
use std::net::SocketAddr;

/// The buffer is too short, or the message would be longer than its length can say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Full;

impl std::fmt::Display for Full {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("the buffer is too short for the message")
    }
}

impl std::error::Error for Full {}

/// A message that is being written. Order: attributes, then integrity, then fingerprint.
#[derive(Debug)]
pub struct Builder<'b> {
    buffer: &'b mut [u8],
    used: usize,
    is_full: bool,
    id: TransactionId,
}

impl<'b> Builder<'b> {
    /// Begins a message.
    pub fn new(buffer: &'b mut [u8], class: Class, method: Method, id: TransactionId) -> Self {
        let is_full = buffer.len() < HEADER_BYTES;
        let mut builder = Builder { buffer, used: 0, is_full, id };
        if !is_full {
            builder.buffer[..2].copy_from_slice(&type_of(class, method).to_be_bytes());
            builder.buffer[2..4].fill(0);
            builder.buffer[4..8].copy_from_slice(&MAGIC_COOKIE.to_be_bytes());
            builder.buffer[8..HEADER_BYTES].copy_from_slice(&id.0);
            builder.used = HEADER_BYTES;
        }
        builder
    }

    /// Begins the answer to a request.
    pub fn answer(buffer: &'b mut [u8], class: Class, request: &Message<'_>) -> Self {
        Builder::new(buffer, class, request.method(), request.transaction_id())
    }

    /// Appends an attribute.
    pub fn attribute(&mut self, kind: AttributeKind, value: &[u8]) -> &mut Self {
        if !self.has_room(value.len()) {
            return self;
        }
        let end = self.used + 4 + value.len().next_multiple_of(4);
        let attribute = &mut self.buffer[self.used..end];
        attribute[..2].copy_from_slice(&kind.0.to_be_bytes());
        // A value within a message of at most 64 KiB.
        attribute[2..4].copy_from_slice(&(value.len() as u16).to_be_bytes());
        attribute[4..4 + value.len()].copy_from_slice(value);
        attribute[4 + value.len()..].fill(0);
        self.buffer[2..4].copy_from_slice(&length_through(self.used, value.len()));
        self.used = end;
        self
    }

    /// Appends an address in the clear.
    pub fn address(&mut self, kind: AttributeKind, address: SocketAddr) -> &mut Self {
        let mut value = [0; ADDRESS_BYTES_MAX];
        let length = address::encode(address, &mut value);
        self.attribute(kind, &value[..length])
    }

    /// Appends an XORed address.
    pub fn xor_address(&mut self, kind: AttributeKind, address: SocketAddr) -> &mut Self {
        self.address(kind, address::xor(address, self.id))
    }

    /// Appends a number of four bytes.
    pub fn u32(&mut self, kind: AttributeKind, number: u32) -> &mut Self {
        self.attribute(kind, &number.to_be_bytes())
    }

    /// Appends ERROR-CODE, with these words or none.
    pub fn error_code(&mut self, code: ErrorCode, reason: &str) -> &mut Self {
        /// The RFC's bound on the words (§14.8) is 763 bytes; ours need far fewer.
        const REASON_BYTES_MAX: usize = 60;
        let mut value = [0; 4 + REASON_BYTES_MAX];
        let reason = &reason.as_bytes()[..reason.floor_char_boundary(REASON_BYTES_MAX)];
        value[..4].copy_from_slice(&code.encode());
        value[4..4 + reason.len()].copy_from_slice(reason);
        self.attribute(AttributeKind::ERROR_CODE, &value[..4 + reason.len()])
    }

    /// Appends UNKNOWN-ATTRIBUTES with as many of these as a 420 may name: 32.
    pub fn unknown_attributes(
        &mut self,
        kinds: impl IntoIterator<Item = AttributeKind>,
    ) -> &mut Self {
        const COUNT_MAX: usize = 32;
        let mut value = [0; 2 * COUNT_MAX];
        let mut length = 0;
        for (place, kind) in value.chunks_exact_mut(2).zip(kinds) {
            place.copy_from_slice(&kind.0.to_be_bytes());
            length += 2;
        }
        self.attribute(AttributeKind::UNKNOWN_ATTRIBUTES, &value[..length])
    }

    /// Appends CHANNEL-NUMBER.
    pub fn channel_number(&mut self, number: u16) -> &mut Self {
        self.u32(AttributeKind::CHANNEL_NUMBER, u32::from(number) << 16)
    }

    /// Appends REQUESTED-ADDRESS-FAMILY or ADDITIONAL-ADDRESS-FAMILY.
    pub fn family(&mut self, kind: AttributeKind, family: Family) -> &mut Self {
        self.attribute(kind, &[family.number(), 0, 0, 0])
    }

    /// Appends ADDRESS-ERROR-CODE: why this family is not in the allocation.
    pub fn address_error_code(&mut self, family: Family, code: ErrorCode) -> &mut Self {
        let [_, _, class, number] = code.encode();
        self.attribute(AttributeKind::ADDRESS_ERROR_CODE, &[family.number(), 0, class, number])
    }

    /// Appends PASSWORD-ALGORITHM.
    pub fn password_algorithm(&mut self, algorithm: PasswordAlgorithm) -> &mut Self {
        self.attribute(AttributeKind::PASSWORD_ALGORITHM, &algorithm.encode())
    }

    /// Appends PASSWORD-ALGORITHMS: both, the stronger first.
    pub fn password_algorithms(&mut self) -> &mut Self {
        let [sha256, md5] = [PasswordAlgorithm::Sha256.encode(), PasswordAlgorithm::Md5.encode()];
        self.attribute(AttributeKind::PASSWORD_ALGORITHMS, [sha256, md5].as_flattened())
    }

    /// Appends ICMP.
    pub fn icmp(&mut self, icmp: Icmp) -> &mut Self {
        let [a, b, c, d] = icmp.data.to_be_bytes();
        self.attribute(AttributeKind::ICMP, &[0, 0, icmp.kind, icmp.code, a, b, c, d])
    }

    /// Appends the integrity of all that was written so far.
    pub fn integrity(&mut self, how: Integrity, key: &Key) -> &mut Self {
        let (kind, bytes) = match how {
            Integrity::Sha1 => (AttributeKind::MESSAGE_INTEGRITY, 20),
            Integrity::Sha256 => (AttributeKind::MESSAGE_INTEGRITY_SHA256, 32),
        };
        if !self.has_room(bytes) {
            return self;
        }
        let length = length_through(self.used, bytes);
        let parts = [&self.buffer[..2], &length, &self.buffer[4..self.used]];
        match how {
            Integrity::Sha1 => self.attribute(kind, &key.sha1(parts)),
            Integrity::Sha256 => self.attribute(kind, &key.sha256(parts)),
        }
    }

    /// Appends FINGERPRINT; nothing may follow it.
    pub fn fingerprint(&mut self) -> &mut Self {
        if !self.has_room(4) {
            return self;
        }
        let length = length_through(self.used, 4);
        let crc = crc::fingerprint([&self.buffer[..2], &length, &self.buffer[4..self.used]]);
        self.u32(AttributeKind::FINGERPRINT, crc)
    }

    /// How many bytes of the buffer the message is.
    ///
    /// # Errors
    ///
    /// [`Full`] if any of it did not find room.
    pub fn finish(&self) -> Result<usize, Full> {
        if self.is_full { Err(Full) } else { Ok(self.used) }
    }

    /// Whether an attribute of so many bytes finds room; from the first that does not, none does.
    fn has_room(&mut self, value_bytes: usize) -> bool {
        let end = self.used + 4 + value_bytes.next_multiple_of(4);
        self.is_full |= end > self.buffer.len() || end > HEADER_BYTES + usize::from(u16::MAX);
        !self.is_full
    }
}
