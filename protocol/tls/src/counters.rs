//! What the sessions of one shard came to; plain numbers, merged where they are shown.

use crate::{Failed, Fault, Handshake, Version};

/// Counts of one shard, since its start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Handshakes with a signature and a key exchange.
    pub handshakes_full: u64,
    /// Handshakes that went on with a ticket.
    pub handshakes_resumed: u64,
    /// Handshakes that ended in a failure.
    pub handshakes_failed: u64,
    /// Of the finished ones, TLS 1.2.
    pub handshakes_tls12: u64,
    /// Of the finished ones, TLS 1.3.
    pub handshakes_tls13: u64,
    /// Failures by the peer's breach of the protocol, in the handshake or later.
    pub failed_malformed: u64,
    /// Failures by our policy.
    pub failed_refused: u64,
    /// Peers that gave up with an alert.
    pub failed_alert: u64,
    /// Failures of ours.
    pub failed_ours: u64,
}

impl Counters {
    /// Counts a finished handshake.
    pub fn finished(&mut self, handshake: Handshake) {
        match handshake.is_resumed {
            true => self.handshakes_resumed += 1,
            false => self.handshakes_full += 1,
        }
        match handshake.version {
            Version::Tls12 => self.handshakes_tls12 += 1,
            Version::Tls13 => self.handshakes_tls13 += 1,
        }
    }

    /// Counts the failure of a session that was or was not still shaking hands.
    pub fn failed(&mut self, failed: &Failed, was_handshaking: bool) {
        self.handshakes_failed += u64::from(was_handshaking);
        match failed.fault {
            Fault::Malformed => self.failed_malformed += 1,
            Fault::Refused => self.failed_refused += 1,
            Fault::Alert(_) => self.failed_alert += 1,
            Fault::Ours => self.failed_ours += 1,
        }
    }

    /// Adds another shard's.
    pub fn add(&mut self, other: &Counters) {
        self.handshakes_full += other.handshakes_full;
        self.handshakes_resumed += other.handshakes_resumed;
        self.handshakes_failed += other.handshakes_failed;
        self.handshakes_tls12 += other.handshakes_tls12;
        self.handshakes_tls13 += other.handshakes_tls13;
        self.failed_malformed += other.failed_malformed;
        self.failed_refused += other.failed_refused;
        self.failed_alert += other.failed_alert;
        self.failed_ours += other.failed_ours;
    }
}
