//! What holds for every input: nothing panics, nothing grows, and how bytes were cut on their way
//! changes nothing.

use proptest::prelude::*;
use protocol_icy::{
    Answers, Charset, Dialect, SourceRequest, StreamInfo, Stripped, TITLE_BLOCK_BYTES_MAX, Title,
    TitleStripper, TitleUpdate, V1Decoder, V1Step, V1TitleUpdate, VALUE_BYTES_MAX,
    basic_credentials, dialect_of, title_block, title_block_in,
};

#[derive(Debug, PartialEq)]
enum Event {
    Media(u8),
    Title(Title),
}

fn strip(metaint: usize, pieces: &[&[u8]]) -> Vec<Event> {
    let mut stripper = TitleStripper::new(metaint);
    let mut events = Vec::new();
    for piece in pieces {
        for stripped in stripper.strip(piece) {
            match stripped {
                Stripped::Media(media) => events.extend(media.iter().copied().map(Event::Media)),
                Stripped::Title(title) => events.push(Event::Title(title)),
            }
        }
    }
    events
}

/// The steps without their counts, and the bytes that were left.
fn shake_hands(pieces: &[&[u8]]) -> (Vec<String>, Vec<u8>) {
    let mut decoder = V1Decoder::new(256);
    let (mut unread, mut steps) = (Vec::new(), Vec::new());
    for piece in pieces {
        unread.extend_from_slice(piece);
        loop {
            let (step, used) = match decoder.decode(&unread) {
                Ok(V1Step::Need) => break,
                Ok(V1Step::Password { credentials, mount, used }) => {
                    (format!("{} {mount:?}", credentials.password), used)
                }
                Ok(V1Step::Head { request, used }) => (format!("{request:?}"), used),
                // What is unread at an error depends on how it was cut; nobody looks at it.
                Err(error) => {
                    steps.push(error.to_string());
                    return (steps, Vec::new());
                }
            };
            assert!(used > 0 && used <= unread.len());
            unread.drain(..used);
            steps.push(step);
        }
    }
    (steps, unread)
}

/// A text cut at places that chance chose.
fn cut<'b>(bytes: &'b [u8], places: &[prop::sample::Index]) -> Vec<&'b [u8]> {
    let mut places: Vec<usize> = places.iter().map(|place| place.index(bytes.len() + 1)).collect();
    places.extend([0, bytes.len()]);
    places.sort_unstable();
    places.windows(2).map(|pair| &bytes[pair[0]..pair[1]]).collect()
}

fn places() -> impl Strategy<Value = Vec<prop::sample::Index>> {
    prop::collection::vec(any::<prop::sample::Index>(), 0..12)
}

/// Bytes that look like handshakes often enough.
fn handshake() -> impl Strategy<Value = Vec<u8>> {
    let word = prop::sample::select(vec![
        "hackme",
        "/m:",
        ":#2",
        "\r\n",
        "\n",
        "\r\r\n",
        "\r\n\r\n",
        "icy-name:",
        "N",
        ":",
        "content-type:audio/aac",
        "\u{e9}",
        "\0",
        " ",
    ]);
    prop::collection::vec(word, 0..24).prop_map(|words| words.concat().into_bytes())
}

fn headers() -> impl Strategy<Value = Vec<(String, Vec<u8>)>> {
    let name = prop_oneof!["(ice|icy|x-audiocast)-[a-z]{0,12}", "(?i)ice-audio-info", "\\PC{0,9}"];
    prop::collection::vec((name, prop::collection::vec(any::<u8>(), 0..64)), 0..12)
}

proptest! {
    #[test]
    fn stripping_does_not_depend_on_the_cuts(
        stream in prop::collection::vec(0u8..4, 0..600), metaint in 0usize..40, places in places(),
    ) {
        prop_assert_eq!(strip(metaint, &cut(&stream, &places)), strip(metaint, &[&stream]));
    }

    #[test]
    fn a_written_title_is_read_as_it_was(
        text in "\\PC{0,60}|[';=a StreamUl]{0,60}", url in "[ -~]{0,60}",
    ) {
        let title = Title::new(&text).with_url(&url);
        let stream = [b"1234", &title_block(&title)[..]].concat();
        let events = strip(4, &[&stream]);
        let Some(Event::Title(read)) = events.last() else { panic!("no title") };
        let written = title.text().replace("';", "’;");
        prop_assert_eq!(read.text(), written.trim());
        prop_assert_eq!(read.url(), title.url());
    }

    #[test]
    fn blocks_are_whole_in_every_character_set(
        text in "\\PC{0,5000}", url in "\\PC{0,1200}",
        label in prop::sample::select(vec!["utf-8", "latin1", "gb18030", "iso-2022-jp", "euc-kr"]),
    ) {
        let title = Title::new(&text).with_url(&url);
        let block = title_block_in(&title, Charset::from_label(label).unwrap());
        prop_assert_eq!(block.len(), 1 + usize::from(block[0]) * 16);
        prop_assert!(block.len() <= TITLE_BLOCK_BYTES_MAX);
        prop_assert!(block.last() == Some(&0) && block[1..].starts_with(b"StreamTitle='"));
    }

    #[test]
    fn handshakes_do_not_depend_on_the_cuts(stream in handshake(), places in places()) {
        prop_assert_eq!(shake_hands(&cut(&stream, &places)), shake_hands(&[&stream]));
    }

    #[test]
    fn a_dialect_once_told_stays(stream in handshake()) {
        let mut told = Dialect::Need;
        for end in 0..=stream.len() {
            let dialect = dialect_of(&stream[..end]);
            prop_assert!(told == Dialect::Need || told == dialect, "at {}", end);
            told = dialect;
        }
    }

    #[test]
    fn heads_of_anything_stay_bounded_and_in_their_lines(headers in headers()) {
        let lines = headers.iter().map(|(name, value)| (name.as_str(), value.as_slice()));
        let request = SourceRequest::from_headers(lines.clone(), false);
        prop_assert_eq!(&request.stream, &StreamInfo::from_headers(lines));
        for (name, value) in &request.stream.echoed {
            prop_assert!(value.len() <= VALUE_BYTES_MAX && !value.contains(['\r', '\n', '\0']));
            prop_assert!(name.starts_with("ic"));
        }
        let answers = Answers { server: "s", unix_seconds: 0, extra_headers: &[] };
        let head = answers.listener_head("audio/mpeg", &request.stream, Some(16_000), false);
        let line_count = head.iter().filter(|byte| **byte == b'\n').count();
        prop_assert_eq!(line_count, 10 + request.stream.echoed.len());
    }

    #[test]
    fn queries_and_credentials_of_anything(
        query in "\\PC{0,80}|(song|mode|mount|pass)=[%&=a-f0-9]{0,40}",
    ) {
        let _ = TitleUpdate::from_query(&query);
        let _ = V1TitleUpdate::from_query(&query);
        let _ = basic_credentials(query.as_bytes());
    }
}
