//! Two sessions and no network between them: what a TLS end promises its caller.

mod handshakes;
mod hostile;
mod identities;
mod lab;
mod properties;
mod resumption;
