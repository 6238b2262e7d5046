//! Reading a recording, and whether it is what was recorded.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::signature::{ED25519, UnparsedPublicKey};

use crate::container::{Hash, Header, Kind, Lane, Line, MAGIC, MAX_BLOCK, Seal, first, next, sealed};

/// A recording that was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recording {
    /// What was recorded.
    pub header: Header,
    /// What happened, as far as it is proved.
    pub lines: Vec<Line>,
    /// How it ends.
    pub end: End,
}

/// How a recording ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// With the session.
    Closed,
    /// In the middle: the server died, or somebody has cut it there. The activity log tells which.
    Open,
}

/// A recording is not what was recorded.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Broken {
    /// It is none, or begins otherwise.
    #[error("this is not a recording")]
    NotOne,
    /// The header names another key than the log does.
    #[error("the recording is sealed with another key than the activity log names")]
    OtherKey,
    /// A block cannot be read.
    #[error("block {0} cannot be read")]
    Unreadable(usize),
    /// A seal does not fit.
    #[error("block {0} is not what was recorded: its seal does not fit")]
    Seal(usize),
    /// Something comes after the end.
    #[error("something was added after the end")]
    Added,
}

/// What of a file is proved, and what is wrong with the rest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Examined {
    /// What is proved.
    pub recording: Recording,
    /// Why nothing after it is.
    pub broken: Option<Broken>,
}

/// Reads a recording and checks all of it. `key` is the key that the activity log names; without it, the recording's own
/// word for its key is taken, which proves nothing of who made it.
///
/// A block at the end that was written in part, and a chunk without its seal, are left out: that is how a server dies.
///
/// # Errors
/// [`Broken`].
pub fn read(bytes: &[u8], key: Option<&str>) -> Result<Recording, Broken> {
    match examine(bytes, key)? {
        Examined { recording, broken: None } => Ok(recording),
        Examined { broken: Some(why), .. } => Err(why),
    }
}

/// Reads as much of a recording as is proved: up to the last seal before what is broken. `key` is as for [`read`].
///
/// # Errors
/// [`Broken::NotOne`] and [`Broken::OtherKey`]: nothing of it is proved then.
pub fn examine(bytes: &[u8], key: Option<&str>) -> Result<Examined, Broken> {
    let Opened { header, public, head, rest } = open(bytes, key)?;
    let mut chain = Chain {
        public,
        head,
        chunks: 0,
        waiting: Vec::new(),
        parts: Parts::default(),
        recording: Recording { header, lines: Vec::new(), end: End::Open },
    };
    let broken = chain.follow(rest).err();
    Ok(Examined { recording: chain.recording, broken })
}

/// The beginning of a recording.
pub(crate) struct Opened<'b> {
    pub(crate) header: Header,
    pub(crate) public: Public,
    /// The hash over the header.
    pub(crate) head: Hash,
    /// What comes after it.
    pub(crate) rest: &'b [u8],
}

/// The key that seals a recording.
pub(crate) type Public = UnparsedPublicKey<Vec<u8>>;

pub(crate) fn open<'b>(bytes: &'b [u8], key: Option<&str>) -> Result<Opened<'b>, Broken> {
    let mut rest = bytes.strip_prefix(MAGIC.as_slice()).ok_or(Broken::NotOne)?;
    let Some((Kind::Header, content)) = block(&mut rest).map_err(|()| Broken::NotOne)? else {
        return Err(Broken::NotOne);
    };
    let header: Header = serde_json::from_slice(content).map_err(|_| Broken::NotOne)?;
    if key.is_some_and(|key| key != header.key) {
        return Err(Broken::OtherKey);
    }
    let public = STANDARD.decode(&header.key).map_err(|_| Broken::NotOne)?;
    let public = UnparsedPublicKey::new(&ED25519, public);
    Ok(Opened { header, public, head: first(content), rest })
}

/// Whether a seal is one over so many chunks with this hash.
pub(crate) fn fits(seal: &Seal, public: &Public, chunks: u64, head: &Hash) -> bool {
    let signed = sealed(chunks, head, seal.closes);
    seal.chunks == chunks
        && seal.head == STANDARD.encode(head)
        && STANDARD.decode(&seal.signature).is_ok_and(|signature| public.verify(&signed, &signature).is_ok())
}

