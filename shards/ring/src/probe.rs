//! What this machine allows, in words that say what to change: for `skywave --doctor`.

use std::fmt;
use std::fs;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::Duration;

use io_uring::{IoUring, Probe, opcode};
use rustix::process::{Resource, getrlimit};
use shards_runtime::{BindOptions, Completion, Gather, Io, Op, Piece, ShardId, Token};

use crate::{Buffer, RingConfig, RingGroup, UringIo, clock};

/// How bad a [`Finding`] is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Severity {
    /// As it should be.
    Good,
    /// It works, with less.
    Warning,
    /// It cannot work.
    Fatal,
}

/// One thing that was looked at.
#[derive(Clone, Debug)]
pub struct Finding {
    /// How bad it is.
    pub severity: Severity,
    /// What was found, and what to change.
    pub text: String,
}

/// All that was found, in the order in which it was looked at.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// The findings.
    pub findings: Vec<Finding>,
}

impl Report {
    /// Whether the machine can run a shard at all.
    #[must_use]
    pub fn is_usable(&self) -> bool {
        self.findings.iter().all(|finding| finding.severity < Severity::Fatal)
    }

    fn add(&mut self, severity: Severity, text: impl Into<String>) {
        self.findings.push(Finding { severity, text: text.into() });
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for Finding { severity, text } in &self.findings {
            let label = match severity {
                Severity::Good => "ok     ",
                Severity::Warning => "warning",
                Severity::Fatal => "missing",
            };
            writeln!(f, "{label}  {text}")?;
        }
        Ok(())
    }
}

/// Operations that a shard cannot do without, and the kernel that has them all.
const OPERATIONS: &[(&str, u8)] = &[
    ("ACCEPT", opcode::AcceptMulti::CODE),
    ("RECV", opcode::RecvMulti::CODE),
    ("RECVMSG", opcode::RecvMsgMulti::CODE),
    ("SEND", opcode::Send::CODE),
    ("SENDMSG", opcode::SendMsg::CODE),
    ("SOCKET", opcode::Socket::CODE),
    ("CONNECT", opcode::Connect::CODE),
    ("SHUTDOWN", opcode::Shutdown::CODE),
    ("CLOSE", opcode::Close::CODE),
    ("ASYNC_CANCEL", opcode::AsyncCancel::CODE),
    ("FILES_UPDATE", opcode::FilesUpdate::CODE),
    ("POLL_ADD", opcode::PollAdd::CODE),
    ("WRITE", opcode::Write::CODE),
    ("MSG_RING", opcode::MsgRingData::CODE),
    ("URING_CMD", opcode::UringCmd16::CODE),
];

const OPEN_FILES_ENOUGH: u64 = 10_000;
const LOCKED_BYTES_ENOUGH: u64 = 1 << 20;
const SELF_TEST_MAX: Duration = Duration::from_secs(2);

impl UringIo {
    /// Looks at what this kernel and this process's limits allow, and serves one connection to
    /// itself over the loopback as proof.
    #[must_use]
    pub fn probe() -> Report {
        let mut report = Report::default();
        look_at_sysctl(&mut report);
        look_at_limits(&mut report);
        match IoUring::new(8) {
            Ok(ring) => look_at_operations(&ring, &mut report),
            Err(error) => report.add(Severity::Fatal, why_no_ring(&error)),
        }
        if report.is_usable() {
            match self_test() {
                Ok(()) => report.add(
                    Severity::Good,
                    "a connection was accepted, read and answered through the ring",
                ),
                Err(error) => report.add(
                    Severity::Fatal,
                    format!(
                        "serving a connection through the ring failed: {error}; SINGLE_ISSUER with \
                         DEFER_TASKRUN needs Linux 6.1, multishot receive 6.0, the peer's address \
                         of a direct descriptor (SO_PEERNAME by URING_CMD) 6.7"
                    ),
                ),
            }
        }
        report
    }
}

fn look_at_sysctl(report: &mut Report) {
    let Ok(text) = fs::read_to_string("/proc/sys/kernel/io_uring_disabled") else { return };
    match text.trim() {
        "0" => report.add(Severity::Good, "kernel.io_uring_disabled = 0"),
        "1" => report.add(
            Severity::Warning,
            "kernel.io_uring_disabled = 1: only privileged processes and the group in \
             kernel.io_uring_group may use io_uring; sysctl -w kernel.io_uring_disabled=0, or add \
             the service's user to that group",
        ),
        other => report.add(
            Severity::Fatal,
            format!(
                "kernel.io_uring_disabled = {other}: io_uring is switched off; \
                 sysctl -w kernel.io_uring_disabled=0"
            ),
        ),
    }
}

