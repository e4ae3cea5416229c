//! Datagrams in a stream of TCP (RFC 4571): each behind its length in two bytes.

/// Cuts a stream into the datagrams that it carries.
///
/// A frame is handed out once it is whole. At most one frame is kept, so memory is bounded by
/// [`FRAME_BYTES_MAX`].
#[derive(Debug, Default)]
pub struct Framer {
    kept: Vec<u8>,
}

/// The longest frame that is taken: nothing of WebRTC's is longer than a datagram of Ethernet.
pub const FRAME_BYTES_MAX: usize = 2_048;

/// The stream carries a frame longer than [`FRAME_BYTES_MAX`]: close the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FrameTooLong;

impl Framer {
    /// Takes bytes as they came and hands each whole frame to `take`, in order. Empty frames are
    /// passed over.
    ///
    /// # Errors
    ///
    /// Where a frame is too long. The stream cannot be read any further.
    pub fn push(
        &mut self,
        mut bytes: &[u8],
        mut take: impl FnMut(&[u8]),
    ) -> Result<(), FrameTooLong> {
        loop {
            if self.kept.is_empty() {
                let Some((frame, rest)) = split(bytes)? else { break };
                take_frame(frame, &mut take);
                bytes = rest;
                continue;
            }
            // Fill up what was begun: first its length, then itself.
            let wanted = if self.kept.len() < 2 { 2 } else { 2 + length(&self.kept)? };
            let missing = (wanted - self.kept.len()).min(bytes.len());
            self.kept.extend_from_slice(&bytes[..missing]);
            bytes = &bytes[missing..];
            if self.kept.len() < wanted {
                return Ok(());
            }
            if wanted > 2 || length(&self.kept)? == 0 {
                take_frame(&self.kept[2..], &mut take);
                self.kept.clear();
            } else if bytes.is_empty() {
                return Ok(());
            }
        }
        self.kept.extend_from_slice(bytes);
        Ok(())
    }

    /// The two bytes that go before a datagram of this length.
    ///
    /// # Panics
    ///
    /// Where it is longer than 65,535 bytes, which no datagram is.
    pub fn head(datagram_bytes: usize) -> [u8; 2] {
        u16::try_from(datagram_bytes).expect("no datagram is longer").to_be_bytes()
    }
}

fn take_frame(frame: &[u8], take: &mut impl FnMut(&[u8])) {
    if !frame.is_empty() {
        take(frame);
    }
}

fn length(bytes: &[u8]) -> Result<usize, FrameTooLong> {
    let length = usize::from(u16::from_be_bytes([bytes[0], bytes[1]]));
    if length > FRAME_BYTES_MAX { Err(FrameTooLong) } else { Ok(length) }
}

/// A frame, and what follows it.
type Parts<'a> = (&'a [u8], &'a [u8]);

/// The first frame and what follows it, if it is whole.
fn split(bytes: &[u8]) -> Result<Option<Parts<'_>>, FrameTooLong> {
    let Some((_, rest)) = bytes.split_first_chunk::<2>() else { return Ok(None) };
    Ok(rest.split_at_checked(length(bytes)?))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn framed(datagrams: &[Vec<u8>]) -> Vec<u8> {
        let head = |datagram: &Vec<u8>| Framer::head(datagram.len());
        datagrams.iter().flat_map(|datagram| [&head(datagram)[..], datagram].concat()).collect()
    }

    #[test]
    fn a_frame_that_is_too_long_is_an_error_and_grows_nothing() {
        let mut framer = Framer::default();
        assert_eq!(framer.push(&[0xff, 0xff, 1], |_| ()), Err(FrameTooLong));
        let mut framer = Framer::default();
        assert_eq!(framer.push(&[0xff], |_| ()), Ok(()));
        assert_eq!(framer.push(&[0xff], |_| ()), Err(FrameTooLong));
    }

    proptest! {
        /// However the stream is cut, the datagrams are what was framed.
        #[test]
        fn cuts_do_not_matter(
            datagrams in proptest::collection::vec(
                proptest::collection::vec(any::<u8>(), 0..40), 0..12),
            cuts in proptest::collection::vec(1usize..9, 1..40),
        ) {
            let (stream, mut framer, mut got) = (framed(&datagrams), Framer::default(), Vec::new());
            let (mut rest, mut cuts) = (&stream[..], cuts.iter().cycle());
            while !rest.is_empty() {
                let at = (*cuts.next().expect("cycles")).min(rest.len());
                framer.push(&rest[..at], |frame| got.push(frame.to_vec())).expect("short frames");
                prop_assert!(framer.kept.len() <= FRAME_BYTES_MAX + 2);
                rest = &rest[at..];
            }
            let sent: Vec<_> = datagrams.into_iter().filter(|one| !one.is_empty()).collect();
            prop_assert_eq!(got, sent);
        }
    }
}
