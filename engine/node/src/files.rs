//! Files of directories (`[[files]]`), and of the folder of recordings, by the code of
//! `engine-http`.
//!
//! ```text
//! head ── below a prefix, and no mount ── find ─┬─► known: answered
//!                                               └─► storage thread ── files_answered ─► answered
//! body: a block is read while the one before it is sent; one send is under way at a time
//! ```
//!
//! *Invariant:* an answer that cannot be sent to its end ends its connection; only one whose last
//! byte is handed over lets the connection go on.

use bytes::Bytes;
use engine_config::Config;
use engine_http::{Disk, FileAnswer, FileAnswers, FileBody, Next, Pending, name_of, refusal};
use protocol_http::{RequestHead, ResponseWriter, Status, Version};
use shards_runtime::{Context, Io, Piece, Token};
use shards_storage::{FileCounters, FileError, FileEvent, FilePort, Find, RootId};

use crate::artifacts;
use crate::connection::State;
use crate::lifecycle::ANSWER_TIMEOUT;
use crate::message::Message;
use crate::node::Node;
use crate::whole::Answer;

/// Bytes that one send carries, less than a block more.
const SEND_BYTES: u64 = 256 * 1024;
/// Answers of the storage thread in one tick.
const EVENTS_PER_TICK_MAX: usize = 128;

/// Which of a node's files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shelf {
    /// Those of directories.
    Directories,
    /// Recordings, clips and snapshots.
    Artifacts,
}

/// A shard's end of the directories, or of the folder of recordings.
pub struct Files {
    disk: Disk,
    /// By the number of their section; of recordings there is one.
    roots: Vec<RootId>,
    answers: FileAnswers,
    /// The storage thread had more to say than one tick takes.
    pub(crate) has_more: bool,
}

/// What a connection does about its file.
pub(crate) struct Sending {
    shelf: Shelf,
    stage: Stage,
}

enum Stage {
    /// It waits for the storage thread to find it.
    Asked(Pending),
    /// It is sent it.
    Body(FileBody),
}

/// What a request for a file came to.
pub(crate) enum Step {
    /// This head, and this body.
    Answer(Found),
    /// It was asked for.
    Asked(Pending),
    /// There is none.
    Refused(FileError),
}

/// A file that was found.
pub(crate) struct Found {
    status: Status,
    lines: Vec<u8>,
    body_bytes: u64,
    body: FileBody,
}

impl Files {
    /// The directories of the sections, in their order, on the thread of the shard.
    #[must_use]
    pub fn new(port: FilePort, roots: Vec<RootId>) -> Files {
        let (disk, answers) = (Disk::new(port), FileAnswers::default());
        Files { disk, roots, answers, has_more: false }
    }

    /// Looks for the file of this name below the directory of a section.
    pub(crate) fn find<I: Io>(
        &mut self,
        cx: &Context<'_, I, Message>,
        (section, name): (usize, &str),
        head: &RequestHead<'_>,
        token: Token,
    ) -> Step {
        match self.disk.find(cx.now(), (self.roots[section], name), &head.headers, token) {
            Find::Here(file) => Step::Answer(self.answers.answer(head, name, &file).into()),
            Find::Asked => Step::Asked(Pending::new(head, name)),
            Find::Refused(error) => Step::Refused(error),
        }
    }

    pub(crate) fn counters(&self) -> FileCounters {
        self.disk.counters()
    }
}

impl From<FileAnswer<'_>> for Found {
    fn from(answer: FileAnswer<'_>) -> Found {
        let FileAnswer { status, lines, body_bytes, body } = answer;
        Found { status, lines: lines.to_vec(), body_bytes, body }
    }
}

/// Where a path is among the directories.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Place {
    section: usize,
    /// Behind the prefix.
    name: String,
}

impl Place {
    /// The section, and the file's name there.
    pub(crate) fn file(&self, config: &Config) -> (usize, String) {
        (self.section, name_of(&self.name, &config.files[self.section].index).into_owned())
    }
}

/// The directory that a path is in: of several, the one that says most of it.
pub(crate) fn place_of(config: &Config, path: &str) -> Option<Place> {
    let sections = config.files.iter().enumerate();
    let rests = sections.filter_map(|(at, it)| Some((at, path.strip_prefix(&*it.prefix)?)));
    let (section, name) = rests.min_by_key(|(_, rest)| rest.len())?;
    Some(Place { section, name: name.to_owned() })
}

