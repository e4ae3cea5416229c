//! Spreads what comes to sockets that share an address by the sender's address alone: a small
//! program that the kernel runs for each new connection or datagram (`SO_ATTACH_REUSEPORT_CBPF`).
//!
//! ```text
//! IPv4: the address      IPv6: the upper 64 bits, folded      -> mixed -> modulo the socket count
//! ```

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};

/// Offsets from here are counted from the network header (`SKF_NET_OFF`).
const NETWORK: i32 = -0x0010_0000;

const LOAD_BYTE: u16 = (libc::BPF_LD | libc::BPF_B | libc::BPF_ABS) as u16;
const LOAD_WORD: u16 = (libc::BPF_LD | libc::BPF_W | libc::BPF_ABS) as u16;
const SHIFT_RIGHT: u16 = (libc::BPF_ALU | libc::BPF_RSH | libc::BPF_K) as u16;
const MULTIPLY: u16 = (libc::BPF_ALU | libc::BPF_MUL | libc::BPF_K) as u16;
/// `BPF_ALU | BPF_MOD | BPF_K`.
const MODULO: u16 = 0x94;
/// `BPF_ALU | BPF_XOR | BPF_X`.
const XOR_INDEX: u16 = 0xAC;
const JUMP_IF_EQUAL: u16 = (libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K) as u16;
const JUMP: u16 = (libc::BPF_JMP | libc::BPF_JA) as u16;
const TO_INDEX: u16 = (libc::BPF_MISC | libc::BPF_TAX) as u16;
/// `BPF_RET | BPF_A`.
const ANSWER: u16 = 0x16;

/// Attaches the program to a socket that shares its address with `socket_count` in all. It counts
/// for all of them; one that is not there yet is replaced by the kernel's own choice.
pub(crate) fn attach(socket: &OwnedFd, socket_count: u16) -> io::Result<()> {
    let mut program = program(socket_count.max(1).into());
    let header = libc::sock_fprog { len: program.len() as u16, filter: program.as_mut_ptr() };
    // SAFETY: the header and the program that it points to outlive the call, which copies them.
    let code = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_ATTACH_REUSEPORT_CBPF,
            (&raw const header).cast(),
            size_of::<libc::sock_fprog>() as libc::socklen_t,
        )
    };
    if code == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

fn program(socket_count: u32) -> [libc::sock_filter; 13] {
    let step = |code, k: u32| libc::sock_filter { code, jt: 0, jf: 0, k };
    let at = |offset: i32| (NETWORK + offset) as u32;
    [
        step(LOAD_BYTE, at(0)),
        step(SHIFT_RIGHT, 4),
        libc::sock_filter { code: JUMP_IF_EQUAL, jt: 0, jf: 2, k: 4 },
        step(LOAD_WORD, at(12)),
        step(JUMP, 4),
        step(LOAD_WORD, at(8)),
        step(TO_INDEX, 0),
        step(LOAD_WORD, at(12)),
        step(XOR_INDEX, 0),
        // Fibonacci hashing: the upper half depends on every bit.
        step(MULTIPLY, 0x9E37_79B1),
        step(SHIFT_RIGHT, 16),
        step(MODULO, socket_count),
        step(ANSWER, 0),
    ]
}
