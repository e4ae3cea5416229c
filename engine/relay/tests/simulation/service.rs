//! A shard with a relay, and the faults that are planted in it.

use std::convert::Infallible;
use std::time::Instant;

use engine_relay::Relay;
use shards_runtime::{Completion, Context, Io, ReceiveBuffer, Service, ShardId, Token};

/// A fault that the checkers must find. Those that are not the service's own are the world's: the
/// wire says what nobody knows of, which looks as if the server had done it by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Every Send is preceded by a permission that nobody asked for.
    PermissionNotChecked,
    /// The server has permissions for a day.
    PermissionForEver,
    /// The server has allocations for a day.
    AllocationForEver,
    /// A channel leads to the next peer.
    ChannelToAnother,
    /// The relay never learns that a socket is closed: slots and ports are not given back.
    NotReleased,
    /// One byte of a payload changes.
    PayloadChanged,
    /// Credentials that were withdrawn still count.
    OldCredentials,
}

impl Fault {
    pub const ALL: [Fault; 7] = [
        Fault::PermissionNotChecked,
        Fault::PermissionForEver,
        Fault::AllocationForEver,
        Fault::ChannelToAnother,
        Fault::NotReleased,
        Fault::PayloadChanged,
        Fault::OldCredentials,
    ];
}

pub struct RelayService {
    pub relay: Relay,
    pub fault: Option<Fault>,
}

impl<I: Io> Service<I> for RelayService {
    type Message = Infallible;

    fn on_start(&mut self, cx: &mut Context<'_, I, Infallible>) {
        self.relay.start(cx).expect("addresses that are free");
    }

    fn on_completion(
        &mut self,
        cx: &mut Context<'_, I, Infallible>,
        mut completion: Completion<I::Buffer>,
    ) {
        match (&mut completion, self.fault) {
            (Completion::Closed { .. }, Some(Fault::NotReleased)) => return,
            (Completion::ReceivedFrom { buffer, .. }, Some(Fault::PayloadChanged)) => {
                let (room, data) = buffer.with_room();
                // Of data alone: a request would be refused.
                if room[data.start] & 0xC0 != 0 {
                    room[data.end - 1] ^= 1;
                }
            }
            _ => {}
        }
        self.relay.on_completion(cx, completion);
    }

    fn on_message(&mut self, _: &mut Context<'_, I, Infallible>, _: ShardId, message: Infallible) {
        match message {}
    }

    fn on_timer(&mut self, cx: &mut Context<'_, I, Infallible>, token: Token) {
        self.relay.on_timer(cx, token);
    }

    fn on_tick_end(&mut self, cx: &mut Context<'_, I, Infallible>) {
        self.relay.on_tick_end(cx);
        self.relay.take_ended();
    }

    fn deadline(&self) -> Option<Instant> {
        self.relay.deadline()
    }
}