/// Whether a path is that of a directory, but for its last slash.
pub(crate) fn lacks_slash(config: &Config, path: &str) -> bool {
    config.files.iter().any(|files| files.prefix.strip_suffix('/') == Some(path))
}

/// Where the same is with a slash, so that what a page there names is found.
pub(crate) fn with_slash(path: &str) -> Answer {
    Answer::new(Status::MOVED_PERMANENTLY).with_header("Location", format!("{path}/"))
}

impl Node {
    /// The same node with files.
    #[must_use]
    pub fn with_files(mut self, files: Option<Files>) -> Node {
        self.files = files;
        self
    }

    /// A request for a file: it is answered, or waits for that.
    pub(crate) fn file_wish<I: Io>(
        &mut self,
        cx: &mut Context<'_, I, Message>,
        token: Token,
        shelf: Shelf,
        step: Step,
    ) {
        match step {
            Step::Answer(found) => self.file_answer(cx, token, shelf, found),
            Step::Asked(pending) => {
                let sending = Sending { shelf, stage: Stage::Asked(pending) };
                self.change_state(cx, token, State::File(Box::new(sending)));
                let Some(connection) = self.connections.get_mut(token) else { return };
                connection.deadline = Some(cx.now() + ANSWER_TIMEOUT);
                self.arm(cx, token);
            }
            Step::Refused(error) => self.file_refused(cx, token, shelf, error),
        }
    }

    fn shelf(&mut self, shelf: Shelf) -> Option<&mut Files> {
        match shelf {
            Shelf::Directories => self.files.as_mut(),
            Shelf::Artifacts => self.artifacts.as_mut(),
        }
    }

    /// Whether the storage thread has answered more than a tick has taken.
    pub(crate) fn has_more_files(&self) -> bool {
        [&self.files, &self.artifacts].into_iter().flatten().any(|files| files.has_more)
    }

    /// Takes what the storage thread has answered.
    pub(crate) fn files_answered<I: Io>(&mut self, cx: &mut Context<'_, I, Message>, shelf: Shelf) {
        for _ in 0..EVENTS_PER_TICK_MAX {
            let Some(files) = self.shelf(shelf) else { return };
            files.has_more = false;
            let Some((token, event)) = files.disk.poll(cx.now()) else { return };
            let Some(connection) = self.connections.get_mut(token) else { continue };
            let State::File(sending) = &mut connection.state else { continue };
            match (event, &mut sending.stage) {
                (FileEvent::Found { result, .. }, Stage::Asked(pending)) => {
                    pending.found(result);
                    self.found_file(cx, token);
                }
                (FileEvent::Block { result, .. }, Stage::Body(body)) => {
                    match body.arrived(result) {
                        Ok(()) => self.file_goes_on(cx, token),
                        Err(_) => self.file_broken(cx, token),
                    }
                }
                // Of a request that was given up.
                _ => {}
            }
        }
        if let Some(files) = self.shelf(shelf) {
            files.has_more = true;
        }
    }

    /// A send is done, or a block has come: the next send.
    pub(crate) fn file_goes_on<I: Io>(&mut self, cx: &mut Context<'_, I, Message>, token: Token) {
        let may_keep = self.may_keep(token);
        let Some(connection) = self.connections.get_mut(token) else { return };
        let State::File(sending) = &mut connection.state else { return };
        let shelf = sending.shelf;
        let Stage::Body(body) = &mut sending.stage else { return self.send_output(cx, token) };
        if connection.sending {
            return;
        }
        let mut sent_bytes = 0;
        let is_over = loop {
            match body.take() {
                Next::Block(block) => {
                    sent_bytes += block.len_bytes();
                    connection.output.push(block.into());
                }
                Next::Text(text) => {
                    sent_bytes += text.len() as u64;
                    connection.output.push(Piece::Owned(Bytes::from(text)));
                }
                Next::Later => break false,
                Next::End => break true,
            }
            if sent_bytes >= SEND_BYTES {
                break body.is_empty();
            }
        };
        let files = match shelf {
            Shelf::Directories => &mut self.files,
            Shelf::Artifacts => &mut self.artifacts,
        };
        let read_on = match files {
            Some(files) => body.read_on(&mut files.disk, token),
            None => Ok(()),
        };
        if read_on.is_err() {
            return self.file_broken(cx, token);
        }
        if sent_bytes > 0 {
            connection.deadline = Some(cx.now() + ANSWER_TIMEOUT);
        }
        if is_over {
            connection.state = State::Answering;
            connection.keep_alive.is_granted = may_keep;
            connection.close_after_output = !may_keep;
        }
        self.arm(cx, token);
        self.send_output(cx, token);
    }

