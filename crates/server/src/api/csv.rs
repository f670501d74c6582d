//! Tables as files (CSV, RFC 4180), made while they are sent.

use std::future::Future;

use futures_util::Stream;
use tokio::sync::mpsc;

use crate::error::Error;

/// What such files are.
pub(crate) const MEDIA_TYPE: &str = "text/csv; charset=utf-8";

/// Takes the pieces of a file.
pub(crate) type Pieces = mpsc::Sender<Result<Vec<u8>, Error>>;

/// The pieces of a file that `send` makes, in a task of its own: so they aren't made where answers are sent,
/// between checks.
pub(crate) fn pieces<W>(
    send: impl FnOnce(Pieces) -> W + Send + 'static,
) -> impl Stream<Item = Result<Vec<u8>, Error>> + Send
where
    W: Future<Output = Result<(), Error>> + Send + 'static,
{
    let (sender, mut receiver) = mpsc::channel(1);
    tokio::spawn(async move {
        if let Err(error) = send(sender.clone()).await {
            // Whoever asked may be gone.
            let _ = sender.send(Err(error)).await;
        }
    });
    futures_util::stream::poll_fn(move |context| receiver.poll_recv(context))
}

/// Rows of a table.
pub(crate) fn rows<const N: usize>(rows: impl IntoIterator<Item = [String; N]>) -> Result<Vec<u8>, Error> {
    let mut writer = ::csv::WriterBuilder::new().terminator(::csv::Terminator::CRLF).from_writer(Vec::new());
    for cells in rows {
        writer.write_record(cells.map(harmless)).map_err(Error::internal)?;
    }
    writer.into_inner().map_err(|error| Error::internal(error.into_error()))
}

/// A cell that a spreadsheet doesn't take for a formula.
fn harmless(cell: String) -> String {
    if cell.starts_with(['=', '+', '-', '@', '\t', '\r']) { format!("'{cell}") } else { cell }
}
