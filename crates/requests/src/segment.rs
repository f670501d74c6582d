//! The newest rows, in files that only grow, until they are moved into Parquet files.
//!
//! A segment begins with [`MAGIC`]; then come frames: the number of bytes and the CRC-32 of what follows (both
//! as 32 bits, little end first), and rows. Each frame is written by one call, so a process that is killed leaves
//! at most its last one unfinished, which doesn't count. Where whole frames come after one that isn't, or a frame
//! holds what are no rows, the segment is damaged; all other rows of it still count.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;

use crate::private;
use crate::row::Row;

const MAGIC: [u8; 8] = *b"throws\0\x01";

const FRAME: usize = 8;

/// The ending of a segment's name.
const ENDING: &str = "segment";

/// What the name of a damaged segment ends with besides, once its rows are in files.
const DAMAGED: &str = "damaged";

/// What is in a segment.
pub(crate) struct Content {
    /// Its rows, one after the other.
    pub(crate) rows: Bytes,
    /// Whether there were others, that can't be read any more.
    pub(crate) is_damaged: bool,
}

/// A segment that is being written, or was.
#[derive(Clone, Debug)]
pub(crate) struct Segment {
    /// Its number, higher than those of all earlier ones of its node.
    pub(crate) number: u64,
    path: PathBuf,
    file: Arc<File>,
    /// How many bytes of it count.
    length: u64,
}

impl Segment {
    /// Begins one.
    pub(crate) fn begin(folder: &Path, number: u64) -> io::Result<Self> {
        let path = folder.join(format!("{number:020}.{ENDING}"));
        let file = private::make_file(&path)?;
        if let Err(error) = file.write_all_at(&MAGIC, 0) {
            // One that can't be written to is in the way of the next attempt.
            let _ = std::fs::remove_file(&path);
            return Err(error);
        }
        Ok(Self { number, path, file: Arc::new(file), length: MAGIC.len() as u64 })
    }

    /// Those that are in a folder, oldest first.
    pub(crate) fn find(folder: &Path) -> io::Result<Vec<Self>> {
        let mut found = Vec::new();
        for entry in std::fs::read_dir(folder)? {
            let path = entry?.path();
            let number = path.file_stem().and_then(|stem| stem.to_str()).and_then(|stem| stem.parse().ok());
            let Some(number) = number.filter(|_| path.extension().is_some_and(|ending| ending == ENDING))
            else {
                continue;
            };
            let file = File::open(&path)?;
            let length = file.metadata()?.len();
            found.push(Self { number, path, file: Arc::new(file), length });
        }
        found.sort_by_key(|segment| segment.number);
        Ok(found)
    }

    /// Adds rows. What a failed call may have written is overwritten by the next one.
    pub(crate) fn append(&mut self, rows: &[&[u8]], buffer: &mut Vec<u8>) -> io::Result<()> {
        buffer.clear();
        buffer.extend_from_slice(&[0; FRAME]);
        for rows in rows {
            buffer.extend_from_slice(rows);
        }
        let content = &buffer[FRAME..];
        let length = u32::try_from(content.len()).map_err(|_| io::ErrorKind::FileTooLarge)?;
        let checksum = crc32fast::hash(content);
        buffer[..4].copy_from_slice(&length.to_le_bytes());
        buffer[4..FRAME].copy_from_slice(&checksum.to_le_bytes());
        self.file.write_all_at(buffer, self.length)?;
        self.length += buffer.len() as u64;
        Ok(())
    }

    /// How many bytes it has.
    pub(crate) const fn len(&self) -> u64 {
        self.length
    }

    /// What is in it.
    pub(crate) fn read(&self) -> io::Result<Content> {
        let mut content = vec![0; usize::try_from(self.length).map_err(io::Error::other)?];
        self.file.read_exact_at(&mut content, 0)?;
        Ok(Content::of(&content))
    }

    /// Removes it. Whoever has it open can read on.
    pub(crate) fn remove(&self) -> io::Result<()> {
        std::fs::remove_file(&self.path)
    }

