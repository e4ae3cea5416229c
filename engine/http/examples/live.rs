//! Answers that go on, in a page: who says something is heard by all who listen, on every shard.
//!
//! ```text
//! cargo run --release -p engine-http --example live -- ADDR [CORE,CORE…]
//! curl -N http://ADDR/events & curl -d hello http://ADDR/say
//! ```
//!
//! | path | answer |
//! |---|---|
//! | `/` | a page that listens, and says what is typed |
//! | `/events` | server-sent events: all that is said |
//! | `/say` | to `POST`: says the body |
//! | `/numbers/{count}` | the numbers from 1, a line each, made as the client takes them |

use std::net::SocketAddr;
use std::time::Instant;

use bytes::Bytes;
use engine_http::{
    Answer, Block, Body, Everyone, Handler, Method, More, Request, Route, ServerEvent, Serving,
    Site, Status, Streamed, Topic, TopicLimits, Upload, whole,
};

const ROUTES: &[Route<Handler<Live>>] = &[
    Route::new(Method::Get, "/", Handler::Answer(page)),
    Route::new(Method::Get, "/events", Handler::Stream(listen)),
    Route::new(Method::Post, "/say", Handler::Upload(say)).with_body(4 << 10),
    Route::new(Method::Get, "/numbers/{count}", Handler::Stream(numbers)),
];

const PAGE: &str = "<!DOCTYPE html><title>live</title><ul id=all></ul>
<form onsubmit=\"fetch('/say', {method: 'POST', body: said.value}); said.value = ''; return false\">
<input id=said autofocus></form>
<script>
  new EventSource('/events').onmessage = event =>
    all.appendChild(document.createElement('li')).textContent = event.data;
</script>
";

/// What a shard has.
pub struct Live {
    /// All that is said.
    pub topic: Topic,
    /// How many lines of numbers were made.
    pub lines_count: u64,
    everyone: Everyone<Live>,
}

fn page(_: &mut Live, _: &Request<'_>, answer: Answer<'_>) {
    let response = answer.with(Status::OK).raw_lines(b"Content-Type: text/html\r\n");
    response.body(PAGE.as_bytes());
}

fn listen(live: &mut Live, request: &Request<'_>, answer: Answer<'_>) -> Streamed<Live> {
    live.topic.subscribe(request, answer)
}

fn say(_: &mut Live, _: &Request<'_>) -> Box<dyn Upload<Live>> {
    whole(|live: &mut Live, body, answer| {
        let text = String::from_utf8_lossy(&body).into_owned();
        let is_said = live.everyone.run(move |live| {
            live.topic.publish(&ServerEvent { data: Some(&text), ..ServerEvent::default() });
        });
        match is_said {
            true => answer.with(Status::NO_CONTENT).empty(),
            false => answer.text(Status::SERVICE_UNAVAILABLE, "too much is said"),
        }
    })
}

fn numbers(_: &mut Live, request: &Request<'_>, answer: Answer<'_>) -> Option<Box<dyn Body<Live>>> {
    let Some(count) = request.parameters.get("count").and_then(|text| text.parse().ok()) else {
        answer.text(Status::NOT_FOUND, "that is no number");
        return None;
    };
    let response = answer.with(Status::OK).raw_lines(b"Content-Type: text/plain\r\n");
    response.stream().then(|| Box::new(Numbers { next: 1, count }) as _)
}

/// A long body of which nothing exists before the client has room for it.
struct Numbers {
    next: u64,
    count: u64,
}

impl Body<Live> for Numbers {
    fn next(&mut self, live: &mut Live, _: Instant) -> More {
        if self.next > self.count {
            return More::End;
        }
        let until = self.count.min(self.next + 9_999);
        let lines: String = (self.next..=until).map(|number| format!("{number}\n")).collect();
        live.lines_count += until + 1 - self.next;
        self.next = until + 1;
        More::Block(Block::from(Bytes::from(lines)))
    }
}

/// The site.
pub fn site() -> Site<Live> {
    Site::new("live", ROUTES)
}

/// What each shard begins with.
pub fn state(everyone: &Everyone<Live>) -> Live {
    let topic = Topic::new(TopicLimits::default());
    Live { topic, lines_count: 0, everyone: everyone.clone() }
}

/// Starts a shard on each of these cores, or one anywhere.
pub fn start(address: SocketAddr, cores: &[usize]) -> std::io::Result<Serving<Live>> {
    site().serve(address, cores, state)
}

fn main() -> std::io::Result<()> {
    let mut args = std::env::args().skip(1);
    let address = args.next().unwrap_or_else(|| "127.0.0.1:8080".to_owned());
    let address = address.parse().expect("an address such as 127.0.0.1:8080");
    let cores = args.next().unwrap_or_default();
    let cores = cores.split(',').filter(|core| !core.is_empty());
    let cores: Vec<usize> = cores.map(|core| core.parse().expect("cores such as 0,1")).collect();
    let serving = start(address, &cores)?;
    println!("listening on http://{}/", serving.address);
    serving.shards.join();
    Ok(())
}
