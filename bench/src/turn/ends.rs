//! The load's own ends: how what is sent leaves them, and how what arrives is taken.
//!
//! ```text
//! plain        one call for each packet, out and in
//! offloaded    a run is one call, which the kernel cuts (UDP_SEGMENT) as late as it can;
//!              what it has joined is taken in one call (UDP_GRO)
//! ```
//!
//! On loopback nothing is ever cut or joined on the way, and work that a network card does for its
//! host (cutting what is sent, joining what comes) is not done by anybody. Between plain ends the
//! *sender's* processor cuts a run for a receiver that takes single packets, so that a relay which
//! sends runs pays for its peer. Offloaded ends take that away for all relays alike: a run reaches
//! a relay as a card with offloads would hand it over, joined for whoever asked and cut
//! for whoever did not (by the load's processor), and leaves it likewise.
//!
//! *Invariant:* every datagram of what was joined is checked as if it had come alone.

use std::io::{ErrorKind, IoSliceMut};
use std::net::UdpSocket;
use std::os::fd::AsRawFd;
use std::str::FromStr;

use anyhow::{Context, Result};
use nix::sys::socket::{
    ControlMessageOwned, MsgFlags, recvmsg, setsockopt, sockopt::UdpGroSegment,
};

/// Which of them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Ends {
    Plain,
    Offloaded,
}

impl FromStr for Ends {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        match text {
            "plain" => Ok(Ends::Plain),
            "offloaded" => Ok(Ends::Offloaded),
            _ => Err(()),
        }
    }
}

/// Takes datagrams from sockets that do not wait.
pub(crate) struct Taker {
    ends: Ends,
    room: Box<[u8; 65_536]>,
    control: Vec<u8>,
}

impl Taker {
    pub(crate) fn new(ends: Ends) -> Self {
        Taker { ends, room: Box::new([0; 65_536]), control: nix::cmsg_space!(i32) }
    }

    /// Lets the kernel hand over joined datagrams, where the ends do.
    pub(crate) fn prepare(&self, socket: &UdpSocket) -> Result<()> {
        if self.ends == Ends::Offloaded {
            setsockopt(socket, UdpGroSegment, &true).context("UDP_GRO")?;
        }
        Ok(())
    }

    /// What one call takes from a socket: nothing, a datagram, or several.
    pub(crate) fn take(
        &mut self,
        socket: &UdpSocket,
    ) -> Result<Option<std::slice::Chunks<'_, u8>>> {
        let (len, each) = match self.ends {
            Ends::Plain => {
                let Some(len) = there_was(socket.recv(&mut self.room[..]))? else {
                    return Ok(None);
                };
                (len, len)
            }
            Ends::Offloaded => {
                let received = self.receive_joined(socket);
                let Some(taken) = there_was(received)? else { return Ok(None) };
                taken
            }
        };
        // One without a byte is wrong, and is seen as one with a wrong byte.
        Ok(Some(self.room[..len.max(1)].chunks(each.max(1))))
    }

    /// How many bytes came, and how long each datagram in them is.
    fn receive_joined(&mut self, socket: &UdpSocket) -> std::io::Result<(usize, usize)> {
        let mut parts = [IoSliceMut::new(&mut self.room[..])];
        let flags = MsgFlags::MSG_DONTWAIT;
        let message =
            recvmsg::<()>(socket.as_raw_fd(), &mut parts, Some(&mut self.control), flags)?;
        let sizes = message.cmsgs()?.filter_map(|it| match it {
            ControlMessageOwned::UdpGroSegments(bytes) => usize::try_from(bytes).ok(),
            _ => None,
        });
        Ok((message.bytes, sizes.last().unwrap_or(message.bytes)))
    }
}

fn there_was<T>(received: std::io::Result<T>) -> Result<Option<T>> {
    match received {
        Ok(taken) => Ok(Some(taken)),
        Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(None),
        // What an earlier datagram met says nothing of the next.
        Err(error) if error.kind() == ErrorKind::ConnectionRefused => Ok(None),
        Err(error) => Err(error).context("a socket of the generator"),
    }
}
