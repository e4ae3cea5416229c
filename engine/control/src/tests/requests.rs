//! Administration and pages.

use std::net::SocketAddr;

use engine_node::{ListenerRow, Message, StreamOffer};

use super::{Claimed, World};

fn row(id: u64) -> ListenerRow {
    ListenerRow {
        id,
        peer: SocketAddr::from(([192, 0, 2, 7], 6000)),
        agent: Some("player".into()),
        connected_s: 5,
        lag_bytes: 0,
    }
}

impl World {
    /// Numbers of the lists asked for, by shard.
    fn lists(&mut self) -> Vec<(u16, u32)> {
        self.take(|shard, message| match message {
            Message::ListListeners { request, .. } => Some((shard, *request)),
            _ => None,
        })
    }

    fn listed(&mut self, shard: u16, request: u32, ids: &[u64]) {
        let listeners = Box::new(ids.iter().copied().map(row).collect());
        self.message(shard, Message::Listeners { request, listeners });
    }

    fn titles(&mut self) -> Vec<String> {
        self.take(|_, message| match message {
            Message::SetTitle { title, .. } => Some(title.text().to_owned()),
            _ => None,
        })
    }
}

#[test]
fn who_may_do_what() {
    let mut world = World::new(
        "[[mount]]\nname = \"/own\"\nusername = \"dj\"\npassword = \"mine\"\n\
         [[mount]]\nname = \"/live\"\n",
    );
    world.source(0, "/own");
    world.source(0, "/live");
    let cases = [
        ("/status-json.xsl", "", 200),
        ("/", "", 200),
        ("/metrics", "", 200),
        ("/health", "", 200),
        ("/nothing", "", 404),
        ("/admin/stats", "", 401),
        ("/admin/stats", "admin:wrong", 401),
        ("/admin/stats", "wrong:adm", 401),
        ("/admin/stats", "source:src", 401),
        ("/admin/stats", "admin:adm", 200),
        ("/admin/listmounts", "dj:mine", 401),
        ("/admin/streamlist.txt", "admin:adm", 401),
        ("/admin/streamlist.txt", "relay:rel", 200),
        ("/admin/metadata?mount=/live&mode=updinfo&song=x", "", 401),
        ("/admin/metadata?mount=/live&mode=updinfo&song=x", "source:src", 200),
        ("/admin/metadata?mount=/live&mode=updinfo&song=x", "dj:mine", 401),
        ("/admin/metadata?mount=/own&mode=updinfo&song=x", "source:src", 401),
        ("/admin/metadata?mount=/own&mode=updinfo&song=x", "dj:mine", 200),
        ("/admin/metadata?mount=/own&mode=updinfo&song=x", "admin:adm", 200),
        ("/admin/killsource?mount=/own", "source:src", 401),
        ("/admin/!POKE", "", 400),
    ];
    for (url, credentials, status) in cases {
        assert_eq!(world.get(url, credentials).0, status, "{url} by {credentials:?}");
    }
    assert_eq!(world.kills(), []);
}

#[test]
fn without_passwords_nobody_administers() {
    let mut world = World::new("");
    world.input(crate::Input::Reload(std::sync::Arc::new(engine_config::Config::default())));
    for credentials in ["admin:", "admin:adm", "source:", ":"] {
        assert_eq!(world.get("/admin/stats", credentials).0, 401, "{credentials}");
        assert_eq!(world.get("/admin/killsource?mount=/x", credentials).0, 401, "{credentials}");
    }
}

#[test]
fn titles_go_to_the_shard_of_the_source() {
    let mut world = World::new("");
    world.source(1, "/live");
    let url = "/admin/metadata?mount=/live&mode=updinfo&song=A%20-%20B";
    let (status, text) = world.get(url, "admin:adm");
    assert!(status == 200 && text.contains("Metadata update successful"), "{text}");
    assert_eq!(world.titles(), ["A - B"]);
    let (_, json) = world.get("/status-json.xsl", "");
    assert!(json.contains("A - B"), "{json}");
    world.claim_as(0, "/ogg", World::offer("application/ogg"));
    let (_, text) = world.get("/admin/metadata?mount=/ogg&mode=updinfo&song=x", "admin:adm");
    assert!(text.contains("Mountpoint will not accept URL updates"), "{text}");
    let (status, text) = world.get("/admin/metadata?mount=/no&mode=updinfo&song=x", "admin:adm");
    assert!(status == 400 && text.contains("Source does not exist"), "{text}");
    assert_eq!(world.titles(), Vec::<String>::new());
}

#[test]
fn a_title_is_in_the_mounts_character_set() {
    let mut world = World::new("[[mount]]\nname = \"/live\"\ncharset = \"koi8-r\"\n");
    world.source(0, "/live");
    let url = "/admin/metadata?mount=/live&mode=updinfo&song=%f0%f2";
    world.get(url, "source:src");
    world.get(&format!("{url}&charset=latin1"), "source:src");
    assert_eq!(world.titles(), ["ПР", "ðò"]);
}

