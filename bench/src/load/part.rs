//! The loop of a load: epoll, requests that are due, and the words on its stdin.

use std::collections::VecDeque;
use std::io::Write;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use rustix::buffer::spare_capacity;
use rustix::event::{Timespec, epoll};
use rustix::io::Errno;

use super::connection::{Connection, Crowd};
use super::options::LoadOptions;
use super::report::Counts;
use super::script::Script;
use super::secure::Secure;
use crate::args::Args;
use crate::clock;

const EVENTS_MAX: usize = 1_024;
/// Size of one receive.
const RECEIVE_BYTES: usize = 256 * 1024;
/// Connections that may be in their first exchange at a time, so that no accept queue overflows.
const OPENING_MAX: usize = 64;
/// Exchanges begun between two looks at what has arrived.
const STARTS_MAX: usize = 32;
/// After so many errors it is not this server that is measured any more.
const ERRORS_MAX: u64 = 1_000;
const STDIN: u64 = u64::MAX;

struct Part {
    options: LoadOptions,
    crowd: Crowd,
    connections: Vec<Connection>,
    /// Connections whose first exchange has begun, and is over.
    opening: usize,
    open: usize,
    idle: VecDeque<usize>,
    is_running: bool,
    /// When the next exchange falls due, and how long it is between two.
    due: Instant,
    interval: Option<Duration>,
    window: Instant,
    words: Vec<u8>,
    ended: bool,
}

/// `bench load`: what [`super::Load`] starts.
pub(crate) fn command(mut args: Args) -> Result<()> {
    let options = LoadOptions::read(&mut args)?;
    args.finish()?;
    shards_runtime::pin(options.core)?;
    let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
    let data = epoll::EventData::new_u64(STDIN);
    epoll::add(&epoll, std::io::stdin(), data, epoll::EventFlags::IN)?;
    let now = clock::now();
    let count = options.connections;
    let secure: Vec<Option<Secure>> = match &options.certificate {
        Some(path) => {
            Secure::several(path, options.resumes, count)?.into_iter().map(Some).collect()
        }
        None => std::iter::repeat_with(|| None).take(count).collect(),
    };
    let connections =
        secure.into_iter().enumerate().map(|(index, secure)| Connection::new(index, secure, now));
    let connections = connections.collect();
    let crowd = Crowd {
        address: options.address,
        kind: options.kind,
        pipeline: options.pipeline,
        script: Script::new(&options)?,
        epoll,
        buffer: vec![0; RECEIVE_BYTES],
        counts: Counts::new()?,
        opened: 0,
    };
    let every_ns = |rate| Duration::from_nanos(1_000_000_000 * options.pipeline as u64 / rate);
    let mut part = Part {
        interval: (options.rate > 0).then(|| every_ns(options.rate)),
        crowd,
        connections,
        opening: 0,
        open: 0,
        idle: VecDeque::with_capacity(count),
        is_running: false,
        due: now,
        window: now,
        words: Vec::new(),
        ended: false,
        options,
    };
    part.run()
}

impl Part {
    fn run(&mut self) -> Result<()> {
        let mut events = Vec::with_capacity(EVENTS_MAX);
        while !self.ended {
            self.open_some()?;
            self.start_due();
            let timeout = self.sleep().map(|time| Timespec::try_from(time).expect("short"));
            events.clear();
            match epoll::wait(&self.crowd.epoll, spare_capacity(&mut events), timeout.as_ref()) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
            for event in &events {
                let index = event.data.u64();
                if index == STDIN {
                    self.read_words()?;
                } else {
                    self.on_ready(index as usize, event.flags)?;
                }
            }
            if self.crowd.counts.errors > ERRORS_MAX {
                bail!("too many errors: {:?}", self.crowd.counts.complaints);
            }
        }
        Ok(())
    }

    /// How long the loop may sleep; `None` is until something arrives.
    fn sleep(&self) -> Option<Duration> {
        if !self.is_running {
            return None;
        }
        if !self.options.is_patient || self.interval.is_none() && !self.idle.is_empty() {
            return Some(Duration::ZERO);
        }
        // With no connection free the next one that is wakes it.
        let waits_for_time = self.interval.is_some() && !self.idle.is_empty();
        waits_for_time.then(|| self.due.saturating_duration_since(clock::now()))
    }