fn look_at_limits(report: &mut Report) {
    let files = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    let severity = if files < OPEN_FILES_ENOUGH { Severity::Warning } else { Severity::Good };
    let advice =
        if files < OPEN_FILES_ENOUGH { "; raise it (systemd: LimitNOFILE=20000)" } else { "" };
    report.add(severity, format!("RLIMIT_NOFILE: {files} sockets for each shard{advice}"));
    match getrlimit(Resource::Memlock).current {
        Some(bytes) if bytes < LOCKED_BYTES_ENOUGH => report.add(
            Severity::Warning,
            format!(
                "RLIMIT_MEMLOCK: {} KiB may be too little for the rings' buffers; raise it \
                 (systemd: LimitMEMLOCK=8M)",
                bytes >> 10
            ),
        ),
        Some(bytes) => report.add(Severity::Good, format!("RLIMIT_MEMLOCK: {} KiB", bytes >> 10)),
        None => report.add(Severity::Good, "RLIMIT_MEMLOCK: unlimited"),
    }
}

fn look_at_operations(ring: &IoUring, report: &mut Report) {
    let mut probe = Probe::new();
    if let Err(error) = ring.submitter().register_probe(&mut probe) {
        report.add(Severity::Fatal, format!("this kernel cannot list its operations: {error}"));
        return;
    }
    let missing: Vec<&str> = OPERATIONS
        .iter()
        .filter(|(_, code)| !probe.is_supported(*code))
        .map(|(name, _)| *name)
        .collect();
    if missing.is_empty() {
        report.add(Severity::Good, format!("all {} io_uring operations", OPERATIONS.len()));
    } else {
        let text = format!("io_uring operations {}: use Linux 6.7 or newer", missing.join(", "));
        report.add(Severity::Fatal, text);
    }
    let features = [
        ("EXT_ARG", ring.params().is_feature_ext_arg()),
        ("NODROP", ring.params().is_feature_nodrop()),
        ("FAST_POLL", ring.params().is_feature_fast_poll()),
        ("SUBMIT_STABLE", ring.params().is_feature_submit_stable()),
        ("CQE_SKIP", ring.params().is_feature_skip_cqe_on_success()),
    ];
    for (name, _) in features.iter().filter(|(_, present)| !present) {
        let text = format!("io_uring feature {name}: use Linux 6.7 or newer");
        report.add(Severity::Fatal, text);
    }
}

fn why_no_ring(error: &io::Error) -> String {
    let advice = match error.raw_os_error() {
        Some(libc::ENOSYS) => {
            "this kernel has no io_uring, or a seccomp filter hides it (Docker: \
                               --security-opt seccomp=unconfined, or a profile that allows \
                               io_uring_setup, io_uring_enter and io_uring_register)"
        }
        Some(libc::EPERM) => {
            "not permitted: sysctl -w kernel.io_uring_disabled=0, or a seccomp \
                              filter that allows io_uring_setup, io_uring_enter and \
                              io_uring_register"
        }
        Some(libc::ENOMEM) => {
            "not enough lockable memory: raise RLIMIT_MEMLOCK (systemd: \
                               LimitMEMLOCK=8M)"
        }
        Some(libc::EMFILE) => "no descriptors left: raise RLIMIT_NOFILE",
        _ => "use Linux 6.7 or newer",
    };
    format!("io_uring_setup: {error}; {advice}")
}

const QUESTION: &[u8] = b"?";
const ANSWER: &[u8] = b"!";

/// Accepts, receives and answers one connection made by an ordinary socket.
fn self_test() -> io::Result<()> {
    let config = RingConfig {
        submissions_max: 16,
        completions_max: 64,
        sockets_max: 8,
        stream_buffers_count: 4,
        datagram_buffers_count: 4,
        ..RingConfig::default()
    };
    let mut machine = RingGroup::new(2)?.open(ShardId(0), config)?;
    let local = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let (acceptor, address) = machine.listen(local, BindOptions::default())?;
    let token = Token { slot: 0, generation: 0 };
    machine.submit(token, Op::Accept(acceptor));
    machine.flush();
    let mut client = TcpStream::connect_timeout(&address, SELF_TEST_MAX)?;
    client.set_read_timeout(Some(SELF_TEST_MAX))?;
    client.write_all(QUESTION)?;
    answer_one(&mut machine, token)?;
    let mut answer = [0; 1];
    client.read_exact(&mut answer)?;
    if answer == *ANSWER { Ok(()) } else { Err(io::ErrorKind::InvalidData.into()) }
}

fn answer_one(machine: &mut UringIo, token: Token) -> io::Result<()> {
    let until = clock::now() + SELF_TEST_MAX;
    let mut client = None;
    let mut completions: Vec<Completion<Buffer>> = Vec::new();
    while clock::now() < until {
        machine.wait(Some(until), &mut completions);
        for completion in completions.drain(..) {
            match completion {
                Completion::Accepted { socket, .. } => {
                    client = Some(socket);
                    machine.submit(token, Op::Recv(socket));
                }
                Completion::Received { .. } => {
                    let Some(socket) = client else { continue };
                    let answer = Gather::from_iter([Piece::Static(ANSWER)]);
                    machine.submit(token, Op::Send(socket, answer));
                }
                Completion::Sent { result, .. } => return result.map(|_| ()),
                Completion::AcceptFailed { error, .. } => return Err(error),
                _ => {}
            }
        }
    }
    Err(io::ErrorKind::TimedOut.into())
}
