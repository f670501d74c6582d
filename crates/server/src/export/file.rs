//! Onto the end of a file, which knows by its last line how far it has come.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::config::export::Format;

/// How much is read of the file's end at a time.
const STEP: u64 = 64 * 1024;

/// The number of the record in the last whole line; 0 if there is none. What follows it is a line that was cut by the end
/// of a process, and is cut off.
pub(super) async fn last(path: PathBuf, format: Format) -> io::Result<i64> {
    blocking(move || last_of(&path, format)).await
}

/// Writes lines and returns when they are on disk.
pub(super) async fn append(path: PathBuf, lines: String) -> io::Result<()> {
    blocking(move || {
        let mut file = open(&path)?;
        let is_new = file.seek(SeekFrom::End(0))? == 0;
        file.write_all(lines.as_bytes())?;
        file.sync_all()?;
        // Else a loss of power might leave no file with this name.
        if is_new { sync_folder(&path) } else { Ok(()) }
    })
    .await
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> io::Result<T> + Send + 'static) -> io::Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(io::Error::other)?
}

fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path)
}

fn sync_folder(path: &Path) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
}

fn last_of(path: &Path, format: Format) -> io::Result<i64> {
    let mut file = open(path)?;
    let length = file.metadata()?.len();
    let Some(end) = line_end_before(&mut file, length)? else {
        is_cut_record(&mut file)?;
        file.set_len(0)?;
        return Ok(0);
    };
    let start = line_end_before(&mut file, end)?.map_or(0, |newline| newline + 1);
    let mut line = String::new();
    file.seek(SeekFrom::Start(start))?;
    (&file).take(end - start).read_to_string(&mut line)?;
    let number = number(&line, format).ok_or_else(not_ours)?;
    // After the newline of the last whole line, now that the file is known to be ours.
    if end + 1 < length {
        file.set_len(end + 1)?;
    }
    Ok(number)
}

fn not_ours() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "the last line of the file is no record of this export")
}

/// Checks that a file without a whole line is empty or begins as a record does.
fn is_cut_record(file: &mut File) -> io::Result<()> {
    let mut beginning = [0; 2];
    file.seek(SeekFrom::Start(0))?;
    match file.read(&mut beginning)? {
        0 => Ok(()),
        1 if beginning[0] == b'{' => Ok(()),
        2 if &beginning == b"{\"" => Ok(()),
        _ => Err(not_ours()),
    }
}

/// Where the last newline before `end` is.
fn line_end_before(file: &mut File, end: u64) -> io::Result<Option<u64>> {
    let mut end = end;
    while end > 0 {
        let start = end.saturating_sub(STEP);
        let mut part = Vec::new();
        file.seek(SeekFrom::Start(start))?;
        (&*file).take(end - start).read_to_end(&mut part)?;
        if let Some(found) = part.iter().rposition(|byte| *byte == b'\n') {
            return Ok(Some(start + found as u64));
        }
        end = start;
    }
    Ok(None)
}

fn number(line: &str, format: Format) -> Option<i64> {
    let record: Value = serde_json::from_str(line).ok()?;
    match format {
        Format::Json => record["seq"].as_i64(),
        Format::Ocsf => record["metadata"]["sequence"].as_i64(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_whole_line_counts_wherever_the_file_was_cut() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("audit.jsonl");
        let long = "x".repeat(3 * usize::try_from(STEP).unwrap());
        let lines = [1, 2, 3].map(|seq| format!("{{\"seq\":{seq},\"text\":\"{long}\"}}\n"));
        let whole = lines.concat();
        let length = lines[0].len();
        for cut in
            [0, 1, length - 1, length, length + 1, 2 * length - 1, 2 * length, 3 * length - 1, 3 * length]
        {
            std::fs::write(&path, &whole[..cut]).unwrap();
            let found = last_of(&path, Format::Json).unwrap();
            assert_eq!(found, i64::try_from(cut / length).unwrap(), "{cut}");
            let kept = std::fs::read_to_string(&path).unwrap();
            assert_eq!(kept, whole[..cut / length * length], "{cut}");
        }
        std::fs::write(&path, "something else\n").unwrap();
        assert!(last_of(&path, Format::Json).is_err());
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "something else\n");
    }
}
