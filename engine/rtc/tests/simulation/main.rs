//! Sessions and streams over several shards in a simulated world: datagrams land where they land,
//! some are lost, publishers come and go, a shard is slow.

#[path = "../../../../media/rtc/tests/world/peer.rs"]
#[allow(dead_code, reason = "its own tests use the rest")]
mod peer;
mod service;
mod stage;

use std::time::Duration;

use engine_rtc::{Command, Role};
use shards_sim::{Chance, Faults};
use stage::Stage;

fn lossy() -> Faults {
    Faults { datagram_loss: Chance(30), ..Faults::none() }
}

#[test]
fn a_session_moves_once_to_where_its_packets_land() {
    let mut stage = Stage::new(1, Faults::none(), 2, "");
    for number in 0..12 {
        stage.join(0, Role::Publish, &format!("stream-{number}"));
    }
    stage.until("all are connected", |stage| (0..12).all(|it| stage.is_connected(it)));
    stage.pass(Duration::from_secs(1));
    let stats = stage.stats();
    let moved = stats[1].sessions_moved;
    assert!((1..12).contains(&moved), "some land on the other shard: {moved}");
    assert_eq!(stats[0].sessions_moved, 0);
    let here: Vec<_> = stage.shards.iter().map(|it| it.service().rtc.sessions_count()).collect();
    assert_eq!(here, [12 - moved as usize, moved as usize]);
    // From now on nothing is handed over any more.
    let before = stage.sum(|stats| stats.datagrams_handed_over);
    for _ in 0..10 {
        for browser in 0..12 {
            stage.send_picture(browser, true, 0);
        }
        stage.pass(Duration::from_millis(100));
    }
    assert_eq!(stage.sum(|stats| stats.datagrams_handed_over), before);
    assert_eq!(stage.sum(|stats| stats.sum.packets_in), 120);
    // Its end is asked for at either shard, and leaves nothing behind.
    for browser in 0..12 {
        stage.manage(browser, browser % 2, Command::Delete);
    }
    stage.pass(Duration::from_secs(2));
    for shard in &stage.shards {
        assert_eq!(shard.service().rtc.held_count(), 0, "something is left");
    }
}

#[test]
fn viewers_on_all_shards_see_what_is_published_and_nothing_else() {
    for seed in 0..4 {
        let faults = if seed == 0 { Faults::none() } else { lossy() };
        let mut stage = Stage::new(seed, faults, 2, "");
        let (one, two) = (stage.join(0, Role::Publish, "one"), stage.join(1, Role::Publish, "two"));
        stage.until("publishers are connected", |stage| {
            stage.is_connected(one) && stage.is_connected(two)
        });
        stage.pass(Duration::from_millis(200));
        let viewers: Vec<(usize, u8)> = (0..8)
            .map(|count| match count % 2 {
                0 => (stage.join(count / 4, Role::View, "one"), 1),
                _ => (stage.join(count / 4, Role::View, "two"), 2),
            })
            .collect();
        stage.until("viewers are connected", |stage| {
            viewers.iter().all(|(viewer, _)| stage.is_connected(*viewer))
        });
        for count in 0..90 {
            for (publisher, mark) in [(one, 1), (two, 2)] {
                let wanted = std::mem::take(&mut stage.browsers[publisher].peer.keyframes_wanted);
                stage.send_picture(publisher, count == 0 || wanted > 0, mark);
            }
            stage.pass(Duration::from_millis(33));
        }
        stage.pass(Duration::from_secs(2));
        for (viewer, mark) in &viewers {
            let seen = stage.seen(*viewer);
            assert!(seen.iter().all(|(_, of)| of == mark), "seed {seed}: another's packets");
            let mut numbers: Vec<u64> = seen.iter().map(|(number, _)| *number).collect();
            numbers.sort_unstable();
            numbers.dedup();
            // What is lost is sent again; a little may be given up. Before its own handshake is
            // over, which loss may delay by half a second, a viewer cannot read anything.
            let first = numbers.first().map_or(90, |first| *first as usize);
            assert!(first <= 30, "seed {seed}, viewer {viewer}: the first is {first}");
            let of_rest = numbers.len() + first - 1;
            assert!(of_rest >= 80, "seed {seed}, viewer {viewer}: {} of 90", numbers.len());
        }
        let wanted = stage.sum(|stats| stats.sum.keyframes_wanted);
        let requested = stage.sum(|stats| stats.keyframes_requested);
        assert!(requested <= wanted + 16, "{requested} requests for {wanted} wishes");
    }
}

