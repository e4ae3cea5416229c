//! One identity of a server: a certificate, who vouches for it, and the key. Checked here, once, so
//! that an operator hears of a mistake when he makes it and not from a browser.

use std::fmt;
use std::sync::Arc;

use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::{self, PemObject, SectionKind};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};

use crate::ConfigError;

/// A certificate with less time left than this is worth a word.
const EXPIRES_SOON_SECONDS: u64 = 14 * 24 * 3600;

/// A certificate chain and its key, which fit together.
#[derive(Clone, Debug)]
pub struct Identity {
    pub(crate) certified: Arc<CertifiedKey>,
    names: Vec<Box<str>>,
    subject: Box<str>,
    begins_unix_seconds: u64,
    expires_unix_seconds: u64,
    is_self_signed: bool,
    chain_count: usize,
}

/// What is served and yet will not please everybody.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Warning {
    /// It was valid until then, seconds since 1970.
    Expired(u64),
    /// It will expire then.
    ExpiresSoon(u64),
    /// It is not valid before then.
    NotYetValid(u64),
    /// It has no DNS name and no address (`subjectAltName`): browsers refuse it.
    NoNames,
    /// Nobody else vouches for it.
    SelfSigned,
    /// It stands alone, and somebody else issued it: most clients need the issuer's certificate.
    NoChain,
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Warning::Expired(at) => write!(f, "it expired ({at} seconds after 1970)"),
            Warning::ExpiresSoon(at) => write!(f, "it expires soon ({at} seconds after 1970)"),
            Warning::NotYetValid(at) => write!(f, "it is valid only from {at} seconds after 1970"),
            Warning::NoNames => f.write_str("it has no names (subjectAltName): browsers refuse it"),
            Warning::SelfSigned => f.write_str("it is self-signed: clients have to be told of it"),
            Warning::NoChain => {
                f.write_str("the certificate of its issuer is missing: many clients refuse it")
            }
        }
    }
}

impl Identity {
    /// Reads an identity from PEM: the certificate, then each one's issuer, and the key. Both may
    /// stand in one text, which is then given twice.
    ///
    /// # Errors
    /// What is wrong with the texts, and what does not fit together. That a certificate has expired
    /// is none: see [`Identity::warnings`].
    pub fn from_pem(certificates: &str, key: &str) -> Result<Identity, ConfigError> {
        let chain = read_chain(certificates)?;
        let provider = rustls::crypto::aws_lc_rs::default_provider();
        let key = read_key(key)?;
        let key = provider
            .key_provider
            .load_private_key(key)
            .map_err(|error| ConfigError::UnsupportedKey { reason: error.to_string() })?;
        let parsed = parse(&chain)?;
        let key_spki = key.public_key();
        if let Some(spki) = &key_spki {
            let owner =
                parsed.iter().position(|certificate| certificate.public_key().raw == &**spki);
            match owner {
                Some(0) => {}
                Some(at) => {
                    let subject = parsed[at].subject().to_string();
                    return Err(ConfigError::LeafNotFirst { number: at + 1, subject });
                }
                None => {
                    let subject = parsed[0].subject().to_string();
                    return Err(ConfigError::WrongKey { subject });
                }
            }
        }
        check_order(&parsed)?;
        let leaf = &parsed[0];
        let seconds =
            |time: x509_parser::time::ASN1Time| u64::try_from(time.timestamp()).unwrap_or(0);
        let identity = Identity {
            names: names(leaf),
            subject: leaf.subject().to_string().into(),
            begins_unix_seconds: seconds(leaf.validity().not_before),
            expires_unix_seconds: seconds(leaf.validity().not_after),
            is_self_signed: leaf.issuer().as_raw() == leaf.subject().as_raw(),
            chain_count: chain.len(),
            certified: Arc::new(CertifiedKey::new(chain.clone(), key)),
        };
        Ok(identity)
    }