    /// Keeps it under another name, and returns that: it is none of the segments any more.
    pub(crate) fn set_aside(&self) -> io::Result<PathBuf> {
        let aside = self.path.with_added_extension(DAMAGED);
        std::fs::rename(&self.path, &aside)?;
        Ok(aside)
    }

    /// How many of a folder were set aside and are still there.
    pub(crate) fn count_aside(folder: &Path) -> io::Result<u64> {
        let mut count = 0;
        for entry in std::fs::read_dir(folder)? {
            count += u64::from(entry?.path().extension().is_some_and(|ending| ending == DAMAGED));
        }
        Ok(count)
    }
}

impl Content {
    fn of(content: &[u8]) -> Self {
        let (magic, mut rest) = content.split_at_checked(MAGIC.len()).unwrap_or_default();
        // Zeros are what a power cut leaves of a file that has just been made.
        let mut is_damaged = magic != MAGIC && magic.iter().any(|byte| *byte != 0);
        let mut rows = Vec::with_capacity(rest.len());
        loop {
            match frame(rest) {
                Some((frame, after)) => {
                    let readable = readable(frame);
                    is_damaged |= readable.len() < frame.len();
                    rows.extend_from_slice(readable);
                    rest = after;
                }
                // What was being written when the process was killed is followed by nothing.
                None => match (1..rest.len()).find(|place| frame_of_rows(&rest[*place..])) {
                    Some(place) => {
                        is_damaged = true;
                        rest = &rest[place..];
                    }
                    None => return Self { rows: rows.into(), is_damaged },
                },
            }
        }
    }
}

/// The rows of the frame that `bytes` begin with, and what comes after it; `None` if it isn't whole.
fn frame(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (checksum, rows, rest) = framed(bytes)?;
    (crc32fast::hash(rows) == checksum).then_some((rows, rest))
}

/// A frame as its length says, with its checksum, which may be wrong.
fn framed(bytes: &[u8]) -> Option<(u32, &[u8], &[u8])> {
    let (length, rest) = bytes.split_first_chunk()?;
    let (checksum, rest) = rest.split_first_chunk()?;
    let (rows, rest) = rest.split_at_checked(usize::try_from(u32::from_le_bytes(*length)).ok()?)?;
    (!rows.is_empty()).then_some((u32::from_le_bytes(*checksum), rows, rest))
}

/// Whether there is a whole frame at some place between others. A row is looked for first: that is quicker than
/// the checksum of what only looks like a length.
fn frame_of_rows(bytes: &[u8]) -> bool {
    framed(bytes).is_some_and(|(_, mut rows, _)| Row::decode(&mut rows).is_some()) && frame(bytes).is_some()
}

/// The rows up to the first that can't be read.
fn readable(rows: &[u8]) -> &[u8] {
    let mut rest = rows;
    loop {
        let read = rows.len() - rest.len();
        if Row::decode(&mut rest).is_none() {
            return &rows[..read];
        }
    }
}