    /// Begins the first exchanges.
    fn open_some(&mut self) -> Result<()> {
        while self.opening < self.connections.len() && self.opening - self.open < OPENING_MAX {
            self.opening += 1;
            self.start(self.opening - 1, clock::now());
            if self.crowd.counts.errors > 0 {
                return self.give_up();
            }
        }
        Ok(())
    }

    /// Begins what is due, on the connections that have rested longest.
    fn start_due(&mut self) {
        if !self.is_running {
            return;
        }
        for _ in 0..STARTS_MAX {
            let now = clock::now();
            if self.interval.is_some() && self.due > now {
                return;
            }
            let Some(index) = self.idle.pop_front() else { return };
            let since = if self.interval.is_some() { self.due } else { now };
            self.due += self.interval.unwrap_or_default();
            self.start(index, since);
        }
    }

    fn start(&mut self, index: usize, since: Instant) {
        if let Err(why) = self.connections[index].start(&mut self.crowd, since) {
            self.failed(index, why);
        }
    }

    fn failed(&mut self, index: usize, why: String) {
        self.crowd.counts.complain(why);
        self.connections[index].end();
        self.idle.push_back(index);
    }

    fn on_ready(&mut self, index: usize, flags: epoll::EventFlags) -> Result<()> {
        match self.connections[index].on_ready(&mut self.crowd, flags) {
            Ok(false) => Ok(()),
            Ok(true) => self.completed(index),
            Err(why) => {
                self.failed(index, why);
                if self.is_open() { Ok(()) } else { self.give_up() }
            }
        }
    }

    fn completed(&mut self, index: usize) -> Result<()> {
        let now = clock::now();
        let latency = now.saturating_duration_since(self.connections[index].since);
        let count = self.options.pipeline as u64;
        self.crowd.counts.answered(count, latency.as_nanos() as u64);
        if !self.is_open() {
            self.open += 1;
            if self.is_open() {
                self.tell()?;
            }
        }
        if self.is_running && self.interval.is_none() {
            self.start(index, now);
        } else {
            self.idle.push_back(index);
        }
        let LoadOptions { requests, .. } = self.options;
        let is_enough = requests > 0 && self.crowd.counts.answers >= requests;
        if self.is_running && is_enough && !self.ended {
            self.ended = true;
            return self.tell();
        }
        Ok(())
    }

    fn is_open(&self) -> bool {
        self.open == self.connections.len()
    }

    /// Not all can be opened: the parent is told why.
    fn give_up(&mut self) -> Result<()> {
        self.ended = true;
        self.tell()
    }

    fn read_words(&mut self) -> Result<()> {
        let mut bytes = [0; 256];
        let length = rustix::io::read(std::io::stdin(), &mut bytes)?;
        self.ended |= length == 0;
        self.words.extend_from_slice(&bytes[..length]);
        while let Some(end) = self.words.iter().position(|&byte| byte == b'\n') {
            let word: Vec<u8> = self.words.drain(..=end).collect();
            match word.trim_ascii_end() {
                b"run" => {
                    self.is_running = true;
                    self.due = clock::now();
                    self.begin_window();
                }
                b"window" => self.begin_window(),
                b"report" => self.tell()?,
                _ => bail!("an unknown word: {}", String::from_utf8_lossy(&word)),
            }
        }
        Ok(())
    }

    fn begin_window(&mut self) {
        self.window = clock::now();
        self.crowd.counts.clear();
    }

    fn tell(&self) -> Result<()> {
        let now = clock::now();
        let late = self.interval.map(|_| now.saturating_duration_since(self.due));
        let behind_ms = late.unwrap_or_default().as_secs_f64() * 1e3;
        let window_s = now.saturating_duration_since(self.window).as_secs_f64();
        let mut line = serde_json::to_vec(&self.crowd.counts.report(window_s, behind_ms))?;
        line.push(b'\n');
        std::io::stdout().write_all(&line)?;
        Ok(())
    }
}
