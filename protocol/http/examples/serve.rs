//! A web server in a few pages: `protocol-http` and `protocol-ws` on shards, one thread for each
//! core, and nothing else.
//!
//! ```text
//! cargo run --release -p protocol-http --example serve -- ADDR [--cores LIST] [--root DIR]
//!     [--tls-cert FILE --tls-key FILE]
//! ```
//!
//! | path | answer |
//! |---|---|
//! | `/` | 13 bytes of text; to `POST` and `PUT`: the body again |
//! | `/empty` | 200 without a body |
//! | `/length` | to `POST` and `PUT`: how many bytes the body had |
//! | `/echo` | a WebSocket that says everything again, compressed for who wants that |
//! | any other | a file under the root, with `ETag`, conditions and ranges |
//!
//! Where to read on: `serve/site.rs` is the table of routes and what they answer, `serve/driver.rs`
//! the service that a shard runs: it brings sockets and `protocol_http::server` together. Limits
//! are in `serve/limits.rs`.

#[path = "serve/mod.rs"]
mod serve;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use serve::Settings;

const USAGE: &str =
    "usage: serve ADDR [--cores 0,1,…] [--root DIR] [--tls-cert FILE --tls-key FILE]
  ADDR     where to listen, such as 127.0.0.1:8080; port 0 picks a free one
  --cores  one thread on each of these cores; without it, one thread on any core
  --root   serve the files of this directory
  --tls-cert, --tls-key  speak TLS too, with this certificate chain and key, in PEM";

fn main() -> ExitCode {
    let settings = match parse_args(std::env::args().skip(1)) {
        Ok(settings) => settings,
        Err(message) => {
            eprintln!("serve: {message}\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    match serve::start(&settings) {
        Ok((address, shards)) => {
            println!("listening on http://{address}/");
            shards.join();
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("serve: {error}");
            ExitCode::FAILURE
        }
    }
}

fn parse_args(mut args: impl Iterator<Item = String>) -> Result<Settings, String> {
    let mut address: Option<SocketAddr> = None;
    let mut cores = Vec::new();
    let mut root = None;
    let (mut certificate, mut key) = (None, None);
    while let Some(arg) = args.next() {
        let mut value = || args.next().ok_or(format!("{arg} needs a value"));
        match arg.as_str() {
            "--cores" => {
                let numbers = value()?;
                let parsed = numbers.split(',').map(|number| number.trim().parse::<usize>());
                cores = parsed.collect::<Result<_, _>>().map_err(|_| "cores are numbers")?;
            }
            "--root" => root = Some(PathBuf::from(value()?)),
            "--tls-cert" => certificate = Some(PathBuf::from(value()?)),
            "--tls-key" => key = Some(PathBuf::from(value()?)),
            text if address.is_none() => {
                let parsed = text.parse().map_err(|_| format!("no address: {text}"))?;
                address = Some(parsed);
            }
            other => return Err(format!("what is {other}?")),
        }
    }
    let address = address.ok_or("no address")?;
    let tls = match (certificate, key) {
        (Some(certificate), Some(key)) => Some((certificate, key)),
        (None, None) => None,
        _ => return Err("--tls-cert and --tls-key go together".to_owned()),
    };
    Ok(Settings { address, cores, root, tls })
}
