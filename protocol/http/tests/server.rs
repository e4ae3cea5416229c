//! One connection of a server, driven by hand: what it answers, what it wants, and how it ends.

use std::time::{Duration, Instant};

use protocol_http::server::{Action, Connection, Event, Expired, ReceiveEnd, Server, Settings};
use protocol_http::{Limits, Refused, Status};

/// A program with one answer for each path, and a clock.
struct Lab {
    server: Server<&'static [u8]>,
    connection: Connection,
    now: Instant,
    /// What was sent, in sends.
    sends: Vec<String>,
    actions: Vec<Action>,
    /// What the program was told.
    told: Vec<String>,
}

#[allow(clippy::disallowed_methods, reason = "an arbitrary start of the simulated time")]
fn start() -> Instant {
    Instant::now()
}

fn seconds(number: u64) -> Duration {
    Duration::from_secs(number)
}

impl Lab {
    fn new() -> Lab {
        Lab::with(Settings::default())
    }

    fn with(settings: Settings) -> Lab {
        let (server, now) = (Server::new("lab", settings), start());
        let connection = Connection::new(&server, now);
        let (sends, actions, told) = (Vec::new(), Vec::new(), Vec::new());
        Lab { server, connection, now, sends, actions, told }
    }

    fn receive(&mut self, text: &str) {
        let mut bytes = text.as_bytes().to_vec();
        let mut input = self.connection.input(&mut bytes);
        while let Some(event) = self.connection.next(&mut self.server, &mut input) {
            let (connection, server) = (&mut self.connection, &mut self.server);
            match event {
                Event::Request(head) => {
                    let path = head.target.path();
                    self.told.push(path.to_owned());
                    match path {
                        "/late" | "/body" => {}
                        "/paused" => connection.set_body_paused(true),
                        "/piece" => connection.respond(server, Status::OK).piece(b"piece", 5),
                        "/stream" => _ = connection.respond(server, Status::OK).stream(),
                        "/long" => _ = connection.respond(server, Status::OK).begin(10),
                        "/none" => connection.respond(server, Status::NO_CONTENT).empty(),
                        "/not-modified" => {
                            let response = connection.respond(server, Status::NOT_MODIFIED);
                            response.header("ETag", "\"x\"").body(b"never sent");
                        }
                        _ => connection.respond(server, Status::OK).body(b"hi"),
                    }
                }
                Event::Body(piece) => {
                    self.told.push(String::from_utf8(piece.to_vec()).unwrap());
                }
                Event::End => {
                    self.told.push("end".to_owned());
                    if self.told.iter().any(|told| told == "/body" || told == "/paused") {
                        connection.respond(server, Status::CREATED).empty();
                    }
                }
                Event::Refused(refused) => connection.refuse(server, refused),
            }
        }
        self.connection.keep(input);
        self.settle();
    }

    /// Does what it wants, but for telling that a send is done.
    fn settle(&mut self) {
        while let Some(action) = self.connection.poll(&mut self.server, self.now) {
            self.actions.push(action);
            if matches!(action, Action::Send | Action::Finish) {
                let (text, parts) = self.server.output().take_parts();
                let mut sent = Vec::new();
                for part in parts {
                    match part {
                        protocol_http::server::Part::Text(range) => {
                            sent.extend_from_slice(&text[range]);
                        }
                        protocol_http::server::Part::Piece(piece) => sent.extend_from_slice(piece),
                    }
                }
                self.sends.push(String::from_utf8(sent).unwrap());
            }
        }
    }

    fn sent(&mut self) {
        self.connection.sent(true);
        self.receive("");
    }

    /// Lets time pass to the deadline.
    fn expire(&mut self) -> Expired {
        self.now = self.connection.deadline();
        let expired = self.connection.expired(&mut self.server, self.now);
        match expired {
            Expired::Request => self.connection.refuse(&mut self.server, Refused::TIMEOUT),
            Expired::Answer => self.connection.refuse(&mut self.server, Refused::UNAVAILABLE),
            Expired::NotYet | Expired::Over => {}
        }
        self.settle();
        expired
    }

    fn last(&self) -> &str {
        self.sends.last().expect("something was sent")
    }

    fn is_closed(&self) -> bool {
        self.actions.last() == Some(&Action::Close)
    }
}

fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: h\r\n\r\n")
}

