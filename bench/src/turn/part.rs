//! `bench turn-part`: a process full of clients that only allocate and refresh. A process may open
//! about 20,000 descriptors, and every allocation needs a client's socket, so many allocations take
//! several of these. It says on stdout how each word of its stdin went.

use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};

use super::client::{self, Client, Framing};
use crate::args::Args;
use crate::clock;
use crate::process::{Guard, myself, pinned};

/// Clients of one process.
const CLIENTS_MAX: usize = 10_000;
const PATIENCE: Duration = Duration::from_secs(120);

/// How one word went.
#[derive(Serialize, Deserialize)]
struct Done {
    seconds: f64,
    failure: Option<String>,
}

/// The command.
pub(crate) fn command(mut args: Args) -> Result<()> {
    let server: SocketAddr = args.required("server")?;
    let (first, count): (usize, usize) = (args.required("first")?, args.required("count")?);
    let framing = if args.switch("bare")? { Framing::Bare } else { Framing::Channel };
    args.finish()?;
    let peer: SocketAddr = ([127, 0, 0, 1], 9).into();
    let mut clients = (first..first + count)
        .map(|number| Client::open(number, server, peer, framing))
        .collect::<Result<Vec<_>>>()?;
    for word in std::io::stdin().lines() {
        let begin = clock::now();
        let outcome = match word?.as_str() {
            "allocate" => client::settle(&mut clients, PATIENCE),
            "refresh" => client::refresh(&mut clients, PATIENCE),
            other => bail!("not a word: {other}"),
        };
        let failure = outcome.err().map(|error| format!("{error:#}"));
        let done = Done { seconds: (clock::now() - begin).as_secs_f64(), failure };
        println!("{}", serde_json::to_string(&done)?);
        std::io::stdout().flush()?;
    }
    Ok(())
}

/// Clients in as many processes as they need.
pub(crate) struct Parts(Vec<Guard>);

impl Parts {
    /// Opens their sockets.
    pub(crate) fn start(
        server: SocketAddr,
        count: usize,
        framing: Framing,
        core: Option<usize>,
    ) -> Result<Self> {
        let mut parts = Vec::new();
        for first in (0..count).step_by(CLIENTS_MAX) {
            let mut command = pinned(&myself()?, core)?;
            command.args(["turn-part", "--server", &server.to_string()]);
            command.args(["--first", &first.to_string()]);
            command.args(["--count", &CLIENTS_MAX.min(count - first).to_string()]);
            if framing == Framing::Bare {
                command.arg("--bare");
            }
            command.stdin(Stdio::piped()).stdout(Stdio::piped());
            parts.push(Guard::spawn(&mut command)?);
        }
        Ok(Parts(parts))
    }

    /// Says a word to all, one process after the other; how long that took in all.
    pub(crate) fn say(&mut self, word: &str) -> Result<f64> {
        let mut seconds = 0.0;
        for part in &mut self.0 {
            let child = part.child();
            let input = child.stdin.as_mut().context("a part without a stdin")?;
            writeln!(input, "{word}")?;
            let output = child.stdout.as_mut().context("a part without a stdout")?;
            let mut line = String::new();
            BufReader::with_capacity(1, output).read_line(&mut line)?;
            let done: Done = serde_json::from_str(&line).context("a part died")?;
            if let Some(failure) = done.failure {
                bail!("{word}: {failure}");
            }
            seconds += done.seconds;
        }
        Ok(seconds)
    }
}
