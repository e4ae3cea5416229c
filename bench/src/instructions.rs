//! Pieces of work whose instructions are counted: `cargo xtask instructions` runs this under
//! valgrind, with a count and with a larger one, and compares the difference with what is
//! committed.
//!
//! Nothing here reads a clock or the network, so equal programs count equal.

use std::hint::black_box;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Result, bail};
use protocol_http::{Limits, RequestDecoder, ResponseWriter, Status, Step, Version};
use protocol_ws::{Opcode, Role, write_frame};
use shards_mesh::mesh;
use shards_runtime::{BindOptions, Io, Shard, ShardId};
use shards_sim::{Faults, World};

use crate::args::Args;

/// The server of `protocol/http/examples`, as it is.
#[path = "../../protocol/http/examples/serve.rs"]
#[allow(dead_code, missing_docs, reason = "what starts it on real shards")]
mod serve;

/// What a browser sends.
const HEAD: &[u8] = b"GET /index.html?page=2 HTTP/1.1\r\nHost: www.example.org\r\n\
    User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0\r\n\
    Accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8\r\n\
    Accept-Language: en-US,en;q=0.5\r\nAccept-Encoding: gzip, deflate, br\r\n\
    Connection: keep-alive\r\nCookie: session=0123456789abcdef\r\nUpgrade-Insecure-Requests: 1\r\n\
    Sec-Fetch-Dest: document\r\nSec-Fetch-Mode: navigate\r\n\r\n";
/// What a load generator sends.
const SHORT: &[u8] = b"GET / HTTP/1.1\r\nHost: 127.0.0.1:8080\r\n\r\n";
const UPGRADE: &[u8] = b"GET /echo HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\n\
    Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\
    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
const LINES: &[u8] = b"Server: serve\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\n";

/// `bench instructions --work NAME --count N`.
pub(crate) fn command(mut args: Args) -> Result<()> {
    let work: String = args.required("work")?;
    let count: usize = args.value("count", 1)?;
    args.finish()?;
    match work.as_str() {
        "head" => (0..count).for_each(|_| decode(HEAD)),
        "chunked" => {
            let request = chunked();
            (0..count).for_each(|_| decode(&request));
        }
        "unmask" => unmask(count),
        "response" => respond(count),
        "request" => requests(count, 1),
        "pipelined" => requests(count, 16),
        "echo" => echo(count),
        _ => bail!("{work} is no work"),
    }
    Ok(())
}

fn decode(bytes: &[u8]) {
    let mut decoder = RequestDecoder::new(Limits::default());
    let mut unread = black_box(bytes);
    loop {
        let used = match decoder.decode(unread).expect("a request of ours") {
            Step::Need => return,
            Step::Head { head, used } => {
                black_box(&head);
                used
            }
            Step::Body { used, .. } | Step::End { used } => used,
        };
        unread = &unread[used..];
    }
}

/// Sixteen chunks of 256 bytes.
fn chunked() -> Vec<u8> {
    let mut request = b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
    for _ in 0..16 {
        request.extend_from_slice(b"100\r\n");
        request.extend_from_slice(&[b'x'; 256]);
        request.extend_from_slice(b"\r\n");
    }
    request.extend_from_slice(b"0\r\n\r\n");
    request
}

/// A frame of 4 KiB.
fn unmask(count: usize) {
    let mut frame = Vec::new();
    write_frame(Opcode::Binary, true, &[7; 4096], Some([1, 2, 3, 4]), &mut frame);
    let mut decoder = protocol_ws::Decoder::new(Role::Server, protocol_ws::Limits::default());
    for _ in 0..count {
        // The head stays as it is, and payload is payload.
        black_box(decoder.decode(black_box(&mut frame)).expect("a frame of ours"));
    }
}

fn respond(count: usize) {
    let mut out = Vec::with_capacity(1024);
    for _ in 0..count {
        out.clear();
        let mut head = ResponseWriter::new(&mut out, Version::Http11, Status::OK);
        head.raw_lines(LINES).header("Content-Type", "text/plain").content_length(13).finish();
        out.extend_from_slice(b"Hello, world!");
        black_box(&out);
    }
}

/// So many sends of so many requests to a shard in a simulated world, from one client.
fn requests(count: usize, at_once: usize) {
    let requests = SHORT.repeat(at_once);
    let answers = ask(&requests, b"", 1);
    let hellos_count = answers.windows(13).filter(|text| *text == b"Hello, world!").count();
    assert_eq!(hellos_count, at_once);
    // To look at all that is answered would cost as much as to answer it.
    assert_eq!(ask(&requests, b"", count).len(), answers.len());
}

/// So many WebSocket messages of 64 bytes, said again by a shard in a simulated world.
fn echo(count: usize) {
    let (mut message, mut echo) = (Vec::new(), Vec::new());
    write_frame(Opcode::Binary, true, &[7; 64], Some([1, 2, 3, 4]), &mut message);
    write_frame(Opcode::Binary, true, &[7; 64], None, &mut echo);
    assert_eq!(ask(&message, UPGRADE, count), echo);
}

/// Sends this so many times, behind what begins the connection; the last answer.
fn ask(requests: &[u8], beginning: &[u8], count: usize) -> Vec<u8> {
    let world = World::new(1, Faults::none());
    let mut io = world.machine(0, ShardId(0));
    let machine = io.id();
    let address = SocketAddr::new(World::node_address(0), 80);
    let (acceptor, _) = io.listen(address, BindOptions::default()).expect("a free address");
    let site = serve::site(&serve::Settings::default()).expect("nothing is read");
    let server = engine_http::Server::new(&site, (ShardId(0), 1), |_| (), acceptor, None, io.now());
    let mut shard = Shard::new(io, mesh(2, 1).swap_remove(0), server);
    let mut peer = world.connect(SocketAddr::from(([192, 0, 2, 1], 0)), address);
    let mut run = || {
        let until = world.now() + Duration::from_millis(10);
        loop {
            while world.machine_ready(machine) {
                shard.tick();
            }
            match world.next_event().filter(|at| *at <= until) {
                Some(at) => world.advance_to(at),
                None => break,
            }
        }
        world.advance_to(until);
    };
    run();
    peer.write(beginning);
    run();
    peer.read(1 << 20);
    let mut answers = Vec::new();
    for _ in 0..count {
        assert_eq!(peer.write(requests), requests.len());
        run();
        answers = peer.read(1 << 20);
    }
    answers
}
