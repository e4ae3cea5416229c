//! Safety: what one listener heard is a run of what a source played, and nothing else.
//!
//! ```text
//!   bytes ─► title blocks taken out, each at its place ─► media ─► runs of frames
//!                                                                    │
//!        run:  … frame n │ frame n+1 │ …   one source, nothing left out, nothing twice
//!        hand-over: a run ends, another begins: allowed? fresh? never heard before?
//! ```
//!
//! * A plain listener's runs begin and end between two frames. A titled one counts bytes between
//!   title blocks, so its runs may begin and end inside a frame.
//! * Where bytes came over a pull, a new connection upstream begins with a burst; what is heard
//!   there may repeat, but still in whole frames.

use std::collections::{BTreeMap, BTreeSet};

use crate::content::{NAME_BYTES, frame, read_name};
use crate::truth::{Place, Truth};

/// The longest chunk: what a writer cuts, and the frame that it does not cut.
const CHUNK_BYTES_MAX: u64 = 4_096 + 1_044;
/// How many bytes of two frames' beginnings may be the same.
const HEADER_ALIKE_BYTES: usize = 32;

/// What is known of the bytes that a listener got.
pub(crate) struct Heard {
    home: Place,
    titles: Option<Titles>,
    run: Option<Run>,
    /// Media bytes whose place is not known yet.
    unplaced: Vec<u8>,
    /// For each source, where the listener was when it left it.
    left_at: BTreeMap<u32, u64>,
    /// When the last frame heard of the source before was played.
    last_played_ms: Option<u64>,
    /// Sources that another one of the same mount has followed.
    superseded: BTreeSet<u32>,
    hand_overs: u64,
}

/// A place in a source's stream.
struct Run {
    source: u32,
    number: u32,
    /// The number of its first frame.
    first: u32,
    /// The whole frame.
    frame: Vec<u8>,
    /// Bytes of it heard.
    at: usize,
}

/// Where the stream stands between title blocks.
struct Titles {
    metaint: usize,
    media_left: usize,
    /// Bytes of the block that is coming in; empty: the length byte is next or media is.
    block: Vec<u8>,
    blocks_count: u64,
    /// Whether the next block must carry a title.
    full_is_due: bool,
}

impl Heard {
    /// A listener that asked for `home` and heard nothing yet; `metaint` as its head says.
    pub(crate) fn new(home: Place, metaint: Option<usize>) -> Heard {
        Heard {
            home,
            titles: metaint.map(|metaint| Titles {
                metaint,
                media_left: metaint,
                block: Vec::new(),
                blocks_count: 0,
                full_is_due: true,
            }),
            run: None,
            unplaced: Vec::new(),
            left_at: BTreeMap::new(),
            last_played_ms: None,
            superseded: BTreeSet::new(),
            hand_overs: 0,
        }
    }

    /// The source heard last and when its last whole frame was played.
    pub(crate) fn newest(&self, truth: &Truth) -> Option<(u32, u64)> {
        let run = self.run.as_ref()?;
        let number =
            if run.at == run.frame.len() { run.number } else { run.number.checked_sub(1)? };
        Some((run.source, truth.played_ms(run.source, number)?))
    }

    /// Times that it was handed over from one source to another.
    pub(crate) fn hand_overs(&self) -> u64 {
        self.hand_overs
    }

    /// Takes the next bytes.
    ///
    /// # Errors
    /// What is wrong with them.
    pub(crate) fn take(&mut self, truth: &Truth, mut bytes: &[u8]) -> Result<(), String> {
        while !bytes.is_empty() {
            let Some(titles) = &mut self.titles else { return self.media(truth, bytes, None) };
            if titles.media_left == 0 {
                let (used, title) = titles.block(bytes)?;
                bytes = &bytes[used..];
                if let Some(title) = title.filter(|title| !truth.knows_title(title)) {
                    return Err(format!("a title that nobody gave: {title:?}"));
                }
                continue;
            }
            let count = bytes.len().min(titles.media_left);
            let since_block = titles.metaint - titles.media_left;
            titles.media_left -= count;
            let (media, rest) = bytes.split_at(count);
            self.media(truth, media, Some(since_block))?;
            bytes = rest;
        }
        Ok(())
    }

