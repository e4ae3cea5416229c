//! Routes, fallbacks, admissions.

use engine_node::{Message, SessionId};

use super::World;

const FULL: &str = "max listeners reached";

#[test]
fn listeners_hear_the_nearest_fallback_that_runs() {
    let mut world = World::new(
        "[[mount]]\nname = \"/a\"\nfallback = \"/b\"\n\
         [[mount]]\nname = \"/b\"\nfallback = \"/c\"\n[[mount]]\nname = \"/c\"\n",
    );
    let c = world.source(0, "/c");
    assert_eq!((world.heard("/a"), world.heard("/b")), (Some(c), Some(c)));
    let b = world.source(0, "/b");
    assert_eq!(world.heard("/a"), Some(b));
    let a = world.source(0, "/a");
    assert_eq!(world.heard("/a"), Some(a));
    world.end(a);
    world.end(b);
    assert_eq!(world.heard("/a"), Some(c));
    world.end(c);
    assert_eq!(world.heard("/a"), None);
}

#[test]
fn without_override_listeners_stay_with_the_fallback() {
    let toml = "[[mount]]\nname = \"/a\"\nfallback = \"/b\"\n[[mount]]\nname = \"/b\"\n";
    let mut world = World::new(toml);
    let (a, b) = (world.source(0, "/a"), world.source(0, "/b"));
    world.end(a);
    assert_eq!(world.heard("/a"), Some(b));
    assert_eq!(world.moves(), [], "routes do it");
    world.sent.clear();
    let a = world.source(1, "/a");
    assert_eq!(world.heard("/a"), Some(a), "who comes now hears the primary");
    // They are given their new home before they are told of the new route.
    let place = |wanted: fn(&Message) -> bool| {
        world.sent.iter().position(|(to, message)| *to == 0 && wanted(message))
    };
    let moved = place(|message| matches!(message, Message::MoveListeners { .. }));
    assert!(moved.is_some() && moved < place(|message| matches!(message, Message::Snapshot(_))));
    let (from, to) = (world.id("/a"), world.id("/b"));
    assert_eq!(world.moves(), [(0, from, to), (1, from, to)]);
}

#[test]
fn with_override_listeners_come_back() {
    let mut world = World::new(
        "[[mount]]\nname = \"/a\"\nfallback = \"/b\"\nfallback_override = true\n\
         [[mount]]\nname = \"/b\"\n",
    );
    let (a, b) = (world.source(0, "/a"), world.source(0, "/b"));
    world.end(a);
    assert_eq!(world.heard("/a"), Some(b));
    let a = world.source(0, "/a");
    assert_eq!(world.heard("/a"), Some(a));
    assert_eq!(world.moves(), []);
}

#[test]
fn a_fallback_that_ends_as_the_primary_returns_moves_nobody() {
    let toml = "[[mount]]\nname = \"/a\"\nfallback = \"/b\"\n[[mount]]\nname = \"/b\"\n";
    let mut world = World::new(toml);
    let b = world.source(0, "/b");
    world.end(b);
    world.source(0, "/a");
    assert_eq!(world.moves(), []);
}

#[test]
fn a_circle_of_fallbacks_is_walked_once() {
    let mut world = World::new("[[mount]]\nname = \"/a\"\nfallback = \"/b\"\n");
    let (a, b) = (world.source(0, "/a"), world.source(0, "/b"));
    // An operator cannot close the circle; a mount that comes to life later could.
    let (status, text) = world.get("/admin/fallbacks?mount=/b&fallback=/a", "admin:adm");
    assert_eq!(status, 400, "{text}");
    let (status, _) = world.get("/admin/fallbacks?mount=/b&fallback=/c", "admin:adm");
    assert_eq!(status, 200);
    world.source(0, "/c");
    let (status, text) = world.get("/admin/fallbacks?mount=/c&fallback=/a", "admin:adm");
    assert_eq!(status, 400, "{text}");
    world.end(a);
    world.end(b);
    assert!(world.heard("/a").is_some_and(|session| session > SessionId(2)));
}

#[test]
fn chains_longer_than_ten_hops_end() {
    let mut toml = String::new();
    for number in 0..14 {
        let fallback = format!("fallback = \"/{}\"\n", number + 1);
        toml += &format!("[[mount]]\nname = \"/{number}\"\n{fallback}");
    }
    let mut world = World::new(&toml);
    let ten = world.source(0, "/10");
    assert_eq!(world.heard("/0"), Some(ten));
    world.end(ten);
    world.source(0, "/11");
    assert_eq!(world.heard("/0"), None);
    assert!(world.heard("/1").is_some());
}

