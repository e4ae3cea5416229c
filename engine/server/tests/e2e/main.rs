//! End to end: the real binary on loopback with the peers that people use with it.
//!
//! Each test has a server of its own on a port of its own, so they run side by side, in one process
//! or in many. A peer that is not installed is a failure that names its package, unless
//! `SKYWAVE_TEST_NO_PEERS=1` says to do without peers.
//!
//! | modules | what they are about |
//! |---|---|
//! | `sources`, `claims`, `half_open` | who feeds a mount, who may, and who goes silent |
//! | `listeners`, `titles`, `limits`, `slow` | who hears it, what and how much |
//! | `fallback`, `ogg`, `pulls` | streams that follow or replace one another |
//! | `admin`, `pages`, `proxies`, `refusals` | what is asked of the server, and what is refused |
//! | `kept`, `tls` | connections that are kept, and secure ones |
//! | `files` | directories on disk |
//! | `web` | the pages for browsers |
//! | `routes`, `signalling` | paths of our own, and Symple over WebSocket |
//! | `calls` | calls to the server's own peer, and what it says of streams |
//! | `turn` | browsers and coturn's clients through the TURN of the server |
//! | `workers` | sources and recordings through worker processes |
//! | `process` | configuration, signals, logs |
//! | `transcript` | the same requests to Debian's icecast2 |

#![allow(clippy::disallowed_methods, reason = "these tests live in real time")]

mod harness;

mod admin;
mod calls;
mod claims;
mod events;
mod fallback;
mod files;
mod half_open;
mod kept;
mod limits;
mod listeners;
mod live;
mod ogg;
mod pages;
mod process;
mod proxies;
mod pulls;
mod recordings;
mod refusals;
mod routes;
mod rtc;
mod rtc_network;
mod signalling;
mod slow;
mod sources;
mod titles;
mod tls;
mod transcript;
mod turn;
mod turn_network;
mod web;
mod workers;
