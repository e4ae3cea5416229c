//! The same bytes into our decoders, into llhttp, which reads them for Node, and into `httparse`.
//!
//! What must hold: a message that we hand out, llhttp hands out too, the same to the byte, head and
//! body and where the next begins. So nobody smuggles a request past a server of that kind to ours,
//! or the other way round. The differences that are meant are listed in `differential/classes.rs`.
//!
//! llhttp's C is fetched with pip and compiled. Where that cannot be done the test says so and is
//! left out, unless `SKYWAVE_TEST_ORACLES=required`, as in `scripts/test`.

#[path = "differential/classes.rs"]
mod classes;
#[path = "differential/generate.rs"]
mod generate;
#[path = "differential/message.rs"]
mod message;
#[path = "differential/oracle.rs"]
mod oracle;

use std::collections::BTreeSet;

use classes::{LAXER, Parting, STRICTER, STRICTER_THAN_HTTPARSE};
use message::{Kind, Reading, ours};

/// Inputs of each kind. `SKYWAVE_DIFFERENTIAL_INPUTS` asks for more.
fn inputs(kind: Kind) -> Vec<(Kind, Vec<u8>)> {
    let count = std::env::var("SKYWAVE_DIFFERENTIAL_INPUTS");
    let count = count.ok().and_then(|text| text.parse().ok()).unwrap_or(20_000);
    let rare = generate::rare(kind).iter().map(|bytes| bytes.to_vec());
    let drawn = (0..count).map(|number| generate::input(kind, number));
    rare.chain(drawn).map(|bytes| (kind, bytes)).collect()
}

/// Where the two readings part, and why: `Ok(None)` where they do not, `Err` where no class says.
fn difference(kind: Kind, ours: &Reading, theirs: &Reading) -> Result<Option<&'static str>, ()> {
    let their_error = theirs.error.as_deref().unwrap_or_default();
    for (index, message) in ours.messages.iter().enumerate() {
        let their = theirs.messages.get(index);
        if their == Some(message) {
            continue;
        }
        let is_refused_midway = |their: &message::Message| message.begins(their);
        if ours.error.is_some() && their.is_some_and(is_refused_midway) {
            return stricter(ours).map(Some);
        }
        let parting = Parting {
            message,
            head: &ours.heads[index],
            previous: index.checked_sub(1).map(|before| &ours.messages[before]),
            error: their_error,
            their,
        };
        let explains = |class: &&classes::Laxer| class.kind == kind && (class.explains)(&parting);
        return LAXER.iter().find(explains).map(|class| Some(class.why)).ok_or(());
    }
    match &theirs.messages[ours.messages.len().min(theirs.messages.len())..] {
        [] => Ok(None),
        // llhttp tells a head before it looks for the body, and refuses it then.
        [last] if ours.error.is_some() && last.is_refused(their_error) => Ok(None),
        _ => stricter(ours).map(Some),
    }
}

fn stricter(ours: &Reading) -> Result<&'static str, ()> {
    if ours.error.is_none() && ours.messages.last().is_some_and(classes::is_told_both) {
        return Ok(classes::CLOSED);
    }
    let class = STRICTER.iter().find(|class| Some(class.reason) == ours.error.as_deref());
    class.map(|class| class.reason).ok_or(())
}

#[test]
fn llhttp_reads_the_same_messages() {
    let program = match oracle::program() {
        Ok(program) => program,
        Err(reason) => {
            let is_required = std::env::var("SKYWAVE_TEST_ORACLES");
            assert_ne!(is_required.as_deref(), Ok("required"), "no llhttp: {reason}");
            eprintln!("left out: llhttp cannot be fetched or compiled here: {reason}");
            return;
        }
    };
    let mut met = BTreeSet::new();
    let (mut messages_count, mut same_count) = (0, 0);
    for kind in [Kind::Requests, Kind::Responses] {
        let inputs = inputs(kind);
        let theirs = oracle::read_all(&program, &format!("{kind:?}"), &inputs);
        for ((_, bytes), theirs) in inputs.iter().zip(&theirs) {
            let ours = ours(kind, bytes);
            match difference(kind, &ours, theirs) {
                Ok(Some(class)) => _ = met.insert(class),
                Ok(None) => same_count += 1,
                Err(()) => panic!(
                    "a difference that is not listed: {}\n  ours {ours:?}\n  llhttp {theirs:?}",
                    bytes.escape_ascii()
                ),
            }
            messages_count += ours.messages.len();
        }
    }
    assert!(messages_count > 20_000 && same_count > 30_000, "{messages_count} {same_count}");
    for class in STRICTER {
        assert!(met.contains(class.reason), "never met: {} ({})", class.reason, class.why);
    }
    assert!(met.contains(classes::CLOSED));
    for class in LAXER {
        assert!(met.contains(class.why), "never met: {}", class.why);
    }
}

#[test]
fn httparse_takes_what_we_take() {
    let mut met = BTreeSet::new();
    let mut taken_count = 0;
    for (kind, bytes) in inputs(Kind::Requests) {
        let ours = ours(kind, &bytes);
        let mut slots = [httparse::EMPTY_HEADER; 64];
        let mut request = httparse::Request::new(&mut slots);
        let theirs = request.parse(&bytes);
        let head = ours.messages.first();
        let text = bytes.escape_ascii();
        match (theirs, head) {
            (Ok(httparse::Status::Complete(used)), Some(head)) => {
                assert_eq!(used, ours.heads[0].len(), "{text}");
                assert_eq!(request.method, Some(head.first.as_str()), "{text}");
                assert_eq!(request.path.map(str::as_bytes), Some(&head.target[..]), "{text}");
                let lines = request.headers.iter();
                let lines = lines.map(|line| (line.name.to_owned(), line.value.to_owned()));
                assert_eq!(lines.collect::<Vec<_>>(), head.headers, "{text}");
                taken_count += 1;
            }
            (Ok(httparse::Status::Complete(_)), None) => {
                let reason = ours.error.as_deref().unwrap_or("nothing");
                let class = STRICTER_THAN_HTTPARSE.iter().find(|class| class.reason == reason);
                met.insert(class.unwrap_or_else(|| panic!("{reason}: {text}")).reason);
            }
            (_, Some(_)) => panic!("httparse does not take it: {text}"),
            (_, None) => {}
        }
    }
    assert!(taken_count > 5000, "{taken_count}");
    for class in STRICTER_THAN_HTTPARSE {
        assert!(met.contains(class.reason), "never met: {} ({})", class.reason, class.why);
    }
}
