//! What a shard has of the files: a cache of the small ones and a port for the rest.

use std::cell::RefCell;
use std::collections::{HashMap, VecDeque};
use std::fmt::Write;
use std::rc::Rc;
use std::time::Instant;

use bytes::Bytes;

use super::cache::{CacheLimits, FileCache, Lookup};
use super::port::{Answered, FilePort, Found};
use super::{Codings, FileCounters, FileError, FileId, FileInfo, FileLimits, FileVersion, RootId};

/// A file that was found, and its content or a way to it.
#[derive(Clone, Debug)]
pub struct File {
    /// What it is.
    pub info: FileInfo,
    /// What it holds.
    pub content: Content,
}

/// What a file holds.
#[derive(Clone, Debug)]
pub enum Content {
    /// All of a small file. The `Rc` is for sends, which then cost no atomic.
    Whole(Rc<Bytes>),
    /// A large file, to be read in blocks.
    Large(Rc<LargeFile>),
}

/// A large file, held open by the storage thread until the last of these is dropped.
#[derive(Debug)]
pub struct LargeFile {
    id: FileId,
    /// Bytes in the file.
    pub size_bytes: u64,
    dropped: Rc<RefCell<Vec<FileId>>>,
}

impl Drop for LargeFile {
    fn drop(&mut self) {
        self.dropped.borrow_mut().push(self.id);
    }
}

/// What became of a [`Files::find`].
#[derive(Debug)]
pub enum Find {
    /// It is known.
    Here(File),
    /// It was asked for: a [`FileEvent::Found`] follows.
    Asked,
    /// There is no room for another question, or no storage.
    Refused(FileError),
}

/// An answer to what was asked, with its tag.
#[derive(Debug)]
pub enum FileEvent {
    /// To [`Files::find`].
    Found {
        /// The asker's tag.
        tag: u64,
        /// The file, or why there is none.
        result: Result<File, FileError>,
    },
    /// To [`Files::read`].
    Block {
        /// The asker's tag.
        tag: u64,
        /// The bytes. They count against `read_bytes_max` until they are dropped.
        result: Result<Bytes, FileError>,
    },
}

/// One shard's view of the files under all roots.
pub struct Files {
    port: FilePort,
    cache: FileCache<File>,
    /// By question: what it is about.
    questions: HashMap<u64, About>,
    /// By key: the question that is under way, so that nobody asks the same at the same time.
    open_questions: HashMap<Rc<str>, u64>,
    next_question: u64,
    waiters_count: usize,
    dropped: Rc<RefCell<Vec<FileId>>>,
    ready: VecDeque<FileEvent>,
    key: String,
    limits: FileLimits,
    counters: FileCounters,
}

enum About {
    Open { key: Rc<str>, waiters: Vec<u64> },
    Read { tag: u64 },
}

impl Files {
    /// The files behind a port, on the thread of the shard.
    #[must_use]
    pub fn new(port: FilePort) -> Files {
        let limits = port.limits;
        let cache_limits = CacheLimits {
            bytes_max: limits.cache_bytes_max,
            count_max: limits.cache_files_max,
            fresh: limits.cache_fresh,
        };
        Files {
            port,
            cache: FileCache::new(cache_limits),
            questions: HashMap::new(),
            open_questions: HashMap::new(),
            next_question: 0,
            waiters_count: 0,
            dropped: Rc::default(),
            ready: VecDeque::new(),
            key: String::new(),
            limits,
            counters: FileCounters::default(),
        }
    }

    /// Looks for the file with this decoded path, without its first slash.
    pub fn find(
        &mut self,
        now: Instant,
        root: RootId,
        path: &str,
        codings: Codings,
        tag: u64,
    ) -> Find {
        if let Err(error) = super::path::check(path) {
            return Find::Refused(error);
        }
        self.key.clear();
        let letters = [['-', 'g'], ['b', 'a']][usize::from(codings.brotli)];
        self.key.push(letters[usize::from(codings.gzip)]);
        write!(self.key, "{}/{path}", root.0).expect("a string takes all");
        let known = match self.cache.look_up(&self.key, now) {
            Lookup::Fresh(file) => {
                self.counters.cache_hits += 1;
                return Find::Here(file);
            }
            Lookup::Stale(file) => Some(file.info.version),
            Lookup::Unknown => None,
        };
        match self.ask(root, path, codings, known, tag) {
            Ok(()) => Find::Asked,
            Err(error) => {
                self.counters.refused += 1;
                Find::Refused(error)
            }
        }
    }

