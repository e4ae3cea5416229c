//! A file or a camera to browsers: `file_to_browser SOURCE [ADDRESS:PORT]`, where the source is
//! what FFmpeg opens, such as `film.mp4`, `rtsp://…` or `/dev/video0`.
//!
//! ```text
//! cargo build -p media-worker
//! cargo run -p engine-workers --example file_to_browser -- film.mp4
//! ```
//!
//! A worker opens the source once; its units are made RTP once, however many watch:
//!
//! ```text
//! worker ══> payloads ══> viewers ──> Track (since the last keyframe) ──> Projection ──> Session
//! ```

use std::collections::BTreeMap;
use std::error::Error;
use std::io::Read;
use std::net::SocketAddr;
use std::time::Instant;

use engine_http::{Answer, Handler, Method, Request, Route, Site, Status, Upload, whole};
use engine_rtc::{Door, Happened, Lobby};
use engine_workers::{Media, Payloads, Process, ToRtp};
use media_flow::{Bound, Plan, Policy};
use media_link::Message;
use media_rtc::*;

/// What a handler of HTTP has: the way to the loop below, which is also brought the worker's bytes.
type State = Door<Vec<u8>>;

const ROUTES: &[Route<Handler<State>>] = &[
    Route::new(Method::Get, "/", Handler::Answer(page)),
    Route::new(Method::Post, "/whep", Handler::Upload(whep)).with_body(64 << 10),
];

fn page(_: &mut State, _: &Request<'_>, answer: Answer<'_>) {
    let response = answer.with(Status::OK).raw_lines(b"Content-Type: text/html\r\n");
    response.body(include_bytes!("pages/watch.html"));
}

fn whep(_: &mut State, _: &Request<'_>) -> Box<dyn Upload<State>> {
    whole(|door: &mut State, offer, answer| match door.answer(Role::View, &offer) {
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

/// A viewer's track: what of the worker's goes into it, and in which numbers.
struct View {
    from: TrackId,
    to: TrackId,
    projection: Projection,
}

impl View {
    /// Views of all tracks that a viewer takes. It begins with what is kept since a keyframe.
    fn open(session: &mut Session, tracks: &BTreeMap<TrackId, Track>) -> Vec<View> {
        let own: Vec<_> = session.tracks().filter(|own| own.is_outgoing).cloned().collect();
        let mut views = Vec::new();
        for (from, track) in tracks {
            let Some(to) = own.iter().find(|own| own.kind == track.kind()) else { continue };
            let mut projection = Projection::new(track.kind(), 0);
            projection
                .join(now(), track, |packet, numbers| session.send(now(), to.id, packet, numbers));
            views.push(View { from: *from, to: to.id, projection });
        }
        views
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let source = arguments.next().ok_or("usage: file_to_browser SOURCE [ADDRESS:PORT]")?;
    let address: SocketAddr = arguments.next().as_deref().unwrap_or("127.0.0.1:8090").parse()?;

    // The worker says what the tracks are, and then sends them.
    let program = std::env::current_exe()?.with_file_name("../skywave-worker");
    let job = serde_json::json!({ "job": "stream", "name": "example", "source": source });
    let mut worker = Process::start(&program, serde_json::from_value(job)?)?;
    let lanes = worker.tracks()?.into_iter().zip(1..);
    let lanes: Vec<_> = lanes.filter_map(|(track, ssrc)| Payloads::new(track, ssrc)).collect();
    let track = |info: TrackInfo| (info.id, Track::new(info.kind, TrackLimits::default()));
    let mut tracks: BTreeMap<_, _> = lanes.iter().map(Payloads::info).map(track).collect();
    let mut plan = Plan::new();
    let source = plan.source("worker");
    let payloads = plan.convert("payloads", ToRtp(lanes));
    let outlet = plan.outlet("viewers");
    let bound = Bound { packets_max: 16_384, bytes_max: 16 << 20 };
    plan.lend(source, payloads).queue(payloads, outlet, bound, Policy::ToKeyframe);
    let mut graph = plan.build()?;
    eprint!("{}", graph.explain());

    let (mut lobby, door) = Lobby::open(address.ip(), SessionConfig::default())?;
    let (worker_door, mut reader) = (door.clone(), worker.reader()?);
    std::thread::spawn(move || {
        let mut buffer = [0; 65_536];
        while let Ok(count) = reader.read(&mut buffer)
            && worker_door.bring(buffer[..count].to_vec())
            && count > 0
        {}
    });
    let site = Site::new("file_to_browser", ROUTES);
    let address = site.serve(address, &[], move |_| door.clone())?.address;
    println!("open http://{address}/");

    let mut viewers: BTreeMap<_, Vec<View>> = BTreeMap::new();
    loop {
        match lobby.wait() {
            Happened::Brought(bytes) if bytes.is_empty() => return Ok(()),
            Happened::Brought(bytes) => worker.receive(&bytes),
            Happened::Said(guest, Output::Connected) => {
                let Some(session) = lobby.get_mut(guest) else { continue };
                viewers.entry(guest).or_insert_with(|| View::open(session, &tracks));
            }
            Happened::Said(_, Output::KeyframeWanted(_)) => {
                worker.say(Message::KeyframeWanted { track: 0 })?;
            }
            Happened::Said(guest, Output::Closed(_)) => drop(viewers.remove(&guest)),
            Happened::Said(..) => {}
        }
        while let Some(message) = worker.poll()? {
            if let Message::Packet(packet) = message {
                drop(graph.push(now(), source, Media::Unit(packet)));
                while graph.poll().is_some() {}
            }
        }
        while let Some(Media::Rtp(id, packet)) = graph.take(now(), outlet) {
            let Some(track) = tracks.get_mut(&id) else { continue };
            track.push(now(), &packet);
            for (guest, views) in &mut viewers {
                let Some(session) = lobby.get_mut(*guest) else { continue };
                for view in views.iter_mut().filter(|view| view.from == id) {
                    view.projection.take(now(), track, &packet, |packet, numbers| {
                        session.send(now(), view.to, packet, numbers)
                    });
                }
            }
        }
    }
}
