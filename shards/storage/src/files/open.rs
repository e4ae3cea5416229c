//! Opening a file under its root, and what it says of itself. These calls may wait for a disk: they
//! are the storage thread's.

use std::io::IoSliceMut;
use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{FileType, Mode, OFlags, ResolveFlags, Stat, fstat, openat2};
use rustix::io::{Errno, ReadWriteFlags, preadv2};

use super::{Coding, Codings, FileError, FileInfo, FileVersion, path};

/// Opens a directory that files are served from.
pub(crate) fn open_root(path: &std::path::Path) -> std::io::Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    Ok(rustix::fs::open(path, flags, Mode::empty())?)
}

/// Opens the best variant of a file that the asker can use.
pub(crate) fn open(
    root: &OwnedFd,
    path: &str,
    codings: Codings,
) -> Result<(OwnedFd, FileInfo), FileError> {
    path::check(path)?;
    let (mut file, mut version) = open_one(root, path)?;
    let mut coding = Coding::Identity;
    let mut has_variants = false;
    let variants = [(".br", Coding::Brotli, codings.brotli), (".gz", Coding::Gzip, codings.gzip)];
    if !variants.iter().any(|(suffix, ..)| path.ends_with(suffix)) {
        for (suffix, variant, is_wanted) in variants {
            let Ok(found) = open_one(root, &format!("{path}{suffix}")) else { continue };
            has_variants = true;
            if is_wanted && coding == Coding::Identity {
                (file, version) = found;
                coding = variant;
            }
        }
    }
    Ok((file, FileInfo { version, coding, has_variants }))
}

fn open_one(root: &OwnedFd, path: &str) -> Result<(OwnedFd, FileVersion), FileError> {
    // Non-blocking, for the opening of a FIFO waits for its other end.
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
    let file = openat2(root, path, flags, Mode::empty(), resolve).map_err(|error| match error {
        Errno::NOENT | Errno::NOTDIR | Errno::NAMETOOLONG => FileError::NotFound,
        Errno::ACCESS | Errno::PERM => FileError::Denied,
        // Out of the root, in circles, or a socket.
        Errno::XDEV | Errno::LOOP | Errno::NXIO | Errno::INVAL | Errno::AGAIN => FileError::Refused,
        Errno::MFILE | Errno::NFILE => FileError::Busy,
        _ => FileError::Failed,
    })?;
    let stat = fstat(&file).map_err(|_| FileError::Failed)?;
    match FileType::from_raw_mode(stat.st_mode) {
        FileType::RegularFile => Ok((file, version(&stat))),
        FileType::Directory => Err(FileError::Directory),
        _ => Err(FileError::Refused),
    }
}

fn version(stat: &Stat) -> FileVersion {
    let ns = |seconds: i64, ns: i128| i128::from(seconds) * 1_000_000_000 + ns;
    FileVersion {
        inode: stat.st_ino,
        size_bytes: u64::try_from(stat.st_size).unwrap_or(0),
        modified_ns: ns(stat.st_mtime, i128::from(stat.st_mtime_nsec)),
    }
}

/// Whether the file has still the content that it had when it was opened. One whose name was given
/// to another file has: it is read to its end. One that `grows` has while it is no shorter.
pub(crate) fn is_still(file: &OwnedFd, opened: &FileVersion, grows: bool) -> bool {
    fstat(file).is_ok_and(|stat| {
        let now = version(&stat);
        now == *opened || grows && now.size_bytes >= opened.size_bytes
    })
}

/// Reads what the page cache has, without waiting, until `block` is full. Says how much that was;
/// the rest has to come from the disk.
pub(crate) fn read_cached(file: &OwnedFd, offset: u64, block: &mut [u8]) -> usize {
    let mut filled = 0;
    // Each round fills something, or is the last.
    while filled < block.len() {
        let mut room = [IoSliceMut::new(&mut block[filled..])];
        let at = offset + filled as u64;
        match preadv2(file.as_fd(), &mut room, at, ReadWriteFlags::NOWAIT) {
            Ok(0) | Err(_) => break,
            Ok(bytes) => filled += bytes,
        }
    }
    filled
}
