//! What is counted of a session.

/// Counts of one session, from its start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Counters {
    /// Datagrams that came.
    pub datagrams_in: u64,
    /// Of them, those that were not this session's: malformed, from elsewhere, or with a wrong
    /// password.
    pub datagrams_refused: u64,
    /// Datagrams to send.
    pub datagrams_out: u64,
    /// Packets of incoming tracks, those that came again by RTX among them.
    pub packets_in: u64,
    /// Bytes of their payloads.
    pub payload_bytes_in: u64,
    /// Packets of no track, layer or payload type that was agreed on.
    pub packets_unknown: u64,
    /// Packets handed to the pacer.
    pub packets_out: u64,
    /// Bytes of their payloads.
    pub payload_bytes_out: u64,
    /// Packets refused for what waits already.
    pub packets_full: u64,
    /// Packets refused for another reason: no connection, track or codec.
    pub packets_unsent: u64,
    /// Keyframes that the viewer asked for.
    pub keyframes_wanted: u64,
    /// Keyframes that the publisher was asked for.
    pub keyframes_requested: u64,
    /// Candidates of the peer's, passed over.
    pub candidates_passed_over: u64,
    /// Times that ICE was started anew.
    pub ice_restarts: u64,
    /// Data channels that were closed at once.
    pub channels_refused: u64,
    /// Messages that were too long, or of no channel.
    pub messages_refused: u64,
    /// Errors that str0m told.
    pub errors: u64,
    /// Panics in str0m; the first ends the session.
    pub panics: u64,
}

impl Counters {
    /// Adds another session's, for a sum.
    pub fn add(&mut self, other: &Self) {
        self.datagrams_in += other.datagrams_in;
        self.datagrams_refused += other.datagrams_refused;
        self.datagrams_out += other.datagrams_out;
        self.packets_in += other.packets_in;
        self.payload_bytes_in += other.payload_bytes_in;
        self.packets_unknown += other.packets_unknown;
        self.packets_out += other.packets_out;
        self.payload_bytes_out += other.payload_bytes_out;
        self.packets_full += other.packets_full;
        self.packets_unsent += other.packets_unsent;
        self.keyframes_wanted += other.keyframes_wanted;
        self.keyframes_requested += other.keyframes_requested;
        self.candidates_passed_over += other.candidates_passed_over;
        self.ice_restarts += other.ice_restarts;
        self.channels_refused += other.channels_refused;
        self.messages_refused += other.messages_refused;
        self.errors += other.errors;
        self.panics += other.panics;
    }
}
