//! The program's own log: structured lines on stderr, written by a thread of its own, so that a
//! shard that says something never waits for a terminal.

use engine_config::Level;
use engine_node::LogSink;
use shards_storage::LogPort;
use tracing_appender::non_blocking::{NonBlockingBuilder, WorkerGuard};

/// Lines that may wait for stderr; more are dropped.
const LINES_MAX: usize = 16_384;

/// Starts the log. What waits is written when the guard is dropped.
pub fn start(level: Level) -> WorkerGuard {
    let (writer, guard) = NonBlockingBuilder::default()
        .lossy(true)
        .buffered_lines_limit(LINES_MAX)
        .thread_name("log")
        .finish(std::io::stderr());
    let level = match level {
        Level::Error => tracing::Level::ERROR,
        Level::Warn => tracing::Level::WARN,
        Level::Info => tracing::Level::INFO,
        Level::Debug => tracing::Level::DEBUG,
        Level::Trace => tracing::Level::TRACE,
    };
    tracing_subscriber::fmt()
        .with_ansi(false)
        .with_writer(writer)
        .with_max_level(level)
        .with_target(false)
        .init();
    guard
}

/// A shard's end of the access log.
pub struct AccessLog(pub LogPort);

impl LogSink for AccessLog {
    fn append(&mut self, line: String) -> bool {
        self.0.append(line.into_bytes())
    }
}
