//! Giving a descriptor to a type of another library that takes bare numbers only.

use std::os::fd::{FromRawFd, IntoRawFd, OwnedFd};

/// Makes a `T` of a descriptor, which it owns from then on. Whether the descriptor is one that `T`
/// can work with is for the caller to know; if not, its operations fail.
#[must_use]
pub fn adopt<T: FromRawFd>(descriptor: OwnedFd) -> T {
    // SAFETY: the descriptor is open and owned, and its ownership passes to `T` here, which is all
    // that `from_raw_fd` asks for.
    unsafe { T::from_raw_fd(descriptor.into_raw_fd()) }
}