#[test]
fn what_nobody_watches_is_kept_as_far_as_there_is_room() {
    let room = 131_072;
    let more = format!("cache_bytes_per_shard_max = {room}\n");
    let mut stage = Stage::new(5, Faults::none(), 1, &more);
    let all: Vec<usize> =
        (0..4).map(|number| stage.join(0, Role::Publish, &format!("stream-{number}"))).collect();
    stage.until("all are connected", |stage| all.iter().all(|it| stage.is_connected(*it)));
    for count in 0..100 {
        all.iter().for_each(|publisher| stage.send_picture(*publisher, count == 0, 7));
        stage.pass(Duration::from_millis(33));
        let kept = stage.stats()[0].cache_bytes;
        // Whoever comes next gives up, so that a packet of each may be too much for a moment.
        assert!(kept <= room / 4 * 3 + 4 * 500, "{kept} bytes are kept");
    }
    let stats = stage.stats().remove(0);
    assert!((1..=4).contains(&stats.caches_given_up), "{}", stats.caches_given_up);
    assert!(stats.cache_bytes > 0, "the others are kept on");
    // Who comes to watch waits for a keyframe, and then sees it.
    let viewer = stage.join(0, Role::View, "stream-0");
    stage.until("the viewer is connected", |stage| stage.is_connected(viewer));
    stage.film(all[0], 60, 7);
    stage.pass(Duration::from_secs(1));
    assert!(stage.seen(viewer).len() >= 30);
}

#[test]
fn who_comes_later_sees_a_picture_at_once() {
    let mut stage = Stage::new(3, Faults::none(), 2, "");
    let publisher = stage.join(0, Role::Publish, "stage");
    stage.until("the publisher is connected", |stage| stage.is_connected(publisher));
    stage.pass(Duration::from_millis(200));
    // So many that both shards have some.
    let first: Vec<usize> = (0..8).map(|_| stage.join(1, Role::View, "stage")).collect();
    stage.until("they are connected", |stage| first.iter().all(|it| stage.is_connected(*it)));
    stage.film(publisher, 30, 1);
    // No keyframe is sent from here on: what the newcomer sees is what was kept.
    let second = stage.join(1, Role::View, "stage");
    stage.until("the viewer is connected", |stage| stage.is_connected(second));
    for _ in 0..10 {
        stage.send_picture(publisher, false, 1);
        stage.pass(Duration::from_millis(33));
    }
    let first = first.iter().map(|it| stage.seen(*it).len()).min();
    let second = stage.seen(second).len();
    // Ten were sent since, none of them a start: it saw what was kept, too.
    assert!(first >= Some(38) && second > 12, "{first:?} and {second}");
}

#[test]
fn the_first_viewer_of_a_shard_sees_what_came_since_the_keyframe() {
    let mut stage = Stage::new(4, Faults::none(), 2, "");
    let publisher = stage.join(0, Role::Publish, "stage");
    stage.until("the publisher is connected", |stage| stage.is_connected(publisher));
    stage.pass(Duration::from_millis(200));
    // Nobody watches yet, on any shard, and there is no other keyframe.
    for count in 0..20 {
        stage.send_picture(publisher, count == 0, 1);
        stage.pass(Duration::from_millis(33));
    }
    let viewers: Vec<usize> =
        (0..8).map(|count| stage.join(count % 2, Role::View, "stage")).collect();
    stage.until("they are connected", |stage| viewers.iter().all(|it| stage.is_connected(*it)));
    for _ in 0..5 {
        stage.send_picture(publisher, false, 1);
        stage.pass(Duration::from_millis(33));
    }
    let of_shards: Vec<_> = stage.stats().iter().map(|stats| stats.viewers_count).collect();
    assert!(of_shards.iter().all(|count| *count > 0), "both shards have viewers: {of_shards:?}");
    for viewer in viewers {
        let numbers: Vec<u64> = stage.seen(viewer).iter().map(|(number, _)| *number).collect();
        assert_eq!(numbers, (1..=25).collect::<Vec<u64>>(), "all of it, in order, once");
    }
    assert_eq!(stage.sum(|stats| stats.keyframes_requested), 0, "nobody had to ask");
}

