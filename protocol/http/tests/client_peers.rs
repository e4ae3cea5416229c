//! The client on real sockets, against a server of Python's and the example: what it says others
//! understand, and it understands what others say.

#[path = "peers/programs.rs"]
mod programs;
#[path = "../examples/serve.rs"]
#[allow(dead_code, reason = "its command line and other tests use the rest")]
mod serve;

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use programs::have;
use protocol_http::Method;
use protocol_http::client::{
    Client, ClientRequest, ClientSettings, ConnectionId, ExchangeId, Input, Output, RequestBody,
    Response, Url,
};

const PATIENCE: Duration = Duration::from_secs(60);

/// A driver that does one thing after the other, with sockets that block.
struct Driver {
    client: Client,
    sockets: BTreeMap<ConnectionId, TcpStream>,
    connects_count: usize,
}

/// What an exchange came to.
struct Answer {
    response: Response,
    body: Vec<u8>,
    redirects: Vec<String>,
}

#[allow(clippy::disallowed_methods, reason = "this is the driver: it is the clock")]
fn now() -> Instant {
    Instant::now()
}

impl Driver {
    fn new() -> Driver {
        let client = Client::new(ClientSettings::default());
        Driver { client, sockets: BTreeMap::new(), connects_count: 0 }
    }

    /// Asks and waits for the end. `pieces` are given as the body's.
    fn ask(&mut self, request: ClientRequest, pieces: &[&[u8]]) -> Result<Answer, String> {
        let id = self.client.request(now(), request).map_err(|error| error.to_string())?;
        let mut pieces = pieces.iter();
        let (mut response, mut body, mut redirects) = (None, Vec::new(), Vec::new());
        let mut current = None;
        loop {
            let Some(output) = self.client.poll() else {
                self.receive(current.expect("a connection to wait for"));
                continue;
            };
            match output {
                Output::Connect { connection, origin } => {
                    self.connects_count += 1;
                    let address = (origin.host.trim_matches(['[', ']']), origin.port);
                    let input = match TcpStream::connect(address) {
                        Ok(socket) => {
                            socket.set_read_timeout(Some(PATIENCE)).unwrap();
                            self.sockets.insert(connection, socket);
                            Input::Connected(connection)
                        }
                        Err(_) => Input::Failed(connection),
                    };
                    self.client.handle(now(), input);
                }
                Output::Send { connection, bytes } => {
                    current = Some(connection);
                    let sent = self.sockets.get_mut(&connection).unwrap().write_all(&bytes);
                    let input = match sent {
                        Ok(()) => Input::Sent(connection),
                        Err(_) => Input::Failed(connection),
                    };
                    self.client.handle(now(), input);
                }
                Output::Close { connection } => _ = self.sockets.remove(&connection),
                Output::BodyWanted { exchange } => self.give(exchange, &mut pieces),
                Output::Redirected { url, .. } => redirects.push(url.to_string()),
                Output::Head { response: head, .. } => response = Some(head),
                Output::Body { bytes, .. } => body.extend(bytes),
                Output::End { exchange } => {
                    assert_eq!(exchange, id);
                    let response = response.expect("a head came first");
                    return Ok(Answer { response, body, redirects });
                }
                Output::Failed { error, .. } => return Err(error.to_string()),
            }
        }
    }

    fn give<'p>(&mut self, exchange: ExchangeId, pieces: &mut impl Iterator<Item = &'p &'p [u8]>) {
        match pieces.next() {
            Some(piece) => {
                let taken = self.client.send_body(now(), exchange, piece);
                assert_eq!(taken, piece.len(), "the pieces of these tests are small");
            }
            None => self.client.end_body(now(), exchange),
        }
    }

    fn receive(&mut self, connection: ConnectionId) {
        let mut buffer = [0; 4096];
        let count = self.sockets.get_mut(&connection).map(|socket| socket.read(&mut buffer));
        let input = match count.expect("it waits on an open connection") {
            Ok(0) => Input::Ended(connection),
            Ok(count) => Input::Received(connection, &buffer[..count]),
            Err(_) => {
                self.sockets.remove(&connection);
                Input::Failed(connection)
            }
        };
        self.client.handle(now(), input);
    }
}