#[test]
fn old_encoders_set_titles_with_a_password_in_the_query() {
    let mut world = World::new("");
    let url = "/admin.cgi?pass=src&mode=updinfo&song=Tune";
    let (status, text) = world.get(url, "");
    assert!(status == 400 && text.contains("Source does not exist"), "{text}");
    world.source(0, "/modern");
    let v1 = StreamOffer { is_v1: true, ..World::offer("audio/mpeg") };
    assert!(matches!(world.claim_as(0, "/old", v1), Claimed::Granted(_)));
    let (status, text) = world.get(url, "");
    assert!(status == 200 && text.contains("Metadata update successful"), "{text}");
    assert_eq!(world.titles(), ["Tune"]);
    assert_eq!(world.get("/admin.cgi?pass=no&mode=updinfo&song=x", "").0, 401);
    assert_eq!(world.get("/admin.cgi?pass=no&mode=updinfo&song=x&mount=/old", "").0, 401);
    let (status, text) = world.get(&format!("{url}&mount=/modern"), "");
    assert!(status == 400 && text.contains("illegal metadata call"), "{text}");
    assert_eq!(world.get(&format!("{url}&mount=/old"), "").0, 200);
    assert_eq!(world.titles(), ["Tune"]);
}

#[test]
fn a_list_of_listeners_is_gathered_from_all_shards() {
    let mut world = World::new("");
    world.source(0, "/live");
    let token = world.ask_http("/admin/listclients?mount=/live", "admin:adm");
    let lists = world.lists();
    assert_eq!(lists.len(), 2);
    world.listed(0, lists[0].1, &[10]);
    assert!(world.answer(token).is_none());
    world.listed(1, lists[1].1, &[11, 13]);
    let (status, text) = world.answer(token).expect("all have answered");
    assert_eq!(status, 200);
    assert!(text.contains("<Listeners>3</Listeners>") && text.contains("<ID>13</ID>"), "{text}");
    let (status, _) = world.get("/admin/listclients?mount=/no", "admin:adm");
    assert_eq!(status, 400);
}

#[test]
fn a_shard_that_does_not_answer_is_left_out() {
    let mut world = World::new("");
    world.source(0, "/live");
    let token = world.ask_http("/admin/listclients?mount=/live", "admin:adm");
    let lists = world.lists();
    world.listed(1, lists[1].1, &[11]);
    world.wait_s(1);
    assert!(world.answer(token).is_none());
    world.wait_s(1);
    let (_, text) = world.answer(token).expect("its time is over");
    assert!(text.contains("<Listeners>1</Listeners>"), "{text}");
    world.listed(0, lists[0].1, &[10]);
    assert!(world.answer(token).is_none(), "too late");
}

#[test]
fn a_listener_is_put_out_only_by_its_own_mount() {
    let mut world = World::new("");
    world.source(0, "/live");
    let kills = |world: &mut World| {
        world.take(|shard, message| match message {
            Message::KillListener { request, id } => Some((shard, *request, *id)),
            _ => None,
        })
    };
    let token = world.ask_http("/admin/killclient?mount=/live&id=11", "source:src");
    let request = world.lists()[0].1;
    world.listed(1, request, &[11]);
    assert_eq!(kills(&mut world), [(1, request, 11)]);
    world.listed(0, request, &[]);
    assert!(world.answer(token).is_none());
    world.message(1, Message::KillResult { request, found: true });
    let (_, text) = world.answer(token).expect("done");
    assert!(text.contains("Client 11 removed") && text.contains("<return>1</return>"), "{text}");

    let token = world.ask_http("/admin/killclient?mount=/live&id=99", "source:src");
    let request = world.lists()[0].1;
    world.listed(0, request, &[10]);
    world.listed(1, request, &[11]);
    assert_eq!(kills(&mut world), []);
    let (_, text) = world.answer(token).expect("nobody has it");
    assert!(text.contains("Client 99 not found") && text.contains("<return>0</return>"), "{text}");
}

#[test]
fn a_source_is_put_out_and_listeners_are_moved() {
    let mut world = World::new("");
    let session = world.source(0, "/a");
    world.source(1, "/b");
    world.claim_as(0, "/ogg", World::offer("application/ogg"));
    let (_, text) = world.get("/admin/moveclients?mount=/a&destination=/b", "admin:adm");
    assert!(text.contains("Clients moved from /a to /b"), "{text}");
    let (from, to) = (world.id("/a"), world.id("/b"));
    assert_eq!(world.moves(), [(0, from, to), (1, from, to)]);
    let cases = [
        ("mount=/a&destination=/a", "supplied mountpoints are identical"),
        ("mount=/a&destination=/no", "No such destination"),
        ("mount=/no&destination=/a", "Source is not available"),
    ];
    for (query, words) in cases {
        let (status, text) = world.get(&format!("/admin/moveclients?{query}"), "admin:adm");
        assert!(status == 400 && text.contains(words), "{query}: {text}");
    }
    let (_, text) = world.get("/admin/killsource?mount=/a", "admin:adm");
    assert!(text.contains("Source Removed"), "{text}");
    assert_eq!(world.kills(), [session]);
    world.end(session);
    let (status, text) = world.get("/admin/moveclients?mount=/b&destination=/a", "admin:adm");
    assert!(status == 400 && text.contains("Destination not running"), "{text}");
    assert_eq!(world.get("/admin/killsource?mount=/a", "admin:adm").0, 400);
}

#[test]
fn a_fallback_set_by_the_operator_holds() {
    let mut world = World::new("[[mount]]\nname = \"/a\"\n");
    let b = world.source(0, "/b");
    let (status, text) = world.get("/admin/fallbacks?mount=/a&fallback=/b", "admin:adm");
    assert!(status == 200 && text.contains("Fallback configured"), "{text}");
    assert_eq!(world.heard("/a"), Some(b));
    assert_eq!(world.get("/admin/fallbacks?mount=/a&fallback=/a", "admin:adm").0, 400);
    assert_eq!(world.get("/admin/fallbacks?mount=/a&fallback=", "admin:adm").0, 200);
    assert_eq!(world.heard("/a"), None);
}
