//! A shard with a relay, and the faults that are planted in it.

use std::convert::Infallible;
use std::time::Instant;

use engine_relay::Relay;
use shards_runtime::{Completion, Context, End, Io, ReceiveBuffer, Service, ShardId, Token};

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
    /// One byte of what a stream says as data changes.
    StreamPayloadChanged,
    /// The relay never learns that a client's stream has ended.
    StreamEndNotTold,
    /// Ports are kept for a day.
    ReservationForEver,
    /// Peers with private addresses are allowed.
    PrivatePeers,
    /// Timed names hold for hours longer than they say.
    ClockNotFollowed,
}

impl Fault {
    pub const ALL: [Fault; 12] = [
        Fault::PermissionNotChecked,
        Fault::PermissionForEver,
        Fault::AllocationForEver,
        Fault::ChannelToAnother,
        Fault::NotReleased,
        Fault::PayloadChanged,
        Fault::OldCredentials,
        Fault::StreamPayloadChanged,
        Fault::StreamEndNotTold,
        Fault::ReservationForEver,
        Fault::PrivatePeers,
        Fault::ClockNotFollowed,
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
            (Completion::Ended { end, .. }, Some(Fault::StreamEndNotTold))
                if !matches!(end, End::Paused) =>
            {
                return;
            }
            // Of what begins as data alone.
            (Completion::Received { buffer, .. }, Some(Fault::StreamPayloadChanged))
                if buffer.len() > 12 && buffer[0] & 0xC0 == 0x40 =>
            {
                buffer[11] ^= 1;
            }
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
