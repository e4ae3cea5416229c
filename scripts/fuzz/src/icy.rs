//! ICY: the handshake of a v1 source, titles inside a stream, and the values around them.

use protocol_icy::{
    Charset, Dialect, SourceRequest, Stripped, TITLE_BLOCK_BYTES_MAX, Title, TitleStripper,
    TitleUpdate, V1Decoder, V1Step, V1TitleUpdate, basic_credentials, dialect_of, title_block,
    title_block_in,
};

use super::{pieces, same_for_all_cuts};

/// The handshake of an ICY v1 source, and telling it from a request.
pub fn source(data: &[u8]) {
    same_for_all_cuts(data, |cut| {
        let mut decoder = V1Decoder::new(512);
        let mut unread = Vec::new();
        let mut steps = Vec::new();
        for piece in pieces(data, cut) {
            unread.extend_from_slice(piece);
            loop {
                match decoder.decode(&unread) {
                    Ok(V1Step::Need) => break,
                    Ok(V1Step::Password { credentials, mount, used }) => {
                        assert!(used > 0, "a line has an end");
                        unread.drain(..used);
                        steps.push(format!("{} {mount:?}", credentials.password));
                    }
                    Ok(V1Step::Head { request, used }) => {
                        check_request(&request);
                        unread.drain(..used);
                        steps.push(format!("{request:?}"));
                    }
                    // Of two reasons, either may be seen first.
                    Err(_) => {
                        steps.push("malformed".to_owned());
                        return (steps, Vec::new());
                    }
                }
            }
        }
        // What is left is audio.
        (steps, unread)
    });
    let shown = &data[..data.len().min(300)];
    let answers = (0..=shown.len()).map(|end| dialect_of(&shown[..end]));
    let settled: Vec<_> = answers.skip_while(|dialect| *dialect == Dialect::Need).collect();
    assert!(settled.windows(2).all(|pair| pair[0] == pair[1]), "a dialect is said once");
}

/// A stream with titles inside; its first byte is the distance between them.
pub fn strip(data: &[u8]) {
    let Some((metaint, stream)) = data.split_first() else { return };
    same_for_all_cuts(stream, |cut| {
        let mut stripper = TitleStripper::new(usize::from(*metaint));
        let mut media = Vec::new();
        let mut titles = Vec::new();
        for piece in pieces(stream, cut) {
            for part in stripper.strip(piece) {
                match part {
                    Stripped::Media(bytes) => media.extend_from_slice(bytes),
                    Stripped::Title(title) => {
                        check_title(&title);
                        titles.push((media.len(), title));
                    }
                }
            }
        }
        assert!(media.len() <= stream.len(), "nothing is added");
        (media, titles)
    });
}

/// Queries that set titles, character sets, and the lines about a stream.
pub fn values(data: &[u8]) {
    let _ = basic_credentials(data);
    let text = String::from_utf8_lossy(data);
    check_title(&Title::new(&text).with_url(&text));
    if let Ok(update) = TitleUpdate::from_query(&text) {
        update.title.iter().for_each(check_title);
    }
    if let Ok(update) = V1TitleUpdate::from_query(&text) {
        check_title(&update.title);
    }
    let lines = text.lines().filter_map(|line| line.split_once(':'));
    let headers: Vec<_> = lines.map(|(name, value)| (name, value.trim().as_bytes())).collect();
    check_request(&SourceRequest::from_headers(headers.iter().copied(), false));
}

/// What a listener or a log is told of a source holds no line end, whoever wrote it.
fn check_request(request: &SourceRequest) {
    let stream = &request.stream;
    let values = [&stream.name, &stream.description, &stream.url, &stream.genre, &stream.bitrate];
    let pairs = stream.echoed.iter().flat_map(|(name, value)| [name, value]);
    for value in values.into_iter().flatten().chain(pairs) {
        assert!(!value.contains(['\r', '\n', '\0']), "{value:?} would end a line");
    }
}

/// A title fits a block, in any character set, and is read back from it as it is.
fn check_title(title: &Title) {
    for charset in ["utf-8", "iso-8859-1", "shift_jis", "utf-16le"] {
        let charset = Charset::from_label(charset).expect("a known label");
        let block = title_block_in(title, charset);
        assert!(block.len() <= TITLE_BLOCK_BYTES_MAX, "a block has an end");
        assert_eq!(block.len(), 1 + usize::from(block[0]) * 16, "a block says its length");
    }
    let block = title_block(title);
    let mut stripper = TitleStripper::new(1);
    let stream = [b"x".as_slice(), &block].concat();
    let read: Vec<_> = stripper.strip(&stream).collect();
    let [Stripped::Media(b"x"), Stripped::Title(read)] = read.as_slice() else {
        panic!("{title:?} is not read back: {read:?}");
    };
    assert_eq!(read.url(), title.url(), "the URL is read back");
    // Quotes before a semicolon are written as a longer character; what then does not fit is cut.
    let [read, written] = [read.text(), title.text()].map(|text| text.replace('’', "'"));
    assert!(read == written || written.len() > 1000 && written.starts_with(&read), "{written:?}");
}
