//! A part of a recording, without unpacking the rest of it: whoever plays eight hours looks at minutes of them.
//!
//! The hash that a seal signs covers every chunk before it, so that the last seal alone proves all of them. Of the others,
//! which are for what was cut, those of what is shown are looked at ([`examine`](crate::verify::examine) looks at each). Nothing
//! is unpacked but the chunks that are asked for, and the one in which a moment lies is found by halving.

use std::ops::Range;

use crate::container::{Hash, Header, Kind, Lane, Line, Seal, next};
use crate::verify::{Broken, End, Opened, Parts, Public, block, fits, open, read_lines, unpacked_chunk};

/// A recording all of which is proved, and nothing of which is unpacked yet.
#[derive(Debug)]
pub struct Proved<'b> {
    header: Header,
    end: End,
    public: Public,
    /// The chunks, with the numbers of their blocks.
    chunks: Vec<(usize, &'b [u8])>,
    seals: Vec<Sealed<'b>>,
}

/// A part of a recording is not to be had.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoWindow {
    /// It is not what was recorded.
    #[error(transparent)]
    Broken(#[from] Broken),
    /// Unpacked, it has so many bytes.
    #[error("the part has {0} bytes")]
    TooLarge(u64),
}

/// A seal, and what it has to be about.
#[derive(Debug)]
struct Sealed<'b> {
    /// The number of its block.
    at: usize,
    content: &'b [u8],
    /// How many chunks are before it, and their hash.
    chunks: usize,
    head: Hash,
}

impl Sealed<'_> {
    /// Whether it is the last one, if it fits.
    fn closes(&self, public: &Public) -> Result<bool, Broken> {
        let seal: Seal = serde_json::from_slice(self.content).map_err(|_| Broken::Unreadable(self.at))?;
        let is_one = fits(&seal, public, self.chunks as u64, &self.head);
        is_one.then_some(seal.closes).ok_or(Broken::Seal(self.at))
    }
}

