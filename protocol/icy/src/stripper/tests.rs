//! Titles inside a stream, however it is cut.

use super::*;

fn block(fields: &str) -> Vec<u8> {
    let units = fields.len().div_ceil(16);
    let mut block = vec![u8::try_from(units).unwrap()];
    block.extend_from_slice(fields.as_bytes());
    block.resize(1 + units * 16, 0);
    block
}

/// The media, and each title with the number of media bytes before it.
fn strip(metaint: usize, stream: &[u8], piece_bytes: usize) -> (Vec<u8>, Vec<(usize, Title)>) {
    let mut stripper = TitleStripper::new(metaint);
    let (mut media, mut titles) = (Vec::new(), Vec::new());
    for piece in stream.chunks(piece_bytes) {
        for stripped in stripper.strip(piece) {
            match stripped {
                Stripped::Media(part) => {
                    assert!(!part.is_empty());
                    media.extend_from_slice(part);
                }
                Stripped::Title(title) => titles.push((media.len(), title)),
            }
        }
    }
    (media, titles)
}

#[test]
fn media_and_titles_come_apart_however_they_were_cut() {
    let mut stream = b"12345678".to_vec();
    stream.extend(block("StreamTitle='A';"));
    stream.extend(b"abcdefgh\0ABCDEFGH");
    stream.extend(block("StreamTitle='A';"));
    stream.extend(b"abcdefgh");
    stream.extend(block("StreamTitle='B';StreamUrl='http://b/';"));
    stream.extend(b"1234");
    for piece_bytes in 1..=stream.len() {
        let (media, titles) = strip(8, &stream, piece_bytes);
        assert_eq!(media, b"12345678abcdefghABCDEFGHabcdefgh1234");
        let expected = [(8, Title::new("A")), (32, Title::new("B").with_url("http://b/"))];
        assert_eq!(titles, expected, "the repeated one is no news");
    }
}

#[test]
fn without_an_interval_all_is_media() {
    assert_eq!(strip(0, b"\x01\x02\x03", 2), (b"\x01\x02\x03".to_vec(), Vec::new()));
}

#[test]
fn what_nobody_asks_for_is_taken_in_all_the_same() {
    let mut stripper = TitleStripper::new(4);
    drop(stripper.strip(b"1234\x01Strea"));
    let mut rest = stripper.strip(b"mTitle='A';wxyz");
    assert_eq!(rest.next(), Some(Stripped::Title(Title::new("A"))));
    assert_eq!(rest.next(), Some(Stripped::Media(b"wxyz")));
    assert_eq!(rest.next(), None);
}

#[test]
fn titles_with_quotes_and_semicolons() {
    let text = |fields: &str| {
        let title = parse_block(fields.as_bytes());
        title.map(|title| (title.text().to_owned(), title.url().map(str::to_owned)))
    };
    let plain = |title: &str| Some((title.to_owned(), None));
    assert_eq!(text("StreamTitle='It's '70s';"), plain("It's '70s"));
    assert_eq!(text("StreamTitle='a'; b';\0\0"), plain("a'; b"));
    assert_eq!(text("StreamTitle='a;b';adw_ad='true';ms='1';"), plain("a;b"));
    assert_eq!(
        text("StreamTitle='x';StreamUrl='http://u/?a;b';"),
        Some(("x".to_owned(), Some("http://u/?a;b".to_owned())))
    );
    assert_eq!(text("StreamUrl='u';StreamTitle='x';").unwrap().0, "x");
    assert_eq!(text("StreamTitle='';"), plain(""));
    assert_eq!(text("StreamTitle='cut off"), plain("cut off"));
    assert_eq!(text("StreamTitle='badly closed'"), plain("badly closed"));
    assert_eq!(text("StreamTitle=bare;StreamUrl=u;"), Some(("bare".into(), Some("u".into()))));
    assert_eq!(text("StreamTitle='a;StreamUrl=b;c';"), plain("a;StreamUrl=b;c"));
    assert_eq!(text("garbage"), None);
    assert_eq!(text("StreamUrl='u';"), None);
    assert_eq!(parse_block(b"StreamTitle='Caf\xe9';").unwrap().text(), "Café");
    assert_eq!(parse_block("StreamTitle='Café';".as_bytes()).unwrap().text(), "Café");
}
