//! A tone, paced as if it were live, into Ogg pages on standard output: `tone > tone.ogg`, or
//! `tone --seconds 5 | mpv -`.
//!
//! ```text
//! tone ══> pace (lets packets go at their time) ──> level (borrows: how loud) ══> pages
//! ```
//!
//! Each packet is a verbatim FLAC frame, so no encoder is needed and any player hears it.

#[path = "tone/flac.rs"]
mod flac;

use std::cell::RefCell;
use std::io::{Cursor, Write};
use std::num::NonZeroU32;
use std::rc::Rc;
use std::time::Instant;

use bytes::Bytes;
use media_flow::*;
use ogg::PacketWriter;
use ogg::writing::PacketWriteEndInfo;

const RATE: u32 = 48_000;
/// Samples of a packet: 20 ms.
const SAMPLES: u32 = 960;

fn tone(number: u32) -> MediaPacket {
    let sample = |at: u32| {
        let phase = f64::from((number * SAMPLES + at) % RATE) * 440.0 / f64::from(RATE);
        ((phase * std::f64::consts::TAU).sin() * 8000.0) as i16
    };
    let samples: Vec<i16> = (0..SAMPLES).map(sample).collect();
    let presentation = i64::from(number * SAMPLES);
    MediaPacket {
        track: TrackId(0),
        kind: Kind::Audio,
        time_base: TimeBase::per_second(NonZeroU32::new(RATE).expect("not zero")),
        presentation,
        decode: presentation,
        duration: SAMPLES,
        is_keyframe: true,
        payload: Bytes::from(flac::frame(number, &samples)),
        frame: None,
    }
}

/// Says the loudest sample of each second: it is only lent what passes.
#[derive(Default)]
struct Level {
    loudest: u16,
    second: i64,
}

impl Inspect<MediaPacket> for Level {
    fn handle(&mut self, _: Instant, _: Port, view: MediaView<'_>) -> Result<Verdict, StageError> {
        let samples = flac::samples(view.payload).map(i16::unsigned_abs);
        self.loudest = samples.fold(self.loudest, u16::max);
        let second = view.presentation / i64::from(RATE);
        if second > self.second {
            eprintln!("{second} s: loudest sample {}", self.loudest);
            (self.loudest, self.second) = (0, second);
        }
        Ok(Verdict::Pass)
    }
}

type PagesOut = Rc<RefCell<PacketWriter<'static, Cursor<Vec<u8>>>>>;

/// Puts each packet on a page, which the program writes out: a stage writes no file.
struct Pages(PagesOut);

const SERIAL: u32 = 7;

impl Retain<MediaPacket> for Pages {
    fn handle(
        &mut self,
        _: Instant,
        _: Port,
        packet: MediaPacket,
        _: &mut Out<'_, MediaPacket>,
    ) -> Result<(), StageError> {
        let end = packet.presentation as u64 + u64::from(packet.duration);
        let payload = Vec::from(packet.payload);
        let page = PacketWriteEndInfo::EndPage;
        Ok(self.0.borrow_mut().write_packet(payload, SERIAL, page, end)?)
    }

    fn close(&mut self, _: Instant, end: &End) {
        eprintln!("{end}");
    }
}

#[allow(clippy::disallowed_methods, reason = "the driver is the clock")]
fn now() -> Instant {
    Instant::now()
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip_while(|argument| argument != "--seconds").skip(1);
    let seconds: u32 = arguments.next().map_or(Ok(2), |text| text.parse())?;
    let pages: PagesOut = Rc::new(RefCell::new(PacketWriter::new(Cursor::default())));
    for (header, page) in flac::headers(RATE, SAMPLES as u16) {
        let end = if page { PacketWriteEndInfo::EndPage } else { PacketWriteEndInfo::NormalPacket };
        pages.borrow_mut().write_packet(header, SERIAL, end, 0)?;
    }

    let mut plan = Plan::new();
    let source = plan.source("tone");
    let pace = plan.retain("pace", Pace::new(4));
    let level = plan.inspect("level", Level::default());
    let sink = plan.keep("pages", Pages(pages.clone()));
    let bound = Bound { packets_max: 4, bytes_max: 64 << 10 };
    plan.queue(source, pace, bound, Policy::Wait);
    plan.lend(pace, level).queue(level, sink, bound, Policy::Wait);
    let mut graph = plan.build()?;

    let mut numbers = 0..seconds * RATE / SAMPLES;
    while graph.end().is_none() {
        while graph.credit(source).packets > 0 {
            match numbers.next() {
                Some(number) => drop(graph.push(now(), source, tone(number))),
                None => graph.handle(now(), Input::Drain),
            }
        }
        while graph.poll().is_some() {}
        let written = std::mem::take(pages.borrow_mut().inner_mut()).into_inner();
        std::io::stdout().write_all(&written)?;
        if let Some(deadline) = graph.deadline() {
            #[allow(clippy::disallowed_methods, reason = "the driver is what waits")]
            std::thread::sleep(deadline.saturating_duration_since(now()));
            graph.handle(now(), Input::Tick);
        }
    }
    eprint!("{}", graph.explain());
    Ok(())
}
