//! The storage thread's side of one port: a task that answers questions in batches.
//!
//! What the page cache has is answered at once. What has to come from the disk waits in a row, of
//! which at most `disk_reads_max` are read at a time, in any order, so that a slow disk holds up
//! neither the rest of the port nor other ports.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::os::fd::{AsFd, OwnedFd};
use std::rc::Rc;
use std::sync::atomic::{Ordering, fence};

use glommio::io::BufferedFile;

use super::open::{is_still, open, read_cached};
use super::port::{Answer, PortEnd, Question};
use super::{Codings, FileError, FileId, FileInfo, FileVersion, RootId};

/// Questions answered before other tasks of the thread have their turn.
const QUESTIONS_PER_BATCH_MAX: usize = 64;

/// The directories that are served, by their numbers.
pub(crate) type Roots = Rc<RefCell<Vec<Root>>>;

/// A directory that is served.
pub(crate) struct Root {
    pub(crate) directory: OwnedFd,
    /// Its files may become longer while they are read: what they had when they were opened is
    /// what is read of them.
    pub(crate) grows: bool,
}

/// What a port's tasks share.
pub(crate) struct Service {
    end: RefCell<PortEnd>,
    roots: Roots,
    files: RefCell<OpenFiles>,
    /// What needs the disk, and how many tasks work on it.
    disk: RefCell<Disk>,
}

#[derive(Default)]
struct Disk {
    jobs: VecDeque<Job>,
    tasks_count: usize,
}

/// A read of which a part is done.
struct Job {
    id: u32,
    file: Rc<OpenFile>,
    offset: u64,
    block: Vec<u8>,
    filled: usize,
    /// Of a small file, which is wanted whole.
    info: Option<FileInfo>,
}

struct OpenFile {
    file: OwnedFd,
    version: FileVersion,
    /// It may become longer.
    grows: bool,
}

/// Large files that a shard has not closed.
#[derive(Default)]
struct OpenFiles {
    slots: Vec<(u32, Option<Rc<OpenFile>>)>,
    free: Vec<u32>,
}

impl Service {
    pub(crate) fn new(end: PortEnd, roots: Roots) -> Rc<Service> {
        let (files, disk) = (RefCell::default(), RefCell::default());
        Rc::new(Service { end: RefCell::new(end), roots, files, disk })
    }

    /// Says to the shard that nothing more will be answered.
    pub(crate) fn stop(&self) {
        let end = self.end.borrow();
        end.shared.has_stopped.store(true, Ordering::Release);
        end.ring();
    }

    /// Answers until the shard has left.
    pub(crate) async fn run(self: Rc<Self>) {
        let wake = self.end.borrow().shared.wake.try_clone();
        let wake: BufferedFile = match wake {
            Ok(wake) => shards_ring::adopt(wake),
            Err(error) => {
                tracing::error!(%error, "a shard is served no files");
                return self.stop();
            }
        };
        while !self.end.borrow().shared.has_left.load(Ordering::Acquire) {
            if self.batch() {
                glommio::executor().yield_if_needed().await;
                continue;
            }
            self.end.borrow().shared.is_awake.store(false, Ordering::Relaxed);
            fence(Ordering::SeqCst);
            let is_idle = self.end.borrow().questions.is_empty();
            // A wake from before only makes for one look more.
            if is_idle && wake.read_at(0, 8).await.is_err() {
                break;
            }
        }
        self.stop();
        let _closed = wake.close().await;
    }

    /// Answers some questions. Says whether there were any.
    fn batch(self: &Rc<Self>) -> bool {
        let mut count = 0;
        while count < QUESTIONS_PER_BATCH_MAX {
            let Ok(question) = self.end.borrow_mut().questions.pop() else { break };
            count += 1;
            match question {
                Question::Open { id, root, path, codings, known } => {
                    self.open(id, (root, &path), codings, known);
                }
                Question::Read { id, file, offset, bytes } => self.read(id, file, offset, bytes),
                Question::Close { file } => self.files.borrow_mut().remove(file),
            }
        }
        if count > 0 {
            self.end.borrow().ring();
        }
        count > 0
    }

    fn open(
        self: &Rc<Self>,
        id: u32,
        (root, path): (RootId, &str),
        codings: Codings,
        known: Option<FileVersion>,
    ) {
        let opened = match self.roots.borrow().get(root.0) {
            Some(root) => open(&root.directory, path, codings).map(|opened| (opened, root.grows)),
            None => Err(FileError::Refused),
        };
        let ((file, info), grows) = match opened {
            Ok(opened) => opened,
            Err(error) => return self.answer(id, Err(error)),
        };
        if known == Some(info.version) {
            return self.answer(id, Ok(Answer::Unchanged));
        }
        let file = Rc::new(OpenFile { file, version: info.version, grows });
        let limits = self.end.borrow().limits;
        if info.version.size_bytes <= u64::from(limits.small_file_bytes_max) {
            let block = vec![0; info.version.size_bytes as usize];
            let job = Job { id, file, offset: 0, block, filled: 0, info: Some(info) };
            return self.start(job);
        }
        let kept = self.files.borrow_mut().insert(file, limits.open_files_max);
        self.answer(id, kept.map(|file| Answer::Opened(info, file)));
    }

