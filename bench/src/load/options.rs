//! What a load is to be, as a value and as a command line.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;

use anyhow::{Result, bail};
use serde::{Deserialize, Serialize};

use crate::args::Args;

/// How connections are used.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Kind {
    /// Request after request on each.
    Keep,
    /// `Connection: close`: one for each request.
    Close,
    /// Messages that come back.
    WebSocket,
}

impl Kind {
    fn word(self) -> &'static str {
        match self {
            Kind::Keep => "keep",
            Kind::Close => "close",
            Kind::WebSocket => "websocket",
        }
    }
}

impl FromStr for Kind {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        [Kind::Keep, Kind::Close, Kind::WebSocket]
            .into_iter()
            .find(|kind| kind.word() == text)
            .ok_or(())
    }
}

/// The load.
#[derive(Clone, Debug)]
pub(crate) struct LoadOptions {
    /// The server.
    pub(crate) address: SocketAddr,
    /// How connections are used.
    pub(crate) kind: Kind,
    /// What is asked for.
    pub(crate) path: String,
    /// How many connections.
    pub(crate) connections: usize,
    /// Requests written at once on each connection.
    pub(crate) pipeline: usize,
    /// Requests that fall due each second; 0: each connection asks again at once.
    pub(crate) rate: u64,
    /// The body that must come; `None`: 13 bytes of greeting.
    pub(crate) body: Option<PathBuf>,
    /// Whether the body must be empty.
    pub(crate) is_empty: bool,
    /// Whether a `Date` must be there.
    pub(crate) has_date: bool,
    /// Size of a WebSocket message.
    pub(crate) message_bytes: usize,
    /// The one certificate that is accepted, in PEM; with it everything goes through TLS.
    pub(crate) certificate: Option<PathBuf>,
    /// Whether each TLS connection resumes the session of the one before it.
    pub(crate) resumes: bool,
    /// Ends with a report after so many answers; 0: when told to.
    pub(crate) requests: u64,
    /// Sleeps until something has arrived, for a machine that does other things as well.
    pub(crate) is_patient: bool,
    /// Where it runs.
    pub(crate) core: Option<usize>,
}

impl LoadOptions {
    /// Keep-alive requests for 13 bytes.
    pub(crate) fn new(address: SocketAddr) -> Self {
        LoadOptions {
            address,
            kind: Kind::Keep,
            path: "/".into(),
            connections: 100,
            pipeline: 1,
            rate: 0,
            body: None,
            is_empty: false,
            has_date: false,
            message_bytes: 64,
            certificate: None,
            resumes: false,
            requests: 0,
            is_patient: false,
            core: None,
        }
    }

    /// The options of a command line.
    pub(crate) fn read(args: &mut Args) -> Result<Self> {
        let usual = LoadOptions::new(args.required("address")?);
        let options = LoadOptions {
            kind: args.value("kind", usual.kind)?,
            path: args.value("path", usual.path)?,
            connections: args.value("connections", usual.connections)?,
            pipeline: args.value("pipeline", usual.pipeline)?,
            rate: args.value("rate", usual.rate)?,
            body: args.optional("body")?,
            is_empty: args.switch("empty")?,
            has_date: args.switch("date")?,
            message_bytes: args.value("message-bytes", usual.message_bytes)?,
            certificate: args.optional("certificate")?,
            resumes: args.switch("resume")?,
            requests: args.value("requests", 0)?,
            is_patient: args.switch("patient")?,
            core: args.optional("core")?,
            address: usual.address,
        };
        if options.connections == 0 || options.pipeline == 0 {
            bail!("--connections and --pipeline are at least 1");
        }
        if options.pipeline > 1 && options.kind != Kind::Keep {
            bail!("--pipeline needs connections that are kept");
        }
        Ok(options)
    }

    /// The command line of these options.
    pub(crate) fn words(&self) -> Vec<String> {
        let mut words = Vec::new();
        let mut value = |name: &str, value: String| words.extend([format!("--{name}"), value]);
        value("address", self.address.to_string());
        value("kind", self.kind.word().into());
        value("path", self.path.clone());
        value("connections", self.connections.to_string());
        value("pipeline", self.pipeline.to_string());
        value("rate", self.rate.to_string());
        value("message-bytes", self.message_bytes.to_string());
        value("requests", self.requests.to_string());
        let files = [("body", &self.body), ("certificate", &self.certificate)];
        for (name, file) in files {
            if let Some(file) = file {
                value(name, file.display().to_string());
            }
        }
        if let Some(core) = self.core {
            value("core", core.to_string());
        }
        let switches = [
            ("--empty", self.is_empty),
            ("--date", self.has_date),
            ("--resume", self.resumes),
            ("--patient", self.is_patient),
        ];
        words.extend(switches.iter().filter(|(_, on)| *on).map(|(name, _)| (*name).to_owned()));
        words
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_survive_their_command_line() {
        let options = LoadOptions {
            kind: Kind::WebSocket,
            body: Some("some/file".into()),
            core: Some(1),
            has_date: true,
            ..LoadOptions::new(([127, 0, 0, 1], 8_080).into())
        };
        let mut args = Args::parse(options.words().into_iter()).unwrap();
        let again = LoadOptions::read(&mut args).unwrap();
        args.finish().unwrap();
        assert_eq!(again.words(), options.words());
        assert_eq!((again.kind, again.core, again.has_date), (Kind::WebSocket, Some(1), true));
    }
}
