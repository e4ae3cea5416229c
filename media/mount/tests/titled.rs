//! The titled rendition against a deinterleaver: whatever is pushed and announced in whatever
//! order, a listener that takes the blocks out again has the mount's media and the right titles.

use std::num::NonZeroU32;

use bytes::Bytes;
use media_mount::{Chunk, Cursor, Titled, Window, WindowLimits};
use proptest::prelude::*;

const LIMITS: WindowLimits = WindowLimits { bytes_max: 3000, chunks_max: 200 };

/// A block as protocol-icy makes it, but with the number of the title as its text.
fn block(title: u32) -> Bytes {
    let mut block = vec![2_u8];
    block.extend_from_slice(format!("StreamTitle='{title:07}';").as_bytes());
    block.resize(33, 0);
    Bytes::from(block)
}

/// A client: takes the blocks out of what it hears.
#[derive(Default)]
struct Client {
    heard: Vec<u8>,
}

impl Client {
    /// The media, and every full block with the count of media bytes before it. A block that has
    /// not wholly arrived is left out.
    fn deinterleave(&self, metaint: usize) -> (Vec<u8>, Vec<(usize, Bytes)>) {
        let (mut media, mut titles) = (Vec::new(), Vec::new());
        let mut rest = &self.heard[..];
        while rest.len() > metaint {
            media.extend_from_slice(&rest[..metaint]);
            rest = &rest[metaint..];
            let block_bytes = 1 + 16 * usize::from(rest[0]);
            if rest.len() < block_bytes {
                return (media, titles);
            }
            if block_bytes > 1 {
                titles.push((media.len(), Bytes::copy_from_slice(&rest[..block_bytes])));
            }
            rest = &rest[block_bytes..];
        }
        media.extend_from_slice(rest);
        (media, titles)
    }
}

/// A listener as the engine keeps it: a cursor, whether its first title is due, and what of its
/// own bytes has yet to go out before the window's.
struct Listener {
    cursor: Cursor,
    title_due: bool,
    own: Bytes,
    client: Client,
    /// How much media had been pushed before its first byte.
    media_before: usize,
}

impl Listener {
    fn new(cursor: Cursor, media_before: usize) -> Listener {
        let (own, client) = (Bytes::new(), Client::default());
        Listener { cursor, title_due: true, own, client, media_before }
    }

    /// Sends about `bytes_max`. False: it was behind.
    fn send(&mut self, window: &Window, bytes_max: usize) -> bool {
        if !self.own.is_empty() {
            let part = self.own.split_to(self.own.len().min(bytes_max));
            self.client.heard.extend_from_slice(&part);
            return true;
        }
        let heard = &mut self.client.heard;
        if !self.title_due {
            let sink = |bytes: &std::rc::Rc<Bytes>, range| heard.extend_from_slice(&bytes[range]);
            let after = window.read(self.cursor, bytes_max, 100, sink);
            return after.map(|after| self.cursor = after).is_ok();
        }
        if let Some(due) = window.title_due(self.cursor) {
            (self.own, self.cursor) = (Bytes::clone(&due.block), due.after);
            self.title_due = false;
            return true;
        }
        let sink = |bytes: &std::rc::Rc<Bytes>, range| heard.extend_from_slice(&bytes[range]);
        let after = window.read_to_title(self.cursor, bytes_max, 100, sink);
        after.map(|after| self.cursor = after).is_ok()
    }
}

#[derive(Clone, Debug)]
enum Action {
    Push { bytes: usize },
    Title { number: u32 },
    Join { burst_bytes: u64 },
    Send { listener: usize, bytes_max: usize },
}

fn action() -> impl Strategy<Value = Action> {
    prop_oneof![
        6 => (0..400_usize).prop_map(|bytes| Action::Push { bytes }),
        2 => (0..4_u32).prop_map(|number| Action::Title { number }),
        2 => (0..3500_u64).prop_map(|burst_bytes| Action::Join { burst_bytes }),
        8 => (any::<usize>(), 0..400_usize)
            .prop_map(|(listener, bytes_max)| Action::Send { listener, bytes_max }),
    ]
}

/// The rendition, and what the test knows better.
struct World {
    metaint: usize,
    rendition: Titled,
    window: Window,
    media: Vec<u8>,
    title: Option<u32>,
    /// The title current at the block behind so much media.
    blocks: Vec<(usize, Option<u32>)>,
}

