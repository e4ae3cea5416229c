//! One process of the swarm: an epoll loop over its listeners and the words on its stdin.
//!
//! While a window is measured it looks at what has arrived every [`LOOK_EVERY`] instead of being
//! woken for each arrival. The listeners of a real server are on other machines and waking them
//! costs it nothing; here a wake-up is an interrupt to the other core, and the sender would pay for
//! it. All servers are treated alike.

use std::io::Write;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use anyhow::Result;
use rustix::buffer::spare_capacity;
use rustix::event::{Timespec, epoll};
use rustix::io::Errno;

use super::SwarmOptions;
use super::listener::{Crowd, Listener};
use super::report::{Milestone, PartReport};
use crate::args::Args;
use crate::clock;

const EVENTS_MAX: usize = 1_024;
/// How often arrivals are looked at while a window is measured.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// Connections opened between two looks at what has arrived.
const CONNECTS_PER_ROUND_MAX: usize = 32;
const STDIN: u64 = u64::MAX;

struct Part {
    options: SwarmOptions,
    /// Number of its first listener in the whole swarm.
    first: usize,
    epoll: OwnedFd,
    listeners: Vec<Option<Listener>>,
    /// Connections tried, those that failed at once included.
    tried: usize,
    crowd: Crowd,
    started: Option<Instant>,
    window: Instant,
    /// Whether a window is measured.
    measured: bool,
    all_heard_us: Option<u64>,
    all_burst_us: Option<u64>,
    words: Vec<u8>,
    ended: bool,
}

