//! Connecting: the kernel makes a socket in a free slot, then connects it.
//!
//! *Invariant:* a connection that was given up, or that failed, leaves no socket behind, and its
//! `Connected` comes exactly once.

use std::io;
use std::net::SocketAddr;

use io_uring::types::{DestinationSlot, Fixed};
use io_uring::{opcode, squeue};
use shards_runtime::{Completion, Token};

use crate::address::Family;
use crate::buffers::Buffer;
use crate::entries;
use crate::kernel::Event;
use crate::machine::UringIo;
use crate::operations::{Operation, Ticket, user_data};
use crate::sockets::{self, Kind};

impl UringIo {
    pub(crate) fn connect(&mut self, token: Token, to: SocketAddr) {
        let domain = if to.is_ipv4() { libc::AF_INET } else { libc::AF_INET6 };
        let ticket =
            self.operations.insert(Operation::Open { token, to: Box::new(to), cancelled: false });
        self.connecting.push(ticket);
        let entry = opcode::Socket::new(domain, libc::SOCK_STREAM, 0)
            .file_index(Some(DestinationSlot::auto_target()))
            .build()
            .user_data(ticket.user_data());
        // SAFETY: the entry names no memory.
        unsafe { self.kernel.push(entry) };
    }

    /// Connects from a given address. The socket is made at once: such connections are rare.
    pub(crate) fn connect_from(&mut self, token: Token, from: SocketAddr, to: SocketAddr) {
        let made = if from.is_ipv4() == to.is_ipv4() {
            sockets::connecting(from)
        } else {
            Err(io::Error::from_raw_os_error(libc::EAFNOSUPPORT))
        };
        let installed = made.and_then(|file| self.install(&file, Kind::Stream, Family::of(&from)));
        match installed {
            Ok(socket) => self.start_connect(sockets::slot_of(socket), token, to),
            Err(error) => {
                self.ready.push_back(Completion::Connected { token, result: Err(error) });
            }
        }
    }

    pub(crate) fn cancel_connect(&mut self, token: Token) {
        let mut running = None;
        for &ticket in &self.connecting {
            match self.operations.get_mut(ticket) {
                Some(Operation::Open { token: its, cancelled, .. }) if *its == token => {
                    *cancelled = true;
                    return;
                }
                Some(Operation::Connect { token: its, cancelled, .. }) if *its == token => {
                    *cancelled = true;
                    running = Some(ticket);
                }
                _ => {}
            }
        }
        if let Some(ticket) = running {
            self.cancel(ticket);
        }
    }

    pub(crate) fn on_open(
        &mut self,
        ticket: Ticket,
        event: Event,
        completions: &mut Vec<Completion<Buffer>>,
    ) {
        self.connecting.retain(|&other| other != ticket);
        let Some(Operation::Open { token, to, cancelled }) = self.operations.remove(ticket) else {
            return;
        };
        if event.result < 0 {
            let error = io::Error::from_raw_os_error(-event.result);
            completions.push(Completion::Connected { token, result: Err(error) });
            return;
        }
        let socket = event.result as u32;
        self.occupy(socket, (Kind::Stream, Family::of(&to)), completions);
        if cancelled {
            completions.push(given_up(token));
            self.close_silently(socket);
            return;
        }
        self.start_connect(socket, token, *to);
    }

    pub(crate) fn on_connect(
        &mut self,
        ticket: Ticket,
        event: Event,
        completions: &mut Vec<Completion<Buffer>>,
    ) {
        self.connecting.retain(|&other| other != ticket);
        let Some(Operation::Connect { token, socket, cancelled, message }) =
            self.operations.remove(ticket)
        else {
            return;
        };
        self.operations.recycle(message);
        self.sockets[socket as usize].in_flight_count -= 1;
        if event.result >= 0 && !cancelled {
            let result = Ok(self.name(socket));
            completions.push(Completion::Connected { token, result });
            return;
        }
        completions.push(if cancelled {
            given_up(token)
        } else {
            let error = io::Error::from_raw_os_error(-event.result);
            Completion::Connected { token, result: Err(error) }
        });
        self.close_silently(socket);
    }

    fn start_connect(&mut self, socket: u32, token: Token, to: SocketAddr) {
        let no_delay = entries::no_delay(socket)
            .flags(squeue::Flags::SKIP_SUCCESS)
            .user_data(user_data::IGNORED);
        // SAFETY: the option's value is static.
        unsafe { self.kernel.push(no_delay) };
        let mut message = self.operations.message();
        let len = message.address.write(to, Family::of(&to)) as libc::socklen_t;
        let address = message.address().cast_const().cast();
        let connect = Operation::Connect { token, socket, cancelled: false, message };
        let ticket = self.operations.insert(connect);
        self.connecting.push(ticket);
        let entry = opcode::Connect::new(Fixed(socket), address, len).build();
        // SAFETY: the address lies in the message that the operation owns.
        unsafe { self.start(socket, ticket, entry) };
    }
}

fn given_up(token: Token) -> Completion<Buffer> {
    let error = io::Error::from_raw_os_error(libc::ECANCELED);
    Completion::Connected { token, result: Err(error) }
}