/// The hash over what was read, and what of it is sealed.
struct Chain<'b> {
    public: Public,
    head: Hash,
    chunks: u64,
    /// Chunks that no seal covers yet, by their numbers; until one does, nothing is unpacked that could be made to be huge.
    waiting: Vec<(usize, &'b [u8])>,
    parts: Parts,
    recording: Recording,
}

impl<'b> Chain<'b> {
    fn follow(&mut self, mut rest: &'b [u8]) -> Result<(), Broken> {
        let mut at = 0;
        while let Some((kind, content)) = block(&mut rest).map_err(|()| Broken::Unreadable(at + 1))? {
            at += 1;
            if self.recording.end == End::Closed {
                return Err(Broken::Added);
            }
            match kind {
                Kind::Header => return Err(Broken::Unreadable(at)),
                Kind::Chunk => {
                    self.head = next(&self.head, content);
                    self.chunks += 1;
                    self.waiting.push((at, content));
                }
                Kind::Seal => {
                    let seal: Seal = serde_json::from_slice(content).map_err(|_| Broken::Unreadable(at))?;
                    if !fits(&seal, &self.public, self.chunks, &self.head) {
                        return Err(Broken::Seal(at));
                    }
                    for (at, chunk) in std::mem::take(&mut self.waiting) {
                        let lines = read_lines(chunk).ok_or(Broken::Unreadable(at))?;
                        self.recording
                            .lines
                            .extend(lines.into_iter().filter_map(|line| self.parts.join(line)));
                    }
                    if seal.closes {
                        self.recording.end = End::Closed;
                    }
                }
            }
        }
        if self.recording.end == End::Closed && !rest.is_empty() { Err(Broken::Added) } else { Ok(()) }
    }
}

/// The beginning of a line whose end has not come yet.
#[derive(Default)]
pub(crate) struct Parts(String);

impl Parts {
    /// The line, with what came of it before, once it is whole.
    pub(crate) fn join(&mut self, Line(at, lane, text): Line) -> Option<Line> {
        if lane == Lane::Part {
            self.0.push_str(&text);
            return None;
        }
        let mut whole = std::mem::take(&mut self.0);
        whole.push_str(&text);
        Some(Line(at, lane, whole))
    }
}

/// How many bytes of text the chunks say that they hold, without unpacking any.
pub fn unpacked(bytes: &[u8]) -> u64 {
    let mut rest = bytes.strip_prefix(MAGIC.as_slice()).unwrap_or_default();
    let mut sum = 0;
    while let Ok(Some((kind, content))) = block(&mut rest) {
        if kind == Kind::Chunk {
            sum += unpacked_chunk(content);
        }
    }
    sum
}

/// How many bytes of text a chunk says that it holds.
pub(crate) fn unpacked_chunk(content: &[u8]) -> u64 {
    let said = zstd::zstd_safe::get_frame_content_size(content).ok().flatten();
    said.unwrap_or(MAX_BLOCK as u64)
}

/// The next block; `None` at the end, also of one that was written in part.
pub(crate) fn block<'b>(rest: &mut &'b [u8]) -> Result<Option<(Kind, &'b [u8])>, ()> {
    let Some((start, after)) = rest.split_at_checked(5) else { return Ok(None) };
    let kind = Kind::of(start[0]).ok_or(())?;
    let length = u32::from_be_bytes([start[1], start[2], start[3], start[4]]) as usize;
    if length > MAX_BLOCK {
        return Err(());
    }
    let Some((content, after)) = after.split_at_checked(length) else { return Ok(None) };
    *rest = after;
    Ok(Some((kind, content)))
}

