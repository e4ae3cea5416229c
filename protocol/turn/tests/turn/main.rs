//! A server between clients and peers that are only data: what they get, and what they must not.

mod allocations;
mod connections;
mod lab;
mod proofs;
mod properties;
mod refusals;
mod relaying;