    fn found_file<I: Io>(&mut self, cx: &mut Context<'_, I, Message>, token: Token) {
        let Some(connection) = self.connections.get_mut(token) else { return };
        let state = std::mem::replace(&mut connection.state, State::Answering);
        let State::File(sending) = state else { unreachable!("it was asked for") };
        let Sending { shelf, stage } = *sending;
        let Stage::Asked(pending) = stage else { unreachable!("nothing was found before") };
        let Some(files) = self.shelf(shelf) else { return };
        let answer =
            pending.answer(|head, name, file| Found::from(files.answers.answer(head, name, file)));
        match answer {
            Ok(found) => self.file_answer(cx, token, shelf, found),
            Err(error) => self.file_refused(cx, token, shelf, error),
        }
    }

    fn file_answer<I: Io>(
        &mut self,
        cx: &mut Context<'_, I, Message>,
        token: Token,
        shelf: Shelf,
        found: Found,
    ) {
        let may_keep = self.may_keep(token);
        let Some(connection) = self.connections.get_mut(token) else { return };
        let Found { status, lines, body_bytes, body } = found;
        let config = &self.snapshot.config;
        let mut out = Vec::with_capacity(256 + lines.len());
        let mut head = ResponseWriter::new(&mut out, Version::Http11, status);
        head.header("Server", &config.server.server_id);
        head.header_date("Date", cx.wall_clock().as_secs());
        for (name, value) in &config.http.cors_headers {
            head.header(name, value);
        }
        head.raw_lines(&lines);
        let is_sent = [Status::OK, Status::PARTIAL_CONTENT, Status::NOT_MODIFIED].contains(&status);
        if shelf == Shelf::Artifacts && is_sent {
            head.raw_lines(artifacts::LINES);
        }
        match may_keep {
            true => head.keep_alive(),
            false => head.close(),
        };
        if status != Status::NOT_MODIFIED {
            head.content_length(body_bytes);
        }
        head.finish();
        let is_head = connection.record.as_ref().is_some_and(|it| &*it.method == "HEAD");
        if let Some(record) = &mut connection.record {
            record.status = status.0;
        }
        let body = if is_head { FileBody::default() } else { body };
        connection.push(Piece::Owned(out.into()));
        self.counters.files_sent += 1;
        let sending = Sending { shelf, stage: Stage::Body(body) };
        self.change_state(cx, token, State::File(Box::new(sending)));
        let Some(connection) = self.connections.get_mut(token) else { return };
        connection.deadline = Some(cx.now() + ANSWER_TIMEOUT);
        self.file_goes_on(cx, token);
    }

    fn file_refused<I: Io>(
        &mut self,
        cx: &mut Context<'_, I, Message>,
        token: Token,
        shelf: Shelf,
        error: FileError,
    ) {
        self.counters.files_refused += u64::from(error == FileError::Busy);
        if shelf == Shelf::Artifacts {
            return self.reply(cx, token, &artifacts::refusal(error));
        }
        let record = self.connections.get(token).and_then(|it| it.record.as_ref());
        let answer = match (error, record) {
            (FileError::Directory, Some(record)) => with_slash(&record.path),
            _ => {
                let (status, reason) = refusal(error);
                Answer::text(status, reason)
            }
        };
        self.reply(cx, token, &answer);
    }

    /// What was promised of a file's length cannot be kept: the client sees that from the end.
    fn file_broken<I: Io>(&mut self, cx: &mut Context<'_, I, Message>, token: Token) {
        self.counters.files_broken += 1;
        self.close(cx, token);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_prefix_has_the_path() {
        let text = "[[files]]\nprefix = \"/media/\"\ndirectory = \"a\"\n\
                    [[files]]\nprefix = \"/media/old/\"\ndirectory = \"b\"\n";
        let config = Config::parse("f", text).unwrap();
        let place = |section, name: &str| Some(Place { section, name: name.to_owned() });
        assert_eq!(place_of(&config, "/media/a/b.mp3"), place(0, "a/b.mp3"));
        assert_eq!(place_of(&config, "/media/old/b.mp3"), place(1, "b.mp3"));
        assert_eq!(place_of(&config, "/media/"), place(0, ""));
        assert_eq!(place_of(&config, "/media"), None);
        assert_eq!(place_of(&config, "/mediaeval/x"), None);
        assert!(lacks_slash(&config, "/media/old") && !lacks_slash(&config, "/media/old/"));
    }
}
