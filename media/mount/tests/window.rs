//! A window, case by case: joining, reading, falling behind, gaps, preludes, bounds.

use std::rc::Rc;

use bytes::Bytes;
use media_mount::{Behind, Chunk, Cursor, Gap, Window, WindowLimits};

const LIMITS: WindowLimits = WindowLimits { bytes_max: 50, chunks_max: 100 };

/// Ten bytes from `offset` on, each its own offset.
fn chunk(offset: u64, sync: Option<u32>) -> Chunk {
    let bytes: Vec<u8> = (offset..offset + 10).map(|byte| byte as u8).collect();
    Chunk::new(offset, Bytes::from(bytes), sync)
}

fn window(chunks: impl IntoIterator<Item = Chunk>) -> Window {
    let mut window = Window::new(LIMITS);
    for chunk in chunks {
        window.push(chunk).expect("contiguous");
    }
    window
}

fn read(window: &Window, cursor: Cursor, bytes_max: usize) -> Result<(Vec<u8>, Cursor), Behind> {
    let mut heard = Vec::new();
    let after = window.read(cursor, bytes_max, 100, |bytes, range| {
        heard.extend_from_slice(&bytes[range]);
    })?;
    Ok((heard, after))
}

#[test]
fn a_burst_begins_at_the_oldest_sync_point_within_it() {
    let chunks = [(0, Some(3)), (10, None), (20, Some(9)), (30, None)];
    let window = window(chunks.map(|(offset, sync)| chunk(offset, sync)));
    let join = |burst| window.join(burst).expect("there are sync points").cursor.offset();
    assert_eq!(join(1000), 3);
    assert_eq!(join(37), 3);
    assert_eq!(join(36), 29);
    assert_eq!(join(11), 29);
    assert_eq!(join(10), 29, "none within: the newest");
    assert_eq!(join(0), 29);
    assert_eq!(window.join_live().map(|join| join.cursor.offset()), Some(29));
    let next = |from| window.next_sync(from).map(|join| join.cursor.offset());
    assert_eq!((next(0), next(3), next(4), next(30)), (Some(3), Some(3), Some(29), None));
}

#[test]
fn nobody_joins_before_the_first_sync_point() {
    let window = window([chunk(0, None)]);
    assert_eq!((window.join(100), window.join_live(), window.next_sync(0)), (None, None, None));
    assert_eq!(Window::new(LIMITS).join(100), None);
}

#[test]
fn a_read_is_bounded_by_bytes_and_by_pieces() {
    let window = window((0..5).map(|index| chunk(index * 10, Some(0))));
    let (heard, after) = read(&window, Cursor::at(7), 15).expect("held");
    assert_eq!((heard, after.offset()), ((7..22).collect(), 22));
    let mut pieces = Vec::new();
    let after = window.read(Cursor::at(7), 100, 2, |_, range| pieces.push(range)).expect("held");
    assert_eq!((pieces, after.offset()), (vec![7..10, 0..10], 20));
    assert_eq!(after.lag(&window), 30);
    assert_eq!(read(&window, Cursor::at(50), 100), Ok((vec![], Cursor::at(50))));
    assert_eq!(read(&window, Cursor::at(7), 0), Ok((vec![], Cursor::at(7))));
}

#[test]
fn pieces_are_pinned_beyond_the_windows_life() {
    let mut window = window([chunk(0, Some(0))]);
    let mut pinned = None;
    let sink = |bytes: &Rc<Bytes>, range| pinned = Some((Rc::clone(bytes), range));
    window.read(Cursor::at(4), 3, 1, sink).expect("held");
    for index in 1..20 {
        window.push(chunk(index * 10, None)).expect("contiguous");
    }
    assert_eq!(read(&window, Cursor::at(4), 3), Err(Behind { oldest: 150 }));
    let (bytes, range) = pinned.expect("one piece");
    assert_eq!(bytes[range], [4, 5, 6]);
}

#[test]
fn the_window_forgets_its_oldest_and_with_it_their_sync_points() {
    let mut window = window((0..5).map(|index| chunk(index * 10, Some(1))));
    assert_eq!((window.oldest(), window.head(), window.bytes_held()), (0, 50, 50));
    window.push(chunk(50, None)).expect("contiguous");
    assert_eq!((window.oldest(), window.head(), window.bytes_held()), (10, 60, 50));
    assert_eq!(read(&window, Cursor::at(9), 10), Err(Behind { oldest: 10 }));
    assert!(read(&window, Cursor::at(10), 10).is_ok());
    assert_eq!(window.join(1000).map(|join| join.cursor.offset()), Some(11));
}

