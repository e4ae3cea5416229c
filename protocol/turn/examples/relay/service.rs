//! What a shard runs: a relay and nothing else.

use std::convert::Infallible;
use std::time::Instant;

use engine_relay::Relay;
use shards_runtime::{Completion, Context, Io, Service, ShardId, Token};

/// A shard with a relay. The shards have nothing to say to each other.
pub struct RelayService(pub Relay);

impl<I: Io> Service<I> for RelayService {
    type Message = Infallible;

    fn on_start(&mut self, cx: &mut Context<'_, I, Infallible>) {
        // The addresses were tried before the shards started.
        self.0.start(cx).expect("addresses that were free a moment ago");
    }

    fn on_completion(
        &mut self,
        cx: &mut Context<'_, I, Infallible>,
        completion: Completion<I::Buffer>,
    ) {
        self.0.on_completion(cx, completion);
    }

    fn on_message(&mut self, _: &mut Context<'_, I, Infallible>, _: ShardId, message: Infallible) {
        match message {}
    }

    fn on_timer(&mut self, cx: &mut Context<'_, I, Infallible>, token: Token) {
        self.0.on_timer(cx, token);
    }

    fn on_tick_end(&mut self, cx: &mut Context<'_, I, Infallible>) {
        self.0.on_tick_end(cx);
        for ended in self.0.take_ended() {
            let usage = ended.release.usage;
            println!(
                "{} {} {:?} after {} s: {} packets, {} bytes to peers; {} packets, {} bytes back",
                ended.release.client.address,
                ended.release.user,
                ended.release.end,
                ended.lasted.as_secs(),
                usage.to_peer_packets,
                usage.to_peer_bytes,
                usage.to_client_packets,
                usage.to_client_bytes,
            );
        }
    }

    fn deadline(&self) -> Option<Instant> {
        self.0.deadline()
    }
}