#[test]
fn what_came_together_is_answered_together() {
    let mut lab = Lab::new();
    lab.receive(&get("/a").repeat(16));
    assert_eq!(lab.sends.len(), 1);
    assert_eq!(lab.last().matches("\r\n\r\nhi").count(), 16);
    // While the send is under way nothing is looked at; then all of it.
    lab.receive(&get("/b").repeat(2));
    lab.receive(&get("/c"));
    assert_eq!((lab.sends.len(), lab.told.len()), (1, 16));
    lab.sent();
    assert_eq!(lab.last().matches("\r\n\r\nhi").count(), 3);
    lab.sent();
    assert!(lab.connection.is_idle() && !lab.is_closed());
    assert_eq!(lab.server.counters.requests, 19);
}

#[test]
fn heads_and_bodies_of_every_kind() {
    let mut lab = Lab::new();
    lab.receive("HEAD /a HTTP/1.1\r\nHost: h\r\n\r\n");
    assert!(lab.last().starts_with("HTTP/1.1 200 OK\r\nServer: lab\r\nDate: "));
    assert!(lab.last().ends_with("Content-Length: 2\r\n\r\n"));
    lab.sent();
    lab.receive("HEAD /piece HTTP/1.1\r\nHost: h\r\n\r\n");
    assert!(lab.last().ends_with("Content-Length: 5\r\n\r\n"));
    lab.sent();
    lab.receive(&get("/piece"));
    assert!(lab.last().ends_with("Content-Length: 5\r\n\r\npiece"));
    lab.sent();
    for path in ["/none", "/not-modified"] {
        lab.receive(&get(path));
        assert!(!lab.last().contains("Content-Length") && lab.last().ends_with("\r\n\r\n"));
        lab.sent();
    }
    lab.receive("GET /a HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    assert!(lab.last().contains("\r\nConnection: keep-alive\r\n"));
    lab.sent();
    lab.receive("GET /a HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
    assert!(lab.last().contains("\r\nConnection: close\r\n") && !lab.is_closed());
    lab.sent();
    assert!(lab.is_closed());
}

#[test]
fn a_body_in_chunks() {
    let mut lab = Lab::new();
    lab.receive(&(get("/stream") + &get("/next")));
    assert!(lab.last().ends_with("Transfer-Encoding: chunked\r\n\r\n"));
    assert!(!lab.connection.wants_body(&lab.server), "the head is under way");
    lab.sent();
    assert!(lab.connection.wants_body(&lab.server));
    lab.connection.send_body(&mut lab.server, b"hello, hello");
    lab.connection.send_piece(&mut lab.server, b"piece", 5);
    lab.connection.send_body(&mut lab.server, b"");
    lab.settle();
    assert_eq!(lab.last(), "c\r\nhello, hello\r\n5\r\npiece\r\n");
    lab.sent();
    assert_eq!(lab.told, ["/stream"], "the next waits for the end");
    lab.connection.end_body(&mut lab.server);
    lab.receive("");
    assert!(lab.last().starts_with("0\r\n\r\nHTTP/1.1 200 OK\r\n"));
    // The end of the body is the end of the connection, for HTTP/1.0.
    let mut lab = Lab::new();
    lab.receive("GET /stream HTTP/1.0\r\n\r\n");
    lab.sent();
    lab.connection.send_body(&mut lab.server, b"hello");
    lab.connection.end_body(&mut lab.server);
    lab.settle();
    assert_eq!(lab.last(), "hello");
    lab.sent();
    assert!(lab.is_closed());
    let mut lab = Lab::new();
    lab.receive("HEAD /stream HTTP/1.1\r\nHost: h\r\n\r\n");
    lab.sent();
    assert!(lab.connection.is_idle());
}

#[test]
fn a_body_of_known_length() {
    let mut lab = Lab::new();
    lab.receive(&get("/long"));
    lab.sent();
    lab.connection.send_body(&mut lab.server, b"12345");
    lab.settle();
    lab.sent();
    assert!(lab.connection.wants_body(&lab.server));
    lab.connection.send_body(&mut lab.server, b"67890");
    lab.settle();
    lab.sent();
    assert!(lab.connection.is_idle() && lab.last() == "67890");
    // One that does not go on is cut off, so that the client sees it.
    lab.receive(&get("/long"));
    lab.sent();
    lab.connection.end_body(&mut lab.server);
    lab.settle();
    assert!(lab.is_closed());
}

#[test]
fn late_answers() {
    let mut lab = Lab::new();
    lab.receive(&(get("/late") + &get("/next")));
    assert_eq!(lab.told, ["/late", "end"]);
    lab.connection.respond(&mut lab.server, Status::OK).body(b"at last");
    lab.receive("");
    assert_eq!(lab.told, ["/late", "end", "/next"]);
    assert!(lab.last().contains("at last") && lab.last().ends_with("hi"));
    lab.sent();
    // The client may end its direction and still wants what it asked for.
    lab.receive(&get("/late"));
    lab.connection.receive_ended(ReceiveEnd::Eof);
    lab.settle();
    assert!(!lab.is_closed());
    lab.connection.respond(&mut lab.server, Status::OK).body(b"there");
    lab.receive("");
    lab.sent();
    assert!(lab.is_closed());
    // An answer that never comes.
    let mut lab = Lab::new();
    lab.receive(&get("/late"));
    assert_eq!(lab.expire(), Expired::Answer);
    assert!(lab.last().starts_with("HTTP/1.1 503 "));
    assert_eq!(lab.server.counters.answers_late, 1);
    lab.sent();
    assert_eq!(lab.expire(), Expired::Over);
    assert!(lab.is_closed());
}

#[test]
fn a_body_that_comes() {
    let mut lab = Lab::new();
    lab.receive("PUT /body HTTP/1.1\r\nHost: h\r\nContent-Length: 6\r\n\r\nabc");
    lab.receive("def");
    assert_eq!(lab.told, ["/body", "abc", "def", "end"]);
    assert!(lab.last().starts_with("HTTP/1.1 201 "));
    lab.sent();
    lab.told.clear();
    let head = "PUT /body HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n";
    lab.receive(head);
    assert_eq!(lab.last(), "HTTP/1.1 100 Continue\r\n\r\n");
    lab.sent();
    lab.receive("hi");
    assert!(lab.last().starts_with("HTTP/1.1 201 "));
    lab.sent();
    // Answered without having been asked for, the body may come or not: the connection ends.
    lab.receive(&head.replace("/body", "/a"));
    assert!(lab.last().contains("200 OK") && lab.last().contains("Connection: close"));
    lab.sent();
    assert!(!lab.is_closed(), "it lingers");
    lab.connection.receive_ended(ReceiveEnd::Eof);
    lab.settle();
    assert!(lab.is_closed());
}

#[test]
fn a_body_that_nobody_wants_is_dropped_up_to_a_bound() {
    let mut lab = Lab::new();
    lab.receive("PUT /a HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\n12345");
    lab.sent();
    lab.receive(&("67890".to_owned() + &get("/b")));
    assert_eq!((lab.told.len(), lab.sends.len()), (2, 2));
    lab.sent();
    lab.receive("PUT /a HTTP/1.1\r\nHost: h\r\nContent-Length: 999999\r\n\r\n12345");
    assert!(lab.last().contains("200 OK"));
    lab.sent();
    assert_eq!(lab.expire(), Expired::Over);
    assert!(lab.is_closed());
}

#[test]
fn a_program_without_room_holds_the_client_back() {
    let mut lab = Lab::with(Settings { input_bytes_max: 8, ..Settings::default() });
    lab.receive("PUT /paused HTTP/1.1\r\nHost: h\r\nContent-Length: 20\r\n\r\n0123456789");
    assert_eq!(lab.actions, [Action::Pause]);
    assert_eq!(lab.told, ["/paused"]);
    lab.connection.receive_ended(ReceiveEnd::Paused);
    lab.settle();
    assert_eq!(lab.actions, [Action::Pause]);
    lab.connection.set_body_paused(false);
    lab.receive("");
    assert_eq!(lab.told, ["/paused", "0123456789"]);
    assert_eq!(lab.actions, [Action::Pause, Action::Receive]);
    lab.receive("0123456789");
    assert!(lab.last().starts_with("HTTP/1.1 201 "));
    assert_eq!(lab.server.counters.input_paused, 1);
}

#[test]
fn whoever_is_slow_is_given_up() {
    let times = Settings::default();
    // Nothing at all.
    let mut lab = Lab::new();
    assert_eq!(lab.connection.deadline() - lab.now, times.idle);
    assert_eq!(lab.expire(), Expired::Over);
    assert!(lab.is_closed() && lab.sends.is_empty());
    assert_eq!(lab.server.counters.idle_closed, 1);
    // A head, byte by byte.
    let mut lab = Lab::new();
    let until = lab.now + times.head;
    for byte in "GET / HT".chars() {
        lab.receive(&byte.to_string());
        lab.now += seconds(1);
    }
    assert_eq!(lab.connection.deadline(), until);
    assert_eq!(lab.expire(), Expired::Request);
    assert!(lab.last().starts_with("HTTP/1.1 408 "));
    assert_eq!(lab.server.counters.slow_heads, 1);
    // A body has the time that its rate buys.
    let mut lab = Lab::new();
    let until = lab.now + times.body;
    lab.receive("PUT /body HTTP/1.1\r\nHost: h\r\nContent-Length: 500000\r\n\r\n");
    assert_eq!(lab.connection.deadline(), until);
    lab.receive(&"x".repeat(10 * times.body_rate_min_bytes as usize));
    assert_eq!(lab.connection.deadline(), until + seconds(10));
    assert_eq!(lab.connection.expired(&mut lab.server, until), Expired::NotYet);
    assert_eq!(lab.expire(), Expired::Request);
    assert_eq!(lab.server.counters.slow_bodies, 1);
    // An answer that is not taken.
    let mut lab = Lab::new();
    lab.receive(&get("/a"));
    assert_eq!(lab.connection.deadline() - lab.now, times.send);
    assert_eq!(lab.expire(), Expired::Over);
    assert!(lab.is_closed());
    assert_eq!(lab.server.counters.slow_readers, 1);
}

#[test]
fn refusals_linger() {
    let mut lab = Lab::new();
    lab.receive(&(get("/a") + "G\x01T / HTTP/1.1\r\n\r\nrubbish"));
    assert!(lab.last().contains("HTTP/1.1 200 OK") && lab.last().contains("HTTP/1.1 400 "));
    assert!(lab.last().contains("\r\nConnection: close\r\n"));
    assert_eq!(lab.server.counters.refused, 1);
    lab.sent();
    lab.receive("more rubbish");
    assert!(!lab.is_closed() && lab.connection.kept_bytes() == 0);
    assert_eq!(lab.connection.deadline() - lab.now, Settings::default().linger);
    assert_eq!(lab.expire(), Expired::Over);
    assert!(lab.is_closed());
    // Before it has said anything.
    let mut lab = Lab::new();
    lab.connection.refuse(&mut lab.server, Refused::TOO_MANY_CONNECTIONS);
    lab.settle();
    assert!(lab.last().starts_with("HTTP/1.1 503 ") && lab.last().ends_with("connections"));
}

#[test]
fn a_connection_carries_so_many_requests() {
    let limits = Limits { requests_count_max: 3, ..Limits::default() };
    let mut lab = Lab::with(Settings { limits, ..Settings::default() });
    lab.receive(&get("/a").repeat(5));
    assert_eq!(lab.last().matches("200 OK").count(), 3);
    assert_eq!(lab.last().matches("Connection: close").count(), 1);
    assert_eq!(lab.server.counters.requests_exhausted, 1);
    lab.sent();
    lab.connection.receive_ended(ReceiveEnd::Eof);
    lab.settle();
    assert!(lab.is_closed());
}

#[test]
fn a_server_that_goes_down() {
    let mut idle = Lab::new();
    idle.connection.finish();
    idle.settle();
    assert!(idle.is_closed());
    let mut busy = Lab::new();
    busy.receive(&get("/late"));
    busy.connection.finish();
    busy.settle();
    busy.connection.respond(&mut busy.server, Status::OK).body(b"done");
    busy.receive("");
    assert!(busy.last().contains("Connection: close"));
    busy.sent();
    assert!(busy.is_closed());
}

#[test]
fn a_send_is_bounded() {
    let mut lab = Lab::with(Settings { output_bytes_max: 1000, ..Settings::default() });
    lab.receive(&get("/a").repeat(100));
    let mut answers = lab.last().matches("200 OK").count();
    assert!((8..20).contains(&answers), "{answers}");
    while answers < 100 {
        lab.sent();
        answers += lab.last().matches("200 OK").count();
    }
    assert!(lab.sends.iter().all(|send| send.len() < 1200));
}