    /// Takes media; `since_block` is how much of it came between the last title block and this.
    fn media(
        &mut self,
        truth: &Truth,
        mut bytes: &[u8],
        since_block: Option<usize>,
    ) -> Result<(), String> {
        let count = bytes.len();
        while !bytes.is_empty() {
            if self.run.is_none() || !self.unplaced.is_empty() {
                self.unplaced.extend_from_slice(bytes);
                let placed = self.find_place(truth)?;
                if !placed {
                    return Ok(());
                }
                let rest = std::mem::take(&mut self.unplaced);
                return self.media(truth, &rest, None);
            }
            let run = self.run.as_mut().expect("looked at above");
            if run.at == run.frame.len() {
                run.next(truth);
            }
            let is_played = truth.played_ms(run.source, run.number).is_some();
            let same = run.frame[run.at..].iter().zip(bytes).take_while(|(a, b)| a == b).count();
            if run.at + same >= NAME_BYTES && !is_played {
                return Err(format!(
                    "frame {} of source {} was never played",
                    run.number, run.source
                ));
            }
            run.at += same;
            bytes = &bytes[same..];
            if bytes.is_empty() || run.at == run.frame.len() {
                continue;
            }
            let Run { source, number, first, at, .. } = *run;
            if at > 0 && !self.may_cut(truth) {
                if at >= NAME_BYTES || number == first {
                    return Err(format!(
                        "frame {number} of source {source} is cut after {at} bytes"
                    ));
                }
                // Two frames begin alike; this was another one from its first byte.
                let run = self.run.as_mut().expect("looked at above");
                self.unplaced.extend_from_slice(&run.frame[..at]);
                run.back(truth);
            }
            // Something else begins here. Its title is due, unless a block stood where the first
            // bytes of both were still the same.
            if let Some(titles) = &mut self.titles
                && !truth.may_be_pulled(self.home)
                && since_block.is_some_and(|it| it + count - bytes.len() > HEADER_ALIKE_BYTES)
            {
                titles.full_is_due = true;
            }
            self.unplaced.extend_from_slice(bytes);
            if !self.find_place(truth)? {
                return Ok(());
            }
            let rest = std::mem::take(&mut self.unplaced);
            return self.media(truth, &rest, None);
        }
        Ok(())
    }

    /// Looks for the beginning of a frame in the bytes without a place. False: more are needed.
    fn find_place(&mut self, truth: &Truth) -> Result<bool, String> {
        let Some(begin) = self.unplaced.iter().position(|byte| *byte == 0xff) else {
            if self.unplaced.len() > 2_000 {
                return Err(format!("{} bytes of no frame", self.unplaced.len()));
            }
            return Ok(false);
        };
        if self.unplaced.len() < begin + NAME_BYTES {
            return Ok(false);
        }
        let (source, number, rate) = read_name(&self.unplaced[begin..])
            .ok_or_else(|| format!("no frame of anybody after {}", self.last()))?;
        let what = format!("frame {number} of source {source} after {}", self.last());
        let played = truth.source(source).ok_or_else(|| format!("{what}: no such source"))?;
        if rate != played.rate || number as usize >= played.frames() {
            return Err(format!("{what}: it was never played"));
        }
        // They are the end of the frame before, or, where one hand-over follows on another, of
        // something that nobody can name any more.
        if begin > 0 && !self.may_cut(truth) {
            return Err(format!("{what}: {begin} bytes stand before it"));
        }
        let frame_bytes = rate.frame_bytes() as u64;
        let begins_at = u64::from(number) * frame_bytes - begin as u64;
        self.hand_over(truth, source, number, begins_at).map_err(|why| format!("{what}: {why}"))?;
        self.unplaced.drain(..begin);
        let frame = frame(source, number, rate);
        self.run = Some(Run { source, number, first: number, frame, at: 0 });
        Ok(true)
    }

    /// Whether a listener may go on, or begin, with this place of this source.
    fn hand_over(
        &mut self,
        truth: &Truth,
        source: u32,
        number: u32,
        begins_at: u64,
    ) -> Result<(), String> {
        let at = truth.source(source).expect("looked up by the caller").at;
        if !truth.may_hear(self.home, at) {
            return Err(format!("{at:?} is not to be heard at {:?}", self.home));
        }
        let is_pulled = truth.may_be_pulled(self.home);
        if let Some(run) = self.run.take() {
            self.hand_overs += 1;
            let was_at = run.frame.len() as u64 * u64::from(run.number) + run.at as u64;
            let played_ms = truth.played_ms(run.source, run.number);
            self.last_played_ms = played_ms.max(self.last_played_ms);
            self.left_at.insert(run.source, was_at);
            if run.source == source && !is_pulled && !truth.may_be_led(self.home) {
                return Err(format!("from byte {was_at} to {begins_at} of the same source"));
            }
        }
        if is_pulled {
            return Ok(());
        }
        // Whoever is led away and back begins at the newest place where he can.
        let back_bytes = match truth.may_be_led(self.home) {
            true => {
                CHUNK_BYTES_MAX + self.titles.as_ref().map_or(0, |titles| titles.metaint as u64)
            }
            false => 0,
        };
        if self.left_at.get(&source).is_some_and(|left_at| begins_at + back_bytes < *left_at) {
            return Err("it was heard before".to_owned());
        }
        if self.superseded.contains(&source) {
            return Err("a later source of that mount was heard before".to_owned());
        }
        let is_older = |other: &&u32| {
            **other != source && truth.source(**other).is_some_and(|other| other.at == at)
        };
        self.superseded.extend(self.left_at.keys().filter(is_older));
        let played_ms = truth.played_ms(source, number).expect("looked up by the caller");
        // What that source had played when the one before was left; it may have stalled.
        let newest_ms = self.last_played_ms.and_then(|by_ms| truth.newest_by_ms(source, by_ms));
        if let Some(newest_ms) = newest_ms
            && played_ms + truth.stale_ms_max < newest_ms
        {
            return Err(format!("{} ms newer was there", newest_ms - played_ms));
        }
        Ok(())
    }

