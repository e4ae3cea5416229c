//! Which identity a client gets: by the name that it asks for (SNI, RFC 6066 §3), and among those
//! of one name by the signatures that it understands.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use crate::Identity;

/// All identities of a server; the first is the default.
#[derive(Debug)]
pub(crate) struct Names {
    identities: Vec<Arc<CertifiedKey>>,
    /// In lower case, wildcards with their `*.`; identities in the order they were given.
    by_name: BTreeMap<Box<str>, Vec<usize>>,
    refuses_unknown: bool,
}

impl Names {
    pub(crate) fn new(identities: &[Identity], refuses_unknown: bool) -> Names {
        let mut by_name: BTreeMap<Box<str>, Vec<usize>> = BTreeMap::new();
        for (at, identity) in identities.iter().enumerate() {
            for name in identity.names() {
                by_name.entry(name.into()).or_default().push(at);
            }
        }
        let identities = identities.iter().map(|identity| Arc::clone(&identity.certified));
        Names { identities: identities.collect(), by_name, refuses_unknown }
    }

    fn choose(&self, name: Option<&str>, hello: &ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let found = name.and_then(|name| self.find(&name.to_ascii_lowercase()));
        let candidates: &[usize] = match found {
            Some(candidates) => candidates,
            None if name.is_some() && self.refuses_unknown => return None,
            // Whoever names nobody, or somebody we do not know, gets the default.
            None => &[],
        };
        let schemes = hello.signature_schemes();
        let suitable = candidates
            .iter()
            .find(|at| self.identities[**at].key.choose_scheme(schemes).is_some())
            .or(candidates.first())
            .copied();
        Some(Arc::clone(&self.identities[suitable.unwrap_or(0)]))
    }

    /// The exact name comes before the wildcard, which stands for one label (RFC 6125 §6.4.3).
    fn find(&self, name: &str) -> Option<&[usize]> {
        if let Some(exact) = self.by_name.get(name) {
            return Some(exact);
        }
        let (_, parent) = name.split_once('.')?;
        let wildcard = format!("*.{parent}");
        self.by_name.get(wildcard.as_str()).map(Vec::as_slice)
    }
}

/// What one session's rustls asks, and what it asked for: rustls tells nobody else.
#[derive(Debug)]
pub(crate) struct Asked {
    names: Arc<Names>,
    name: OnceLock<Box<str>>,
}

impl Asked {
    pub(crate) fn new(names: Arc<Names>) -> Asked {
        Asked { names, name: OnceLock::new() }
    }

    pub(crate) fn name(&self) -> Option<&str> {
        self.name.get().map(AsRef::as_ref)
    }
}

impl ResolvesServerCert for Asked {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let name = hello.server_name();
        if let Some(name) = name {
            // A second hello, after a retry, has to name the same; rustls sees to it.
            let _same = self.name.set(name.into());
        }
        self.names.choose(name, &hello)
    }
}