/// The rows among bytes that hold nothing else.
pub(crate) fn decoded(mut bytes: &[u8]) -> impl Iterator<Item = Row<'_>> {
    std::iter::from_fn(move || Row::decode(&mut bytes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::row::tests::{bytes, row};

    fn seconds(segment: &Segment) -> Vec<i64> {
        let start = row(0, 1).time.seconds();
        decoded(&segment.read().unwrap().rows).map(|row| row.time.seconds() - start).collect()
    }

    fn written(folder: &Path, number: u64, rows: &[i64]) -> Segment {
        let mut segment = Segment::begin(folder, number).unwrap();
        for second in rows {
            segment.append(&[&bytes(&row(*second, 1))], &mut Vec::new()).unwrap();
        }
        segment
    }

    #[test]
    fn what_was_appended_is_read_also_by_whoever_comes_later() {
        let folder = tempfile::tempdir().unwrap();
        assert!(seconds(&written(folder.path(), 9, &[])).is_empty());
        let segment = written(folder.path(), 8, &[1, 2, 3]);
        assert_eq!(seconds(&segment), [1, 2, 3]);
        std::fs::write(folder.path().join("else"), "x").unwrap();
        let found = Segment::find(folder.path()).unwrap();
        assert_eq!(found.iter().map(|segment| segment.number).collect::<Vec<_>>(), [8, 9]);
        assert_eq!(seconds(&found[0]), [1, 2, 3]);
        segment.remove().unwrap();
        assert_eq!(seconds(&found[0]), [1, 2, 3], "whoever has it open reads on");
    }

    /// How many rows are left of a segment with this content, and whether it is damaged.
    fn left(segment: &Segment, content: &[u8]) -> (usize, bool) {
        std::fs::write(&segment.path, content).unwrap();
        let read = Segment::find(segment.path.parent().unwrap()).unwrap()[0].read().unwrap();
        (decoded(&read.rows).count(), read.is_damaged)
    }

    #[test]
    fn wherever_it_was_cut_off_the_frames_before_that_are_read() {
        let folder = tempfile::tempdir().unwrap();
        let segment = written(folder.path(), 1, &[1, 2, 3]);
        let whole = std::fs::read(&segment.path).unwrap();
        let frame = (whole.len() - MAGIC.len()) / 3;
        for length in 0..=whole.len() {
            let whole_frames = length.saturating_sub(MAGIC.len()) / frame;
            assert_eq!(left(&segment, &whole[..length]), (whole_frames, false), "{length}");
        }
        // A power cut may leave what was never written as zeros.
        let mut zeros = whole.clone();
        zeros.extend_from_slice(&[0; 4096]);
        assert_eq!(left(&segment, &zeros), (3, false));
        assert_eq!(left(&segment, &[0; 4096]), (0, false));
        // The frame that a failed call left, of which the next one overwrote the beginning.
        let mut shorter = whole.clone();
        shorter.extend_from_slice(&whole[whole.len() - frame / 2..]);
        assert_eq!(left(&segment, &shorter), (3, false));
    }

    #[test]
    fn wherever_it_was_damaged_all_other_frames_are_read() {
        let folder = tempfile::tempdir().unwrap();
        let segment = written(folder.path(), 1, &[1, 2, 3]);
        let whole = std::fs::read(&segment.path).unwrap();
        let frame = (whole.len() - MAGIC.len()) / 3;
        for damaged in 0..whole.len() {
            let mut content = whole.clone();
            content[damaged] ^= 1;
            let expected = match damaged.checked_sub(MAGIC.len()).map(|place| place / frame) {
                None => (3, true),
                Some(0 | 1) => (2, true),
                // Nothing tells it from one that was being written.
                Some(_) => (2, false),
            };
            assert_eq!(left(&segment, &content), expected, "{damaged}");
        }
        let mut lost = whole.clone();
        lost[MAGIC.len()..MAGIC.len() + 2 * frame].fill(0);
        assert_eq!(left(&segment, &lost), (1, true));
        let mut lost = whole;
        lost.drain(MAGIC.len() + 3..MAGIC.len() + frame + 5);
        assert_eq!(left(&segment, &lost), (1, true));
    }

    #[test]
    fn rows_that_nobody_can_read_are_damage() {
        let folder = tempfile::tempdir().unwrap();
        let mut segment = written(folder.path(), 1, &[1]);
        let mut strange = bytes(&row(3, 1));
        strange[24] = 9;
        segment.append(&[&bytes(&row(2, 1)), &strange, &bytes(&row(4, 1))], &mut Vec::new()).unwrap();
        segment.append(&[&bytes(&row(5, 1))], &mut Vec::new()).unwrap();
        assert_eq!(seconds(&segment), [1, 2, 5]);
        assert!(segment.read().unwrap().is_damaged);
        let aside = segment.set_aside().unwrap();
        assert!(aside.ends_with("00000000000000000001.segment.damaged"));
        assert!(Segment::find(folder.path()).unwrap().is_empty());
        assert_eq!(Segment::count_aside(folder.path()).unwrap(), 1);
    }
}
