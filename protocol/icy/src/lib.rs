//! Internet radio as Icecast 2.4 and SHOUTcast 1 speak it, without I/O: what a source says about
//! its stream, what listeners are told, and the titles between the audio bytes.
//!
//! * **Sources** come as `PUT` or `SOURCE` ([`SourceRequest`]), or with a bare password line
//!   ([`V1Decoder`]). What they say about the stream is a [`StreamInfo`].
//! * **Answers** are byte for byte those of Icecast 2.4.4 ([`Answers`]); players and encoders are
//!   written against them.
//! * **Titles** arrive by request ([`TitleUpdate`], [`V1TitleUpdate`]) or inside the stream
//!   ([`TitleStripper`]), become a [`Title`] that is safe to write, and leave as blocks
//!   ([`title_block`]).
//! * **Pulls** from another server: [`pull_request`], [`PullAnswer`].
//! * **Text around it**: [`playlist`], [`access_line`], [`stream_list`], [`stats_line`].
//!
//! # What it promises
//!
//! No input makes it panic. What it keeps of an input is bounded: values by
//! [`VALUE_BYTES_MAX`], lists by [`ECHOED_COUNT_MAX`], titles by [`TITLE_BLOCK_BYTES_MAX`], a v1
//! head by the caller. No CR, LF or NUL of an input reaches a header line, a block or a log line.
//! How bytes were cut on their way changes nothing.

mod access_log;
mod answers;
mod charset;
mod listener;
mod lists;
mod playlist;
mod pull;
mod source;
mod stream_info;
mod stripper;
mod text;
mod title;
mod update;
mod v1;

pub use access_log::{AccessLine, access_line};
pub use answers::{Answers, REALM, source_welcome};
pub use charset::Charset;
pub use listener::{wants_length, wants_titles};
pub use lists::{STATS_LINE_BYTES_MAX, stats_line, stream_list};
pub use playlist::{Playlist, PlaylistTrack, listen_url, playlist};
pub use pull::{PullAnswer, PullRequest, passed_through, pull_request};
pub use source::{Credentials, SourceRequest, basic_credentials, is_supported_type};
pub use stream_info::{ECHOED_COUNT_MAX, StreamInfo, VALUE_BYTES_MAX};
pub use stripper::{Strip, Stripped, TitleStripper};
pub use title::{TITLE_BLOCK_BYTES_MAX, TITLE_UNCHANGED, Title, title_block, title_block_in};
pub use update::{TitleUpdate, UpdateError, V1TitleUpdate};
pub use v1::{Dialect, V1_INVALID_PASSWORD, V1_OK, V1Decoder, V1Malformed, V1Step, dialect_of};