#[test]
fn a_publisher_leaves_and_another_comes_back() {
    let more = "[[stream]]\nname = \"stage\"\nsuccessor = \"pause\"\n";
    let mut stage = Stage::new(5, Faults::none(), 2, more);
    let viewer = stage.join(1, Role::View, "stage");
    stage.until("the viewer waits", |stage| stage.is_connected(viewer));
    let first = stage.join(0, Role::Publish, "stage");
    let pause = stage.join(0, Role::Publish, "pause");
    stage.until("both are connected", |stage| {
        stage.is_connected(first) && stage.is_connected(pause)
    });
    stage.pass(Duration::from_millis(200));
    stage.film(first, 20, 1);
    let seen = stage.seen(viewer).len();
    assert!(seen >= 18, "{seen} of the first");
    stage.manage(first, 1, Command::Delete);
    stage.pass(Duration::from_millis(500));
    stage.film(pause, 20, 7);
    let of_pause = stage.seen(viewer).iter().filter(|(_, mark)| *mark == 7).count();
    assert!(of_pause >= 18, "{of_pause} of the successor");
    let second = stage.join(1, Role::Publish, "stage");
    stage.until("the second is connected", |stage| stage.is_connected(second));
    stage.pass(Duration::from_millis(200));
    stage.film(second, 20, 2);
    let of_second = stage.seen(viewer).iter().filter(|(_, mark)| *mark == 2).count();
    assert!(of_second >= 18, "{of_second} of the second");
    // The viewer's numbers went on without a break.
    let packets = &stage.browsers[viewer].peer.packets;
    let mut numbers: Vec<u64> = packets.iter().map(|packet| *packet.seq_no).collect();
    numbers.sort_unstable();
    let is_unbroken = numbers.windows(2).all(|pair| pair[1] - pair[0] <= 1);
    assert!(is_unbroken, "{numbers:?}");
}

#[test]
fn viewers_that_nobody_feeds_are_ended_in_their_time() {
    let more = "[[stream]]\nname = \"stage\"\n";
    let mut stage = Stage::new(6, Faults::none(), 2, more);
    let viewer = stage.join(0, Role::View, "stage");
    let stranger = stage.join(1, Role::View, "nothing");
    stage.until("the viewer is connected", |stage| stage.is_connected(viewer));
    stage.until("an unknown stream is refused", |stage| {
        stage.browsers[stranger].refused == Some(404)
    });
    stage.pass(Duration::from_secs(10));
    let ended: Vec<_> = stage.shards.iter().flat_map(|it| it.service().ended.clone()).collect();
    assert_eq!(ended.len(), 2, "{ended:?}");
    assert!(ended.iter().any(|it| it.cause == Ok(engine_rtc::End::Unfed)), "{ended:?}");
}

#[test]
fn a_claim_is_kept_or_taken_over_as_configured() {
    let more = "[[stream]]\nname = \"mine\"\ntakeover = false\n";
    let mut stage = Stage::new(7, Faults::none(), 2, more);
    let first = stage.join(0, Role::Publish, "mine");
    stage.until("the first is connected", |stage| stage.is_connected(first));
    let second = stage.join(1, Role::Publish, "mine");
    stage.until("the second is refused", |stage| stage.browsers[second].refused == Some(409));
    let other = stage.join(0, Role::Publish, "open");
    stage.until("the other is connected", |stage| stage.is_connected(other));
    let next = stage.join(1, Role::Publish, "open");
    stage.until("it is taken over", |stage| {
        let ended = stage.shards.iter().flat_map(|it| &it.service().ended);
        ended.clone().any(|it| it.cause == Ok(engine_rtc::End::Replaced))
    });
    stage.until("the next is connected", |stage| stage.is_connected(next));
}

