//! A TURN server in a few pages: `protocol-turn` on shards, one thread for each core.
//!
//! ```text
//! cargo run --release -p protocol-turn --example relay -- \
//!     --turn 0.0.0.0:3478 --turn-external 203.0.113.7 --turn-user anna:secret
//! ```
//!
//! There are no default credentials, and peers in private networks are refused unless allowed
//! (`--turn-allow-peer`). A line is printed for each allocation at its end.
//!
//! Where to read on: `relay/args.rs` is the command line, `relay/start.rs` starts the shards,
//! `relay/service.rs` is what each of them runs; the relay itself is the crate `engine-relay`.

#[path = "relay/mod.rs"]
mod relay;

use std::process::ExitCode;

use relay::Args;

fn main() -> ExitCode {
    let args = match Args::parse(std::env::args().skip(1)) {
        Ok(args) => args,
        Err(message) => {
            eprintln!("relay: {message}");
            return ExitCode::from(2);
        }
    };
    match relay::start(&args) {
        Ok((listeners, shards)) => {
            for listener in listeners {
                println!("listening on {} ({:?})", listener.address, listener.listening);
            }
            shards.join();
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("relay: {error}");
            ExitCode::FAILURE
        }
    }
}
