//! `/admin/`: what it answers, in Icecast's words, and that it does what it says.

use crate::harness::{
    ADMIN, Listener, PASSWORD, Server, Source, basic, get, rest_ms, runs_of, wait_for,
};

fn two_mounts() -> (Server, Source, Source) {
    let server = Server::start("[credentials]\nrelay_password = \"a-relay-password\"\n");
    let one = Source::tape(server.address, "/one.mp3", 1, 4.0);
    let two = Source::tape(server.address, "/two.mp3", 2, 4.0);
    wait_for("both are up", || {
        server.mount_status("/one.mp3").is_some() && server.mount_status("/two.mp3").is_some()
    });
    (server, one, two)
}

fn message(text: &str, done: u8) -> String {
    format!(
        "<?xml version=\"1.0\"?>\n<iceresponse><message>{text}</message><return>{done}</return>\
         </iceresponse>\n"
    )
}

/// The ids of a mount's listeners.
fn ids(server: &Server, mount: &str) -> Vec<String> {
    let list = server.admin(&format!("/admin/listclients?mount={mount}")).text();
    let after = list.split("<ID>").skip(1);
    after.map(|rest| rest.split('<').next().unwrap_or_default().to_owned()).collect()
}

#[test]
fn every_command_asks_who_you_are() {
    let (server, _one, _two) = two_mounts();
    let commands = [
        "/admin/",
        "/admin/stats",
        "/admin/stats.xml",
        "/admin/listmounts",
        "/admin/listclients?mount=/one.mp3",
        "/admin/killclient?mount=/one.mp3&id=1",
        "/admin/killsource?mount=/one.mp3",
        "/admin/moveclients?mount=/one.mp3&destination=/two.mp3",
        "/admin/fallbacks?mount=/one.mp3&fallback=/two.mp3",
        "/admin/streamlist.txt",
        "/admin/metadata?mount=/one.mp3&mode=updinfo&song=x",
        "/admin/updatemetadata?mount=/one.mp3",
    ];
    let wrong = [basic(ADMIN.0, "wrong"), basic("", ""), basic("source", "wrong")];
    for path in commands {
        let bare = server.get(path);
        assert_eq!(
            (bare.status, bare.text().as_str()),
            (401, "You need to authenticate\r\n"),
            "{path}"
        );
        for line in &wrong {
            assert_eq!(get(server.address, path, &[line]).status, 401, "{path} with {line}");
        }
    }
    // Those that are about one mount are its source's as well, the others are not.
    let source = basic("source", PASSWORD);
    assert_eq!(get(server.address, "/admin/listclients?mount=/one.mp3", &[&source]).status, 200);
    assert_eq!(get(server.address, "/admin/listmounts", &[&source]).status, 401);
    assert_eq!(get(server.address, "/admin/stats", &[&source]).status, 401);
    assert!(server.mount_status("/one.mp3").is_some(), "nothing was done");
}

#[test]
fn listeners_are_listed_and_put_out_one_by_one() {
    let (server, _one, _two) = two_mounts();
    let mut listeners: Vec<Listener> = (0..3)
        .map(|number| {
            let agent = format!("User-Agent: player<{number}>&");
            Listener::open(server.address, "/one.mp3", &[&agent])
        })
        .collect();
    wait_for("three are listed", || ids(&server, "/one.mp3").len() == 3);
    let list = server.admin("/admin/listclients?mount=/one.mp3");
    assert_eq!(list.header("content-type"), Some("text/xml; charset=utf-8"));
    let text = list.text();
    assert!(
        text.contains("<source mount=\"/one.mp3\"><Listeners>3</Listeners><listener>"),
        "{text}"
    );
    assert!(
        text.contains("<IP>127.0.0.1</IP><UserAgent>player&lt;0&gt;&amp;</UserAgent>"),
        "{text}"
    );
    assert!(ids(&server, "/two.mp3").is_empty());
    let victim = ids(&server, "/one.mp3")[0].clone();
    let path = format!("/admin/killclient?mount=/one.mp3&id={victim}");
    assert_eq!(server.admin(&path).text(), message(&format!("Client {victim} removed"), 1));
    wait_for("two are left", || ids(&server, "/one.mp3").len() == 2);
    assert_eq!(server.admin(&path).text(), message(&format!("Client {victim} not found"), 0));
    let closed = listeners.iter_mut().filter_map(|l| l.closes_within_ms(500).then_some(())).count();
    assert_eq!(closed, 1);
    let page = server.admin("/admin/listclients.xsl?mount=/one.mp3");
    assert_eq!(page.header("content-type").map(|value| &value[..9]), Some("text/html"));
}

#[test]
fn a_source_is_put_out() {
    let (server, mut one, _two) = two_mounts();
    let mut listener = Listener::open(server.address, "/one.mp3", &[]);
    let reply = server.admin("/admin/killsource?mount=/one.mp3");
    assert_eq!(reply.text(), message("Source Removed", 1));
    assert!(one.is_closed_within_ms(30_000) && listener.closes_within_ms(30_000));
    wait_for("the mount is gone", || server.mount_status("/one.mp3").is_none());
    let again = server.admin("/admin/killsource?mount=/one.mp3");
    assert_eq!(again.status, 400);
    assert!(again.text().contains("<b>400 - Source does not exist</b>"), "{}", again.text());
}

