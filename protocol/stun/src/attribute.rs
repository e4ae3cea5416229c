//! The kinds of attributes that STUN, TURN and ICE know, and the small values among them.

/// What an attribute is: its number in the IANA registry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AttributeKind(pub u16);

macro_rules! kinds {
    ($($name:ident = $number:literal, $document:literal;)*) => {
        impl AttributeKind {
            $(#[doc = $document] pub const $name: AttributeKind = AttributeKind($number);)*
        }
    };
}

kinds! {
    MAPPED_ADDRESS = 0x0001, "RFC 8489 §14.1: an address in the clear.";
    CHANGE_REQUEST = 0x0003, "RFC 5780 §7.2: answer from elsewhere.";
    USERNAME = 0x0006, "RFC 8489 §14.3.";
    MESSAGE_INTEGRITY = 0x0008, "RFC 8489 §14.5: HMAC-SHA1, 20 bytes.";
    ERROR_CODE = 0x0009, "RFC 8489 §14.8.";
    UNKNOWN_ATTRIBUTES = 0x000A, "RFC 8489 §14.13: what a 420 did not understand.";
    CHANNEL_NUMBER = 0x000C, "RFC 8656 §18.1.";
    LIFETIME = 0x000D, "RFC 8656 §18.2: seconds.";
    XOR_PEER_ADDRESS = 0x0012, "RFC 8656 §18.3.";
    DATA = 0x0013, "RFC 8656 §18.4.";
    REALM = 0x0014, "RFC 8489 §14.9.";
    NONCE = 0x0015, "RFC 8489 §14.10.";
    XOR_RELAYED_ADDRESS = 0x0016, "RFC 8656 §18.5.";
    REQUESTED_ADDRESS_FAMILY = 0x0017, "RFC 8656 §18.6.";
    EVEN_PORT = 0x0018, "RFC 8656 §18.7.";
    REQUESTED_TRANSPORT = 0x0019, "RFC 8656 §18.8: 17 is UDP, 6 is TCP.";
    DONT_FRAGMENT = 0x001A, "RFC 8656 §18.9.";
    ACCESS_TOKEN = 0x001B, "RFC 7635 §6.2.";
    MESSAGE_INTEGRITY_SHA256 = 0x001C, "RFC 8489 §14.6: HMAC-SHA256, 16 to 32 bytes.";
    PASSWORD_ALGORITHM = 0x001D, "RFC 8489 §14.12: the one that the client took.";
    USERHASH = 0x001E, "RFC 8489 §14.4: SHA-256 of `user:realm`.";
    XOR_MAPPED_ADDRESS = 0x0020, "RFC 8489 §14.2.";
    RESERVATION_TOKEN = 0x0022, "RFC 8656 §18.10: 8 bytes.";
    PRIORITY = 0x0024, "RFC 8445 §16.1.";
    USE_CANDIDATE = 0x0025, "RFC 8445 §16.1.";
    PADDING = 0x0026, "RFC 5780 §7.6.";
    RESPONSE_PORT = 0x0027, "RFC 5780 §7.5.";
    CONNECTION_ID = 0x002A, "RFC 6062 §6.2.1.";
    ADDITIONAL_ADDRESS_FAMILY = 0x8000, "RFC 8656 §18.11: both families in one allocation.";
    ADDRESS_ERROR_CODE = 0x8001, "RFC 8656 §18.12: why one family of two is missing.";
    PASSWORD_ALGORITHMS = 0x8002, "RFC 8489 §14.11: those that the server offers.";
    ALTERNATE_DOMAIN = 0x8003, "RFC 8489 §14.16.";
    ICMP = 0x8004, "RFC 8656 §18.13.";
    SOFTWARE = 0x8022, "RFC 8489 §14.14.";
    ALTERNATE_SERVER = 0x8023, "RFC 8489 §14.15.";
    FINGERPRINT = 0x8028, "RFC 8489 §14.7: CRC-32 over what stands before it.";
    ICE_CONTROLLED = 0x8029, "RFC 8445 §16.1.";
    ICE_CONTROLLING = 0x802A, "RFC 8445 §16.1.";
    RESPONSE_ORIGIN = 0x802B, "RFC 5780 §7.3.";
    OTHER_ADDRESS = 0x802C, "RFC 5780 §7.4.";
    THIRD_PARTY_AUTHORIZATION = 0x802E, "RFC 7635 §6.1.";
    ADDITIONAL_ADDRESS_FAMILY_DRAFT = 0x8032,
        "ADDITIONAL-ADDRESS-FAMILY as clients of its draft number it, coturn's among them.";
    MOBILITY_TICKET = 0x8030, "RFC 8016 §3.5.";
}

impl AttributeKind {
    /// Whether who does not know it must refuse the message (RFC 8489 §14): below 0x8000.
    pub const fn is_required(self) -> bool {
        self.0 < 0x8000
    }
}

/// A family of addresses, as REQUESTED-ADDRESS-FAMILY and its like number them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Family {
    /// IPv4, 1.
    V4,
    /// IPv6, 2.
    V6,
}

impl Family {
    /// The family with this number.
    pub const fn from_number(number: u8) -> Option<Family> {
        match number {
            1 => Some(Family::V4),
            2 => Some(Family::V6),
            _ => None,
        }
    }

    /// Its number on the wire.
    pub const fn number(self) -> u8 {
        match self {
            Family::V4 => 1,
            Family::V6 => 2,
        }
    }

    /// The family of an address.
    pub const fn of(address: &std::net::SocketAddr) -> Family {
        if address.is_ipv4() { Family::V4 } else { Family::V6 }
    }
}

/// What an ICMP message told about a datagram to a peer (RFC 8656 §18.13).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Icmp {
    /// ICMP's or ICMPv6's type.
    pub kind: u8,
    /// Its code.
    pub code: u8,
    /// What the RFC lets through of its rest: the next hop's MTU, or zero.
    pub data: u32,
}
