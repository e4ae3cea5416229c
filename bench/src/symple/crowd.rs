//! Many peers of Symple on one thread: sockets that do not block, and one `epoll`.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use hdrhistogram::Histogram;
use protocol_ws::{FRAME_HEAD_BYTES_MAX, Opcode, write_frame};
use rustix::buffer::spare_capacity;
use rustix::event::{Timespec, epoll};
use serde::Deserialize;

use crate::{clock, http};

/// Who they are, and how much they say.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CrowdOptions {
    pub(crate) peers_count: usize,
    pub(crate) room_peers_count: usize,
    pub(crate) messages_per_s: u64,
}

/// What came of talking.
pub(crate) struct Heard {
    pub(crate) messages: u64,
    pub(crate) deliveries: u64,
    pub(crate) latency_us: Histogram<u32>,
}

/// All of them, connected.
pub(crate) struct Crowd {
    options: CrowdOptions,
    clients: Vec<Client>,
    epoll: rustix::fd::OwnedFd,
    began: Instant,
    numbers: u64,
    heard: Heard,
}

struct Client {
    stream: TcpStream,
    input: Vec<u8>,
    address: String,
}

/// What is read of a message.
#[derive(Deserialize)]
struct Said<'a> {
    #[serde(rename = "type")]
    kind: &'a str,
    to: Option<&'a str>,
    data: Option<Stamp>,
}

#[derive(Deserialize)]
struct Stamp {
    sent_us: Option<u64>,
}

/// A client's mask has to be there; that it is unpredictable protects others than a bench.
const MASK: [u8; 4] = [0x5a, 0x13, 0xc7, 0x88];

/// Something to read in a message, of the size of what peers say to each other.
const FILLER: &str = "It was a bright cold day in April, and the clocks were striking thirteen.";

/// Sockets that are looked at in one go.
const EVENTS_MAX: usize = 512;

/// How long the last deliveries may take.
const PATIENCE: Duration = Duration::from_secs(10);

fn histogram() -> Result<Histogram<u32>> {
    Ok(Histogram::new_with_bounds(1, 60_000_000, 3)?)
}

impl Crowd {
    /// Connects all, one after the other.
    pub(crate) fn connect(address: SocketAddr, options: &CrowdOptions) -> Result<Crowd> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let mut clients = Vec::with_capacity(options.peers_count);
        for number in 0..options.peers_count {
            let client = Client::connect(address, number, number / options.room_peers_count);
            let client = client.with_context(|| format!("peer {number}"))?;
            let data = epoll::EventData::new_u64(number as u64);
            epoll::add(&epoll, &client.stream, data, epoll::EventFlags::IN)?;
            clients.push(client);
        }
        let heard = Heard { messages: 0, deliveries: 0, latency_us: histogram()? };
        let (options, began) = (*options, clock::now());
        Ok(Crowd { options, clients, epoll, began, numbers: 0, heard })
    }

    /// Reads for a while what comes, and says nothing.
    pub(crate) fn rest(&mut self, time: Duration) -> Result<()> {
        let until = clock::now() + time;
        while clock::now() < until {
            self.listen(Duration::from_millis(20))?;
        }
        Ok(())
    }

    /// Speaks at the rate for so long, and waits for the last delivery. It never sleeps meanwhile:
    /// to wake it would be an interrupt that the server pays for, which a client on another machine
    /// does not cost.
    pub(crate) fn talk(&mut self, time: Duration) -> Result<Heard> {
        self.heard = Heard { messages: 0, deliveries: 0, latency_us: histogram()? };
        let gap = Duration::from_nanos(1_000_000_000 / self.options.messages_per_s.max(1));
        let start = clock::now();
        let mut next = start;
        while clock::now() < start + time {
            while next <= clock::now() {
                self.speak()?;
                next += gap;
            }
            self.listen(Duration::ZERO)?;
        }
        let expected = self.heard.messages * (self.options.room_peers_count as u64 - 1);
        let until = clock::now() + PATIENCE;
        while self.heard.deliveries < expected && clock::now() < until {
            self.listen(Duration::ZERO)?;
        }
        let fresh = Heard { messages: 0, deliveries: 0, latency_us: histogram()? };
        Ok(std::mem::replace(&mut self.heard, fresh))
    }

    /// One peer says something to its room. Which is another each time, far from the last.
    fn speak(&mut self) -> Result<()> {
        self.numbers += 1;
        let number = (self.numbers as usize).wrapping_mul(7_919) % self.clients.len();
        let room = number / self.options.room_peers_count;
        let sent_us = self.began.elapsed().as_micros();
        let client = &mut self.clients[number];
        client.send(&format!(
            "{{\"type\":\"message\",\"id\":\"{}\",\"from\":\"{}\",\"to\":\"room-{room}\",\
             \"data\":{{\"sent_us\":{sent_us},\"text\":\"{FILLER}\"}}}}",
            self.numbers, client.address
        ))?;
        self.heard.messages += 1;
        Ok(())
    }

    fn listen(&mut self, patience: Duration) -> Result<()> {
        let mut events = Vec::with_capacity(EVENTS_MAX);
        let timeout = Timespec {
            tv_sec: patience.as_secs() as i64,
            tv_nsec: i64::from(patience.subsec_nanos()),
        };
        epoll::wait(&self.epoll, spare_capacity(&mut events), Some(&timeout))?;
        let now_us = self.began.elapsed().as_micros() as u64;
        for event in events.iter() {
            let number = event.data.u64() as usize;
            let room = number / self.options.room_peers_count;
            let client = &mut self.clients[number];
            client.receive()?;
            while let Some(payload) = client.next()? {
                let said: Said<'_> = serde_json::from_slice(&payload)?;
                if said.kind != "message" {
                    ensure!(said.kind == "presence", "a {} came", said.kind);
                    continue;
                }
                let its_room = said.to.and_then(|to| to.strip_prefix("room-")?.parse().ok());
                ensure!(its_room == Some(room), "a message of another room came");
                let sent_us = said.data.and_then(|data| data.sent_us).context("no stamp")?;
                self.heard.deliveries += 1;
                self.heard.latency_us.saturating_record(now_us.saturating_sub(sent_us).max(1));
            }
        }
        Ok(())
    }
}

