//! The socket of a connection, which tells its [`Activity`] what moves through it.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::OwnedSemaphorePermit;

use super::activity::Activity;

/// Bytes that are put together before they are written.
const SHORT: usize = 2 * 1024;

/// A stream with its activity, and with its slot among the connections: an upgraded connection keeps
/// the slot for as long as it lives.
pub(super) struct Socket<S> {
    stream: S,
    activity: Arc<Activity>,
    _slot: Option<OwnedSemaphorePermit>,
}

impl<S> Socket<S> {
    pub(super) fn new(stream: S, activity: Arc<Activity>, slot: Option<OwnedSemaphorePermit>) -> Self {
        Self { stream, activity, _slot: slot }
    }

    fn note<T>(&self, written: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        self.activity.wrote(written.is_pending());
        written
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Socket<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(context, buffer);
        if buffer.filled().len() > before {
            self.activity.received();
        }
        read
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Socket<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.note(written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        // For one slice the system has a shorter way: an answer without a body, or a short one.
        let length: usize = slices.iter().map(|slice| slice.len()).sum();
        let stream = Pin::new(&mut self.stream);
        let written = match slices {
            [bytes] => stream.poll_write(context, bytes),
            _ if length <= SHORT => {
                let mut joined = [0; SHORT];
                let mut end = 0;
                for slice in slices {
                    joined[end..end + slice.len()].copy_from_slice(slice);
                    end += slice.len();
                }
                stream.poll_write(context, &joined[..end])
            }
            _ => stream.poll_write_vectored(context, slices),
        };
        self.note(written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.stream).poll_flush(context);
        self.note(flushed)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let shut = Pin::new(&mut self.stream).poll_shutdown(context);
        self.note(shut)
    }
}

#[cfg(test)]
mod tests {
    use std::io::IoSlice;

    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};

    use super::*;

    /// A socket that takes seven bytes before the other end reads.
    fn narrow() -> (Socket<DuplexStream>, DuplexStream) {
        let (near, far) = duplex(7);
        (Socket::new(near, Arc::new(Activity::new()), None), far)
    }

    #[tokio::test]
    async fn of_what_is_put_together_the_stream_may_take_a_part() {
        let (mut socket, mut far) = narrow();
        let slices = ["head ", "and ", "body"].map(|text| IoSlice::new(text.as_bytes()));
        assert_eq!(socket.write_vectored(&slices).await.unwrap(), 7);
        let mut read = [0; 7];
        far.read_exact(&mut read).await.unwrap();
        assert_eq!(&read, b"head an");
    }

    #[tokio::test]
    async fn short_and_long_answers_arrive_as_they_are() {
        for length in [1, SHORT - 5, SHORT - 4, 3 * SHORT] {
            let (mut socket, mut far) = narrow();
            let body: Vec<_> = (0..=u8::MAX).cycle().take(length).collect();
            let sent = [b"head ".as_slice(), &body].concat();
            let sending = async {
                let mut slices = [IoSlice::new(b"head "), IoSlice::new(&body)];
                let mut left = slices.as_mut_slice();
                while !left.is_empty() {
                    let written = socket.write_vectored(left).await.unwrap();
                    IoSlice::advance_slices(&mut left, written);
                }
                socket.shutdown().await.unwrap();
            };
            let mut arrived = Vec::new();
            let ((), read) = tokio::join!(sending, far.read_to_end(&mut arrived));
            read.unwrap();
            assert!(arrived == sent, "{length} bytes");
        }
    }
}
