//! How an answer is written, signed and sent.
//!
//! Whoever has not shown who he is gets an answer at most four times as long as his question, and
//! only so many: behind a forged address is somebody who did not ask.

use super::Server;
use super::prove::{Denial, Proof};
use crate::client::Client;
use crate::counters::DropCause;
use crate::exchange::{Output, Payload, To, Transmit};
use protocol_stun::{
    AttributeKind, Builder, Class, ErrorCode, Integrity, Key, Message, Method, SecurityFeatures,
    TransactionId,
};
use std::time::Instant;

/// How many times longer than its question an answer to an unknown asker may be.
const AMPLIFICATION_MAX: usize = 4;

/// More than the longest answer.
const ANSWER_BYTES_MAX: usize = 768;

/// Who asked what, and how the answer is signed.
#[derive(Clone)]
pub(super) struct Asker {
    pub(super) client: Client,
    pub(super) method: Method,
    pub(super) id: TransactionId,
    pub(super) key: Key,
    pub(super) how: Integrity,
    pub(super) has_fingerprint: bool,
}

impl Asker {
    pub(super) fn proven(client: Client, message: &Message<'_>, proof: &Proof) -> Asker {
        Asker {
            client,
            method: message.method(),
            id: message.transaction_id(),
            key: proof.key.clone(),
            how: proof.how,
            has_fingerprint: message.has_fingerprint(),
        }
    }
}

