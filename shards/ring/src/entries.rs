//! Submission entries that the `io-uring` crate has no builder for.

use std::os::fd::RawFd;

use io_uring::types::Fixed;
use io_uring::{opcode, squeue};

use crate::address::Family;
use crate::forward::Cutting;

const GET_SOCKET_OPTION: u32 = 2;
const SET_SOCKET_OPTION: u32 = 3;

/// Where `struct io_uring_sqe` holds `optlen`.
const OPTION_LEN_AT: usize = 44;

/// Where it holds its flags, and its descriptor.
const FLAGS_AT: usize = 1;
const DESCRIPTOR_AT: usize = 4;
/// `IOSQE_FIXED_FILE`: the descriptor is a slot of the ring's table.
const IS_SLOT: u8 = 1;

const _: () = assert!(size_of::<squeue::Entry>() == 64, "an entry is the kernel's 64 bytes");

static ONE: i32 = 1;

/// Asks who is at the other end of a stream; the answer is written to `address`, which must have
/// exactly the length of the socket's family.
pub(crate) fn peer_name(slot: u32, address: *mut u8, len: usize) -> squeue::Entry {
    let option = (libc::SOL_SOCKET, libc::SO_PEERNAME);
    socket_option(slot, GET_SOCKET_OPTION, option, address.expose_provenance(), len)
}

/// Makes an entry that names a slot of the ring's table name an ordinary descriptor.
pub(crate) fn on_descriptor(mut entry: squeue::Entry, descriptor: RawFd) -> squeue::Entry {
    let bytes = (&raw mut entry).cast::<u8>();
    // SAFETY: an entry is plain 64 bytes (asserted above): one of flags at 1, four of descriptor
    // at 4, where the whole is aligned for eight.
    unsafe {
        *bytes.add(FLAGS_AT) &= !IS_SLOT;
        bytes.add(DESCRIPTOR_AT).cast::<RawFd>().write(descriptor);
    }
    entry
}

/// Sets `TCP_NODELAY`.
pub(crate) fn no_delay(slot: u32) -> squeue::Entry {
    let option = (libc::IPPROTO_TCP, libc::TCP_NODELAY);
    let value = (&raw const ONE).expose_provenance();
    socket_option(slot, SET_SOCKET_OPTION, option, value, size_of::<i32>())
}

/// The value that lets this host and every router cut what is too long. A v4 socket with the plain
/// one (`DONT`) is not told of what a router says of a datagram that must not be cut; with the
/// other it is, and cuts just the same.
pub(crate) fn cutting_allowed(family: Family) -> &'static i32 {
    static V4: i32 = libc::IP_PMTUDISC_OMIT;
    static V6: i32 = libc::IPV6_PMTUDISC_DONT;
    match family {
        Family::V4 => &V4,
        Family::V6 => &V6,
    }
}

/// Sets `IP_MTU_DISCOVER`, or its v6 sister.
pub(crate) fn cutting(slot: u32, family: Family, cutting: Cutting) -> squeue::Entry {
    static SYSTEM: i32 = libc::IP_PMTUDISC_WANT;
    static NEVER: i32 = libc::IP_PMTUDISC_DO;
    let value = match cutting {
        Cutting::Allowed => cutting_allowed(family),
        Cutting::System => &SYSTEM,
        Cutting::Never => &NEVER,
    };
    let value = std::ptr::from_ref(value).expose_provenance();
    socket_option(slot, SET_SOCKET_OPTION, mtu_discover(family), value, size_of::<i32>())
}

/// Level and name of the option that says who cuts long datagrams.
pub(crate) fn mtu_discover(family: Family) -> (i32, i32) {
    match family {
        Family::V4 => (libc::IPPROTO_IP, libc::IP_MTU_DISCOVER),
        Family::V6 => (libc::IPPROTO_IPV6, libc::IPV6_MTU_DISCOVER),
    }
}

/// `SOCKET_URING_OP_{GET,SET}SOCKOPT`: level and name lie where other commands have an address,
/// the value's address where they have their own bytes, its length behind.
fn socket_option(
    slot: u32,
    command: u32,
    (level, name): (i32, i32),
    value: usize,
    len: usize,
) -> squeue::Entry {
    let mut level_and_name = [0; 8];
    level_and_name[..4].copy_from_slice(&level.to_ne_bytes());
    level_and_name[4..].copy_from_slice(&name.to_ne_bytes());
    let mut own = [0; 16];
    own[..8].copy_from_slice(&(value as u64).to_ne_bytes());
    let mut entry = opcode::UringCmd16::new(Fixed(slot), command)
        .addr(Some(u64::from_ne_bytes(level_and_name)))
        .cmd(own)
        .build();
    // SAFETY: an entry is plain 64 bytes (asserted above), four of them at 44 are the length.
    unsafe { (&raw mut entry).cast::<u8>().add(OPTION_LEN_AT).cast::<u32>().write(len as u32) };
    entry
}
