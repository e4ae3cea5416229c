//! The 20 bytes that every STUN message begins with (RFC 8489 §5).
//!
//! ```text
//!  0                   1                   2                   3
//!  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
//! |0 0|  type: method and class |   bytes behind these twenty   |
//! |                    magic cookie 0x2112A442                    |
//! |                                                               |
//! |                    transaction id (12 bytes)                  |
//! |                                                               |
//! type, bit by bit:  m m m m m C m m m C m m m m
//! ```

/// Bytes of the header.
pub const HEADER_BYTES: usize = 20;

/// What stands in bytes 4 to 7 of every message.
pub const MAGIC_COOKIE: u32 = 0x2112_A442;

/// What an asker calls his question; the answer carries it back. 96 bits of chance.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TransactionId(pub [u8; 12]);

/// What a message is in its transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// A question that wants an answer.
    Request,
    /// News that wants none.
    Indication,
    /// The answer to a request that was done.
    Success,
    /// The answer to a request that was not.
    Error,
}

/// What a message is about; 12 bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Method(u16);

impl Method {
    /// Binding: «where do you see me?» (RFC 8489 §3).
    pub const BINDING: Method = Method(0x001);
    /// Allocate: lend me an address (RFC 8656 §7).
    pub const ALLOCATE: Method = Method(0x003);
    /// Refresh: for longer, or no longer (RFC 8656 §8).
    pub const REFRESH: Method = Method(0x004);
    /// Send: an indication with data for a peer (RFC 8656 §11).
    pub const SEND: Method = Method(0x006);
    /// Data: an indication with data from a peer (RFC 8656 §11).
    pub const DATA: Method = Method(0x007);
    /// CreatePermission: let these peers through (RFC 8656 §10).
    pub const CREATE_PERMISSION: Method = Method(0x008);
    /// ChannelBind: a number for a peer (RFC 8656 §12).
    pub const CHANNEL_BIND: Method = Method(0x009);
    /// Connect: a TCP connection to a peer (RFC 6062 §4.3).
    pub const CONNECT: Method = Method(0x00A);
    /// ConnectionBind: this connection carries that peer's data (RFC 6062 §4.4).
    pub const CONNECTION_BIND: Method = Method(0x00B);
    /// ConnectionAttempt: a peer connected (RFC 6062 §4.4).
    pub const CONNECTION_ATTEMPT: Method = Method(0x00C);

    /// The method with this number; none past 12 bits.
    pub const fn new(number: u16) -> Option<Method> {
        if number < 0x1000 { Some(Method(number)) } else { None }
    }

    /// Its number.
    pub const fn number(self) -> u16 {
        self.0
    }
}

/// The first two bytes of a message of this class and method.
pub(crate) fn type_of(class: Class, method: Method) -> u16 {
    let class = match class {
        Class::Request => 0x0000,
        Class::Indication => 0x0010,
        Class::Success => 0x0100,
        Class::Error => 0x0110,
    };
    let method = method.0;
    class | (method & 0xF) | ((method & 0x70) << 1) | ((method & 0xF80) << 2)
}

/// The class and method in the first two bytes; none if the top bits say that it is no STUN.
pub(crate) fn split_type(kind: u16) -> Option<(Class, Method)> {
    if kind & 0xC000 != 0 {
        return None;
    }
    let class = match kind & 0x0110 {
        0x0000 => Class::Request,
        0x0010 => Class::Indication,
        0x0100 => Class::Success,
        _ => Class::Error,
    };
    let method = (kind & 0xF) | ((kind >> 1) & 0x70) | ((kind >> 2) & 0xF80);
    Some((class, Method(method)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_class_and_method_comes_back() {
        for number in 0..0x1000 {
            let method = Method::new(number).expect("12 bits");
            for class in [Class::Request, Class::Indication, Class::Success, Class::Error] {
                assert_eq!(split_type(type_of(class, method)), Some((class, method)));
            }
        }
        assert_eq!(Method::new(0x1000), None);
        assert_eq!(split_type(0x4000), None);
        assert_eq!(type_of(Class::Success, Method::BINDING), 0x0101);
    }
}