impl Server {
    /// Answers that it was done.
    pub(super) fn succeed(&mut self, asker: &Asker, write: impl FnOnce(&mut Builder<'_>)) {
        self.counters.successes += 1;
        self.answer(asker, Class::Success, write);
    }

    /// Answers that it was not.
    pub(super) fn fail(&mut self, asker: &Asker, code: ErrorCode) {
        self.counters.errors += 1;
        let alternate = self.config.alternate_server;
        self.answer(asker, Class::Error, |builder| {
            builder.error_code(code, code.reason());
            if let Some(server) = alternate.filter(|_| code == ErrorCode::TRY_ALTERNATE) {
                builder.address(AttributeKind::ALTERNATE_SERVER, server);
            }
        });
    }

    /// Answers that it was not understood (RFC 8489 §6.3.1).
    pub(super) fn fail_unknown(
        &mut self,
        asker: &Asker,
        unknown: impl Iterator<Item = AttributeKind>,
    ) {
        self.counters.errors += 1;
        self.answer(asker, Class::Error, |builder| {
            let code = ErrorCode::UNKNOWN_ATTRIBUTE;
            builder.error_code(code, code.reason()).unknown_attributes(unknown);
        });
    }

    /// Answers who did not show who he is.
    pub(super) fn deny(
        &mut self,
        now: Instant,
        client: Client,
        message: &Message<'_>,
        denial: Denial,
    ) {
        let code = match denial {
            Denial::Malformed => {
                self.counters.errors += 1;
                return self.answer_unproven(now, client, message, Class::Error, |builder| {
                    builder.error_code(ErrorCode::BAD_REQUEST, "");
                });
            }
            Denial::Wrong => {
                self.counters.failed_proofs += 1;
                ErrorCode::UNAUTHENTICATED
            }
            Denial::Missing => {
                self.counters.challenges += 1;
                ErrorCode::UNAUTHENTICATED
            }
            Denial::Stale => {
                self.counters.challenges += 1;
                ErrorCode::STALE_NONCE
            }
        };
        self.challenge(now, client, message, code);
    }

    /// Answers Binding (RFC 8489 §3).
    pub(super) fn binding(&mut self, now: Instant, client: Client, message: &Message<'_>) {
        let known = self.known_attributes();
        let mut unknown = message.unknown_required(known).peekable();
        if unknown.peek().is_some() {
            self.counters.errors += 1;
            return self.answer_unproven(now, client, message, Class::Error, |builder| {
                builder.error_code(ErrorCode::UNKNOWN_ATTRIBUTE, "").unknown_attributes(unknown);
            });
        }
        self.counters.successes += 1;
        self.answer_unproven(now, client, message, Class::Success, |builder| {
            builder.xor_address(AttributeKind::XOR_MAPPED_ADDRESS, client.address);
        });
    }

    /// 401 or 438 with all that a proof needs: the algorithms too, where they find room.
    fn challenge(&mut self, now: Instant, client: Client, message: &Message<'_>, code: ErrorCode) {
        let features = SecurityFeatures {
            has_password_algorithms: true,
            has_user_hash: self.config.credentials.has_user_hash(),
        };
        // Error code 8, realm up to 32, nonce 36, algorithms 12, fingerprint 8.
        let full_bytes = 20 + 8 + 4 + self.config.realm.len().next_multiple_of(4) + 36 + 12 + 8;
        let has_room = full_bytes <= AMPLIFICATION_MAX * message.bytes().len();
        let features = Some(features).filter(|_| has_room && self.config.has_password_algorithms);
        let nonce = self.nonces.make(&client, now, features);
        let realm = self.config.realm.clone();
        self.answer_unproven(now, client, message, Class::Error, |builder| {
            builder.error_code(code, "");
            builder.attribute(AttributeKind::REALM, realm.as_bytes());
            builder.attribute(AttributeKind::NONCE, &nonce);
            if features.is_some() {
                builder.password_algorithms();
            }
        });
    }

    fn answer_unproven(
        &mut self,
        now: Instant,
        client: Client,
        message: &Message<'_>,
        class: Class,
        write: impl FnOnce(&mut Builder<'_>),
    ) {
        if !self.sources.take(now, &client.address) {
            return self.counters.drop_one(DropCause::Unproven);
        }
        let mut buffer = [0; ANSWER_BYTES_MAX];
        let mut builder = Builder::answer(&mut buffer, class, message);
        write(&mut builder);
        if message.has_fingerprint() {
            builder.fingerprint();
        }
        let used = builder.finish().expect("the longest answer fits");
        if used > AMPLIFICATION_MAX * message.bytes().len() {
            return self.counters.drop_one(DropCause::Unproven);
        }
        self.send(client, &buffer[..used]);
    }

    fn answer(&mut self, asker: &Asker, class: Class, write: impl FnOnce(&mut Builder<'_>)) {
        let mut buffer = [0; ANSWER_BYTES_MAX];
        let mut builder = Builder::new(&mut buffer, class, asker.method, asker.id);
        write(&mut builder);
        builder.integrity(asker.how, &asker.key);
        if asker.has_fingerprint {
            builder.fingerprint();
        }
        let used = builder.finish().expect("the longest answer fits");
        self.send(asker.client, &buffer[..used]);
    }

    /// Sends a client a message that was written here.
    pub(super) fn send(&mut self, client: Client, bytes: &[u8]) {
        let start = self.written.len();
        self.written.extend_from_slice(bytes);
        let payload = Payload::Written(start..self.written.len());
        self.outputs.push_back(Output::Transmit(Transmit { to: To::Client(client), payload }));
    }

    /// The attributes that a request may not have without our knowing them.
    pub(super) fn known_attributes(&self) -> &'static [AttributeKind] {
        let known: &[AttributeKind] = &[
            AttributeKind::USERNAME,
            AttributeKind::MESSAGE_INTEGRITY,
            AttributeKind::MESSAGE_INTEGRITY_SHA256,
            AttributeKind::REALM,
            AttributeKind::NONCE,
            AttributeKind::USERHASH,
            AttributeKind::PASSWORD_ALGORITHM,
            AttributeKind::CHANNEL_NUMBER,
            AttributeKind::LIFETIME,
            AttributeKind::XOR_PEER_ADDRESS,
            AttributeKind::DATA,
            AttributeKind::REQUESTED_ADDRESS_FAMILY,
            AttributeKind::REQUESTED_TRANSPORT,
            AttributeKind::EVEN_PORT,
            AttributeKind::RESERVATION_TOKEN,
            AttributeKind::CONNECTION_ID,
            AttributeKind::DONT_FRAGMENT,
        ];
        // DONT-FRAGMENT is last: without it, it is as if we did not know it (RFC 8656 §7.2).
        if self.config.has_dont_fragment { known } else { &known[..known.len() - 1] }
    }
}
