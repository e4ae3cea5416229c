//! Claims, takeovers, ends.

use engine_node::{Message, Question, Verdict};

use super::{Claimed, World, config};
use crate::Input;

fn refused(words: &str) -> Claimed {
    Claimed::Refused(words.to_owned())
}

#[test]
fn of_two_claims_the_first_has_the_mount() {
    let mut world = World::new("");
    let first = world.source(0, "/live");
    let second = world.claim_as(1, "/live", World::offer("audio/mpeg"));
    assert_eq!(second, refused("Mountpoint in use"));
    assert_eq!(world.heard("/live"), Some(first));
    world.end(first);
    assert_eq!(world.heard("/live"), None);
    let third = world.source(1, "/live");
    assert!(third > first, "session numbers are not used twice");
    assert_eq!(world.control.view().control.mounts_in_use, 1);
}

#[test]
fn every_shard_knows_a_session_before_it_is_granted() {
    let mut world = World::new("");
    world.sent.clear();
    world.ask_claim(1, "/live", World::offer("audio/mpeg"));
    let verdict = world.sent.iter().position(|(_, m)| matches!(m, Message::Verdict { .. }));
    for shard in 0..2 {
        let knows = |(to, message): &(u16, Message)| match message {
            Message::Snapshot(snapshot) => {
                *to == shard && snapshot.find("/live").is_some_and(|entry| entry.up.is_some())
            }
            _ => false,
        };
        assert!(world.sent.iter().position(knows) < verdict, "shard {shard}");
    }
}

#[test]
fn what_is_no_stream_is_refused() {
    let mut world = World::new("[[mount]]\nname = \"/forced\"\ncontent_type = \"audio/ogg\"\n");
    for content_type in ["", "text/html", "audio", "application/json"] {
        let claimed = world.claim_as(0, "/live", World::offer(content_type));
        assert_eq!(claimed, refused("Content-type not supported"), "{content_type}");
    }
    assert!(world.snapshot.find("/live").is_none(), "a refused claim leaves no mount");
    world.claim_as(0, "/forced", World::offer("text/html"));
    let up = world.snapshot.find("/forced").and_then(|entry| entry.up.clone());
    assert_eq!(up.map(|session| session.stream.content_type.clone()), Some("audio/ogg".into()));
}

#[test]
fn sources_and_mounts_are_bounded() {
    let mut world = World::new("[limits]\nsources_max = 2\nmounts_max = 3\n");
    let first = world.source(0, "/1");
    world.source(0, "/2");
    let full = || refused("too many sources connected");
    assert_eq!(world.claim_as(0, "/3", World::offer("audio/mpeg")), full());
    world.end(first);
    let third = world.source(0, "/3");
    world.end(third);
    assert_eq!(world.claim_as(0, "/4", World::offer("audio/mpeg")), full());
    // Mounts that nobody configured are forgotten after a while, and make room.
    world.wait_s(62);
    world.source(0, "/4");
    assert!(world.snapshot.find("/1").is_none());
    assert!(world.snapshot.find("/2").is_some(), "it is up");
}

#[test]
fn a_late_end_of_an_old_session_frees_nothing() {
    let mut world = World::new("");
    let old = world.source(0, "/live");
    world.end(old);
    let new = world.source(1, "/live");
    world.end(old);
    assert_eq!(world.heard("/live"), Some(new));
    let third = world.claim_as(0, "/live", World::offer("audio/mpeg"));
    assert_eq!(third, refused("Mountpoint in use"));
}

#[test]
fn a_takeover_is_granted_when_the_old_source_has_ended() {
    let mut world = World::new("[[mount]]\nname = \"/live\"\ntakeover = true\n");
    let old = world.source(0, "/live");
    let token = world.ask_claim(1, "/live", World::offer("audio/mpeg"));
    assert_eq!(world.claimed(token), Claimed::Waits);
    assert_eq!(world.kills(), [old]);
    // One may wait; another is refused.
    let third = world.claim_as(0, "/live", World::offer("audio/mpeg"));
    assert_eq!(third, refused("Mountpoint in use"));
    world.end(old);
    let Claimed::Granted(new) = world.claimed(token) else { panic!("not granted") };
    assert_eq!(world.heard("/live"), Some(new));
}

#[test]
fn a_takeover_that_the_old_source_outlives_is_refused() {
    let mut world = World::new("[[mount]]\nname = \"/live\"\ntakeover = true\n");
    let old = world.source(0, "/live");
    let token = world.ask_claim(1, "/live", World::offer("audio/mpeg"));
    world.wait_s(2);
    assert_eq!(world.claimed(token), Claimed::Waits);
    world.wait_s(2);
    assert_eq!(world.claimed(token), refused("Mountpoint in use"));
    world.end(old);
    world.source(1, "/live");
}

#[test]
fn the_operators_words_stand_over_the_sources() {
    let mut world = World::new(
        "[[mount]]\nname = \"/live\"\nstream_name = \"Ours\"\nbitrate = 96\nmetaint = 8000\n\
         [[mount]]\nname = \"/plain\"\nmetaint = 0\n",
    );
    let mut offer = World::offer("audio/mpeg");
    offer.info.set_name("Theirs");
    offer.info.set_genre("Jazz");
    world.claim_as(0, "/live", offer);
    let session = world.snapshot.find("/live").and_then(|entry| entry.up.clone()).expect("up");
    assert_eq!(session.stream.info.name.as_deref(), Some("Ours"));
    assert_eq!(session.stream.info.genre.as_deref(), Some("Jazz"));
    assert_eq!(session.stream.info.bitrate.as_deref(), Some("96"));
    assert_eq!(session.stream.metaint, Some(8000));
    world.source(0, "/plain");
    world.claim_as(0, "/ogg", World::offer("application/ogg"));
    for name in ["/plain", "/ogg"] {
        let up = world.snapshot.find(name).and_then(|entry| entry.up.clone()).expect("up");
        assert_eq!(up.stream.metaint, None, "{name}");
    }
}

#[test]
fn a_pull_that_nobody_ordered_gets_nothing() {
    let mut world = World::new("");
    let stream = Box::new(World::offer("audio/mpeg"));
    let question = Question::Claim { mount: "/live".into(), stream, pull_order: Some(3) };
    let token = world.ask(0, question);
    assert!(matches!(world.verdict(token), Some(Verdict::SourceRefused(_))));
}

#[test]
fn a_reload_swaps_settings_and_keeps_sessions() {
    let mut world = World::new("[[mount]]\nname = \"/a\"\n[[mount]]\nname = \"/gone\"\n");
    let (session, gone) = (world.source(0, "/a"), world.source(0, "/gone"));
    let before = world.id("/a");
    let toml = "[[mount]]\nname = \"/a\"\nlisteners_max = 5\n[[mount]]\nname = \"/new\"\n";
    world.input(Input::Reload(config(toml)));
    assert_eq!(world.id("/a"), before);
    assert_eq!(world.heard("/a"), Some(session));
    let entry = world.snapshot.find("/a").cloned().expect("configured");
    assert_eq!(entry.settings.listeners_max, Some(5));
    assert!(world.snapshot.find("/new").is_some());
    assert_eq!(world.heard("/gone"), Some(gone), "a source outlives its configuration");
    world.end(gone);
    world.wait_s(62);
    assert!(world.snapshot.find("/gone").is_none());
    assert_eq!(world.control.view().control.reloads, 1);
}
