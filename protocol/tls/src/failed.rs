//! Why a session ended before its time, and whose fault that was.

use std::fmt;

use rustls::{AlertDescription, Error};

/// Who is to blame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The peer broke the protocol: garbage, a forged record, plain HTTP, a cut stream.
    Malformed,
    /// Our policy, or what the two ends have in common: versions, ciphers, names, limits.
    Refused,
    /// The peer gave up, with this alert (RFC 8446 §6): often because it does not trust the
    /// certificate.
    Alert(u8),
    /// Something of ours: no randomness, no clock, a session that was used after its end.
    Ours,
}

/// The end of a session. What is to be sent, an alert mostly, is in the `out` of the call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failed {
    /// Who is to blame.
    pub fault: Fault,
    /// What happened, in words without bytes of the peer's.
    pub reason: Box<str>,
}

impl Failed {
    pub(crate) fn new(fault: Fault, reason: &str) -> Failed {
        Failed { fault, reason: reason.into() }
    }
}

impl From<Error> for Failed {
    fn from(error: Error) -> Failed {
        let fault = match &error {
            Error::InappropriateMessage { .. }
            | Error::InappropriateHandshakeMessage { .. }
            | Error::InvalidMessage(_)
            | Error::DecryptError
            | Error::PeerMisbehaved(_)
            | Error::PeerSentOversizedRecord => Fault::Malformed,
            Error::PeerIncompatible(_)
            | Error::NoApplicationProtocol
            | Error::NoCertificatesPresented
            | Error::InvalidCertificate(_)
            // That is what rustls says where no certificate was chosen.
            | Error::General(_) => Fault::Refused,
            Error::AlertReceived(alert) => Fault::Alert(number(*alert)),
            _ => Fault::Ours,
        };
        Failed { fault, reason: error.to_string().into() }
    }
}

fn number(alert: AlertDescription) -> u8 {
    alert.into()
}

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.reason)
    }
}

impl std::error::Error for Failed {}
