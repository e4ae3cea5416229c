//! `skywave-worker`: demuxes, decodes, encodes and muxes in a process of its own, with FFmpeg, so
//! that what is in a file or comes from a camera cannot harm the server.
//!
//! A server starts it with one end of a socket pair as its standard input and tells it a job; see
//! `media/link` for what is said. `skywave-worker --explain JOB.json` shows the graph of a job
//! without running it.

mod analysis;
mod clip;
mod clock;
mod container;
mod driver;
mod encode;
mod mailbox;
mod packet;
mod pipe;
mod record;
mod recorder;
mod sandbox;
mod shelf;
mod source;
mod stages;
mod stream;
mod told;

use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context, bail};
use media_link::{Ending, Job, Message};

use crate::mailbox::{Arrival, Letter, Mailbox};

const USAGE: &str = "usage: skywave-worker [--explain JOB.json]
Without arguments it is a server's child: its standard input is a socket to the server.";

/// The exit status that says: do not try again.
const REFUSED: u8 = 3;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let done = match &arguments[..] {
        [] => work(),
        [flag, path] if flag == "--explain" => explain(path).map(|()| ExitCode::SUCCESS),
        _ => {
            eprintln!("{USAGE}");
            return ExitCode::from(2);
        }
    };
    match done {
        Ok(code) => code,
        Err(error) => {
            eprintln!("skywave-worker: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Does one job for the server at the other end of standard input.
fn work() -> anyhow::Result<ExitCode> {
    let input = std::io::stdin().as_fd().try_clone_to_owned()?;
    rustix::net::getpeername(&input).context("standard input is not a socket to a server")?;
    let refused = sandbox::enter();
    prepare()?;
    let mailbox = Arc::new(Mailbox::default());
    let mut outbox = pipe::start(UnixStream::from(input), &mailbox)?;
    for what in refused {
        // Nobody would hear an event before the job: the server keeps this stream's lines.
        eprintln!("not limited: {what}");
    }
    let job = loop {
        match mailbox.receive(clock::now(), None, true) {
            Arrival::Letter(Letter::Message(Message::Job(job))) => break job,
            Arrival::Letter(Letter::LinkClosed(cause)) => bail!(cause),
            _ => outbox.pump(),
        }
    };
    let ending = match &*job {
        Job::Stream(job) => stream::run(job, &mailbox, &mut outbox),
        Job::Record(job) => record::run(job, &mailbox, &mut outbox),
    };
    let Some(ending) = ending else { return Ok(ExitCode::SUCCESS) };
    outbox.say(Message::End(ending.clone()));
    outbox.finish();
    // The threads that still read end with the process.
    match ending {
        Ending::Complete => Ok(ExitCode::SUCCESS),
        Ending::Refused { cause } => {
            eprintln!("skywave-worker: refused: {cause}");
            Ok(ExitCode::from(REFUSED))
        }
        ending => bail!("{ending}"),
    }
}

fn prepare() -> anyhow::Result<()> {
    ffmpeg_next::init()?;
    ffmpeg_next::log::set_level(ffmpeg_next::log::Level::Error);
    Ok(())
}

/// Shows the graph of a job.
fn explain(path: &str) -> anyhow::Result<()> {
    prepare()?;
    let text = std::fs::read(path).with_context(|| format!("{path} cannot be read"))?;
    let job: Job = serde_json::from_slice(&text).context("this is no job")?;
    if let Some(pipeline) = record::example(&job) {
        print!("{}", pipeline?.graph.explain());
        return Ok(());
    }
    let Job::Stream(job) = &job else { return Ok(()) };
    let mailbox = Arc::new(Mailbox::default());
    source::start(job, mailbox.clone())?;
    loop {
        match mailbox.receive(clock::now(), None, true) {
            Arrival::Letter(Letter::SourceOpened(tracks)) => {
                print!("{}", stream::build(job, tracks)?.pipeline.graph.explain());
                return Ok(());
            }
            Arrival::Letter(Letter::SourceEnded(ending)) => bail!("{ending}"),
            _ => {}
        }
    }
}