#[test]
fn listeners_are_moved_without_a_gap_in_their_frames() {
    let (server, _one, _two) = two_mounts();
    let mut listener = Listener::open(server.address, "/one.mp3", &[]);
    let mut bytes = listener.read_exact(417 * 50);
    let reply = server.admin("/admin/moveclients?mount=/one.mp3&destination=/two.mp3");
    assert_eq!(reply.text(), message("Clients moved from /one.mp3 to /two.mp3", 1));
    bytes.extend(listener.read_for_ms(2_500).bytes);
    let runs = runs_of(&bytes);
    let names: Vec<u32> = runs.iter().map(|run| run.name).collect();
    assert_eq!(names, [1, 2], "{runs:?}");
    wait_for("it is counted there", || ids(&server, "/two.mp3").len() == 1);
    assert!(ids(&server, "/one.mp3").is_empty());
    let faults = [
        ("mount=/one.mp3&destination=/one.mp3", "supplied mountpoints are identical"),
        ("mount=/one.mp3&destination=/no.mp3", "No such destination"),
        ("mount=/no.mp3&destination=/one.mp3", "Source is not available"),
    ];
    for (query, words) in faults {
        let reply = server.admin(&format!("/admin/moveclients?{query}"));
        assert_eq!(reply.status, 400, "{query}");
        assert!(reply.text().contains(words), "{query}: {}", reply.text());
    }
}

#[test]
fn a_fallback_is_given_and_used() {
    let (server, one, _two) = two_mounts();
    let reply = server.admin("/admin/fallbacks?mount=/one.mp3&fallback=/two.mp3");
    assert!(reply.text().contains("<p>Fallback configured</p>"), "{}", reply.text());
    let mut listener = Listener::open(server.address, "/one.mp3", &[]);
    let mut bytes = listener.read_exact(417 * 50);
    let cycle = server.admin("/admin/fallbacks?mount=/two.mp3&fallback=/one.mp3");
    assert_eq!(cycle.status, 400, "a cycle is refused: {}", cycle.text());
    drop(one);
    bytes.extend(listener.read_for_ms(2_500).bytes);
    let names: Vec<u32> = runs_of(&bytes).iter().map(|run| run.name).collect();
    assert_eq!(names, [1, 2]);
}

#[test]
fn mounts_and_streams_are_listed() {
    let (server, _one, _two) = two_mounts();
    rest_ms(200);
    let text = server.admin("/admin/listmounts").text();
    for mount in ["/one.mp3", "/two.mp3"] {
        let start = format!("<source mount=\"{mount}\"><fallback");
        assert!(text.contains(&start), "{text}");
    }
    assert!(text.contains("<content-type>audio/mpeg</content-type>"), "{text}");
    let login = basic("relay", "a-relay-password");
    let list = get(server.address, "/admin/streamlist.txt", &[&login]);
    assert_eq!(list.text(), "/one.mp3\r\n/two.mp3\r\n");
    assert_eq!(server.admin("/admin/streamlist.txt").status, 401, "as Icecast has it");
}

#[test]
fn faults_have_icecasts_words() {
    let (server, _one, _two) = two_mounts();
    let table = [
        ("/admin/nonsense", "Unrecognised command"),
        ("/admin/!POKE", "Unrecognised command"),
        ("/admin/listclients?mount=/no.mp3", "Source does not exist"),
        ("/admin/killclient?mount=/one.mp3", "Missing parameter"),
        ("/admin/metadata?mount=/one.mp3", "Missing parameter"),
        ("/admin/metadata?mount=/no.mp3&mode=updinfo&song=x", "Source does not exist"),
        ("/admin.cgi?mode=updinfo&song=x", "missing pass parameter"),
    ];
    for (path, words) in table {
        let reply = server.admin(path);
        assert_eq!(reply.status, 400, "{path}");
        let expected = format!(
            "<html><head><title>Error 400</title></head><body><b>400 - {words}</b></body></html>\r\n"
        );
        assert_eq!(reply.text(), expected, "{path}");
    }
    let other = server.admin("/admin/metadata?mount=/one.mp3&mode=other&song=x");
    assert_eq!((other.status, other.text()), (200, message("No such action", 0)));
}

#[test]
fn another_site_cannot_have_a_browser_do_it() {
    let (server, _one, _two) = two_mounts();
    let login = basic(ADMIN.0, ADMIN.1);
    let path = "/admin/killsource?mount=/one.mp3";
    let reply = get(server.address, path, &[&login, "Sec-Fetch-Site: cross-site"]);
    assert_eq!(reply.status, 403);
    rest_ms(300);
    assert!(server.mount_status("/one.mp3").is_some());
}
