//! What a server counts.

/// Why something was thrown away without an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum DropCause {
    /// Neither a STUN message nor ChannelData, or one that is broken.
    Malformed,
    /// A message that only a server sends, or of a method that we do not serve.
    Unexpected,
    /// An answer that would have been too many or too large for who has not shown who he is.
    Unproven,
    /// Data of a client without an allocation.
    NoAllocation,
    /// ChannelData on a channel that is not bound, or not any more.
    NoChannel,
    /// Data to or from a peer without a permission, or not any more.
    NoPermission,
    /// Data to a peer that the policy refuses: our own ports, and port 0.
    Forbidden,
    /// Data past a bandwidth limit.
    Bandwidth,
    /// A repeated request whose first is still being worked on.
    Repeated,
}

impl DropCause {
    /// All of them, in order.
    pub const ALL: [DropCause; 9] = [
        DropCause::Malformed,
        DropCause::Unexpected,
        DropCause::Unproven,
        DropCause::NoAllocation,
        DropCause::NoChannel,
        DropCause::NoPermission,
        DropCause::Forbidden,
        DropCause::Bandwidth,
        DropCause::Repeated,
    ];
}

/// Packets and payload bytes, by direction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// From the client to its peers.
    pub to_peer_packets: u64,
    /// Their payload.
    pub to_peer_bytes: u64,
    /// From peers to the client.
    pub to_client_packets: u64,
    /// Their payload.
    pub to_client_bytes: u64,
}

/// What a server counted since it began; nothing here ever falls.
#[derive(Clone, Copy, Debug, Default)]
pub struct Counters {
    /// Allocations that were made.
    pub allocations: u64,
    /// Requests that were done, Binding among them.
    pub successes: u64,
    /// Requests that were answered with an error, challenges aside.
    pub errors: u64,
    /// Challenges: 401 to who showed nothing, 438.
    pub challenges: u64,
    /// Wrong names or passwords.
    pub failed_proofs: u64,
    /// What was relayed.
    pub usage: Usage,
    dropped: [u64; DropCause::ALL.len()],
}

impl Counters {
    /// How much was dropped for this cause.
    pub fn dropped(&self, cause: DropCause) -> u64 {
        self.dropped[cause as usize]
    }

    pub(crate) fn drop_one(&mut self, cause: DropCause) {
        self.dropped[cause as usize] += 1;
    }
}