impl Client {
    fn connect(address: SocketAddr, number: usize, room: usize) -> Result<Client> {
        let mut stream = http::connect(address)?;
        write!(
            stream,
            "GET /ws HTTP/1.1\r\nHost: {address}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
        )?;
        let head = http::read_head(&mut stream)?;
        ensure!(http::status_of(&head) == Some(101), "{}", String::from_utf8_lossy(&head));
        let mut client = Client { stream, input: Vec::new(), address: String::new() };
        client.send(&format!(
            "{{\"type\":\"auth\",\"user\":\"user-{number}\",\"rooms\":[\"room-{room}\"]}}"
        ))?;
        let welcome = loop {
            if let Some(payload) = client.next()? {
                break serde_json::from_slice::<serde_json::Value>(&payload)?;
            }
            let mut bytes = [0; 4_096];
            let count = client.stream.read(&mut bytes)?;
            ensure!(count > 0, "it closed");
            client.input.extend_from_slice(&bytes[..count]);
        };
        ensure!(welcome["type"] == "welcome", "{welcome}");
        let id = welcome["peer"]["id"].as_str().context("no id")?;
        client.address = format!("user-{number}|{id}");
        client.stream.set_nonblocking(true)?;
        Ok(client)
    }

    /// Sends a text. It is small, and the socket's buffer is not: it goes whole.
    fn send(&mut self, text: &str) -> Result<()> {
        let mut frame = Vec::with_capacity(text.len() + FRAME_HEAD_BYTES_MAX);
        write_frame(Opcode::Text, true, text.as_bytes(), Some(MASK), &mut frame);
        self.stream.write_all(&frame).context("a peer cannot speak")
    }

    fn receive(&mut self) -> Result<()> {
        let mut bytes = [0; 16_384];
        loop {
            match self.stream.read(&mut bytes) {
                Ok(0) => bail!("a peer was cut off"),
                Ok(count) => {
                    self.input.extend_from_slice(&bytes[..count]);
                    if count < bytes.len() {
                        return Ok(());
                    }
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// The next whole text. A server's ws frames have no mask, and those here are not in parts.
    fn next(&mut self) -> Result<Option<Vec<u8>>> {
        loop {
            let (opcode, length, head) = match self.input[..] {
                [first, length @ ..=125, ..] => (first, usize::from(length), 2),
                [first, 126, high, low, ..] => {
                    (first, usize::from(u16::from_be_bytes([high, low])), 4)
                }
                [_, 127..=255, ..] => bail!("a ws frame of another size than is said here"),
                _ => return Ok(None),
            };
            if self.input.len() < head + length {
                return Ok(None);
            }
            let payload = self.input[head..head + length].to_vec();
            self.input.drain(..head + length);
            match opcode {
                0x81 => return Ok(Some(payload)),
                0x89 => {
                    let mut pong = Vec::new();
                    write_frame(Opcode::Pong, true, &payload, Some(MASK), &mut pong);
                    self.stream.write_all(&pong)?;
                }
                other => bail!("a ws frame that begins with {other:#x} came"),
            }
        }
    }
}