#[test]
fn chunks_are_counted_too_and_the_newest_always_stays() {
    let mut window = Window::new(WindowLimits { bytes_max: 5, chunks_max: 3 });
    window.push(chunk(0, Some(0))).expect("first");
    assert_eq!((window.oldest(), window.head()), (0, 10), "alone, though too large");
    let mut window = Window::new(WindowLimits { bytes_max: 1000, chunks_max: 3 });
    for index in 0..9 {
        window.push(chunk(index * 10, Some(0))).expect("contiguous");
    }
    assert_eq!((window.oldest(), window.head()), (60, 90));
}

#[test]
fn a_window_may_begin_anywhere_and_begins_anew_behind_a_gap() {
    let mut window = window([chunk(1000, Some(0)), chunk(1010, Some(0))]);
    assert_eq!(window.oldest(), 1000);
    let gap = window.push(chunk(1050, None));
    assert_eq!(gap, Err(Gap { expected: 1020, found: 1050 }));
    assert_eq!((window.oldest(), window.head(), window.bytes_held()), (1050, 1060, 10));
    assert_eq!(read(&window, Cursor::at(1020), 1), Err(Behind { oldest: 1050 }));
    assert_eq!(window.join(1000), None, "the old sync points are gone");
}

#[test]
fn bytes_that_have_been_here_are_refused() {
    let mut window = window([chunk(0, Some(0)), chunk(10, Some(0))]);
    assert_eq!(window.push(chunk(10, None)), Err(Gap { expected: 20, found: 10 }));
    assert_eq!((window.oldest(), window.head()), (0, 20));
    window.push(Chunk::new(99, Bytes::new(), None)).expect("nothing is no gap");
    assert_eq!(window.head(), 20);
}

#[test]
fn a_cursor_from_elsewhere_is_behind_not_a_panic() {
    let window = window([chunk(0, Some(0))]);
    assert_eq!(read(&window, Cursor::at(11), 1), Err(Behind { oldest: 0 }));
    assert_eq!(read(&window, Cursor::at(u64::MAX), 1), Err(Behind { oldest: 0 }));
    assert_eq!(Cursor::at(11).lag(&window), 0);
}

#[test]
fn a_subscriber_takes_whole_chunks_from_its_place_on() {
    let window = window((2..7).map(|index| chunk(index * 10, Some(0))));
    let offsets = |from| window.chunks(from).map(|chunk| chunk.offset).collect::<Vec<_>>();
    assert_eq!(offsets(0), [20, 30, 40, 50, 60]);
    assert_eq!(offsets(45), [40, 50, 60]);
    assert_eq!(offsets(60), [60]);
    assert_eq!(offsets(70), [0_u64; 0]);
    assert_eq!(window.chunks(50).next(), Some(chunk(50, Some(0))));
}

#[test]
fn a_sync_point_has_the_prelude_in_force_there() {
    let mut window = window((0..4).map(|index| chunk(index * 10, Some(0))));
    window.set_prelude(10, Bytes::from_static(b"first"));
    window.set_prelude(30, Bytes::from_static(b"second"));
    let prelude = |window: &Window, from| window.next_sync(from).expect("a sync point").prelude;
    assert_eq!(prelude(&window, 0), "");
    assert_eq!(prelude(&window, 10), "first");
    assert_eq!(prelude(&window, 20), "first");
    assert_eq!(prelude(&window, 30), "second");
    for index in 4..8 {
        window.push(chunk(index * 10, Some(0))).expect("contiguous");
    }
    assert_eq!(window.oldest(), 30);
    assert_eq!(prelude(&window, 30), "second");
    assert_eq!(window.prelude_at(29), "", "forgotten when no longer needed");
}

#[test]
fn a_sync_point_whose_prelude_had_to_go_is_not_joined() {
    let mut window = Window::new(WindowLimits { bytes_max: 10_000, chunks_max: 10_000 });
    for index in 0..40 {
        let offset = index * 10;
        window.set_prelude(offset, Bytes::from(vec![index as u8]));
        window.push(chunk(offset, Some(0))).expect("contiguous");
    }
    let join = window.join(10_000).expect("the later ones are joined");
    assert!(join.cursor.offset() > 0);
    assert_eq!(join.prelude[..], [(join.cursor.offset() / 10) as u8]);
}
