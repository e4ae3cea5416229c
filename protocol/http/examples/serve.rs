//! A web server in a page: `engine-http` on shards, one thread for each core.
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
//! | any other | a file under the root, with `ETag`, conditions, ranges, precompressed variants |
//!
//! `SIGHUP` has it read the certificate anew; connections go on.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use engine_http::{
    Answer, Control, Conversation, Handler, Message, Method, Replies, Request, Route, Serving,
    Site, Status, Upload, tls_of, whole,
};
use protocol_tls::ServerConfig;
use shards_runtime::Shards;
use signal_hook::{consts::SIGHUP, iterator::Signals};

const USAGE: &str =
    "usage: serve ADDR [--cores 0,1,…] [--root DIR] [--tls-cert FILE --tls-key FILE]";

const ROUTES: &[Route<Handler<()>>] = &[
    Route::new(Method::Get, "/", Handler::Answer(hello)),
    Route::new(Method::Post, "/", Handler::Upload(mirror)).with_body(64 << 10),
    Route::new(Method::Put, "/", Handler::Upload(mirror)).with_body(64 << 10),
    Route::new(Method::Get, "/empty", Handler::Answer(empty)),
    Route::new(Method::Post, "/length", Handler::Upload(length)).with_body(1 << 20),
    Route::new(Method::Put, "/length", Handler::Upload(length)).with_body(1 << 20),
    Route::new(Method::Get, "/echo", Handler::WebSocket(echo)),
    Route::new(Method::Get, "/{*path}", Handler::Files),
];

fn hello(_: &mut (), _: &Request<'_>, answer: Answer<'_>) {
    answer.text(Status::OK, "Hello, world!");
}

fn empty(_: &mut (), _: &Request<'_>, answer: Answer<'_>) {
    answer.text(Status::OK, "");
}

/// Holds the body until it is whole.
fn mirror(_: &mut (), _: &Request<'_>) -> Box<dyn Upload<()>> {
    whole(|_, body, answer| answer.text(Status::OK, body))
}

fn length(_: &mut (), _: &Request<'_>) -> Box<dyn Upload<()>> {
    Box::new(Length(0))
}

/// Takes a body piece by piece, and holds nothing of it.
struct Length(usize);

impl Upload<()> for Length {
    fn piece(&mut self, _: &mut (), bytes: &[u8]) {
        self.0 += bytes.len();
    }

    fn end(self: Box<Self>, _: &mut (), answer: Answer<'_>) {
        answer.text(Status::OK, format!("{}\n", self.0));
    }
}

fn echo(_: &mut (), _: &Request<'_>) -> Box<dyn Conversation<()>> {
    Box::new(|_: &mut (), message: Message<'_>, replies: &mut Replies<'_>| {
        replies.send(message.kind, message.payload);
    })
}

/// What the command line says.
#[derive(Debug, Default)]
pub struct Settings {
    /// Where to listen.
    pub address: Option<SocketAddr>,
    /// One shard on each of these; empty is one shard anywhere.
    pub cores: Vec<usize>,
    /// Whose files to serve.
    pub root: Option<PathBuf>,
    /// Files with the certificate chain and its key, in PEM: TLS is spoken beside plain HTTP.
    pub tls: Option<(PathBuf, PathBuf)>,
}

/// The site that is served.
pub fn site(settings: &Settings) -> io::Result<Site<()>> {
    let mut site = Site::new("serve", ROUTES);
    site.root.clone_from(&settings.root);
    site.tls = settings.tls.as_ref().map(|(chain, key)| tls_of(chain, key, None)).transpose()?;
    // Generous: one load generator is one address.
    site.limits.addresses.connections_max = 50_000;
    site.limits.addresses.requests_per_second_max = 10_000_000;
    Ok(site)
}

/// Starts the shards; the address carries the port in use.
pub fn start(settings: &Settings) -> io::Result<(SocketAddr, Shards)> {
    let address = settings.address.unwrap_or_else(|| SocketAddr::from(([127, 0, 0, 1], 0)));
    let site = site(settings)?;
    let tls = site.tls.clone();
    let Serving { address, shards, control } = site.serve(address, &settings.cores, |_| ())?;
    if let Some((files, tls)) = settings.tls.clone().zip(tls) {
        let signals = Signals::new([SIGHUP])?;
        std::thread::spawn(move || read_anew(signals, control, &files, tls));
    }
    Ok((address, shards))
}

/// Hands out the certificate that is in the files, at every `SIGHUP`.
fn read_anew(
    mut signals: Signals,
    mut control: Control<()>,
    (chain, key): &(PathBuf, PathBuf),
    mut tls: Arc<ServerConfig>,
) {
    for _ in signals.forever() {
        let read = tls_of(chain, key, Some(&tls));
        match read.and_then(|read| control.set_tls(Arc::clone(&read)).map(|()| read)) {
            Ok(read) => tls = read,
            Err(error) => eprintln!("serve: the certificate stays as it is: {error}"),
        }
    }
}

fn main() -> ExitCode {
    let started = parse_args(std::env::args().skip(1)).and_then(|settings| start(&settings));
    match started {
        Ok((address, shards)) => {
            println!("listening on http://{address}/");
            shards.join();
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("serve: {error}\n{USAGE}");
            ExitCode::from(if error.kind() == io::ErrorKind::InvalidInput { 2 } else { 1 })
        }
    }
}

fn parse_args(mut args: impl Iterator<Item = String>) -> io::Result<Settings> {
    let mut settings = Settings::default();
    let (mut certificate, mut key) = (None, None);
    while let Some(arg) = args.next() {
        let mut value = || args.next().ok_or_else(|| wrong(format!("{arg} needs a value")));
        match arg.as_str() {
            "--cores" => {
                let numbers = value()?;
                let cores = numbers.split(',').map(|number| number.trim().parse());
                settings.cores = cores.collect::<Result<_, _>>().map_err(wrong)?;
            }
            "--root" => settings.root = Some(value()?.into()),
            "--tls-cert" => certificate = Some(value()?.into()),
            "--tls-key" => key = Some(value()?.into()),
            address => settings.address = Some(address.parse().map_err(wrong)?),
        }
    }
    if certificate.is_some() != key.is_some() {
        return Err(wrong("--tls-cert and --tls-key go together"));
    }
    settings.tls = certificate.zip(key);
    settings.address.map(|_| settings).ok_or_else(|| wrong("no address"))
}

fn wrong(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, error)
}