    /// The DNS names that it is for, in lower case; a wildcard begins with `*.`.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.names.iter().map(AsRef::as_ref)
    }

    /// Whose it is, as its certificate says.
    #[must_use]
    pub fn subject(&self) -> &str {
        &self.subject
    }

    /// The last second, since 1970, in which it is valid.
    #[must_use]
    pub fn expires_unix_seconds(&self) -> u64 {
        self.expires_unix_seconds
    }

    /// What an operator should know at this time.
    #[must_use]
    pub fn warnings(&self, now_unix_seconds: u64) -> Vec<Warning> {
        let mut warnings = Vec::new();
        let expires = self.expires_unix_seconds;
        if now_unix_seconds > expires {
            warnings.push(Warning::Expired(expires));
        } else if now_unix_seconds + EXPIRES_SOON_SECONDS > expires {
            warnings.push(Warning::ExpiresSoon(expires));
        }
        if now_unix_seconds < self.begins_unix_seconds {
            warnings.push(Warning::NotYetValid(self.begins_unix_seconds));
        }
        if self.names.is_empty() {
            warnings.push(Warning::NoNames);
        }
        match (self.is_self_signed, self.chain_count) {
            (true, _) => warnings.push(Warning::SelfSigned),
            (false, 1) => warnings.push(Warning::NoChain),
            (false, _) => {}
        }
        warnings
    }
}

pub(crate) fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}

/// All certificates of a text.
pub(crate) fn read_chain(text: &str) -> Result<Vec<CertificateDer<'static>>, ConfigError> {
    let damaged =
        |error: pem::Error| ConfigError::Pem { of: "the certificates", reason: error.to_string() };
    let chain: Vec<_> = CertificateDer::pem_slice_iter(text.as_bytes())
        .collect::<Result<_, _>>()
        .map_err(damaged)?;
    if chain.is_empty() {
        return Err(ConfigError::NoCertificate { found: what_is_in(text) });
    }
    Ok(chain)
}

fn read_key(text: &str) -> Result<PrivateKeyDer<'static>, ConfigError> {
    if text.contains("-----BEGIN ENCRYPTED PRIVATE KEY-----")
        || text.contains("Proc-Type: 4,ENCRYPTED")
    {
        return Err(ConfigError::EncryptedKey);
    }
    PrivateKeyDer::from_pem_slice(text.as_bytes()).map_err(|error| match error {
        pem::Error::NoItemsFound => ConfigError::NoKey { found: what_is_in(text) },
        error => ConfigError::Pem { of: "the private key", reason: error.to_string() },
    })
}

/// What stands in a text where something else was expected.
fn what_is_in(text: &str) -> &'static str {
    let mut sections = <(SectionKind, Vec<u8>) as PemObject>::pem_slice_iter(text.as_bytes());
    match sections.next() {
        _ if text.trim().is_empty() => "nothing",
        Some(Ok((SectionKind::Certificate, _))) => "a certificate",
        Some(Ok((SectionKind::Csr, _))) => "a request for a certificate",
        Some(Ok((SectionKind::PublicKey, _))) => "a public key",
        Some(Ok((
            SectionKind::PrivateKey | SectionKind::RsaPrivateKey | SectionKind::EcPrivateKey,
            _,
        ))) => "a private key",
        Some(_) => "something else",
        None => "no PEM",
    }
}

fn parse<'a>(
    chain: &'a [CertificateDer<'static>],
) -> Result<Vec<X509Certificate<'a>>, ConfigError> {
    let read = |(at, der): (usize, &'a CertificateDer<'static>)| {
        let failed = |reason: String| ConfigError::Certificate { number: at + 1, reason };
        match X509Certificate::from_der(der) {
            Ok(([], certificate)) => Ok(certificate),
            Ok(_) => Err(failed("bytes stand behind it".to_owned())),
            Err(error) => Err(failed(error.to_string())),
        }
    };
    chain.iter().enumerate().map(read).collect()
}

/// Each certificate is followed by its issuer's (RFC 8446 §4.4.2).
fn check_order(chain: &[X509Certificate<'_>]) -> Result<(), ConfigError> {
    for (at, pair) in chain.windows(2).enumerate() {
        if pair[0].issuer().as_raw() != pair[1].subject().as_raw() {
            return Err(ConfigError::ChainOrder {
                number: at + 2,
                subject: pair[1].subject().to_string(),
                wanted: pair[0].issuer().to_string(),
            });
        }
    }
    Ok(())
}

fn names(leaf: &X509Certificate<'_>) -> Vec<Box<str>> {
    let Ok(Some(extension)) = leaf.subject_alternative_name() else { return Vec::new() };
    let names = extension.value.general_names.iter();
    names
        .filter_map(|name| match name {
            GeneralName::DNSName(name) => Some(name.to_ascii_lowercase().into()),
            _ => None,
        })
        .collect()
}