#[test]
fn a_slow_shard_of_viewers_holds_nobody_up_and_comes_back() {
    let mut stage = Stage::new(8, Faults::none(), 2, "");
    let publisher = stage.join(0, Role::Publish, "stage");
    stage.until("the publisher is connected", |stage| stage.is_connected(publisher));
    let viewers: Vec<usize> = (0..10).map(|_| stage.join(0, Role::View, "stage")).collect();
    stage.until("all are connected", |stage| viewers.iter().all(|it| stage.is_connected(*it)));
    stage.pass(Duration::from_millis(200));
    let home = stage.stats().iter().position(|it| it.publishers_count == 1).expect("somewhere");
    let (quick, slow): (Vec<usize>, Vec<usize>) = {
        let sessions = stage.shards[home].service().rtc.rows(stage.world.now());
        let here: Vec<_> = sessions.map(|row| row.session).collect();
        viewers.iter().partition(|it| here.contains(&stage.session(**it)))
    };
    assert!(!quick.is_empty() && !slow.is_empty(), "both shards have viewers");
    stage.is_asleep[1 - home] = true;
    stage.film(publisher, 120, 1);
    for viewer in &quick {
        assert!(stage.seen(*viewer).len() >= 110, "held up: {}", stage.seen(*viewer).len());
    }
    assert!(stage.stats()[home].batches_dropped > 0);
    stage.is_asleep[1 - home] = false;
    stage.film(publisher, 120, 2);
    for viewer in &slow {
        let seen = stage.seen(*viewer);
        let of_now = seen.iter().filter(|(_, mark)| *mark == 2).count();
        assert!(of_now >= 60, "came back with {of_now}");
    }
}

#[test]
fn a_panic_in_a_session_ends_that_session_and_no_other() {
    let mut stage = Stage::new(9, Faults::none(), 2, "");
    let (one, two) = (stage.join(0, Role::Publish, "one"), stage.join(1, Role::Publish, "two"));
    stage.until("publishers are connected", |stage| {
        stage.is_connected(one) && stage.is_connected(two)
    });
    stage.pass(Duration::from_millis(200));
    let viewers: Vec<usize> = (0..8).map(|at| stage.join(at % 2, Role::View, "one")).collect();
    let of_two = stage.join(0, Role::View, "two");
    stage.until("viewers are connected", |stage| {
        stage.is_connected(of_two) && viewers.iter().all(|it| stage.is_connected(*it))
    });
    stage.film(one, 30, 1);
    // A viewer and a publisher break, each on a shard with others.
    let (broken, well) = viewers.split_first().expect("eight");
    for browser in [*broken, two] {
        let session = stage.session(browser);
        let mut shards = stage.shards.iter_mut();
        assert!(
            shards.any(|shard| shard.service_mut().rtc.plant_panic(session)),
            "it is somewhere"
        );
    }
    stage.film(one, 60, 2);
    for viewer in well {
        let of_then = stage.seen(*viewer).iter().filter(|(_, mark)| *mark == 2).count();
        assert!(of_then >= 58, "viewer {viewer} saw {of_then} of 60");
    }
    let ended = stage.shards.iter().flat_map(|it| &it.service().ended);
    let ended: Vec<_> = ended.map(|it| (it.session, it.cause.clone())).collect();
    assert_eq!(ended.len(), 2, "{ended:?}");
    for browser in [*broken, two] {
        let cause = Err(engine_rtc::CloseCause::Panicked);
        assert!(ended.contains(&(stage.session(browser), cause)), "{ended:?}");
    }
    assert_eq!(stage.sum(|stats| stats.sum.panics), 2);
    // The stream whose publisher broke is free, and who watched it sees the next.
    let next = stage.join(1, Role::Publish, "two");
    stage.until("the next is connected", |stage| stage.is_connected(next));
    stage.pass(Duration::from_millis(200));
    stage.film(next, 20, 3);
    let of_next = stage.seen(of_two).iter().filter(|(_, mark)| *mark == 3).count();
    assert!(of_next >= 18, "{of_next} of the next");
}