    /// Whether a run may begin or end inside a frame: in a titled rendition, and behind a pull of
    /// one, which takes the two halves of a hand-over for a frame.
    fn may_cut(&self, truth: &Truth) -> bool {
        self.titles.is_some() || truth.may_be_pulled(self.home)
    }

    fn last(&self) -> String {
        match &self.run {
            None => "nothing".to_owned(),
            Some(run) => {
                format!("byte {} of frame {} of source {}", run.at, run.number, run.source)
            }
        }
    }
}

impl Run {
    fn next(&mut self, truth: &Truth) {
        self.go_to(truth, self.number + 1);
        self.at = 0;
    }

    /// To the end of the frame before.
    fn back(&mut self, truth: &Truth) {
        self.go_to(truth, self.number - 1);
        self.at = self.frame.len();
    }

    fn go_to(&mut self, truth: &Truth, number: u32) {
        let rate = truth.source(self.source).expect("a run is of a source").rate;
        self.number = number;
        self.frame = frame(self.source, number, rate);
    }
}

impl Titles {
    /// Takes bytes of a title block; says how many, and the title when it is complete.
    fn block(&mut self, bytes: &[u8]) -> Result<(usize, Option<String>), String> {
        if self.block.is_empty() {
            self.block.push(bytes[0]);
            let is_done = self.done()?;
            return Ok((1, is_done));
        }
        let wanted = 1 + usize::from(self.block[0]) * 16;
        let count = bytes.len().min(wanted - self.block.len());
        self.block.extend_from_slice(&bytes[..count]);
        Ok((count, self.done()?))
    }

    fn done(&mut self) -> Result<Option<String>, String> {
        if self.block.len() < 1 + usize::from(self.block[0]) * 16 {
            return Ok(None);
        }
        let block = std::mem::take(&mut self.block);
        self.blocks_count += 1;
        self.media_left = self.metaint;
        if block.len() == 1 {
            if std::mem::take(&mut self.full_is_due) {
                return Err("a title block that is due says that nothing has changed".to_owned());
            }
            return Ok(None);
        }
        self.full_is_due = false;
        let text = block[1..].strip_prefix(b"StreamTitle='").and_then(|rest| {
            let end = rest.windows(2).position(|pair| pair == b"';")?;
            std::str::from_utf8(&rest[..end]).ok()
        });
        let number = self.blocks_count;
        let text = text.ok_or_else(|| format!("title block {number} is none: {block:?}"))?;
        Ok(Some(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::content::RATES;
    use crate::swarm::Swarm;

    const HOME: Place = Place { node: 0, mount: 0 };

    fn truth() -> Truth {
        let mut truth = Truth::new(&Swarm::draw(0));
        for _ in 0..2 {
            let source = truth.begin(HOME, RATES[0]);
            (0..100).for_each(|frame| truth.play(source, 26 * frame));
        }
        truth
    }

    fn frames(source: u32, numbers: std::ops::Range<u32>) -> Vec<u8> {
        numbers.flat_map(|number| frame(source, number, RATES[0])).collect()
    }

    fn heard(metaint: Option<usize>, bytes: &[u8]) -> Result<(), String> {
        let (truth, mut heard) = (truth(), Heard::new(HOME, metaint));
        for piece in bytes.chunks(7) {
            heard.take(&truth, piece)?;
        }
        Ok(())
    }

    #[test]
    fn runs_and_hand_overs() {
        let run = frames(0, 3..9);
        assert_eq!(heard(None, &run), Ok(()));
        assert_eq!(heard(None, &[run.clone(), frames(1, 8..20)].concat()), Ok(()));
        for wrong in [
            run[1..].to_vec(),
            [&run[..250], &run[251..]].concat(),
            [&run[..300], &frames(1, 8..20)[..]].concat(),
            [frames(0, 3..5), frames(0, 6..9)].concat(),
            [frames(0, 3..5), frames(0, 4..9)].concat(),
            [frames(1, 3..5), frames(0, 6..9), frames(1, 9..12)].concat(),
            frames(0, 99..102),
        ] {
            assert!(heard(None, &wrong).is_err());
        }
    }

    #[test]
    fn titles_stand_where_they_should() {
        let media = frames(0, 3..40);
        let title = b"\x02StreamTitle='';\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0";
        let good = [&media[5..405], title, &media[405..805], b"\0", &media[805..]].concat();
        assert_eq!(heard(Some(400), &good[..1_300]), Ok(()));
        let late = [&media[5..406], title, &media[406..805], b"\0", &media[805..]].concat();
        assert!(heard(Some(400), &late[..1_300]).is_err());
        let unchanged = [&media[5..405], b"\0", &media[405..]].concat();
        assert!(heard(Some(400), &unchanged[..600]).is_err());
    }
}
