//! A video file to four sinks with four tempers: `replay FILE.ivf [COPY.ivf]`. Make one with
//!
//! ```text
//! ffmpeg -f lavfi -i testsrc=duration=10 -c:v libvpx -g 25 test.ivf
//!
//!                ┌──> count    (lent: runs as the packet passes)
//! file ──────────┼══> copy     waits: the file is read only as fast as this is written
//!                ├══> viewer   slow: loses pictures, but never one that the next ones need
//!                └══> preview  slow: only the newest picture counts
//! ```

use std::cell::Cell;
use std::fs::File;
use std::io::{BufReader, BufWriter, ErrorKind, Read, Write};
use std::num::NonZeroU32;
use std::rc::Rc;
use std::time::Instant;

use bytes::Bytes;
use media_flow::*;

type Failed = Box<dyn std::error::Error>;

/// The reader of an IVF file of VP8: a header of 32 bytes, then size, time, bytes of each picture.
struct Ivf {
    file: BufReader<File>,
    header: [u8; 32],
    time_base: TimeBase,
}

impl Ivf {
    fn open(path: &str) -> Result<Ivf, Failed> {
        let mut file = BufReader::new(File::open(path)?);
        let mut header = [0; 32];
        file.read_exact(&mut header)?;
        if &header[..4] != b"DKIF" || &header[8..12] != b"VP80" {
            return Err("not an IVF file of VP8".into());
        }
        let word = |at: usize| u32::from_le_bytes([0, 1, 2, 3].map(|index| header[at + index]));
        let not_zero = |at: usize| NonZeroU32::new(word(at)).ok_or("a time base of zero");
        let time_base = TimeBase { numerator: not_zero(20)?, denominator: not_zero(16)? };
        Ok(Ivf { file, header, time_base })
    }

    fn next(&mut self) -> Result<Option<MediaPacket>, Failed> {
        let mut head = [0; 12];
        match self.file.read_exact(&mut head) {
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => return Ok(None),
            result => result?,
        }
        let size = u32::from_le_bytes([0, 1, 2, 3].map(|index| head[index]));
        let mut payload = Vec::new();
        (&mut self.file).take(size.into()).read_to_end(&mut payload)?;
        let presentation = i64::from_le_bytes([4, 5, 6, 7, 8, 9, 10, 11].map(|index| head[index]));
        Ok(Some(MediaPacket {
            track: TrackId(0),
            kind: Kind::Video,
            time_base: self.time_base,
            presentation,
            decode: presentation,
            duration: 0,
            // RFC 6386 §9.1: the lowest bit of the first byte is 0 in a key frame.
            is_keyframe: payload.first().is_some_and(|byte| byte & 1 == 0),
            payload: Bytes::from(payload),
            frame: None,
        }))
    }
}

/// Counts the key frames that pass.
struct Count(Rc<Cell<usize>>);

impl Inspect<MediaPacket> for Count {
    fn handle(&mut self, _: Instant, _: Port, view: MediaView<'_>) -> Result<Verdict, StageError> {
        self.0.set(self.0.get() + usize::from(view.is_keyframe));
        Ok(Verdict::Pass)
    }
}

#[allow(clippy::disallowed_methods, reason = "the driver is the clock")]
fn now() -> Instant {
    Instant::now()
}

fn main() -> Result<(), Failed> {
    let mut arguments = std::env::args().skip(1);
    let path = arguments.next().ok_or("usage: replay FILE.ivf [COPY.ivf]")?;
    let mut ivf = Ivf::open(&path)?;
    let mut copy_to: BufWriter<Box<dyn Write>> = BufWriter::new(match arguments.next() {
        Some(path) => Box::new(File::create(path)?),
        None => Box::new(std::io::sink()),
    });
    copy_to.write_all(&ivf.header)?;

    let keyframes = Rc::new(Cell::new(0));
    let mut plan = Plan::new();
    let file = plan.source("file");
    let count = plan.sink("count", Count(keyframes.clone()));
    let [copy, viewer, preview] = ["copy", "viewer", "preview"].map(|name| plan.outlet(name));
    let bound = |packets_max| Bound { packets_max, bytes_max: 8 << 20 };
    plan.lend(file, count);
    plan.queue(file, copy, bound(4), Policy::Wait);
    plan.queue(file, viewer, bound(12), Policy::ToKeyframe);
    plan.queue(file, preview, bound(1), Policy::DropOldest);
    let mut graph = plan.build()?;

    let mut turns = 0_u64;
    while graph.end().is_none() {
        while graph.credit(file).packets > 0 {
            match ivf.next()? {
                Some(packet) => drop(graph.push(now(), file, packet)),
                None => graph.handle(now(), Input::Drain),
            }
        }
        while graph.poll().is_some() {}
        if let Some(packet) = graph.take(now(), copy) {
            copy_to.write_all(&(packet.payload.len() as u32).to_le_bytes())?;
            copy_to.write_all(&packet.presentation.to_le_bytes())?;
            copy_to.write_all(&packet.payload)?;
        }
        // The others are slower: one takes every second picture, one every tenth.
        let is_over = graph.state() == State::Draining;
        turns += 1;
        if is_over || turns.is_multiple_of(2) {
            graph.take(now(), viewer);
        }
        if is_over || turns.is_multiple_of(10) {
            graph.take(now(), preview);
        }
    }
    copy_to.flush()?;
    println!("{} key frames\n{}", keyframes.get(), graph.explain());
    Ok(())
}
