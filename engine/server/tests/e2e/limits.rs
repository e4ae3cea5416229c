//! Limits: of listeners, of clients, of time.

use std::time::Instant;

use crate::harness::{Listener, Server, Source, rest_ms, runs_of, wait_for};

#[test]
fn a_mount_has_so_many_listeners_and_no_more() {
    let server = Server::start("[[mount]]\nname = \"/two.mp3\"\nlisteners_max = 2\n");
    let _source = Source::tape(server.address, "/two.mp3", 1, 4.0);
    wait_for("it is up", || server.mount_status("/two.mp3").is_some());
    let first = Listener::open(server.address, "/two.mp3", &[]);
    let _second = Listener::open(server.address, "/two.mp3", &[]);
    for _ in 0..3 {
        let refused = server.get("/two.mp3");
        assert_eq!((refused.status, refused.text().as_str()), (403, "max listeners reached"));
    }
    drop(first);
    wait_for("there is room again", || {
        Listener::open(server.address, "/two.mp3", &[]).reply.status == 200
    });
}

#[test]
fn of_listeners_that_come_at_once_no_more_than_the_limit_get_in() {
    let server = Server::start("[[mount]]\nname = \"/ten.mp3\"\nlisteners_max = 10\n");
    let _source = Source::tape(server.address, "/ten.mp3", 1, 4.0);
    wait_for("it is up", || server.mount_status("/ten.mp3").is_some());
    let threads: Vec<_> = (0..40)
        .map(|_| {
            let address = server.address;
            std::thread::spawn(move || Listener::open(address, "/ten.mp3", &[]))
        })
        .collect();
    let all: Vec<Listener> =
        threads.into_iter().map(|thread| thread.join().expect("ran")).collect();
    let admitted = all.iter().filter(|listener| listener.reply.status == 200).count();
    let refused = all.iter().filter(|listener| listener.reply.status == 403).count();
    assert_eq!((admitted, refused), (10, 30));
}

#[test]
fn where_the_mount_says_so_who_finds_it_full_hears_the_fallback() {
    let server = Server::start(
        "[[mount]]\nname = \"/one.mp3\"\nlisteners_max = 1\nfallback = \"/more.mp3\"\n\
         fallback_when_full = true\n[[mount]]\nname = \"/more.mp3\"\nlisteners_max = 1\n",
    );
    let _one = Source::tape(server.address, "/one.mp3", 1, 4.0);
    let _more = Source::tape(server.address, "/more.mp3", 2, 4.0);
    rest_ms(500);
    let mut first = Listener::open(server.address, "/one.mp3", &[]);
    assert_eq!(runs_of(&first.read_exact(417 * 10))[0].name, 1);
    let mut second = Listener::open(server.address, "/one.mp3", &[]);
    assert_eq!(second.reply.status, 200, "{}", second.reply.head);
    assert_eq!(runs_of(&second.read_exact(417 * 10))[0].name, 2);
    assert_eq!(server.get("/one.mp3").status, 403, "that one is full as well");
}

#[test]
fn the_server_has_so_many_clients_and_no_more() {
    let server = Server::start("[limits]\nclients_max = 20\nsources_max = 5\n");
    let _source = Source::tape(server.address, "/live.mp3", 1, 4.0);
    wait_for("it is up", || server.mount_status("/live.mp3").is_some());
    let crowd: Vec<Listener> =
        (0..19).map(|_| Listener::open(server.address, "/live.mp3", &[])).collect();
    assert!(crowd.iter().all(|listener| listener.reply.status == 200));
    // Shards know of each other's clients within a second: one may slip in, not many.
    let mut late = Vec::new();
    let refused = loop {
        rest_ms(1_500);
        let mut listener = Listener::open(server.address, "/live.mp3", &[]);
        if listener.reply.status != 200 {
            let words = listener.read_for_ms(1_500).bytes;
            break (listener.reply.status, String::from_utf8_lossy(&words).into_owned());
        }
        late.push(listener);
        assert!(late.len() < 3, "the limit does not hold");
    };
    assert_eq!(refused, (403, "Icecast connection limit reached".to_owned()));
    drop((crowd, late));
    wait_for("there is room again", || server.get("/health").status == 200);
}

#[test]
fn a_listener_has_so_much_time() {
    let server = Server::start("[[mount]]\nname = \"/short.mp3\"\nlistener_duration_max_s = 2\n");
    let _source = Source::tape(server.address, "/short.mp3", 1, 4.0);
    wait_for("it is up", || server.mount_status("/short.mp3").is_some());
    let begun = Instant::now();
    let mut listener = Listener::open(server.address, "/short.mp3", &[]);
    let heard = listener.read_for_ms(30_000);
    let lasted = begun.elapsed().as_secs_f64();
    assert!(heard.is_closed && lasted >= 1.8, "after {lasted} s");
    assert_eq!(runs_of(&heard.bytes).len(), 1);
}

#[test]
fn a_mount_that_only_feeds_others_refuses_listeners() {
    let server = Server::start(
        "[[mount]]\nname = \"/main.mp3\"\nfallback = \"/feed.mp3\"\n\
         [[mount]]\nname = \"/feed.mp3\"\nno_mount = true\n",
    );
    let _feed = Source::tape(server.address, "/feed.mp3", 4, 4.0);
    wait_for("it is up", || server.mount_status("/feed.mp3").is_some());
    rest_ms(500);
    let refused = server.get("/feed.mp3");
    assert_eq!((refused.status, refused.text().as_str()), (403, "mountpoint unavailable"));
    let mut listener = Listener::open(server.address, "/main.mp3", &[]);
    assert_eq!(runs_of(&listener.read_exact(417 * 10))[0].name, 4);
}

#[test]
fn a_burst_is_no_longer_than_the_mount_says() {
    let server = Server::start(
        "[[mount]]\nname = \"/small.mp3\"\nburst_bytes = 8192\n\
         [[mount]]\nname = \"/none.mp3\"\nburst_bytes = 0\n",
    );
    let _small = Source::tape(server.address, "/small.mp3", 1, 2.0);
    let _none = Source::tape(server.address, "/none.mp3", 2, 2.0);
    rest_ms(3_000);
    let mut listener = Listener::open(server.address, "/small.mp3", &[]);
    let burst = listener.read_for_ms(100).bytes;
    assert!((4_000..=8_192 + 417).contains(&burst.len()), "{} bytes", burst.len());
    let mut listener = Listener::open(server.address, "/none.mp3", &[]);
    let burst = listener.read_for_ms(50).bytes;
    assert!(burst.len() <= 20_000, "{} bytes", burst.len());
}