/// `bench swarm-part`: what [`super::Swarm`] starts.
pub(crate) fn command(mut args: Args) -> Result<()> {
    let options = SwarmOptions::read(&mut args)?;
    let first = args.required("first")?;
    args.finish()?;
    shards_runtime::pin(options.cores.first().copied())?;
    let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
    let data = epoll::EventData::new_u64(STDIN);
    epoll::add(&epoll, std::io::stdin(), data, epoll::EventFlags::IN)?;
    let crowd = Crowd::new(request(&options), options.burst_bytes, options.count);
    let mut part = Part {
        first,
        epoll,
        listeners: Vec::with_capacity(options.count),
        tried: 0,
        crowd,
        started: None,
        window: clock::now(),
        measured: false,
        all_heard_us: None,
        all_burst_us: None,
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
            let mut sleep = self.connect_some();
            if self.measured && events.len() < EVENTS_MAX {
                clock::sleep(LOOK_EVERY);
            }
            if self.measured {
                sleep = Some(Duration::ZERO);
            }
            let timeout = sleep.map(|time| Timespec::try_from(time).expect("short"));
            events.clear();
            match epoll::wait(&self.epoll, spare_capacity(&mut events), timeout.as_ref()) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
            for event in &events {
                let number = event.data.u64();
                if number == STDIN {
                    self.read_words()?;
                } else if let Some(Some(listener)) = self.listeners.get_mut(number as usize) {
                    listener.on_ready(&mut self.crowd);
                }
            }
            self.tell_milestones()?;
        }
        Ok(())
    }

    /// Opens the connections that are due. Answers how long the loop may sleep.
    fn connect_some(&mut self) -> Option<Duration> {
        let started = self.started?;
        let SwarmOptions { address, count, rate, samples, titles, .. } = self.options;
        let due = match rate {
            0 => count,
            rate => (started.elapsed().as_micros() as usize * rate / 1_000_000 + 1).min(count),
        };
        for _ in 0..CONNECTS_PER_ROUND_MAX {
            if self.tried >= due {
                break;
            }
            let number = self.tried;
            self.tried += 1;
            // Spread over all, so that late ones are listened to as well.
            let sampled = (number + 1) * samples / count > number * samples / count;
            self.listeners.push(match self.connect(address, number, sampled, titles) {
                Ok(listener) => Some(listener),
                Err(error) => {
                    self.crowd.tally.refused += 1;
                    self.crowd.complaints.push(format!("cannot connect: {error:#}"));
                    None
                }
            });
        }
        match (self.tried < due, self.tried < count) {
            (true, _) => Some(Duration::ZERO),
            (false, true) => Some(Duration::from_millis(1)),
            (false, false) => None,
        }
    }

    fn connect(
        &self,
        address: SocketAddr,
        number: usize,
        sampled: bool,
        titles: bool,
    ) -> Result<Listener> {
        let listener = Listener::connect(address, self.first + number, sampled, titles)?;
        if let Some(socket) = listener.socket() {
            let data = epoll::EventData::new_u64(number as u64);
            let flags = epoll::EventFlags::IN | epoll::EventFlags::OUT | epoll::EventFlags::ET;
            epoll::add(&self.epoll, socket, data, flags)?;
        }
        Ok(listener)
    }

    fn read_words(&mut self) -> Result<()> {
        let mut bytes = [0; 256];
        let length = rustix::io::read(std::io::stdin(), &mut bytes)?;
        self.ended = length == 0;
        self.words.extend_from_slice(&bytes[..length]);
        while let Some(end) = self.words.iter().position(|&byte| byte == b'\n') {
            let word: Vec<u8> = self.words.drain(..=end).collect();
            match word.trim_ascii_end() {
                b"start" => self.started = Some(clock::now()),
                b"window" => self.begin_window(),
                b"report" => print(&self.report())?,
                _ => anyhow::bail!("an unknown word: {}", String::from_utf8_lossy(&word)),
            }
        }
        Ok(())
    }

    fn begin_window(&mut self) {
        self.window = clock::now();
        self.measured = true;
        self.crowd.window_receives = 0;
        self.listeners.iter_mut().flatten().for_each(Listener::begin_window);
    }

    fn tell_milestones(&mut self) -> Result<()> {
        let Some(started) = self.started else { return Ok(()) };
        let us = || Some(started.elapsed().as_micros() as u64);
        let tally = self.crowd.tally;
        if self.all_heard_us.is_none() && tally.all_heard() {
            self.all_heard_us = us();
            print(&self.milestone(Milestone::Heard))?;
        }
        if self.all_burst_us.is_none() && tally.all_burst() {
            self.all_burst_us = us();
            print(&self.milestone(Milestone::Burst))?;
        }
        Ok(())
    }

    fn milestone(&self, milestone: Milestone) -> PartReport {
        PartReport { milestone: Some(milestone), tally: self.crowd.tally, ..PartReport::default() }
    }

    fn report(&self) -> PartReport {
        let listeners = || self.listeners.iter().flatten();
        let mut report = PartReport {
            milestone: None,
            tally: self.crowd.tally,
            all_heard_us: self.all_heard_us,
            all_burst_us: self.all_burst_us,
            first_byte_us: listeners().filter_map(|l| l.first_byte_us).collect(),
            burst_us: listeners().filter_map(|l| l.burst_us).collect(),
            window_us: self.window.elapsed().as_micros() as u64,
            window_bytes: listeners().filter(|l| l.listens()).map(|l| l.window_bytes()).collect(),
            window_receives: self.crowd.window_receives,
            complaints: self.crowd.complaints.iter().take(3).cloned().collect(),
            ..PartReport::default()
        };
        listeners().for_each(|listener| listener.describe(&mut report.content));
        report
    }
}

fn request(options: &SwarmOptions) -> Vec<u8> {
    let titles = if options.titles { "Icy-MetaData: 1\r\n" } else { "" };
    let SwarmOptions { address, mount, .. } = options;
    format!(
        "GET {mount} HTTP/1.1\r\nHost: {address}\r\nUser-Agent: bench\r\nAccept: */*\r\n{titles}\
         Connection: close\r\n\r\n"
    )
    .into_bytes()
}

fn print(report: &PartReport) -> Result<()> {
    let mut line = serde_json::to_vec(report)?;
    line.push(b'\n');
    std::io::stdout().write_all(&line)?;
    Ok(())
}
