//! Data channels: numbers of ours for str0m's, and bounds on messages.

use std::time::Instant;

use str0m::channel::{ChannelData, ChannelId as StrChannelId};

use super::{Output, Session};

/// A data channel's number within its session. Never used twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ChannelId(pub u16);

/// Why a message was not sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum MessageError {
    /// There is no such channel, or the session is over.
    NoChannel,
    /// Longer than the limit.
    TooLong,
    /// Too much waits already.
    Full,
}

/// The open ones.
#[derive(Debug, Default)]
pub(super) struct Channels {
    open: Vec<(ChannelId, StrChannelId)>,
    next: u16,
}

const CHANNELS_MAX: usize = 64;

impl Session {
    /// Sends a message on a data channel.
    ///
    /// # Errors
    ///
    /// Says why it was not taken.
    pub fn send_message(
        &mut self,
        now: Instant,
        channel: ChannelId,
        is_text: bool,
        bytes: &[u8],
    ) -> Result<(), MessageError> {
        self.advance(now);
        if bytes.len() > self.config.limits.message_bytes_max as usize {
            return Err(MessageError::TooLong);
        }
        let open = self.channels.open.iter().find(|(id, _)| *id == channel);
        let inner = open.ok_or(MessageError::NoChannel)?.1;
        let written = self.guarded(|rtc| {
            let mut channel = rtc.channel(inner).ok_or(MessageError::NoChannel)?;
            channel.write(!is_text, bytes).map_err(|_| MessageError::NoChannel)
        });
        let is_taken = written.unwrap_or(Err(MessageError::NoChannel))?;
        self.is_dirty = self.rtc.is_some();
        if is_taken { Ok(()) } else { Err(MessageError::Full) }
    }

    pub(super) fn channel_opened(&mut self, inner: StrChannelId, label: String) {
        let is_allowed = self.config.has_data_channels && self.channels.open.len() < CHANNELS_MAX;
        if !is_allowed {
            self.counters.channels_refused += 1;
            let _ = self.guarded(|rtc| rtc.direct_api().close_data_channel(inner));
            return;
        }
        let id = ChannelId(self.channels.next);
        self.channels.next = self.channels.next.wrapping_add(1);
        self.channels.open.push((id, inner));
        self.outputs.push_back(Output::ChannelOpened(id, label));
    }

    pub(super) fn channel_data(&mut self, data: ChannelData) {
        let open = self.channels.open.iter().find(|(_, inner)| *inner == data.id);
        let is_short = data.data.len() <= self.config.limits.message_bytes_max as usize;
        match open {
            Some((channel, _)) if is_short => self.outputs.push_back(Output::Message {
                channel: *channel,
                is_text: !data.binary,
                bytes: data.data,
            }),
            _ => self.counters.messages_refused += 1,
        }
    }

    pub(super) fn channel_closed(&mut self, inner: StrChannelId) {
        let place = self.channels.open.iter().position(|(_, known)| *known == inner);
        if let Some(place) = place {
            let (id, _) = self.channels.open.remove(place);
            self.outputs.push_back(Output::ChannelClosed(id));
        }
    }
}
