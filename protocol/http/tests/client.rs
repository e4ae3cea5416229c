//! The client against servers that are a script: what it asks its driver for, what it tells its
//! caller, and what it never does.

#[path = "client/driver.rs"]
mod driver;

use std::time::Duration;

use driver::{Driver, url};
use protocol_http::Method;
use protocol_http::client::{ClientRequest, ClientSettings, Input, RequestBody, RequestError};

const OK: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi";

fn get(text: &str) -> ClientRequest {
    ClientRequest::get(url(text))
}

#[test]
fn a_connection_is_kept_and_used_again() {
    let mut driver = Driver::default();
    for path in ["/1", "/2"] {
        driver.request(get(&format!("http://h{path}")));
        driver.connect_all();
        assert_eq!(driver.take_sent(1), format!("GET {path} HTTP/1.1\r\nHost: h\r\n\r\n"));
        driver.receive(1, OK);
        assert_eq!(driver.take_told(), ["200", "hi", "end"]);
    }
    assert_eq!((driver.connections(), driver.counters().connections_reused), (1, 1));
    driver.pass(Duration::from_secs(21));
    assert_eq!(
        (driver.connections(), driver.closed.len()),
        (0, 1),
        "idle ones are not kept for ever"
    );
}

#[test]
fn answers_cut_at_every_byte_are_the_same() {
    let answer = b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\n\
        Transfer-Encoding: chunked\r\n\r\n2\r\nab\r\n3;x=y\r\ncde\r\n0\r\nT: u\r\n\r\n";
    for step in 1..=answer.len() {
        let mut driver = Driver::default();
        driver.request(get("http://h/"));
        driver.connect_all();
        for piece in answer.chunks(step) {
            driver.receive(1, piece);
        }
        let told = driver.take_told();
        assert_eq!((told[0].as_str(), told.last().unwrap().as_str()), ("200", "end"));
        assert_eq!(told[1..told.len() - 1].concat(), "abcde", "in pieces of {step}");
        assert_eq!(driver.connections(), 1);
    }
}

