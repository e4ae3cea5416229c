//! rustls' unbuffered connection, driven until it has nothing more to say. This file is all that
//! knows of its states; rustls 0.24 has other ones.
//!
//! Invariant: rustls keeps positions in the bytes that it has not let go of (a handshake message in
//! several records). So what was not used comes back, unchanged, at the front of the next call.

use rustls::client::{ClientConnectionData, UnbufferedClientConnection};
use rustls::server::{ServerConnectionData, UnbufferedServerConnection};
use rustls::unbuffered::{
    ConnectionState, EncodeError, EncodeTlsData, EncryptError, UnbufferedStatus, WriteTraffic,
};
use rustls::{CommonState, Error};

/// The most plaintext in a record (RFC 8446 §5.1).
const RECORD_PLAINTEXT_BYTES_MAX: usize = 16 * 1024;
/// What a record adds to its plaintext: five bytes of header; in TLS 1.2 eight of a nonce, in 1.3
/// one of a type; sixteen of a tag.
const RECORD_OVERHEAD_BYTES_MAX: usize = 5 + 8 + 16;
/// Room for an alert or a key update in a record of its own.
const MESSAGE_BYTES: usize = 64;

/// Either end.
pub(crate) enum Machine {
    Server(Box<UnbufferedServerConnection>),
    Client(Box<UnbufferedClientConnection>),
}

/// Where the bytes go that a step makes.
pub(crate) struct Sinks<'a> {
    pub plaintext: &'a mut Vec<u8>,
    pub out: &'a mut Vec<u8>,
}

/// What a run came to.
#[derive(Default)]
pub(crate) struct Ran {
    /// Bytes at the front that are done with.
    pub used_bytes: usize,
    /// The peer has said that it is done.
    pub peer_closed: bool,
}

/// Why nothing was sealed.
pub(crate) enum SealError {
    /// The session cannot send, any more or yet.
    NotOpen,
    /// The keys have sealed as much as they may.
    KeysUsedUp,
    Failed(Error),
}

impl Machine {
    pub(crate) fn state(&self) -> &CommonState {
        match self {
            Machine::Server(connection) => connection,
            Machine::Client(connection) => connection,
        }
    }

    /// Goes through the records in `input` as far as they are complete.
    pub(crate) fn run(&mut self, input: &mut [u8], sinks: &mut Sinks<'_>) -> Result<Ran, Error> {
        match self {
            Machine::Server(connection) => run(&mut **connection, input, sinks),
            Machine::Client(connection) => run(&mut **connection, input, sinks),
        }
    }

    /// Appends the records of `plaintext`. `pending` is the input that no run has used.
    pub(crate) fn seal(
        &mut self,
        pending: &mut [u8],
        plaintext: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<(), SealError> {
        let write = Write::Plaintext(plaintext);
        match self {
            Machine::Server(connection) => seal(&mut **connection, pending, write, out),
            Machine::Client(connection) => seal(&mut **connection, pending, write, out),
        }
    }

    /// Appends the alert that says that nothing more will be sent.
    pub(crate) fn close(&mut self, pending: &mut [u8], out: &mut Vec<u8>) -> Result<(), SealError> {
        match self {
            Machine::Server(connection) => seal(&mut **connection, pending, Write::Close, out),
            Machine::Client(connection) => seal(&mut **connection, pending, Write::Close, out),
        }
    }
}

/// What the two ends have in common, which rustls has no name for.
trait Connection {
    type Data;
    fn step<'c, 'i>(&'c mut self, input: &'i mut [u8]) -> UnbufferedStatus<'c, 'i, Self::Data>;
    fn has_output(&self) -> bool;
}

impl Connection for UnbufferedServerConnection {
    type Data = ServerConnectionData;

    fn step<'c, 'i>(&'c mut self, input: &'i mut [u8]) -> UnbufferedStatus<'c, 'i, Self::Data> {
        self.process_tls_records(input)
    }

    fn has_output(&self) -> bool {
        self.wants_write()
    }
}

impl Connection for UnbufferedClientConnection {
    type Data = ClientConnectionData;

    fn step<'c, 'i>(&'c mut self, input: &'i mut [u8]) -> UnbufferedStatus<'c, 'i, Self::Data> {
        self.process_tls_records(input)
    }

