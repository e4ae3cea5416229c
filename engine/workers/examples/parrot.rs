//! A worker that only repeats what it is told, for tests of the desk: `parrot` as a child whose
//! standard input is a link. A stream job's source says what it does: `echo`, `crash`, `refuse`.

use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::process::ExitCode;

use media_link::{Ending, Job, Limits, Link, Message, Side};

fn main() -> Result<ExitCode, Box<dyn std::error::Error>> {
    let mut socket = UnixStream::from(std::io::stdin().as_fd().try_clone_to_owned()?);
    let mut link = Link::new(Side::Worker, Limits::default());
    let mut buffer = [0; 4096];
    loop {
        while let Some(frame) = link.next_output() {
            socket.write_all(&frame.head)?;
            socket.write_all(&frame.payload)?;
        }
        if link.is_ended() {
            return Ok(ExitCode::SUCCESS);
        }
        let count = socket.read(&mut buffer)?;
        if count == 0 {
            return Ok(ExitCode::SUCCESS);
        }
        link.receive(&buffer[..count]);
        while let Some(message) = link.poll()? {
            match message {
                Message::Job(job) => match &*job {
                    Job::Stream(job) if job.source == "crash" => return Ok(ExitCode::FAILURE),
                    Job::Stream(job) if job.source == "refuse" => return Ok(ExitCode::from(3)),
                    _ => {}
                },
                Message::KeyframeWanted { track } => {
                    drop(link.send(Message::KeyframeWanted { track }));
                }
                Message::Drain => {
                    drop(link.send(Message::End(Ending::Complete)));
                    while let Some(frame) = link.next_output() {
                        socket.write_all(&frame.head)?;
                        socket.write_all(&frame.payload)?;
                    }
                    return Ok(ExitCode::SUCCESS);
                }
                _ => {}
            }
        }
    }
}
