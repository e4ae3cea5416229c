//! What is wrong with the files of an operator, in words that say what to do.

use std::fmt;

/// A configuration that cannot be served.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ConfigError {
    /// The text for certificates has none; `found` is what it has instead.
    NoCertificate {
        /// What stands in the text.
        found: &'static str,
    },
    /// The text for the key has none.
    NoKey {
        /// What stands in the text.
        found: &'static str,
    },
    /// The key can only be read with a passphrase.
    EncryptedKey,
    /// The text is not PEM, or its base64 is damaged.
    Pem {
        /// Of the certificates or of the key.
        of: &'static str,
        /// What is wrong.
        reason: String,
    },
    /// A certificate, counted from 1, cannot be read.
    Certificate {
        /// Which.
        number: usize,
        /// What is wrong.
        reason: String,
    },
    /// The key is of a kind or size that is not served.
    UnsupportedKey {
        /// What the library says.
        reason: String,
    },
    /// The key belongs to none of the certificates.
    WrongKey {
        /// Whose certificate the first one is.
        subject: String,
    },
    /// The key belongs to a certificate that is not the first.
    LeafNotFirst {
        /// Its number, from 1.
        number: usize,
        /// Whose it is.
        subject: String,
    },
    /// A certificate did not issue the one before it.
    ChainOrder {
        /// The number, from 1, of the one that does not fit.
        number: usize,
        /// Whose it is.
        subject: String,
        /// Who issued the one before it.
        wanted: String,
    },
    /// Nothing to serve: no identity was given.
    NoIdentity,
    /// No certificate of a root can be used.
    NoRoots,
    /// The library refuses, or the machine has no randomness.
    Library {
        /// What it says.
        reason: String,
    },
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ConfigError::NoCertificate { found } => write!(
                f,
                "there is no certificate: a line -----BEGIN CERTIFICATE----- was expected, and \
                 {found} found"
            ),
            ConfigError::NoKey { found } => write!(
                f,
                "there is no private key: a line -----BEGIN PRIVATE KEY----- was expected, and \
                 {found} found"
            ),
            ConfigError::EncryptedKey => f.write_str(
                "the private key is encrypted with a passphrase: decrypt it, for example with \
                 `openssl pkey -in FILE -out FILE.plain`",
            ),
            ConfigError::Pem { of, reason } => write!(f, "the PEM of {of} is damaged: {reason}"),
            ConfigError::Certificate { number, reason } => {
                write!(f, "certificate {number} cannot be read: {reason}")
            }
            ConfigError::UnsupportedKey { reason } => write!(
                f,
                "the private key cannot be used ({reason}): it has to be RSA of 2048 bits or more, \
                 ECDSA P-256, P-384 or P-521, or Ed25519"
            ),
            ConfigError::WrongKey { subject } => write!(
                f,
                "the private key does not belong to the certificate of \"{subject}\": they are of \
                 two different requests"
            ),
            ConfigError::LeafNotFirst { number, subject } => write!(
                f,
                "the private key belongs to certificate {number} (\"{subject}\"): put that one \
                 first, then the one that issued it, and so on"
            ),
            ConfigError::ChainOrder { number, subject, wanted } => write!(
                f,
                "certificate {number} (\"{subject}\") did not issue the one before it, which was \
                 issued by \"{wanted}\": each has to be followed by its issuer"
            ),
            ConfigError::NoIdentity => f.write_str("there is no certificate to serve"),
            ConfigError::NoRoots => f.write_str("there is no usable root certificate"),
            ConfigError::Library { reason } => f.write_str(reason),
        }
    }
}

impl std::error::Error for ConfigError {}

impl From<rustls::Error> for ConfigError {
    fn from(error: rustls::Error) -> ConfigError {
        ConfigError::Library { reason: error.to_string() }
    }
}
