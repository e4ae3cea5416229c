//! The client in any order of events: servers that answer anything, cut anywhere, connections that
//! fail at any time, a clock that jumps. Whatever happens, each exchange ends once, nothing is sent
//! before there is a connection, and nothing grows.

#[path = "client/driver.rs"]
mod driver;

use std::time::Duration;

use driver::{Driver, url};
use proptest::collection::vec;
use proptest::prelude::*;
use protocol_http::Method;
use protocol_http::client::{ClientRequest, ClientSettings, Input, RequestBody};

#[derive(Debug, Clone)]
enum Event {
    Request { host: u8, method: usize, body: usize },
    Connect(usize),
    Receive(usize, &'static str),
    Sent(usize),
    Lose(usize, bool),
    Pass(u64),
    Cancel(usize),
    Body(usize, usize),
    EndBody(usize),
}

const METHODS: [Method<'_>; 4] = [Method::Get, Method::Head, Method::Post, Method::Put];

fn events() -> impl Strategy<Value = Vec<Event>> {
    let piece = prop::sample::select(vec![
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi",
        "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
        "HTTP/1.1 302 x\r\nLocation: //b/\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 303 x\r\nLocation: /x\r\nContent-Length: 2\r\n\r\nno",
        "HTTP/1.1 307 x\r\nLocation: https://a/\r\nConnection: close\r\n\r\n",
        "HTTP/1.1 100 Continue\r\n\r\n",
        "HTTP/1.1 204 x\r\n\r\n",
        "HTTP/1.0 200 OK\r\n\r\n",
        "HTTP/1.1 2",
        "2\r\nhi\r\n",
        "0\r\n\r\n",
        "hi",
        "\r\n",
        "\n",
        "ICY 200 OK\r\n\r\n",
    ]);
    let event = prop_oneof![
        4 => (0_u8..3, 0_usize..4, 0_usize..4)
            .prop_map(|(host, method, body)| Event::Request { host, method, body }),
        4 => any::<usize>().prop_map(Event::Connect),
        8 => (any::<usize>(), piece).prop_map(|(at, text)| Event::Receive(at, text)),
        2 => any::<usize>().prop_map(Event::Sent),
        2 => (any::<usize>(), any::<bool>()).prop_map(|(at, proper)| Event::Lose(at, proper)),
        2 => (0_u64..40).prop_map(Event::Pass),
        1 => any::<usize>().prop_map(Event::Cancel),
        2 => (any::<usize>(), 0_usize..9).prop_map(|(at, count)| Event::Body(at, count)),
        1 => any::<usize>().prop_map(Event::EndBody),
    ];
    vec(event, 0..60)
}

fn request(host: u8, method: usize, body: usize) -> ClientRequest {
    let host = ["a", "b", "c"][usize::from(host)];
    let body = match body {
        0 => RequestBody::None,
        1 => RequestBody::Whole(b"whole".to_vec()),
        2 => RequestBody::Length(20),
        _ => RequestBody::Chunked,
    };
    ClientRequest::new(METHODS[method], url(&format!("http://{host}/"))).body(body)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3000))]

    #[test]
    fn each_exchange_ends_once(events in events(), sends_are_done in any::<bool>()) {
        let settings = ClientSettings {
            exchanges_max: 6,
            connections_max: 4,
            connections_per_origin_max: 2,
            requests_per_connection_max: 3,
            redirects_max: 2,
            total: Some(Duration::from_secs(120)),
            ..ClientSettings::default()
        };
        let mut driver = Driver::new(settings);
        driver.sends_are_done = sends_are_done;
        // With a body of 20, how many were given: the caller keeps its word.
        let mut exchanges = Vec::new();
        for event in events {
            let open = driver.open_numbers();
            let pick = |at: usize| open.get(at % open.len().max(1)).copied();
            match event {
                Event::Request { host, method, body } => {
                    if let Ok(exchange) = driver.try_request(request(host, method, body)) {
                        exchanges.push((exchange, body, 0));
                    }
                }
                Event::Connect(at) => {
                    if let Some(number) = pick(at).filter(|one| driver.is_connecting(*one)) {
                        driver.connect(number);
                    }
                }
                Event::Receive(at, text) => {
                    if let Some(number) = pick(at).filter(|one| !driver.is_connecting(*one)) {
                        driver.receive(number, text.as_bytes());
                    }
                }
                Event::Sent(at) => {
                    if let Some(number) = pick(at).filter(|one| driver.is_sending(*one)) {
                        driver.input(|client, now, id| client.handle(now, Input::Sent(id)), number);
                    }
                }
                Event::Lose(at, is_proper_end) => {
                    if let Some(number) = pick(at) {
                        let is_proper_end = is_proper_end && !driver.is_connecting(number);
                        driver.lose(number, is_proper_end);
                    }
                }
                Event::Pass(seconds) => driver.pass(Duration::from_secs(seconds)),
                Event::Cancel(at) if !exchanges.is_empty() => {
                    let at = at % exchanges.len();
                    driver.cancel(exchanges[at].0);
                }
                Event::Body(at, count) if !exchanges.is_empty() => {
                    let at = at % exchanges.len();
                    let (exchange, body, given) = &mut exchanges[at];
                    let count = if *body == 2 { count.min(20 - *given) } else { count };
                    *given += driver.send_body(*exchange, &b"12345678"[..count]);
                }
                Event::EndBody(at) if !exchanges.is_empty() => {
                    let at = at % exchanges.len();
                    driver.end_body(exchanges[at].0);
                }
                _ => {}
            }
            prop_assert!(driver.connections() <= 4 && driver.exchanges() <= 6);
            prop_assert_eq!(driver.connections(), driver.open_numbers().len());
        }
        // And all that is left ends by itself.
        while driver.deadline().is_some() {
            driver.pass(Duration::from_secs(10));
        }
        prop_assert_eq!((driver.exchanges(), driver.open_numbers().len()), (0, 0));
    }
}