pub(crate) fn read_lines(content: &[u8]) -> Option<Vec<Line>> {
    let text = zstd::bulk::decompress(content, MAX_BLOCK).ok()?;
    let lines = text.split(|b| *b == b'\n').filter(|line| !line.is_empty());
    lines.map(|line| serde_json::from_slice(line).ok()).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::container::{Key, PART, Shows, Writer, in_parts};

    fn lines(n: u64) -> Vec<Line> {
        vec![
            Line(n * 10, Lane::Screen, format!("screen {n}")),
            Line(n * 10 + 1, Lane::Output, format!("関所 {n}\r\n")),
        ]
    }

    /// A recording of three chunks with its key, and where its blocks begin.
    fn recording() -> (Vec<u8>, String, Vec<usize>) {
        let key = Key::generate().unwrap();
        let public = key.public();
        let header = Header {
            session: "s".into(),
            machine: "/m".into(),
            account: "root".into(),
            person: "jun".into(),
            since: "2026-11-27T00:00:00Z".into(),
            shows: Shows::Terminal,
            columns: 80,
            rows: 24,
            key: public.clone(),
        };
        let (mut writer, mut bytes) = Writer::begin(key, &header).unwrap();
        let mut starts = Vec::new();
        for n in 0..3 {
            starts.push(bytes.len());
            bytes.extend(writer.chunk(&lines(n)).unwrap());
        }
        starts.push(bytes.len());
        bytes.extend(writer.end().unwrap());
        (bytes, public, starts)
    }

    #[test]
    fn what_was_recorded_is_read_and_nothing_else_is_taken_for_it() {
        let (bytes, key, starts) = recording();
        let whole = read(&bytes, Some(&key)).unwrap();
        assert_eq!((whole.lines.len(), whole.end), (6, End::Closed));
        assert_eq!(whole.lines[3], lines(1)[1]);
        // Another one in its place, sealed as well as this one.
        let (other, _, _) = recording();
        assert_eq!(read(&other, Some(&key)), Err(Broken::OtherKey));
        // Cut at any byte: what is left is proved, or nothing is.
        for at in 0..bytes.len() {
            match read(&bytes[..at], Some(&key)) {
                Ok(cut) => {
                    assert_eq!(cut.end, End::Open);
                    assert_eq!(cut.lines, whole.lines[..cut.lines.len()]);
                }
                Err(why) => assert_eq!(why, Broken::NotOne),
            }
        }
        // A chunk left out, or two exchanged.
        let without = [&bytes[..starts[1]], &bytes[starts[2]..]].concat();
        assert!(matches!(read(&without, Some(&key)), Err(Broken::Seal(_))));
        let added = [&bytes[..], b"\x02"].concat();
        assert_eq!(read(&added, Some(&key)), Err(Broken::Added));
    }

    #[test]
    fn what_comes_before_something_broken_is_proved_all_the_same() {
        let (bytes, key, starts) = recording();
        let whole = read(&bytes, Some(&key)).unwrap();
        let mut changed = bytes.clone();
        changed[starts[2] + 10] ^= 1;
        let Examined { recording, broken } = examine(&changed, Some(&key)).unwrap();
        assert_eq!((&recording.lines[..], recording.end), (&whole.lines[..4], End::Open));
        assert!(matches!(broken, Some(Broken::Seal(_))), "{broken:?}");
        assert_eq!(examine(&bytes, Some(&key)).unwrap(), Examined { recording: whole, broken: None });
    }

    #[test]
    fn a_frame_that_is_larger_than_a_chunk_is_read_as_it_was() {
        let key = Key::generate().unwrap();
        let header = Header {
            session: "s".into(),
            machine: "/m".into(),
            account: "root".into(),
            person: "jun".into(),
            since: "2026-11-27T00:00:00Z".into(),
            shows: Shows::Desktop,
            columns: 1280,
            rows: 800,
            key: key.public(),
        };
        let (mut writer, mut bytes) = Writer::begin(key, &header).unwrap();
        let mut expected = Vec::new();
        for length in [0, 1, PART, PART + 1, 3 * PART + 7] {
            let text = "A".repeat(length);
            for line in in_parts(5, Lane::Frame, &text) {
                bytes.extend(writer.chunk(&[line]).unwrap());
            }
            expected.push(Line(5, Lane::Frame, text));
        }
        bytes.extend(writer.end().unwrap());
        let read = read(&bytes, None).unwrap();
        assert!(read.lines == expected, "{:?}", read.lines.iter().map(|l| l.2.len()).collect::<Vec<_>>());
        assert_eq!((read.header.shows, read.end), (Shows::Desktop, End::Closed));
    }

    #[test]
    fn a_changed_byte_is_found_wherever_it_is() {
        let (bytes, key, _) = recording();
        let whole = read(&bytes, Some(&key)).unwrap();
        for at in 0..bytes.len() {
            for bit in [0, 3, 7] {
                let mut changed = bytes.clone();
                changed[at] ^= 1 << bit;
                // A length can be changed into one that goes beyond the end; then the recording is open, and no longer.
                if let Ok(read) = read(&changed, Some(&key)) {
                    assert!(
                        read.end == End::Open && read.lines == whole.lines[..read.lines.len()],
                        "byte {at}"
                    );
                }
            }
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
            let _ = read(&bytes, None);
            let _ = read(&[MAGIC.as_slice(), &bytes].concat(), None);
        }
    }
}
