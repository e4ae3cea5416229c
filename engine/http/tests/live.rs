//! Answers that go on, on the real ring: curl, and the `EventSource` of Chromium.

#[path = "../examples/live.rs"]
#[allow(dead_code, reason = "its command line and the simulator's tests use the rest")]
mod live;
#[path = "../../../protocol/http/tests/peers/programs.rs"]
mod programs;

use std::io::{BufRead, BufReader};
use std::net::{SocketAddr, TcpListener};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, OnceLock};

use engine_http::{Answer, Control, Handler, Method, Request, Route, ServerEvent, Status};
use live::Live;
use programs::{have, run, shown_by_chromium};

/// A page that listens, says something when it does, and shows what it hears.
const PAGE: &str = "<!DOCTYPE html><title>t</title><pre id=heard></pre><script>
    const events = new EventSource('/events');
    events.onopen = () => fetch('/say', {method: 'POST', body: 'one\\ntwo'});
    events.onmessage = event => {
      events.close();
      document.getElementById('heard').textContent = `[${event.data.replace('\\n', '|')}]`;
    };
    </script>";

fn page(_: &mut Live, _: &Request<'_>, answer: Answer<'_>) {
    let response = answer.with(Status::OK).raw_lines(b"Content-Type: text/html\r\n");
    response.body(PAGE.as_bytes());
}

/// One server of two shards for all tests of this process; it ends with it.
fn served() -> (SocketAddr, &'static Mutex<Control<Live>>) {
    static SERVED: OnceLock<(SocketAddr, Mutex<Control<Live>>)> = OnceLock::new();
    let (address, control) = SERVED.get_or_init(|| {
        let mut site = live::site();
        site.routes.push(Route::new(Method::Get, "/page", Handler::Answer(page)));
        let core = a_core();
        let any = "127.0.0.1:0".parse().unwrap();
        let serving = site.serve(any, &[core, core], live::state).unwrap();
        (serving.address, Mutex::new(serving.control))
    });
    (*address, control)
}

/// The first of those that this process may use.
fn a_core() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let list = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:")).unwrap();
    let digits = list.trim().split(|at: char| !at.is_ascii_digit()).next().unwrap();
    digits.parse().unwrap()
}

fn url(path: &str) -> String {
    format!("http://{}{path}", served().0)
}

/// curl, listening; it is ended when it goes out of scope.
struct Listener {
    child: Child,
    lines: BufReader<std::process::ChildStdout>,
}

impl Listener {
    fn new(options: &[&str]) -> Listener {
        let mut child = Command::new("curl")
            .args(["-sSfN", "--max-time", "60", &url("/events")])
            .args(options)
            .stdout(Stdio::piped())
            .spawn()
            .expect("curl is there");
        let lines = BufReader::new(child.stdout.take().unwrap());
        let mut listener = Listener { child, lines };
        assert_eq!(listener.line(), "retry: 2000");
        listener
    }

    /// The next line that is not empty.
    fn line(&mut self) -> String {
        loop {
            let mut line = String::new();
            let count = self.lines.read_line(&mut line).unwrap();
            assert!(count > 0, "the stream has ended");
            if !line.trim().is_empty() {
                return line.trim_end().to_owned();
            }
        }
    }

    /// Reads on until this comes.
    fn await_line(&mut self, expected: &str) {
        while self.line() != expected {}
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        let _is_gone = self.child.kill();
        let _is_gone = self.child.wait();
    }
}

#[test]
fn curl_listens_on_every_shard() {
    if !have("curl", "curl") {
        return;
    }
    let old = ["--http1.0"];
    let mut listeners: Vec<Listener> =
        (0..8).map(|number| Listener::new(if number == 7 { &old } else { &[] })).collect();
    for text in ["hello", "ä"] {
        run("curl", &["-sSf", "-d", text, &url("/say")]);
        for listener in &mut listeners {
            listener.await_line(&format!("data: {text}"));
        }
    }
    // A thread of the program's speaks to all shards, too.
    let control = served().1;
    let told = control.lock().unwrap().run(|live| {
        live.topic.publish(&ServerEvent { event: Some("news"), ..ServerEvent::default() });
    });
    told.unwrap();
    listeners.iter_mut().for_each(|listener| listener.await_line("event: news"));
}

#[test]
fn curl_reads_a_body_that_is_made_meanwhile() {
    if !have("curl", "curl") {
        return;
    }
    let expected: String = (1..=300_000).map(|number| format!("{number}\n")).collect();
    for options in [&["-sSf"][..], &["-sSf", "--http1.0"]] {
        assert_eq!(run("curl", &[options, &[&url("/numbers/300000")]].concat()), expected);
    }
    // The connection goes on behind it.
    let twice = ["-sSfv", "--stderr", "-", &url("/numbers/3"), &url("/numbers/2")];
    let said = run("curl", &twice);
    assert!(said.contains("1\n2\n3\n") && said.contains("Re-using existing"), "{said}");
    assert!(run("curl", &["-sSfI", &url("/events")]).contains("text/event-stream"));
}

#[test]
fn the_address_belongs_to_one_server() {
    let address = served().0;
    assert!(TcpListener::bind(address).is_err());
    assert!(live::start(address, &[]).is_err());
}

#[test]
fn an_event_source_in_chromium() {
    if !have("chromium", "chromium") {
        return;
    }
    let profile = std::path::Path::new(env!("CARGO_TARGET_TMPDIR"))
        .join(format!("live-{}.profile", std::process::id()));
    let shown = shown_by_chromium(&url("/page"), &profile, &[]);
    assert!(shown.contains(">[one|two]<"), "{shown}");
}
