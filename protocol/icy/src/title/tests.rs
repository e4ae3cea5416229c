//! Title blocks: safe, bounded, whole.

use super::*;

fn text_of(block: &[u8]) -> &str {
    assert_eq!(block.len(), 1 + usize::from(block[0]) * 16);
    assert_eq!(block.last(), Some(&0), "a NUL ends it");
    std::str::from_utf8(&block[1..]).unwrap().trim_end_matches('\0')
}

#[test]
fn blocks_are_padded_to_sixteen() {
    let block = title_block(&Title::default());
    assert_eq!(block, b"\x01StreamTitle='';\0");
    let block = title_block(&Title::new("Artist - Title"));
    assert_eq!(block, b"\x02StreamTitle='Artist - Title';\0\0\0");
    // Exactly sixteen bytes of text get a unit of NULs, as Icecast's do.
    assert_eq!(title_block(&Title::new("x")).len(), 1 + 32);
    let block = title_block(&Title::new("T").with_url("http://u/"));
    assert_eq!(text_of(&block), "StreamTitle='T';StreamUrl='http://u/';");
}

#[test]
fn a_title_adds_no_field() {
    let evil = Title::new("x';StreamUrl='http://evil/");
    assert_eq!(text_of(&title_block(&evil)), "StreamTitle='x’;StreamUrl='http://evil/';");
    assert_eq!(evil.text(), "x';StreamUrl='http://evil/", "elsewhere it is as it was");
    let quoted = Title::new("It's '70s").with_url("http://u/';X='");
    assert_eq!(
        text_of(&title_block(&quoted)),
        "StreamTitle='It's '70s';StreamUrl='http://u/%27;X=%27';"
    );
    assert_eq!(text_of(&title_block(&Title::new("x''';"))), "StreamTitle='x''’;';");
}

#[test]
fn text_is_one_bounded_line() {
    assert_eq!(Title::new(" a\r\nb\0\u{1b}[0m\tc ").text(), "a  b[0m c");
    let long = Title::new("é".repeat(9000)).with_url(&"u".repeat(900));
    assert_eq!(long.text().len(), TEXT_BYTES_MAX);
    assert!(title_block(&long).len() <= TITLE_BLOCK_BYTES_MAX);
    // What grows when it is written is cut then.
    let growing = Title::new("';".repeat(9000)).with_url(&"u".repeat(URL_BYTES_MAX));
    assert!(title_block(&growing).len() <= TITLE_BLOCK_BYTES_MAX);
    assert!(text_of(&title_block(&growing)).ends_with("u';"));
    assert_eq!(Title::new("a").with_url(&"u".repeat(URL_BYTES_MAX + 1)).url(), None);
    assert_eq!(Title::new("a").with_url(" ").url(), None);
}

#[test]
fn artist_and_title_are_joined() {
    let joined = |artist, title| Title::of_artist(artist, title).text().to_owned();
    assert_eq!(joined("Lab", "Tone"), "Lab - Tone");
    assert_eq!(joined("", "Tone"), "Tone");
    assert_eq!(joined("Lab", " "), "Lab");
    assert!(Title::of_artist("", "").is_empty());
}

#[test]
fn blocks_in_other_character_sets() {
    let title = Title::new("é → x';");
    let block = title_block_in(&title, Charset::WINDOWS_1252);
    assert!(block.starts_with(b"\x02StreamTitle='\xe9 ? x\x92;';"), "{block:?}");
    for label in ["gb18030", "iso-2022-jp", "shift_jis", "koi8-r", "big5", "utf-16"] {
        let charset = Charset::from_label(label).unwrap();
        for text in ["é", "日本", "\u{10ffff}", "é日"] {
            let block = title_block_in(&Title::new(text.repeat(4000)), charset);
            assert_eq!(block.len(), 1 + usize::from(block[0]) * 16, "{label} {text}");
            assert!(block.len() <= TITLE_BLOCK_BYTES_MAX);
        }
    }
}