#[test]
fn a_full_mount_takes_one_more_when_one_has_left() {
    let mut world = World::new("[[mount]]\nname = \"/a\"\nlisteners_max = 2\n");
    world.source(0, "/a");
    assert_eq!(world.listen(0, "/a"), Ok("/a".into()));
    assert_eq!(world.listen(1, "/a"), Ok("/a".into()));
    assert_eq!(world.listen(0, "/a"), Err(FULL.into()));
    let home = world.id("/a");
    world.message(1, Message::Left(home));
    assert_eq!(world.listen(0, "/a"), Ok("/a".into()));
    assert_eq!(world.listen(0, "/a"), Err(FULL.into()));
    // What the shards report agrees, and changes nothing.
    world.stats(0, &[("/a", 2)], &[]);
    world.stats(1, &[("/a", 0)], &[]);
    assert_eq!(world.listen(0, "/a"), Err(FULL.into()));
    world.message(0, Message::Left(home));
    assert_eq!(world.listen(0, "/a"), Ok("/a".into()));
}

#[test]
fn listeners_from_before_the_limit_count() {
    let mut world = World::new("");
    world.source(0, "/a");
    world.stats(0, &[("/a", 3)], &[]);
    let toml = "[[mount]]\nname = \"/a\"\nlisteners_max = 3\n";
    world.input(crate::Input::Reload(super::config(toml)));
    assert_eq!(world.listen(0, "/a"), Err(FULL.into()));
    world.stats(0, &[("/a", 2)], &[]);
    assert_eq!(world.listen(0, "/a"), Ok("/a".into()));
}

#[test]
fn a_place_that_was_lost_is_found_again() {
    let mut world = World::new("[[mount]]\nname = \"/a\"\nlisteners_max = 1\n");
    world.source(0, "/a");
    assert_eq!(world.listen(0, "/a"), Ok("/a".into()));
    // The shard never says that it left; its reports show nobody.
    for _ in 0..10 {
        world.wait_s(1);
        world.stats(0, &[], &[]);
        world.stats(1, &[], &[]);
    }
    assert_eq!(world.listen(0, "/a"), Err(FULL.into()), "it may still be waiting");
    world.wait_s(11);
    assert_eq!(world.listen(0, "/a"), Ok("/a".into()));
}

#[test]
fn who_finds_it_full_goes_to_the_fallback() {
    let mut world = World::new(
        "[[mount]]\nname = \"/a\"\nlisteners_max = 1\nfallback = \"/b\"\n\
         fallback_when_full = true\n\
         [[mount]]\nname = \"/b\"\nlisteners_max = 1\nfallback = \"/c\"\n\
         fallback_when_full = true\n[[mount]]\nname = \"/c\"\nlisteners_max = 1\n",
    );
    for name in ["/a", "/b", "/c"] {
        world.source(0, name);
    }
    for home in ["/a", "/b", "/c"] {
        assert_eq!(world.listen(0, "/a"), Ok(home.into()));
    }
    assert_eq!(world.listen(0, "/a"), Err(FULL.into()));
    let b = world.id("/b");
    world.message(0, Message::Left(b));
    assert_eq!(world.listen(1, "/a"), Ok("/b".into()));
}

#[test]
fn moved_listeners_leave_room_behind() {
    let mut world = World::new(
        "[[mount]]\nname = \"/a\"\nlisteners_max = 1\nfallback = \"/b\"\n[[mount]]\nname = \"/b\"\n",
    );
    let a = world.source(0, "/a");
    world.source(0, "/b");
    assert_eq!(world.listen(0, "/a"), Ok("/a".into()));
    world.end(a);
    world.source(0, "/a");
    assert_eq!(world.moves().len(), 2);
    assert_eq!(world.listen(0, "/a"), Ok("/a".into()));
    assert_eq!(world.listen(0, "/a"), Err(FULL.into()));
    // The one that moved leaves the fallback, and the fallback's count is right again.
    let b = world.id("/b");
    world.message(0, Message::Left(b));
    assert_eq!(world.listen(0, "/a"), Err(FULL.into()));
}

#[test]
fn a_mount_that_is_down_has_no_room() {
    let mut world = World::new("[[mount]]\nname = \"/a\"\n");
    let refused = world.listen(0, "/a").expect_err("it is down");
    assert!(refused.contains("could not be found"), "{refused}");
}

#[test]
fn the_shards_hear_of_many_new_clients_and_not_of_few() {
    let mut world = World::new("[limits]\nclients_max = 10000\n");
    world.source(0, "/a");
    let version = |world: &World| world.snapshot.version;
    let before = version(&world);
    world.stats(0, &[("/a", 5)], &[]);
    world.wait_s(2);
    assert_eq!(version(&world), before);
    world.stats(1, &[("/a", 500)], &[]);
    world.wait_s(2);
    assert_eq!(version(&world), before + 1);
    assert_eq!(world.snapshot.clients_count, 505);
    // Near the limit each one counts.
    world.stats(0, &[("/a", 9400)], &[]);
    world.wait_s(1);
    world.stats(0, &[("/a", 9401)], &[]);
    world.wait_s(1);
    assert_eq!(world.snapshot.clients_count, 9901);
}