/// Python's server with a few answers that try a client.
const SERVER: &str = r#"
import http.server, sys
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def log_message(self, *rest): pass
    def answer(self, status, body=b"", **lines):
        self.send_response(status)
        for name, value in lines.items(): self.send_header(name.replace("_", "-"), value)
        if "Transfer_Encoding" not in lines and "Connection" not in lines:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD": self.wfile.write(body)
    def body(self):
        if self.headers.get("Transfer-Encoding") == "chunked":
            body = b""
            while True:
                size = int(self.rfile.readline(), 16)
                body += self.rfile.read(size)
                self.rfile.readline()
                if size == 0: return body
        return self.rfile.read(int(self.headers.get("Content-Length", 0)))
    def do_GET(self):
        body = self.body()
        here = "http://%s:%d" % self.server.server_address
        if self.path == "/chunked":
            self.answer(200, b"3\r\nabc\r\n2;x=y\r\nde\r\n0\r\nT: u\r\n\r\n", Transfer_Encoding="chunked")
        elif self.path == "/close":
            self.answer(200, b"until the end", Connection="close")
        elif self.path == "/interim":
            self.wfile.write(b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n")
            self.answer(200, b"late")
        elif self.path == "/vanish":
            # The next request on this connection finds it closed, unannounced.
            self.answer(200, b"gone")
            self.close_connection = True
        elif self.path == "/see": self.answer(303, b"old", Location="what?x=1#y")
        elif self.path == "/keep": self.answer(308, b"", Location=here + "/what")
        elif self.path == "/round": self.answer(302, b"", Location="/round")
        elif self.path == "/elsewhere":
            self.answer(302, b"", Location=here.replace("127.0.0.1", "127.0.0.2") + "/what")
        else:
            told = [self.command, self.path, str("Authorization" in self.headers), body.decode()]
            self.answer(200, " ".join(told).encode())
    do_HEAD = do_POST = do_PUT = do_GET
server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
print(server.server_address[1], flush=True)
server.serve_forever()
"#;

/// A server of Python's; it ends with the test.
struct Python {
    child: Child,
    port: u16,
}

impl Python {
    fn start() -> Python {
        let mut child = Command::new("python3")
            .args(["-c", SERVER])
            .stdout(Stdio::piped())
            .spawn()
            .expect("python3 is there");
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        Python { child, port: line.trim().parse().expect("a port") }
    }

    fn url(&self, path: &str) -> Url {
        Url::parse(&format!("http://127.0.0.1:{}{path}", self.port)).unwrap()
    }
}

impl Drop for Python {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn pythons_server() {
    if !have("python3", "python3") {
        return;
    }
    let server = Python::start();
    let mut driver = Driver::new();
    let mut get = |path: &str| driver.ask(ClientRequest::get(server.url(path)), &[]).unwrap();
    assert_eq!(get("/chunked").body, b"abcde");
    assert_eq!(get("/interim").body, b"late");
    assert_eq!(get("/what").body, b"GET /what False ");
    let see = get("/see");
    assert_eq!((see.response.status.0, see.body), (200, b"GET /what?x=1 False ".to_vec()));
    assert_eq!(see.redirects, [server.url("/what?x=1").to_string()]);
    // One for all of them, and one where the body of a redirect was still coming.
    assert!(driver.connects_count <= 2, "{}", driver.connects_count);

    let head = ClientRequest::new(Method::Head, server.url("/what"));
    assert_eq!(driver.ask(head, &[]).unwrap().body, b"");
    let whole = RequestBody::Whole(b"hello".to_vec());
    let post = |path: &str, body: RequestBody| {
        let request = ClientRequest::new(Method::Post, server.url(path)).body(body);
        request.header("Authorization", "Basic eA==")
    };
    let kept = driver.ask(post("/keep", whole.clone()), &[]).unwrap();
    assert_eq!(kept.body, b"POST /what True hello");
    let seen = driver.ask(post("/see", whole), &[]).unwrap();
    assert_eq!(seen.body, b"GET /what?x=1 True ");
    let streamed = driver.ask(post("/what", RequestBody::Chunked), &[b"one ", b"two"]).unwrap();
    assert_eq!(streamed.body, b"POST /what True one two");
    let sized = driver.ask(post("/what", RequestBody::Length(3)), &[b"a", b"bc"]).unwrap();
    assert_eq!(sized.body, b"POST /what True abc");
    let round = driver.ask(ClientRequest::get(server.url("/round")), &[]);
    assert!(round.is_err_and(|error| error.contains("too many redirects")));
    // Another origin, where nobody listens.
    let elsewhere = driver.ask(ClientRequest::get(server.url("/elsewhere")), &[]);
    assert!(elsewhere.is_err_and(|error| error == "no connection was made"));

    let made = driver.connects_count;
    assert_eq!(driver.ask(ClientRequest::get(server.url("/vanish")), &[]).unwrap().body, b"gone");
    let again = driver.ask(ClientRequest::get(server.url("/what")), &[]).unwrap();
    assert_eq!(again.body, b"GET /what False ");
    assert_eq!(driver.client.counters().requests_repeated, 1, "found closed, asked once more");
    assert!(driver.connects_count > made);
    let closed = driver.ask(ClientRequest::get(server.url("/close")), &[]).unwrap();
    assert_eq!(closed.body, b"until the end");
}

#[test]
fn the_example() {
    let settings = serve::Settings { address: None, cores: Vec::new(), root: None, tls: None };
    let address = serve::start(&settings).unwrap().0;
    let url = |path: &str| Url::parse(&format!("http://{address}{path}")).unwrap();
    let mut driver = Driver::new();
    for _ in 0..3 {
        let hello = driver.ask(ClientRequest::get(url("/")), &[]).unwrap();
        assert_eq!((hello.response.status.0, hello.body), (200, b"Hello, world!".to_vec()));
        let mirror = ClientRequest::new(Method::Put, url("/")).body(RequestBody::Chunked);
        assert_eq!(driver.ask(mirror, &[b"ab", b"c"]).unwrap().body, b"abc");
        let missing = driver.ask(ClientRequest::get(url("/none")), &[]).unwrap();
        assert_eq!(missing.response.status.0, 404);
        assert!(missing.response.header("date").is_some());
    }
    assert_eq!((driver.connects_count, driver.client.connections_count()), (1, 1));
}
