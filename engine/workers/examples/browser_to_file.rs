//! Browsers to files: `browser_to_file DIRECTORY [ADDRESS:PORT]`. Whoever opens the page and
//! presses its button is recorded until he presses it again; the file plays while it is written.
//!
//! ```text
//! cargo build -p media-worker
//! cargo run -p engine-workers --example browser_to_file -- recordings
//! ```
//!
//! Each publisher has a graph and a worker of its own, which writes fragmented MP4:
//!
//! ```text
//! Session ══> units (in order, whole) ══> recorder
//! ```

use std::cell::Cell;
use std::collections::BTreeMap;
use std::error::Error;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Instant;

use engine_http::{Answer, Handler, Method, Request, Route, Site, Status, Upload, whole};
use engine_rtc::{Door, Happened, Lobby};
use engine_workers::{Media, Process, ToUnits, Units};
use media_flow::{Bound, Graph, Input, Node, Outlet, Plan, Policy, Source};
use media_link::Message;
use media_rtc::{Output, Role, SessionConfig, TrackInfo};

/// What a handler of HTTP has: the way to the loop below, which is brought nothing else.
type State = Door<()>;

const ROUTES: &[Route<Handler<State>>] = &[
    Route::new(Method::Get, "/", Handler::Answer(page)),
    Route::new(Method::Post, "/whip", Handler::Upload(whip)).with_body(64 << 10),
];

fn page(_: &mut State, _: &Request<'_>, answer: Answer<'_>) {
    let response = answer.with(Status::OK).raw_lines(b"Content-Type: text/html\r\n");
    response.body(include_bytes!("pages/publish.html"));
}

fn whip(_: &mut State, _: &Request<'_>) -> Box<dyn Upload<State>> {
    whole(|door: &mut State, offer, answer| match door.answer(Role::Publish, &offer) {
        Ok(sdp) => {
            let response = answer.with(Status::CREATED);
            response.raw_lines(b"Content-Type: application/sdp\r\n").body(sdp.as_bytes());
        }
        Err(error) => answer.text(Status::BAD_REQUEST, error.to_string()),
    })
}

#[allow(clippy::disallowed_methods, reason = "the driver is the clock")]
fn now() -> Instant {
    Instant::now()
}

/// A publisher on its way to a file.
struct Recording {
    graph: Graph<Media>,
    source: Node<Source>,
    outlet: Node<Outlet>,
    wants_keyframe: Rc<Cell<bool>>,
    worker: Process,
}

impl Recording {
    fn start(directory: &str, name: &str, tracks: &[TrackInfo]) -> Result<Self, Box<dyn Error>> {
        let program = std::env::current_exe()?.with_file_name("../skywave-worker");
        let job = serde_json::json!({ "job": "record", "name": name, "directory": directory });
        let mut worker = Process::start(&program, serde_json::from_value(job)?)?;
        let units = tracks.iter().zip(0..).filter_map(|(info, id)| Units::new(info, id));
        let units: Vec<Units> = units.collect();
        units.iter().try_for_each(|it| worker.say(Message::Track(it.track().clone())))?;
        let stage = ToUnits::new(units);
        let wants_keyframe = stage.wants_keyframe();
        let mut plan = Plan::new();
        let (source, units) = (plan.source(name), plan.convert("units", stage));
        let outlet = plan.outlet("recorder");
        let bound = Bound { packets_max: 1_024, bytes_max: 16 << 20 };
        plan.lend(source, units).queue(units, outlet, bound, Policy::ToKeyframe);
        let graph = plan.build()?;
        eprint!("{}", graph.explain());
        Ok(Recording { graph, source, outlet, wants_keyframe, worker })
    }

    /// What is whole goes to the recorder.
    fn pump(&mut self) -> Result<(), Box<dyn Error>> {
        self.graph.handle(now(), Input::Tick);
        while self.graph.poll().is_some() {}
        while let Some(Media::Unit(unit)) = self.graph.take(now(), self.outlet) {
            self.worker.say(Message::Packet(unit))?;
        }
        Ok(())
    }

    /// Waits until the file is complete.
    fn finish(mut self) -> Result<(), Box<dyn Error>> {
        self.graph.handle(now(), Input::Drain);
        self.pump()?;
        self.worker.say(Message::Drain)?;
        loop {
            match self.worker.hear()? {
                Message::Event { event, .. } => println!("{}", serde_json::to_string(&event)?),
                Message::End(ending) => {
                    println!("{ending}");
                    return Ok(());
                }
                _ => {}
            }
        }
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let directory = arguments.next().ok_or("usage: browser_to_file DIRECTORY [ADDRESS:PORT]")?;
    let address: SocketAddr = arguments.next().as_deref().unwrap_or("127.0.0.1:8090").parse()?;

    let (mut lobby, door) = Lobby::open(address.ip(), SessionConfig::default())?;
    let site = Site::new("browser_to_file", ROUTES);
    let address = site.serve(address, &[], move |_| door.clone())?.address;
    println!("open http://{address}/");

    let mut recordings = BTreeMap::new();
    loop {
        let Happened::Said(guest, output) = lobby.wait() else { continue };
        let (session, recording) = (lobby.get_mut(guest), recordings.get_mut(&guest));
        match (output, session, recording) {
            (Output::Connected, Some(session), None) => {
                let tracks: Vec<_> = session.tracks().cloned().collect();
                recordings.insert(guest, Recording::start(&directory, "browser", &tracks)?);
            }
            (Output::Packet(track, packet), Some(session), Some(recording)) => {
                let media = Media::Rtp(track, packet);
                drop(recording.graph.push(now(), recording.source, media));
                recording.pump()?;
                if recording.wants_keyframe.take() {
                    let tracks: Vec<_> = session.tracks().map(|track| track.id).collect();
                    tracks.iter().for_each(|track| session.request_keyframe(now(), *track, None));
                }
            }
            (Output::Closed(_), ..) => {
                recordings.remove(&guest).map_or(Ok(()), Recording::finish)?;
            }
            _ => {}
        }
    }
}
