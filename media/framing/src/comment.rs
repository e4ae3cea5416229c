//! Vorbis comments: `artist - title` from the block that Opus, Vorbis, Speex, Theora and FLAC
//! share.
//!
//! ```text
//!  length (4, little-endian) | vendor | count (4) | length (4) | "NAME=value" | …
//! ```

use crate::bits::le32;

/// The title that a comment block names; `None` where it names none. A block that is cut short
/// or malformed is read as far as it goes.
pub(crate) fn title(block: &[u8]) -> Option<String> {
    let (_vendor, rest) = string(block)?;
    let mut rest = rest.get(4..)?;
    let (mut artists, mut title) = (Vec::new(), None);
    while let Some((entry, after)) = string(rest) {
        rest = after;
        let Some(equals) = entry.iter().position(|byte| *byte == b'=') else { continue };
        let (name, value) = (&entry[..equals], &entry[equals + 1..]);
        if value.is_empty() {
            continue;
        }
        if name.eq_ignore_ascii_case(b"title") && title.is_none() {
            title = Some(String::from_utf8_lossy(value));
        } else if name.eq_ignore_ascii_case(b"artist") {
            artists.push(String::from_utf8_lossy(value));
        }
    }
    let artist = artists.join(", ");
    match (artist.is_empty(), title) {
        (true, None) => None,
        (true, Some(title)) => Some(title.into_owned()),
        (false, None) => Some(artist),
        (false, Some(title)) => Some(format!("{artist} - {title}")),
    }
}

fn string(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    if bytes.len() < 4 {
        return None;
    }
    let length = usize::try_from(le32(bytes, 0)).ok()?;
    let rest = &bytes[4..];
    (length <= rest.len()).then(|| rest.split_at(length))
}

#[cfg(test)]
mod tests {
    use super::title;

    fn block(entries: &[&str]) -> Vec<u8> {
        let mut block = Vec::new();
        let mut put = |text: &str| {
            block.extend_from_slice(&u32::try_from(text.len()).unwrap().to_le_bytes());
            block.extend_from_slice(text.as_bytes());
        };
        put("vendor");
        let count = u32::try_from(entries.len()).unwrap();
        let mut rest = count.to_le_bytes().to_vec();
        for entry in entries {
            rest.extend_from_slice(&u32::try_from(entry.len()).unwrap().to_le_bytes());
            rest.extend_from_slice(entry.as_bytes());
        }
        block.extend_from_slice(&rest);
        block
    }

    #[test]
    fn artist_and_title() {
        assert_eq!(title(&block(&["TITLE=b", "artist=a", "X=y"])).as_deref(), Some("a - b"));
        assert_eq!(title(&block(&["title=b=c"])).as_deref(), Some("b=c"));
        assert_eq!(title(&block(&["ARTIST=a", "ARTIST=z"])).as_deref(), Some("a, z"));
        assert_eq!(title(&block(&["title=", "encoder=x"])), None);
    }

    #[test]
    fn a_block_cut_anywhere_is_read_as_far_as_it_goes() {
        let whole = block(&["TITLE=b", "ARTIST=a"]);
        for length in 0..whole.len() {
            let title = title(&whole[..length]);
            assert!(title.is_none() || title.as_deref() == Some("b"));
        }
        assert_eq!(title(&[255; 40]), None);
    }
}
