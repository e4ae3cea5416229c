//! The tables in `vectors/`: every request named there is refused with its status, or read as the
//! messages given, whole and however it is cut.

mod walk;

use protocol_http::Limits;
use walk::{Event, requests, unescape};

/// (first word, name, bytes) of each entry.
fn entries(table: &str) -> Vec<(&str, &str, Vec<u8>)> {
    let mut lines = table.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    let mut entries = Vec::new();
    while let (Some(title), Some(bytes)) = (lines.next(), lines.next()) {
        let (expected, name) = title.split_once(' ').expect("two words");
        entries.push((expected, name, unescape(bytes)));
    }
    entries
}

/// Cuts worth trying: whole, byte by byte, and in two at every place (of short inputs).
fn cuts_of(bytes: &[u8]) -> Vec<Vec<usize>> {
    let mut cuts = vec![vec![], vec![1; bytes.len()], vec![7; bytes.len() / 7]];
    if bytes.len() < 300 {
        cuts.extend((1..bytes.len()).map(|at| vec![at]));
    }
    cuts
}

#[test]
fn refused() {
    let entries = entries(include_str!("vectors/refused.txt"));
    assert!(entries.len() > 220);
    for (status, name, bytes) in entries {
        let whole = requests(Limits::default(), &bytes, &[]);
        let refused = matches!(whole.last(), Some(Event::Refused(code, _))
            if *code == status.parse::<u16>().unwrap());
        assert!(refused, "{name}: {whole:?}");
        for cuts in cuts_of(&bytes) {
            assert_eq!(requests(Limits::default(), &bytes, &cuts), whole, "{name}: {cuts:?}");
        }
    }
}

#[test]
fn accepted() {
    for (payloads, name, bytes) in entries(include_str!("vectors/accepted.txt")) {
        let whole = requests(Limits::default(), &bytes, &[]);
        let mut messages: Vec<String> = Vec::new();
        for event in &whole {
            match event {
                Event::Head(_) => messages.push("-".into()),
                Event::Body(payload) => {
                    *messages.last_mut().unwrap() = String::from_utf8(payload.clone()).unwrap();
                }
                Event::End => {}
                Event::Refused(..) => panic!("{name}: {whole:?}"),
            }
        }
        assert_eq!(messages.join("|"), payloads, "{name}: {whole:?}");
        assert_eq!(whole.last(), Some(&Event::End), "{name}");
        for cuts in cuts_of(&bytes) {
            assert_eq!(requests(Limits::default(), &bytes, &cuts), whole, "{name}: {cuts:?}");
        }
    }
}