#[test]
fn head_and_204_have_no_body_and_until_close_ends_with_the_connection() {
    let mut driver = Driver::default();
    driver.request(ClientRequest::new(Method::Head, url("http://h/")));
    driver.connect_all();
    driver.receive(1, b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n");
    assert_eq!(driver.take_told(), ["200", "end"]);
    driver.request(get("http://h/"));
    driver.receive(1, b"HTTP/1.1 204 No Content\r\n\r\n");
    assert_eq!(driver.take_told(), ["204", "end"]);
    driver.request(get("http://h/"));
    driver.receive(1, b"ICY 200 OK\r\nicy-name:x\r\n\r\nstream");
    assert_eq!(driver.take_told(), ["200", "stream"]);
    driver.input(|client, now, id| client.handle(now, Input::Ended(id)), 1);
    assert_eq!(driver.take_told(), ["end"]);
    assert_eq!(driver.connections(), 0);
}

#[test]
fn a_body_until_close_that_is_reset_is_cut_off() {
    let mut driver = Driver::default();
    driver.request(get("http://h/"));
    driver.connect_all();
    driver.receive(1, b"HTTP/1.0 200 OK\r\n\r\nhalf of");
    driver.lose(1, false);
    let told = driver.take_told();
    assert_eq!(told[2..], ["failed: the connection ended inside the answer"], "{told:?}");
    for (text, is_proper_end) in [("Content-Length: 9", true), ("Transfer-Encoding: chunked", true)]
    {
        let mut driver = Driver::default();
        driver.request(get("http://h/"));
        driver.connect_all();
        driver.receive(1, format!("HTTP/1.1 200 OK\r\n{text}\r\n\r\n4\r\nhalf").as_bytes());
        driver.lose(1, is_proper_end);
        let told = driver.take_told();
        assert_eq!(told.last().unwrap(), "failed: the connection ended inside the answer");
    }
}

#[test]
fn what_answers_nothing_is_given_to_nobody() {
    // Behind the end of an answer, and on an idle connection: closed, and the next is not fooled.
    let mut driver = Driver::default();
    driver.request(get("http://h/"));
    driver.connect_all();
    driver.receive(1, &[OK, b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil"].concat());
    assert_eq!(driver.take_told(), ["200", "hi", "end"]);
    assert_eq!(driver.connections(), 0);
    driver.request(get("http://h/"));
    driver.connect_all();
    driver.receive(2, OK);
    driver.receive(2, b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil");
    assert_eq!(driver.take_told(), ["200", "hi", "end"]);
    assert_eq!((driver.connections(), driver.counters().surplus_answers), (0, 2));
}

#[test]
fn answers_without_one_reading_are_refused() {
    for answer in [
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: +2\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 2, 2\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked, gzip\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: xchunked\r\n\r\n",
        "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\nhi",
        "HTTP/1.1 200 OK\r\nX : y\r\n\r\n",
        "HTTP/1.1 200 OK\r\nX: y\r\n folded\r\n\r\n",
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n",
        "HTTP/2 200\r\n\r\n",
        &"HTTP/1.1 100 Continue\r\n\r\n".repeat(9),
    ] {
        let mut driver = Driver::default();
        driver.request(get("http://h/"));
        driver.connect_all();
        driver.receive(1, answer.as_bytes());
        let told = driver.take_told();
        assert!(told.last().unwrap().starts_with("failed: the answer is malformed"), "{told:?}");
        assert_eq!((driver.connections(), driver.closed.len()), (0, 1), "{answer}");
    }
    // A bare LF is read, as radio servers send it, but such a connection is not used again.
    let mut driver = Driver::default();
    driver.request(get("http://h/"));
    driver.connect_all();
    driver.receive(1, b"HTTP/1.1 200 OK\nContent-Length: 2\n\nhi");
    assert_eq!(driver.take_told(), ["200", "hi", "end"]);
    assert_eq!(driver.connections(), 0);
}

#[test]
fn a_stale_connection_costs_one_repeat() {
    let stale = |method: Method<'_>, body: RequestBody| {
        let mut driver = Driver::default();
        driver.request(get("http://h/"));
        driver.connect_all();
        driver.receive(1, OK);
        driver.take_told();
        driver.take_sent(1);
        driver.request(ClientRequest::new(method, url("http://h/")).body(body));
        driver.input(|client, now, id| client.handle(now, Input::Failed(id)), 1);
        driver
    };
    let mut driver = stale(Method::Put, RequestBody::Whole(b"x".to_vec()));
    driver.connect_all();
    assert!(driver.take_sent(2).starts_with("PUT / HTTP/1.1"));
    // A new connection that fails has a reason of its own.
    driver.input(|client, now, id| client.handle(now, Input::Failed(id)), 2);
    assert_eq!(driver.take_told(), ["failed: the connection ended without an answer"]);
    for (method, body) in [(Method::Post, RequestBody::None), (Method::Put, RequestBody::Length(1))]
    {
        let mut driver = stale(method, body);
        driver.take_told().last().filter(|text| text.starts_with("failed")).expect("no repeat");
        assert_eq!(driver.connections(), 0);
    }
    // Once a byte of the answer is there, it is not asked again.
    let mut driver = Driver::default();
    driver.request(get("http://h/"));
    driver.connect_all();
    driver.receive(1, OK);
    driver.request(get("http://h/"));
    driver.receive(1, b"HTTP/1.1 2");
    driver.input(|client, now, id| client.handle(now, Input::Ended(id)), 1);
    assert_eq!(driver.take_told()[3..], ["failed: the connection ended inside the answer"]);
}

#[test]
fn redirects() {
    let redirect = |request: ClientRequest, status: u16, location: &str| {
        let mut driver = Driver::default();
        driver.request(request);
        driver.connect_all();
        driver.take_sent(1);
        let head =
            format!("HTTP/1.1 {status} x\r\nLocation: {location}\r\nContent-Length: 3\r\n\r\n");
        driver.receive(1, head.as_bytes());
        driver.receive(1, b"old");
        driver.connect_all();
        driver
    };
    let post = |to: &str| {
        let request = ClientRequest::new(Method::Post, url(to)).header("Content-Type", "a/b");
        let request = request.header("Authorization", "Basic x").header("Cookie", "c=d");
        request.header("X-Other", "y").body(RequestBody::Whole(b"body".to_vec()))
    };
    // The same origin: the same connection, once what nobody wants has been read.
    let mut driver = redirect(post("http://h/a/b"), 303, "c?d#e");
    assert_eq!(driver.take_told(), ["to http://h/a/c?d"]);
    let again = "GET /a/c?d HTTP/1.1\r\nHost: h\r\nAuthorization: Basic x\r\nCookie: c=d\r\n\
        X-Other: y\r\n\r\n";
    assert!(driver.take_sent(1) == again || driver.take_sent(2) == again);
    let mut driver = redirect(post("http://h/"), 307, "/x");
    let sent = driver.take_sent(1) + &driver.take_sent(2);
    assert!(sent.starts_with("POST /x HTTP/1.1") && sent.ends_with("\r\n\r\nbody"), "{sent}");
    // Another origin is told nothing that is meant for this one.
    let mut driver = redirect(post("http://h/"), 308, "http://h:81/");
    let sent = driver.take_sent(2);
    assert_eq!(
        sent,
        "POST / HTTP/1.1\r\nHost: h:81\r\nContent-Type: a/b\r\nX-Other: y\r\n\
         Content-Length: 4\r\n\r\nbody"
    );
    let mut driver = redirect(get("http://h/"), 302, "https://h/");
    assert_eq!(driver.take_told(), ["to https://h/"]);
    let head = ClientRequest::new(Method::Head, url("http://h/"));
    assert!(redirect(head, 303, "//i/").take_sent(2).starts_with("HEAD / HTTP/1.1\r\nHost: i\r\n"));
    for (request, status, location, reason) in [
        (get("https://h/"), 302, "http://h/", "it leads from https to http"),
        (get("http://h/"), 301, "ftp://h/", "Location is no http or https URL"),
        (get("http://h/"), 301, "http://u:p@h/", "Location is no http or https URL"),
        (get("http://h/"), 301, "/a\r\nLocation: /b", "Location is repeated"),
    ] {
        let told = redirect(request, status, location).take_told();
        assert_eq!(told, [format!("failed: a redirect was refused: {reason}")]);
    }
    // What cannot be sent again, and what is no redirect, is the answer.
    let streamed = ClientRequest::new(Method::Put, url("http://h/")).body(RequestBody::Length(0));
    for (request, status) in [(streamed, 307), (get("http://h/"), 304), (get("http://h/"), 300)] {
        assert_eq!(redirect(request, status, "/x").take_told()[0], status.to_string());
    }
}

#[test]
fn redirects_have_a_limit() {
    let mut driver = Driver::default();
    driver.request(get("http://h/"));
    driver.connect_all();
    for _ in 0..6 {
        driver.receive(1, b"HTTP/1.1 302 x\r\nLocation: /\r\nContent-Length: 0\r\n\r\n");
    }
    let told = driver.take_told();
    assert_eq!((told.len(), told[5].as_str()), (6, "failed: there were too many redirects"));
    let mut driver = Driver::new(ClientSettings { redirects_max: 0, ..ClientSettings::default() });
    driver.request(get("http://h/"));
    driver.connect_all();
    driver.receive(1, b"HTTP/1.1 302 x\r\nLocation: /\r\nContent-Length: 0\r\n\r\n");
    assert_eq!(driver.take_told(), ["302", "end"]);
    // A redirect with a long body: its connection is not worth reading.
    let mut driver = Driver::default();
    driver.request(get("http://h/"));
    driver.connect_all();
    driver.receive(1, b"HTTP/1.1 302 x\r\nLocation: /\r\nContent-Length: 999999\r\n\r\n");
    assert_eq!((driver.closed.len(), driver.connections()), (1, 1));
}

#[test]
fn bodies_are_streamed_within_their_bounds() {
    let settings = ClientSettings { send_buffer_bytes_max: 4, ..ClientSettings::default() };
    let mut driver = Driver::new(settings.clone());
    driver.sends_are_done = false;
    let request = ClientRequest::new(Method::Post, url("http://h/")).body(RequestBody::Chunked);
    let exchange = driver.request(request);
    assert_eq!(driver.send_body(exchange, b"early"), 0, "nothing before there is a connection");
    driver.connect_all();
    assert_eq!(driver.take_told(), ["wanted"]);
    assert_eq!(driver.send_body(exchange, b"hello"), 4);
    assert_eq!(driver.send_body(exchange, b"o"), 0, "no room until a send is done");
    driver.input(|client, now, id| client.handle(now, Input::Sent(id)), 1);
    driver.input(|client, now, id| client.handle(now, Input::Sent(id)), 1);
    assert_eq!(driver.take_told(), ["wanted"]);
    assert_eq!(driver.send_body(exchange, b"o"), 1);
    driver.end_body(exchange);
    driver.sends_are_done = true;
    driver.input(|client, now, id| client.handle(now, Input::Sent(id)), 1);
    assert!(driver.take_sent(1).ends_with("\r\n\r\n4\r\nhell\r\n1\r\no\r\n0\r\n\r\n"));
    driver.receive(1, OK);
    assert_eq!(
        (driver.take_told(), driver.connections()),
        (vec!["200".into(), "hi".into(), "end".into()], 1)
    );
    assert_eq!(driver.send_body(exchange, b"late"), 0);

    let mut driver = Driver::default();
    let request = ClientRequest::new(Method::Put, url("http://h/")).body(RequestBody::Length(3));
    let exchange = driver.request(request);
    driver.connect_all();
    assert_eq!(driver.send_body(exchange, b"ab"), 2);
    driver.end_body(exchange);
    driver.poll_all();
    assert_eq!(
        driver.take_told().last().unwrap(),
        "failed: the request's body ended before its length"
    );
    assert_eq!(driver.connections(), 0);
}

#[test]
fn an_answer_before_the_end_of_the_request_spends_the_connection() {
    let mut driver = Driver::default();
    let request = ClientRequest::new(Method::Put, url("http://h/")).body(RequestBody::Length(9));
    driver.request(request);
    driver.connect_all();
    driver.receive(1, b"HTTP/1.1 413 x\r\nContent-Length: 0\r\n\r\n");
    assert_eq!(driver.take_told(), ["wanted", "413", "end"]);
    assert_eq!((driver.connections(), driver.closed.len()), (0, 1));
}

#[test]
fn each_wait_has_an_end() {
    let failed = |prepare: &dyn Fn(&mut Driver), seconds: u64| {
        let mut driver = Driver::default();
        driver.request(get("http://h/").total(Duration::from_secs(200)));
        prepare(&mut driver);
        driver.take_told();
        driver.pass(Duration::from_secs(seconds - 1));
        assert_eq!(driver.take_told(), [""; 0], "not before its time");
        driver.pass(Duration::from_secs(1));
        assert_eq!((driver.connections(), driver.closed.len()), (0, 1));
        assert!(driver.deadline().is_none());
        driver.take_told().concat()
    };
    assert_eq!(failed(&|_| {}, 10), "failed: the connection took too long");
    let connected = |driver: &mut Driver| driver.connect_all();
    assert_eq!(failed(&connected, 30), "failed: the answer did not begin in time");
    let dribbles = |driver: &mut Driver| {
        driver.connect_all();
        for byte in b"HTTP/1.1 200 OK\r\nX: y" {
            driver.pass(Duration::from_secs(1));
            driver.receive(1, &[*byte]);
        }
    };
    assert_eq!(failed(&dribbles, 9), "failed: the answer did not begin in time");
    let stands_still = |driver: &mut Driver| {
        driver.connect_all();
        driver.receive(1, b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nabc");
    };
    assert_eq!(failed(&stands_still, 30), "failed: the answer's body stood still for too long");
    let trickles = |driver: &mut Driver| {
        driver.connect_all();
        driver.receive(1, b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\n");
        for _ in 0..18 {
            driver.pass(Duration::from_secs(10));
            driver.receive(1, b"x");
        }
    };
    assert_eq!(failed(&trickles, 20), "failed: the whole took too long");
    let unread = |driver: &mut Driver| {
        driver.sends_are_done = false;
        driver.connect_all();
    };
    assert_eq!(failed(&unread, 30), "failed: the server did not take the request in time");
}

#[test]
fn the_pool_is_bounded_and_fair() {
    let settings = ClientSettings {
        connections_max: 3,
        connections_per_origin_max: 2,
        exchanges_max: 5,
        ..ClientSettings::default()
    };
    let mut driver = Driver::new(settings);
    for host in ["a", "a", "a", "b"] {
        driver.request(get(&format!("http://{host}/")));
    }
    assert_eq!(driver.connections(), 3, "the third for a waits, and b does not wait for it");
    let fifth = driver.request(get("http://c/"));
    assert_eq!(driver.try_request(get("http://d/")), Err(RequestError::TooMany));
    driver.connect_all();
    assert_eq!(driver.connections(), 3);
    driver.receive(1, OK);
    assert!(driver.take_sent(1).matches("GET").count() == 2, "the third goes onto the first's");
    // A connection that is idle makes room for another origin.
    driver.receive(2, OK);
    driver.connect_all();
    assert_eq!(driver.closed, [2]);
    assert!(driver.take_sent(4).starts_with("GET / HTTP/1.1\r\nHost: c\r\n"));
    driver.cancel(fifth);
    assert_eq!((driver.closed.as_slice(), driver.connections()), (&[2, 4][..], 2));
    driver.receive(4, OK);
    assert_eq!(driver.take_told().len(), 6, "nothing more is heard of what was cancelled");
}

#[test]
fn requests_are_checked_before_they_are_sent() {
    let mut driver = Driver::default();
    let post = |name: &str, value: &str| get("http://h/").header(name, value);
    for (request, error) in [
        (post("X\r\nY", "z"), RequestError::HeaderName),
        (post("", "z"), RequestError::HeaderName),
        (post("Host", "z"), RequestError::HeaderName),
        (post("transfer-encoding", "chunked"), RequestError::HeaderName),
        (post("Content-Length", "5"), RequestError::HeaderName),
        (post("X", "a\r\nY: z"), RequestError::HeaderValue),
        (post("X", "\0"), RequestError::HeaderValue),
        (ClientRequest::new(Method::Other("A B"), url("http://h/")), RequestError::Method),
        (ClientRequest::new(Method::Other("CONNECT"), url("http://h/")), RequestError::Method),
    ] {
        assert_eq!(driver.try_request(request), Err(error));
    }
    assert_eq!(driver.connections(), 0);
}

#[test]
fn a_body_has_the_limit_of_its_request() {
    let settings = ClientSettings::default();
    let limits = protocol_http::Limits { body_bytes_max: 2, ..settings.limits.clone() };
    let mut driver = Driver::new(ClientSettings { limits, ..settings });
    for (request, count) in [(get("http://h/"), 2), (get("http://h/").body_bytes_max(3), 3)] {
        driver.request(request);
        driver.connect_all();
        let connection = driver.newest();
        driver.receive(connection, b"HTTP/1.0 200 OK\r\n\r\nabcdef");
        let told = driver.take_told();
        assert_eq!(told[1..told.len() - 1].concat().len(), count);
        assert!(told.last().unwrap().contains("longer than the limit"));
    }
}