    fn has_output(&self) -> bool {
        self.wants_write()
    }
}

fn run<C: Connection>(
    connection: &mut C,
    input: &mut [u8],
    sinks: &mut Sinks<'_>,
) -> Result<Ran, Error> {
    let mut ran = Ran::default();
    // Each round uses a record, hands over what rustls has queued, or is the last.
    loop {
        let UnbufferedStatus { mut discard, state, .. } =
            connection.step(&mut input[ran.used_bytes..]);
        let mut is_last = false;
        match state {
            Ok(ConnectionState::ReadTraffic(mut traffic)) => {
                while let Some(record) = traffic.next_record() {
                    let record = record?;
                    discard += record.discard;
                    sinks.plaintext.extend_from_slice(record.payload);
                }
            }
            Ok(ConnectionState::EncodeTlsData(data)) => encode(data, sinks.out)?,
            // It is in `out`, and so as good as sent.
            Ok(ConnectionState::TransmitTlsData(data)) => data.done(),
            Ok(ConnectionState::PeerClosed) => ran.peer_closed = true,
            Ok(
                ConnectionState::WriteTraffic(_)
                | ConnectionState::BlockedHandshake
                | ConnectionState::Closed,
            ) => is_last = true,
            // Early data is never offered, and no other state is known.
            Ok(_) => return Err(Error::General("a state of TLS that is not used".to_owned())),
            Err(error) => {
                ran.used_bytes += discard;
                last_words(connection, &mut input[ran.used_bytes..], sinks.out);
                return Err(error);
            }
        }
        ran.used_bytes += discard;
        if is_last {
            return Ok(ran);
        }
    }
}

/// The alert of an error is queued, and nothing else is looked at while there is one.
fn last_words<C: Connection>(connection: &mut C, input: &mut [u8], out: &mut Vec<u8>) {
    while connection.has_output() {
        let UnbufferedStatus { state, .. } = connection.step(input);
        let Ok(ConnectionState::EncodeTlsData(data)) = state else { return };
        if encode(data, out).is_err() {
            return;
        }
    }
}

/// Appends a record that rustls has made.
fn encode<D>(mut data: EncodeTlsData<'_, D>, out: &mut Vec<u8>) -> Result<(), Error> {
    let start = out.len();
    let mut room_bytes = 0;
    loop {
        out.resize(start + room_bytes, 0);
        match data.encode(&mut out[start..]) {
            Ok(written) => {
                out.truncate(start + written);
                return Ok(());
            }
            Err(EncodeError::InsufficientSize(needed)) => room_bytes = needed.required_size,
            Err(EncodeError::AlreadyEncoded) => unreachable!("it is encoded once"),
        }
    }
}

/// What is to be written.
enum Write<'a> {
    Plaintext(&'a [u8]),
    Close,
}

fn seal<C: Connection>(
    connection: &mut C,
    pending: &mut [u8],
    write: Write<'_>,
    out: &mut Vec<u8>,
) -> Result<(), SealError> {
    // A few rounds at most: something queued goes first.
    loop {
        let UnbufferedStatus { discard, state, .. } = connection.step(pending);
        assert_eq!(discard, 0, "what is pending has no complete record");
        match state.map_err(SealError::Failed)? {
            ConnectionState::EncodeTlsData(data) => encode(data, out).map_err(SealError::Failed)?,
            ConnectionState::TransmitTlsData(data) => data.done(),
            ConnectionState::WriteTraffic(traffic) => return put(traffic, &write, out),
            _ => return Err(SealError::NotOpen),
        }
    }
}

fn put<D>(
    mut traffic: WriteTraffic<'_, D>,
    write: &Write<'_>,
    out: &mut Vec<u8>,
) -> Result<(), SealError> {
    let start = out.len();
    let mut room_bytes = match write {
        Write::Plaintext(plaintext) => {
            let records_count = plaintext.len().div_ceil(RECORD_PLAINTEXT_BYTES_MAX);
            plaintext.len() + records_count * RECORD_OVERHEAD_BYTES_MAX
        }
        Write::Close => MESSAGE_BYTES,
    };
    loop {
        out.resize(start + room_bytes, 0);
        let written = match write {
            Write::Plaintext(plaintext) => traffic.encrypt(plaintext, &mut out[start..]),
            Write::Close => traffic.queue_close_notify(&mut out[start..]),
        };
        match written {
            Ok(written) => {
                out.truncate(start + written);
                return Ok(());
            }
            // Something of rustls' own goes with it.
            Err(EncryptError::InsufficientSize(needed)) => room_bytes = needed.required_size,
            Err(EncryptError::EncryptExhausted) => {
                out.truncate(start);
                return Err(SealError::KeysUsedUp);
            }
        }
    }
}
