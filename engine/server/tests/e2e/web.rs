//! The pages for browsers: where they are, how they are kept, and that they hide nothing.
//!
//! A build without the pages (cargo alone makes one) has the status page at `/` for browsers too,
//! and says at `/app` how they are built.

use crate::harness::{Listener, Server, Source, get, wait_for};

const BROWSER: &str = "Accept: text/html,application/xhtml+xml,*/*;q=0.8";

#[test]
fn browsers_get_the_pages_and_tools_what_they_always_got() {
    let server = Server::start("");
    let deep = get(server.address, "/app/watch/garden", &[BROWSER]);
    assert_eq!(deep.status, 200);
    let tag = deep.header("etag").expect("a tag").to_owned();
    let again = get(server.address, "/app", &[&format!("If-None-Match: {tag}")]);
    assert_eq!((again.status, again.body.len()), (304, 0));
    let tools = server.get("/");
    assert_eq!((tools.status, tools.header("etag")), (200, None), "tools get the status page");
    let root = get(server.address, "/", &[BROWSER]);
    if !engine_web::is_built() {
        assert!(deep.text().contains("npm run build"));
        assert!(root.header("etag").is_none(), "the status page");
        return;
    }
    assert_eq!(root.body, deep.body);
    let text = root.text();
    let at = text.find("/assets/index-").expect("a script or a style");
    let asset = &text[at..at + text[at..].find('"').expect("its end")];
    let plain = server.get(asset);
    assert_eq!((plain.status, plain.header("content-encoding")), (200, None));
    let small = get(server.address, asset, &["Accept-Encoding: gzip, br"]);
    assert_eq!(small.header("content-encoding"), Some("br"));
    assert!(small.body.len() < plain.body.len() / 2);
    assert!(small.header("cache-control").expect("a line").contains("immutable"));
    let part = get(server.address, asset, &["Range: bytes=0-9"]);
    assert_eq!((part.status, part.body.as_slice()), (206, &plain.body[..10]));
    assert_eq!(server.get("/assets/nothing.js").status, 404);
}

#[test]
fn a_mount_is_not_hidden_by_a_page() {
    let server = Server::start("");
    let _source = Source::tape(server.address, "/app/live.mp3", 1, 4.0);
    wait_for("it is up", || server.mount_status("/app/live.mp3").is_some());
    let heard = Listener::open(server.address, "/app/live.mp3", &[BROWSER]);
    assert_eq!(heard.reply.header("content-type"), Some("audio/mpeg"));
}
