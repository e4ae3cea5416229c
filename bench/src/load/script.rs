//! What is said on every connection and what must come back: one for all of them.

use anyhow::{Context, Result, bail};

use super::answer::Answers;
use super::echo::{self, Echoes};
use super::options::{Kind, LoadOptions};

const GREETING: &[u8] = b"Hello, world!";

/// A conversation.
pub(crate) enum Script {
    /// Requests and their answers.
    Http {
        /// As many as are written at once.
        requests: Vec<u8>,
        /// What must come.
        answers: Answers,
    },
    /// Messages that come back.
    Echo {
        /// The request that begins it.
        upgrade: Vec<u8>,
        /// What is said.
        echoes: Echoes,
    },
}

impl Script {
    /// The conversation of a load.
    pub(crate) fn new(options: &LoadOptions) -> Result<Self> {
        let LoadOptions { address, path, kind, .. } = options;
        if *kind == Kind::WebSocket {
            let upgrade = echo::upgrade(path, &address.to_string());
            return Ok(Script::Echo { upgrade, echoes: Echoes::new(options.message_bytes) });
        }
        let close = if *kind == Kind::Close { "Connection: close\r\n" } else { "" };
        let request = format!(
            "GET {path} HTTP/1.1\r\nHost: {address}\r\nUser-Agent: bench\r\nAccept: */*\r\n\
             {close}\r\n"
        );
        let body = match (&options.body, options.is_empty) {
            (Some(_), true) => bail!("--body or --empty"),
            (Some(file), false) => std::fs::read(file).context("no body")?,
            (None, true) => Vec::new(),
            (None, false) => GREETING.to_vec(),
        };
        let answers = Answers::new(body, options.has_date, *kind == Kind::Close);
        Ok(Script::Http { requests: request.into_bytes().repeat(options.pipeline), answers })
    }
}
