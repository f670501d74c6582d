//! The newest rows, in files that only grow, until they are moved into Parquet files.
//!
//! A segment begins with [`MAGIC`]; then come frames: the number of bytes and the CRC-32 of what follows (both
//! as 32 bits, little end first), and rows. Each frame is written by one call, so a process that is killed leaves
//! at most its last one unfinished, and whoever reads stops before that.

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

    /// Its rows, one after the other.
    pub(crate) fn rows(&self) -> io::Result<Bytes> {
        let mut content = vec![0; usize::try_from(self.length).map_err(io::Error::other)?];
        self.file.read_exact_at(&mut content, 0)?;
        let Some(mut frames) = content.strip_prefix(&MAGIC) else { return Ok(Bytes::new()) };
        let mut rows = Vec::with_capacity(frames.len());
        while let Some((frame, rest)) = frame(frames) {
            rows.extend_from_slice(frame);
            frames = rest;
        }
        Ok(rows.into())
    }

    /// Removes it. Whoever has it open can read on.
    pub(crate) fn remove(&self) -> io::Result<()> {
        std::fs::remove_file(&self.path)
    }
}

/// The rows of the frame that `bytes` begin with, and what comes after it; `None` if it isn't whole.
fn frame(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = bytes.split_first_chunk()?;
    let (checksum, rest) = rest.split_first_chunk()?;
    let (rows, rest) = rest.split_at_checked(usize::try_from(u32::from_le_bytes(*length)).ok()?)?;
    let is_whole = !rows.is_empty() && crc32fast::hash(rows) == u32::from_le_bytes(*checksum);
    is_whole.then_some((rows, rest))
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
        decoded(&segment.rows().unwrap()).map(|row| row.time.seconds() - start).collect()
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

    #[test]
    fn wherever_it_was_cut_off_or_damaged_the_frames_before_that_are_read() {
        let folder = tempfile::tempdir().unwrap();
        let segment = written(folder.path(), 1, &[1, 2, 3]);
        let whole = std::fs::read(&segment.path).unwrap();
        let frame = (whole.len() - MAGIC.len()) / 3;
        let left = |content: &[u8]| {
            std::fs::write(&segment.path, content).unwrap();
            seconds(&Segment::find(folder.path()).unwrap()[0]).len()
        };
        for length in 0..=whole.len() {
            assert_eq!(left(&whole[..length]), length.saturating_sub(MAGIC.len()) / frame, "{length}");
        }
        for damaged in MAGIC.len()..whole.len() {
            let mut content = whole.clone();
            content[damaged] ^= 1;
            assert_eq!(left(&content), (damaged - MAGIC.len()) / frame, "{damaged}");
        }
        // A power cut may leave what was never written as zeros.
        let mut zeros = whole.clone();
        zeros.extend_from_slice(&[0; 4096]);
        assert_eq!(left(&zeros), 3);
    }
}
