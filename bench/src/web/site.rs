//! What every server serves: two files, and a certificate.

use std::path::{Path, PathBuf};

use anyhow::Result;
use rcgen::generate_simple_self_signed;

use crate::servers::Scratch;

/// Files, in a directory that is removed at the end.
pub(crate) struct Site {
    scratch: Scratch,
}

impl Site {
    /// Writes them.
    pub(crate) fn new() -> Result<Self> {
        let site = Site { scratch: Scratch::new("site")? };
        std::fs::create_dir(site.root())?;
        for (name, bytes) in [("1k.bin", 1_024), ("64k.bin", 65_536)] {
            std::fs::write(site.root().join(name), noise(bytes))?;
        }
        // ECDSA on P-256, which is what most of the web has.
        let made = generate_simple_self_signed(vec!["localhost".to_owned()])?;
        std::fs::write(site.certificate(), made.cert.pem())?;
        std::fs::write(site.key(), made.signing_key.serialize_pem())?;
        Ok(site)
    }

    /// Where the files are.
    pub(crate) fn root(&self) -> PathBuf {
        self.scratch.path().join("root")
    }

    /// The certificate, PEM.
    pub(crate) fn certificate(&self) -> PathBuf {
        self.path("certificate.pem")
    }

    /// Its key, PEM.
    pub(crate) fn key(&self) -> PathBuf {
        self.path("key.pem")
    }

    fn path(&self, name: &str) -> PathBuf {
        Path::new(self.scratch.path()).join(name)
    }
}

/// Bytes that no compression makes smaller and that differ everywhere.
fn noise(count: usize) -> Vec<u8> {
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state as u8
    };
    (0..count).map(|_| next()).collect()
}