    /// Asks for a block of a large file: a [`FileEvent::Block`] follows, with all of the bytes that
    /// are there, at most `block_bytes` of the limits.
    ///
    /// # Errors
    /// [`FileError::Busy`] at the bound of questions, [`FileError::Stopped`].
    pub fn read(
        &mut self,
        file: &LargeFile,
        offset: u64,
        bytes: u64,
        tag: u64,
    ) -> Result<(), FileError> {
        let left_bytes = file.size_bytes.saturating_sub(offset);
        let bytes = bytes.min(left_bytes).min(u64::from(self.limits.block_bytes)) as u32;
        let question = self.number();
        self.port.read(file.id, offset, bytes, question).inspect_err(|_| {
            self.counters.refused += 1;
        })?;
        self.counters.questions += 1;
        self.questions.insert(question, About::Read { tag });
        Ok(())
    }

    /// The next answer, if any; to be asked in each tick until it says `None`: after that, and only
    /// after that, the bell rings when there is another.
    pub fn poll(&mut self, now: Instant) -> Option<FileEvent> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                return Some(event);
            }
            self.close_dropped();
            let answered = self.port.poll()?;
            self.answered(now, answered);
        }
    }

    /// What this shard's reading came to.
    #[must_use]
    pub fn counters(&self) -> FileCounters {
        self.counters
    }

    fn ask(
        &mut self,
        root: RootId,
        path: &str,
        codings: Codings,
        known: Option<FileVersion>,
        tag: u64,
    ) -> Result<(), FileError> {
        if self.waiters_count >= self.limits.questions_max {
            return Err(FileError::Busy);
        }
        if let Some(question) = self.open_questions.get(&*self.key)
            && let Some(About::Open { waiters, .. }) = self.questions.get_mut(question)
        {
            waiters.push(tag);
            self.waiters_count += 1;
            return Ok(());
        }
        // First what makes room.
        self.close_dropped();
        let question = self.number();
        self.port.open((root, path), codings, known, question)?;
        self.counters.questions += 1;
        self.waiters_count += 1;
        let key: Rc<str> = self.key.as_str().into();
        self.open_questions.insert(Rc::clone(&key), question);
        self.questions.insert(question, About::Open { key, waiters: vec![tag] });
        Ok(())
    }

    fn close_dropped(&mut self) {
        for file in self.dropped.borrow_mut().drain(..) {
            self.port.close(file);
        }
    }

    fn answered(&mut self, now: Instant, Answered { tag, answer }: Answered) {
        if let Err(FileError::Changed) = answer {
            self.counters.changed += 1;
        }
        match self.questions.remove(&tag).expect("an answer follows a question") {
            About::Read { tag } => {
                let result = match answer {
                    Ok(Found::Block(block)) => {
                        self.counters.read_bytes += block.len() as u64;
                        Ok(block)
                    }
                    Ok(_) => unreachable!("a read is answered with a block"),
                    Err(error) => Err(error),
                };
                self.ready.push_back(FileEvent::Block { tag, result });
            }
            About::Open { key, waiters } => {
                self.open_questions.remove(&key);
                self.waiters_count -= waiters.len();
                let result = self.found(now, &key, answer);
                let events =
                    waiters.into_iter().map(|tag| FileEvent::Found { tag, result: result.clone() });
                self.ready.extend(events);
            }
        }
    }

    fn found(
        &mut self,
        now: Instant,
        key: &str,
        answer: Result<Found, FileError>,
    ) -> Result<File, FileError> {
        match answer {
            Ok(Found::Whole(info, bytes)) => {
                self.counters.read_bytes += bytes.len() as u64;
                let cost_bytes = bytes.len() + key.len() + size_of::<File>();
                let file = File { info, content: Content::Whole(Rc::new(bytes)) };
                self.cache.put(key, file.clone(), cost_bytes, now);
                Ok(file)
            }
            Ok(Found::Unchanged) => {
                self.cache.confirm(key, now);
                match self.cache.look_up(key, now) {
                    Lookup::Fresh(file) | Lookup::Stale(file) => Ok(file),
                    // It had to make room in the meantime. Who asks again is served.
                    Lookup::Unknown => Err(FileError::Busy),
                }
            }
            Ok(Found::Opened(info, id)) => {
                self.cache.forget(key);
                let (size_bytes, dropped) = (info.size_bytes(), Rc::clone(&self.dropped));
                let content = Content::Large(Rc::new(LargeFile { id, size_bytes, dropped }));
                Ok(File { info, content })
            }
            Ok(Found::Block(_)) => unreachable!("an open is not answered with a block"),
            Err(error) => {
                self.cache.forget(key);
                Err(error)
            }
        }
    }

    fn number(&mut self) -> u64 {
        self.next_question += 1;
        self.next_question
    }
}

impl std::fmt::Debug for Files {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Files").field("counters", &self.counters).finish_non_exhaustive()
    }
}