    fn read(self: &Rc<Self>, id: u32, file: FileId, offset: u64, bytes: u32) {
        let Some(file) = self.files.borrow().get(file) else {
            // Closed by its shard, which does not care any more.
            return self.answer(id, Err(FileError::NotFound));
        };
        let end = offset.saturating_add(u64::from(bytes)).min(file.version.size_bytes);
        let block = vec![0; end.saturating_sub(offset) as usize];
        self.start(Job { id, file, offset, block, filled: 0, info: None });
    }

    /// Reads what the page cache has; leaves the rest to a task.
    fn start(self: &Rc<Self>, mut job: Job) {
        job.filled = read_cached(&job.file.file, job.offset, &mut job.block);
        if job.filled == job.block.len() {
            return self.finish(job);
        }
        let tasks_max = self.end.borrow().limits.disk_reads_max;
        let mut disk = self.disk.borrow_mut();
        disk.jobs.push_back(job);
        let is_new = disk.tasks_count < tasks_max;
        disk.tasks_count += usize::from(is_new);
        drop(disk);
        if is_new {
            // It begins at once, before this call returns.
            glommio::spawn_local(Rc::clone(self).work_on_disk()).detach();
        }
    }

    /// One task's work: job after job, until there is none.
    async fn work_on_disk(self: Rc<Self>) {
        loop {
            let job = self.disk.borrow_mut().jobs.pop_front();
            let Some(mut job) = job else { break };
            match read_from_disk(&mut job).await {
                Ok(()) => self.finish(job),
                Err(error) => self.answer(job.id, Err(error)),
            }
            self.end.borrow().ring();
        }
        self.disk.borrow_mut().tasks_count -= 1;
    }

    fn finish(&self, job: Job) {
        let Job { id, file, block, info, .. } = job;
        // After the read: what was changed before it is seen here.
        if !is_still(&file.file, &file.version, file.grows) {
            return self.answer(id, Err(FileError::Changed));
        }
        self.answer(
            id,
            Ok(match info {
                Some(info) => Answer::Whole(info, block),
                None => Answer::Block(block),
            }),
        );
    }

    fn answer(&self, id: u32, answer: Result<Answer, FileError>) {
        self.end.borrow_mut().answer(id, answer);
    }
}

/// Fills the rest of a block, waiting for the disk.
async fn read_from_disk(job: &mut Job) -> Result<(), FileError> {
    let own = job.file.file.as_fd().try_clone_to_owned().map_err(|_| FileError::Busy)?;
    let file: BufferedFile = shards_ring::adopt(own);
    let mut result = Ok(());
    // Each round fills something, or is the last.
    while job.filled < job.block.len() {
        let at = job.offset + job.filled as u64;
        match file.read_at(at, job.block.len() - job.filled).await {
            Ok(read) if read.is_empty() => {
                // It was longer when it was opened.
                result = Err(FileError::Changed);
                break;
            }
            Ok(read) => {
                job.block[job.filled..][..read.len()].copy_from_slice(&read);
                job.filled += read.len();
            }
            Err(error) => {
                tracing::warn!(%error, "a file cannot be read");
                result = Err(FileError::Failed);
                break;
            }
        }
    }
    let _closed = file.close().await;
    result
}

impl OpenFiles {
    fn insert(&mut self, file: Rc<OpenFile>, count_max: usize) -> Result<FileId, FileError> {
        let index = match self.free.pop() {
            Some(index) => index,
            None if self.slots.len() < count_max => {
                self.slots.push((0, None));
                (self.slots.len() - 1) as u32
            }
            None => return Err(FileError::Busy),
        };
        let (generation, slot) = &mut self.slots[index as usize];
        *slot = Some(file);
        Ok(FileId { index, generation: *generation })
    }

    fn get(&self, id: FileId) -> Option<Rc<OpenFile>> {
        let (generation, slot) = self.slots.get(id.index as usize)?;
        slot.as_ref().filter(|_| *generation == id.generation).cloned()
    }

    /// Reads that are under way keep it open until they are done.
    fn remove(&mut self, id: FileId) {
        if self.get(id).is_some() {
            let (generation, slot) = &mut self.slots[id.index as usize];
            *slot = None;
            *generation = generation.wrapping_add(1);
            self.free.push(id.index);
        }
    }
}