impl World {
    fn new(metaint: u32) -> World {
        World {
            metaint: metaint as usize,
            rendition: Titled::new(NonZeroU32::new(metaint).expect("not zero"), 500),
            window: Window::new(LIMITS),
            media: Vec::new(),
            title: None,
            blocks: Vec::new(),
        }
    }

    fn push(&mut self, bytes: usize) {
        let from = self.media.len();
        self.media.extend((from..from + bytes).map(|place| (place * 5 + place / 249) as u8));
        self.rendition.push(&Bytes::copy_from_slice(&self.media[from..]));
        while let Some(chunk) = self.rendition.poll() {
            self.window.push(chunk).expect("contiguous");
        }
        let blocks = self.media.len() / self.metaint;
        for index in self.blocks.len()..blocks {
            self.blocks.push(((index + 1) * self.metaint, self.title));
        }
    }

    fn set_title(&mut self, number: u32) {
        self.rendition.set_title(block(number));
        self.title = Some(number);
    }

    /// Media bytes before an offset of the rendition, by walking what the window still holds back
    /// from the head.
    fn media_before(&self, offset: u64) -> usize {
        let behind: usize = self
            .window
            .chunks(offset)
            .filter(|chunk| !chunk.is_title())
            .map(|chunk| (chunk.end() - chunk.offset.max(offset)) as usize)
            .sum();
        self.media.len() - behind
    }

