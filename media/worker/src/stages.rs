//! Small stages that several graphs use: one track alone, decoders, and H.264 with start codes.

use std::rc::Rc;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use bytes::Bytes;
use ffmpeg_next as ffmpeg;
use ffmpeg_next::{codec, format, frame};
use media_flow::{Convert, Finish, Inspect, Out, Port, StageError, TimeBase, TrackId, Verdict};

use crate::packet::{Decoded, Packet, View, ffmpeg_packet, rational, rescale};

/// The most frames that a decoder gives for one packet.
const FRAMES_MAX: usize = 64;

/// Lets only one track pass.
pub struct Only(pub TrackId);

impl Inspect<Packet> for Only {
    fn handle(&mut self, _: Instant, _: Port, view: View<'_>) -> Result<Verdict, StageError> {
        Ok(if view.track == self.0 { Verdict::Pass } else { Verdict::Drop })
    }
}

enum Decoder {
    Video(ffmpeg::decoder::Video),
    Audio(ffmpeg::decoder::Audio),
}

/// Makes frames of packets. What cannot be decoded is passed over, and counted.
pub struct Decode {
    decoder: Decoder,
    time_base: TimeBase,
    damaged: u64,
}

impl Decode {
    /// A decoder for a track with these parameters.
    ///
    /// # Errors
    /// There is none for its codec.
    pub fn new(
        parameters: codec::Parameters,
        time_base: TimeBase,
    ) -> Result<Decode, ffmpeg::Error> {
        let medium = parameters.medium();
        let mut context = codec::Context::from_parameters(parameters)?.decoder();
        context.set_packet_time_base(rational(time_base));
        let decoder = match medium {
            ffmpeg::media::Type::Audio => Decoder::Audio(context.audio()?),
            _ => Decoder::Video(context.video()?),
        };
        Ok(Decode { decoder, time_base, damaged: 0 })
    }

    fn frames(&mut self, track: TrackId, out: &mut Out<'_, Packet>) {
        for _ in 0..FRAMES_MAX {
            let decoded = match &mut self.decoder {
                Decoder::Video(decoder) => {
                    let mut picture = frame::Video::empty();
                    let is_some = decoder.receive_frame(&mut picture).is_ok();
                    is_some.then(|| {
                        let at = picture.timestamp().or(picture.pts());
                        (at, picture.is_key(), Decoded::Picture(Rc::new(picture)))
                    })
                }
                Decoder::Audio(decoder) => {
                    let mut sound = frame::Audio::empty();
                    let is_some = decoder.receive_frame(&mut sound).is_ok();
                    is_some.then(|| {
                        (sound.timestamp().or(sound.pts()), true, Decoded::Sound(Rc::new(sound)))
                    })
                }
            };
            let Some((at, is_keyframe, decoded)) = decoded else { return };
            let kind = match &decoded {
                Decoded::Picture(_) => media_flow::Kind::Video,
                Decoded::Sound(_) => media_flow::Kind::Audio,
            };
            let presentation = at.unwrap_or(0);
            out.emit(Packet {
                track,
                kind,
                time_base: self.time_base,
                presentation,
                decode: presentation,
                duration: 0,
                is_keyframe,
                payload: Bytes::new(),
                frame: Some(decoded),
            });
        }
    }

    fn send(&mut self, packet: Option<&ffmpeg::Packet>) {
        let result = match (&mut self.decoder, packet) {
            (Decoder::Video(decoder), Some(packet)) => decoder.send_packet(packet),
            (Decoder::Video(decoder), None) => decoder.send_eof(),
            (Decoder::Audio(decoder), Some(packet)) => decoder.send_packet(packet),
            (Decoder::Audio(decoder), None) => decoder.send_eof(),
        };
        self.damaged += u64::from(result.is_err());
    }
}

impl Convert<Packet> for Decode {
    fn burst_max(&self) -> usize {
        FRAMES_MAX
    }

    fn handle(
        &mut self,
        _: Instant,
        _: Port,
        view: View<'_>,
        out: &mut Out<'_, Packet>,
    ) -> Result<(), StageError> {
        self.send(Some(&ffmpeg_packet(view)));
        self.frames(view.track, out);
        Ok(())
    }

    fn finish(&mut self, _: Instant, out: &mut Out<'_, Packet>) -> Result<Finish, StageError> {
        self.send(None);
        let track = match self.decoder {
            Decoder::Video(_) => TrackId(0),
            Decoder::Audio(_) => TrackId(1),
        };
        self.frames(track, out);
        Ok(Finish::Done)
    }
}

/// Where a multiplexer leaves its bytes.
#[derive(Clone, Default)]
struct Left(Arc<Mutex<Vec<u8>>>);

impl Left {
    fn take(&self) -> Vec<u8> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl std::io::Write for Left {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// H.264 as it lies in files into access units with start codes, with the parameter sets before
/// each keyframe: what FFmpeg's multiplexer of raw H.264 makes of a packet is exactly that.
pub struct StartCodes {
    output: format::context::Output,
    left: Left,
}

impl StartCodes {
    /// For a track with these parameters.
    ///
    /// # Errors
    /// FFmpeg lacks the multiplexer.
    pub fn new(parameters: codec::Parameters) -> Result<StartCodes, ffmpeg::Error> {
        let left = Left::default();
        let io = format::context::StreamIo::from_write(left.clone())?;
        let mut output = format::output_to_stream(io, None, Some("h264"))?;
        output.add_stream(None::<ffmpeg::Codec>)?.set_parameters(parameters);
        let mut options = ffmpeg::Dictionary::new();
        options.set("flush_packets", "1");
        output.write_header_with(options)?;
        left.take();
        Ok(StartCodes { output, left })
    }
}

impl Convert<Packet> for StartCodes {
    fn handle(
        &mut self,
        _: Instant,
        _: Port,
        view: View<'_>,
        out: &mut Out<'_, Packet>,
    ) -> Result<(), StageError> {
        let mut packet = ffmpeg_packet(view);
        packet.set_stream(0);
        packet.write(&mut self.output)?;
        let payload = self.left.take();
        if payload.is_empty() {
            return Ok(());
        }
        out.emit(Packet {
            track: view.track,
            kind: view.kind,
            time_base: view.time_base,
            presentation: view.presentation,
            decode: view.decode,
            duration: view.duration,
            is_keyframe: view.is_keyframe,
            payload: Bytes::from(payload),
            frame: None,
        });
        Ok(())
    }
}

/// Gives packets the link's clocks: 90,000 ticks a second for pictures, 48,000 for sound.
pub fn for_link(packet: &Packet) -> media_link::MediaPacket {
    let rate = if packet.kind == media_flow::Kind::Audio { 48_000 } else { 90_000 };
    let ticks = |value| rescale(value, packet.time_base, rate);
    media_link::MediaPacket {
        track: packet.track.0,
        is_keyframe: packet.is_keyframe,
        is_after_loss: false,
        presentation: ticks(packet.presentation),
        decode: ticks(packet.decode),
        duration: u32::try_from(ticks(i64::from(packet.duration))).unwrap_or(0),
        payload: packet.payload.clone(),
    }
}