impl<'b> Proved<'b> {
    /// Checks a recording. `key` is the key that the activity log names, as for [`read`](crate::verify::read). What no seal
    /// covers is left out: that is how a server dies.
    ///
    /// # Errors
    /// [`Broken`].
    pub fn of(bytes: &'b [u8], key: Option<&str>) -> Result<Proved<'b>, Broken> {
        let Opened { header, public, mut head, mut rest } = open(bytes, key)?;
        let (mut at, mut chunks, mut seals) = (0, Vec::new(), Vec::new());
        while let Some((kind, content)) = block(&mut rest).map_err(|()| Broken::Unreadable(at + 1))? {
            at += 1;
            match kind {
                Kind::Header => return Err(Broken::Unreadable(at)),
                Kind::Chunk => {
                    head = next(&head, content);
                    chunks.push((at, content));
                }
                Kind::Seal => seals.push(Sealed { at, content, chunks: chunks.len(), head }),
            }
        }
        let mut end = End::Open;
        if let Some(last) = seals.last()
            && last.closes(&public)?
        {
            if last.at != at || !rest.is_empty() {
                return Err(Broken::Added);
            }
            end = End::Closed;
        }
        chunks.truncate(seals.last().map_or(0, |last| last.chunks));
        Ok(Proved { header, end, public, chunks, seals })
    }

    /// What was recorded.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// How it ends.
    pub fn end(&self) -> End {
        self.end
    }

    /// How long it is, in milliseconds.
    ///
    /// # Errors
    /// When the last chunk cannot be unpacked.
    pub fn duration(&self) -> Result<u64, Broken> {
        let last = self.chunks.len().checked_sub(1).map(|last| self.unpack(last)).transpose()?;
        Ok(last.as_ref().and_then(|lines| lines.last()).map_or(0, |line| line.0))
    }

    /// The lines of the chunks in which a time lies, from `from` to `to` milliseconds, both included, after the last line
    /// before it of the lane `whole`, which says everything that is on the screen; from the beginning where there is none.
    /// What else is in those chunks comes with it.
    ///
    /// # Errors
    /// [`NoWindow`]: more than `most` bytes are not unpacked.
    pub fn window(&self, from: u64, to: Option<u64>, whole: Lane, most: u64) -> Result<Vec<Line>, NoWindow> {
        let within = self.last_whole(self.chunks_until(from)?, from, whole)?..match to {
            Some(to) => self.chunks_until(to)?,
            None => self.chunks.len(),
        };
        let first = self.seals.partition_point(|seal| seal.chunks <= within.start);
        for seal in self.seals.iter().skip(first).take_while(|seal| seal.chunks <= within.end) {
            if seal.closes(&self.public)? && self.seals.last().is_some_and(|last| last.at != seal.at) {
                return Err(Broken::Added.into());
            }
        }
        let chunks = self.chunks.get(within.clone()).unwrap_or_default();
        let size = chunks.iter().map(|(_, content)| unpacked_chunk(content)).sum();
        if size > most {
            return Err(NoWindow::TooLarge(size));
        }
        let mut parts = Parts::default();
        let mut lines = Vec::new();
        for chunk in within {
            lines.extend(self.unpack(chunk)?.into_iter().filter_map(|line| parts.join(line)));
        }
        Ok(lines)
    }

    /// Of the first so many chunks, the one in which the last line of a lane up to a moment begins; the first, if none does.
    fn last_whole(&self, count: usize, moment: u64, whole: Lane) -> Result<usize, Broken> {
        let mut is_found = false;
        for chunk in (0..count).rev() {
            let lines = self.unpack(chunk)?;
            if is_found && lines.last().is_none_or(|line| line.1 != Lane::Part) {
                return Ok(chunk + 1);
            }
            is_found |= lines.iter().any(|line| line.1 == whole && line.0 <= moment);
            // It may have begun in the chunk before.
            let has_begun = lines.iter().take_while(|line| line.1 != whole).any(|line| line.1 != Lane::Part);
            if is_found && has_begun {
                return Ok(chunk);
            }
        }
        Ok(0)
    }

    /// How many chunks begin up to a moment.
    fn chunks_until(&self, moment: u64) -> Result<usize, Broken> {
        let Range { start: mut low, end: mut high } = 0..self.chunks.len();
        while low < high {
            let middle = low + (high - low) / 2;
            if self.unpack(middle)?.first().is_none_or(|line| line.0 <= moment) {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        Ok(low)
    }

    fn unpack(&self, chunk: usize) -> Result<Vec<Line>, Broken> {
        let Some((at, content)) = self.chunks.get(chunk) else { return Ok(Vec::new()) };
        read_lines(content).ok_or(Broken::Unreadable(*at))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::container::{Key, Shows, Writer};
    use crate::verify::read;

    fn header(key: String) -> Header {
        Header {
            session: "s".into(),
            machine: "/m".into(),
            account: "root".into(),
            person: "jun".into(),
            since: "2026-11-27T00:00:00Z".into(),
            shows: Shows::Desktop,
            columns: 64,
            rows: 64,
            key,
        }
    }

    /// A recording of these chunks, and its key.
    fn recorded(chunks: &[Vec<Line>], closes: bool) -> (Vec<u8>, String) {
        let key = Key::generate().unwrap();
        let public = key.public();
        let (mut writer, mut bytes) = Writer::begin(key, &header(public.clone())).unwrap();
        for chunk in chunks {
            bytes.extend(writer.chunk(chunk).unwrap());
        }
        if closes {
            bytes.extend(writer.end().unwrap());
        }
        (bytes, public)
    }

    /// Chunks in which time goes on, with lines that go on from one chunk into another.
    fn chunks() -> impl Strategy<Value = Vec<Vec<Line>>> {
        let lane = prop_oneof![Just(Lane::Frame), Just(Lane::Frame), Just(Lane::Keyframe), Just(Lane::Part)];
        let chunk = prop::collection::vec((0_u64..3, lane), 1..4);
        prop::collection::vec(chunk, 0..12).prop_map(|chunks| {
            let (mut now, mut n) = (0, 0);
            let mut all: Vec<Vec<Line>> = chunks
                .into_iter()
                .map(|chunk| {
                    let line = |(later, lane)| {
                        (now, n) = (now + later, n + 1);
                        Line(now, lane, format!("{n} "))
                    };
                    chunk.into_iter().map(line).collect()
                })
                .collect();
            // Nothing is a part that nothing follows.
            if let Some(last) = all.last_mut().and_then(|chunk| chunk.last_mut()) {
                last.1 = Lane::Frame;
            }
            all
        })
    }

    /// What is played of some lines.
    fn played(lines: &[Line], from: u64, to: Option<u64>) -> Vec<Line> {
        let begin = lines.iter().rposition(|line| line.1 == Lane::Keyframe && line.0 <= from).unwrap_or(0);
        lines[begin..].iter().filter(|line| to.is_none_or(|to| line.0 <= to)).cloned().collect()
    }

    proptest! {
        #[test]
        fn a_window_plays_as_the_whole_recording_does(
            chunks in chunks(),
            closes in any::<bool>(),
            from in 0_u64..40,
            lasts in prop::option::of(0_u64..20),
        ) {
            let (bytes, key) = recorded(&chunks, closes);
            let whole = read(&bytes, Some(&key)).unwrap();
            let proved = Proved::of(&bytes, Some(&key)).unwrap();
            prop_assert_eq!((proved.header(), proved.end()), (&whole.header, whole.end));
            prop_assert_eq!(proved.duration().unwrap(), whole.lines.last().map_or(0, |line| line.0));
            let to = lasts.map(|lasts| from + lasts);
            let window = proved.window(from, to, Lane::Keyframe, u64::MAX).unwrap();
            prop_assert_eq!(played(&window, from, to), played(&whole.lines, from, to));
        }

        #[test]
        fn any_bytes_are_read_without_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
            let _ = Proved::of(&bytes, None);
        }
    }

    #[test]
    fn a_changed_byte_is_found_wherever_it_is() {
        let line = |n, lane| Line(n, lane, format!("関所 {n}"));
        let chunks: Vec<Vec<Line>> =
            (0..3).map(|n| vec![line(n * 2, Lane::Keyframe), line(n * 2 + 1, Lane::Frame)]).collect();
        let (bytes, key) = recorded(&chunks, true);
        let whole = read(&bytes, Some(&key)).unwrap().lines;
        for at in 0..bytes.len() {
            for bit in [0, 3, 7] {
                let mut changed = bytes.clone();
                changed[at] ^= 1 << bit;
                let Ok(proved) = Proved::of(&changed, Some(&key)) else { continue };
                let Ok(shown) = proved.window(0, None, Lane::Keyframe, u64::MAX) else { continue };
                // A length can be changed into one that goes beyond the end; then the recording is open, and no longer.
                assert!(proved.end() == End::Open && shown == whole[..shown.len()], "byte {at}");
            }
        }
        let proved = Proved::of(&bytes, Some(&key)).unwrap();
        assert!(matches!(proved.window(0, None, Lane::Keyframe, 10), Err(NoWindow::TooLarge(11..))));
        let added = [&bytes[..], b"\x02"].concat();
        assert_eq!(Proved::of(&added, Some(&key)).unwrap_err(), Broken::Added);
        let (other, _) = recorded(&chunks, true);
        assert_eq!(Proved::of(&other, Some(&key)).unwrap_err(), Broken::OtherKey);
        let cut = &bytes[..bytes.len() - 1];
        assert_eq!(Proved::of(cut, Some(&key)).unwrap().end(), End::Open);
    }
}