    fn check(&self, listener: &Listener) {
        let (media, titles) = listener.client.deinterleave(self.metaint);
        let from = listener.media_before;
        assert!(from.is_multiple_of(self.metaint), "not behind a block");
        assert!(self.media[from..].starts_with(&media), "the media differ from {from} on");
        let mut last = None;
        for (index, (place, title)) in
            self.blocks.iter().filter(|(place, _)| *place > from).enumerate()
        {
            let heard = titles.iter().find(|(heard_at, _)| from + heard_at == *place);
            let Some((_, heard)) = heard else {
                let arrived = titles.last().is_some_and(|(at, _)| from + at > *place);
                assert!(!arrived || *title == last, "a change at {place} was not heard");
                assert!(!arrived || index > 0 || title.is_none(), "the first says the title");
                last = *title;
                continue;
            };
            assert_eq!(Some(heard), title.map(block).as_ref(), "the wrong title at {place}");
            assert!(index == 0 || *title != last, "said twice");
            last = *title;
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn listeners_hear_the_media_and_the_titles(
        metaint in 1..300_u32,
        actions in prop::collection::vec(action(), 1..200),
    ) {
        let mut world = World::new(metaint);
        let mut listeners: Vec<Listener> = Vec::new();
        for action in actions {
            match action {
                Action::Push { bytes } => world.push(bytes),
                Action::Title { number } => world.set_title(number),
                Action::Join { burst_bytes } => {
                    if let Some(join) = world.window.join(burst_bytes) {
                        let media_before = world.media_before(join.cursor.offset());
                        listeners.push(Listener::new(join.cursor, media_before));
                    }
                }
                Action::Send { listener, bytes_max } => {
                    if !listeners.is_empty() {
                        let index = listener % listeners.len();
                        let kept = listeners[index].send(&world.window, bytes_max);
                        world.check(&listeners[index]);
                        if !kept {
                            listeners.swap_remove(index);
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn a_listener_that_is_moved_keeps_its_count(
        metaint in 1..300_u32,
        first in 1..1000_usize,
        second in 1..1000_usize,
        sends in 0..1500_usize,
    ) {
        let (mut from, mut to) = (World::new(metaint), World::new(metaint));
        from.set_title(1);
        to.set_title(2);
        from.push(first);
        to.push(second);
        let metaint = metaint as usize;
        let mut listener = Listener::new(from.window.join(0).expect("synced").cursor, 0);
        let media_start = from.media_before(listener.cursor.offset());
        for _ in 0..sends {
            prop_assert!(listener.send(&from.window, 1));
        }
        let (media_before, titles_before) = listener.client.deinterleave(metaint);
        let Some(phase) = from.window.title_phase(listener.cursor) else {
            return Ok(()); // Inside a block, which is finished first.
        };
        if !listener.own.is_empty() {
            return Ok(());
        }
        prop_assert!(phase as usize <= metaint);
        let Some(join) = to.window.join_at_phase(phase) else {
            prop_assert!(second < phase as usize + metaint, "there was a place to go");
            return Ok(());
        };
        (listener.cursor, listener.title_due) = (join.cursor, true);
        while listener.cursor.lag(&to.window) > 0 || !listener.own.is_empty() {
            prop_assert!(listener.send(&to.window, 7));
        }
        let (media, titles) = listener.client.deinterleave(metaint);
        let mut expected = from.media[media_start..][..media_before.len()].to_vec();
        expected.extend_from_slice(&to.media[to.media_before(join.cursor.offset())..]);
        prop_assert!(media == expected, "a byte of media was lost, or a block was heard as media");
        let blocks_before = (media_before.len() - phase as usize) / metaint;
        if media.len() / metaint > blocks_before {
            prop_assert_eq!(&titles[titles_before.len()].1, &block(2));
        }
    }
}

fn rendition(metaint: u32) -> Titled {
    Titled::new(NonZeroU32::new(metaint).expect("not zero"), 0)
}

fn drain(rendition: &mut Titled) -> Vec<Chunk> {
    std::iter::from_fn(|| rendition.poll()).collect()
}

#[test]
fn a_block_stands_after_every_metaint_bytes() {
    let mut rendition = rendition(4);
    rendition.set_title(block(1));
    rendition.push(&Bytes::from_static(b"0123456789"));
    let chunks = drain(&mut rendition);
    let shape: Vec<_> = chunks.iter().map(|c| (c.offset, c.is_title(), c.sync())).collect();
    let media = |offset| (offset, false, Some(0));
    let title = |offset| (offset, true, None);
    assert_eq!(shape, [media(0), title(4), media(37), title(41), media(42)]);
    assert_eq!(chunks[1].bytes, block(1));
    assert_eq!(chunks[3].bytes[..], [0]);
    rendition.push(&Bytes::from_static(b"ab"));
    let chunks = drain(&mut rendition);
    assert_eq!((chunks[0].offset, chunks[0].sync(), chunks.len()), (44, None, 2));
    assert_eq!(rendition.offset(), 47);
}

#[test]
fn the_media_is_shared_not_copied() {
    let media = Bytes::from(vec![7; 100]);
    let mut rendition = rendition(60);
    rendition.push(&media);
    let chunks = drain(&mut rendition);
    assert_eq!(chunks[0].bytes.as_ptr(), media.as_ptr());
    assert_eq!(chunks[2].bytes.as_ptr(), media[60..].as_ptr());
}

#[test]
fn a_joiner_is_told_the_title_though_the_block_has_left_the_window() {
    let mut world = World::new(100);
    world.set_title(9);
    for _ in 0..100 {
        world.push(99);
    }
    let join = world.window.join(100_000).expect("synced");
    assert!(world.window.chunks(0).all(|chunk| !chunk.is_title() || chunk.bytes.len() == 1));
    let due = world.window.title_due(join.cursor.advance(100)).expect("a block begins here");
    assert_eq!((&*due.block, due.after), (&block(9), join.cursor.advance(101)));
    assert_eq!(world.window.title_due(join.cursor), None);
}

#[test]
fn a_window_that_began_behind_the_block_is_told_the_title() {
    let mut rendition = rendition(4);
    rendition.set_title(block(1));
    rendition.push(&Bytes::from_static(b"0123456789"));
    let mut window = Window::new(LIMITS);
    for chunk in drain(&mut rendition).split_off(2) {
        window.push(chunk).expect("contiguous");
    }
    let place = Cursor::at(41);
    assert_eq!(window.title_due(place).expect("a block").block[..], [0], "none is known");
    window.set_title(4, block(1));
    assert_eq!(*window.title_due(place).expect("a block").block, block(1));
}

#[test]
fn inside_a_block_there_is_no_phase_and_the_block_is_finished() {
    let mut world = World::new(4);
    world.set_title(1);
    world.push(10);
    let inside = Cursor::at(500 + 4 + 30);
    assert_eq!(world.window.title_phase(inside), None);
    assert_eq!(world.window.title_due(inside), None);
    let after = world.window.read_to_title(inside, 100, 100, |_, _| ()).expect("held");
    assert_eq!(after, Cursor::at(500 + 4 + 33 + 4), "the rest of it, and to the next");
    assert_eq!(world.window.title_phase(after), Some(4));
}
