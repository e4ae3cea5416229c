//! A WebSocket server in a page: it says everything again, compressed where the client wants it.
//!
//! ```text
//! cargo run --release -p protocol-ws --example ws_echo -- 127.0.0.1:9001
//! ```
//!
//! `engine-http` has the sockets and the handshake, `protocol-ws` is the rest. `cargo xtask conform
//! autobahn` drives it through the Autobahn test suite.

use engine_http::{Conversation, Handler, Message, Method, Replies, Request, Route, Site};
use protocol_ws as ws;

const MESSAGE_BYTES_MAX: u64 = 16 << 20;

const ROUTES: &[Route<Handler<()>>] =
    &[Route::new(Method::Get, "/{*any}", Handler::WebSocket(echo))];

fn echo(_: &mut (), _: &Request<'_>) -> Box<dyn Conversation<()>> {
    Box::new(|_: &mut (), message: Message<'_>, replies: &mut Replies<'_>| {
        replies.send(message.kind, message.payload);
    })
}

fn main() -> std::io::Result<()> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:9001".to_owned());
    let address = address.parse().expect("an address such as 127.0.0.1:9001");
    let mut site = Site::new("ws_echo", ROUTES);
    site.limits.connections_max = 1000;
    site.limits.http.input_bytes_max = 256 * 1024;
    site.websockets.connection.limits = ws::Limits {
        frame_bytes_max: MESSAGE_BYTES_MAX,
        message_bytes_max: MESSAGE_BYTES_MAX,
        fragments_count_max: 1 << 18,
    };
    site.websockets.connection.queue.bytes_max = 2 << 24;
    site.websockets.deflate.own_context = true;
    let serving = site.serve(address, &[], |_| ())?;
    println!("listening on ws://{}/", serving.address);
    serving.shards.join();
    Ok(())
}
