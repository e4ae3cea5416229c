//! The real worker at the other end of a real socket: files in, packets out; packets in, files out.
//! The media are made by ffmpeg, and ffprobe reads what was written.

mod harness;
mod recording;
mod streaming;
