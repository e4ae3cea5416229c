//! The errors of Linux that the simulated kernel answers with, by their numbers on x86-64 and
//! arm64.

use std::io;

pub(crate) const ENFILE: i32 = 23;
pub(crate) const EPIPE: i32 = 32;
pub(crate) const EMSGSIZE: i32 = 90;
pub(crate) const EAFNOSUPPORT: i32 = 97;
pub(crate) const EADDRINUSE: i32 = 98;
pub(crate) const EADDRNOTAVAIL: i32 = 99;
pub(crate) const ECONNABORTED: i32 = 103;
pub(crate) const ECONNRESET: i32 = 104;
pub(crate) const ENOBUFS: i32 = 105;
pub(crate) const ETIMEDOUT: i32 = 110;
pub(crate) const ECONNREFUSED: i32 = 111;
pub(crate) const ECANCELED: i32 = 125;

/// The error as a machine reports it.
pub(crate) fn error(number: i32) -> io::Error {
    io::Error::from_raw_os_error(number)
}
