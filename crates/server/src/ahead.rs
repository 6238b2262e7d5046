//! Reading ahead of TLS, which asks the kernel for 4 KiB at most at once.
//!
//! While much comes, it is read in large pieces here: a machine's stream, an upload, an import. A connection on which nothing
//! waits to be read keeps no memory for that.

use std::io;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, ReadBuf};

/// Bytes that are read at once.
const AHEAD: usize = 64 << 10;
/// Bytes after which more are likely to come.
const MUCH: usize = 4 << 10;

/// A connection of which is read ahead.
pub(crate) struct ReadAhead<S> {
    stream: S,
    ahead: Vec<u8>,
    /// How much of that was taken.
    taken: usize,
    /// Whether much came when it was last read.
    is_much: bool,
}

impl<S> ReadAhead<S> {
    /// One of which nothing was read.
    pub(crate) fn new(stream: S) -> ReadAhead<S> {
        ReadAhead { stream, ahead: Vec::new(), taken: 0, is_much: false }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for ReadAhead<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let ReadAhead { stream, ahead, taken, is_much } = &mut *self;
        if *taken == ahead.len() {
            *taken = 0;
            ahead.clear();
            if !*is_much {
                *ahead = Vec::new();
                ready!(Pin::new(stream).poll_read(cx, into))?;
                *is_much = into.filled().len() >= MUCH;
                return Poll::Ready(Ok(()));
            }
            ahead.reserve_exact(AHEAD);
            let read = pin!(stream.read_buf(ahead)).poll(cx);
            if read.is_pending() {
                *ahead = Vec::new();
            }
            *is_much = ready!(read)? >= MUCH;
        }
        let piece = (ahead.len() - *taken).min(into.remaining());
        into.put_slice(&ahead[*taken..][..piece]);
        *taken += piece;
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for ReadAhead<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, data)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        data: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, data)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Gives what is there as far as there is room, and waits when nothing is.
    struct Source {
        there: Vec<u8>,
        is_over: bool,
        reads: usize,
    }

    impl AsyncRead for Source {
        fn poll_read(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
            into: &mut ReadBuf<'_>,
        ) -> Poll<io::Result<()>> {
            self.reads += 1;
            if self.there.is_empty() && !self.is_over {
                return Poll::Pending;
            }
            let piece = self.there.len().min(into.remaining());
            into.put_slice(&self.there.drain(..piece).collect::<Vec<u8>>());
            Poll::Ready(Ok(()))
        }
    }

    /// Reads as TLS does, until there is nothing.
    fn read_all(from: &mut ReadAhead<Source>) -> Vec<u8> {
        let (mut all, mut cx) = (Vec::new(), Context::from_waker(std::task::Waker::noop()));
        loop {
            let mut piece = [0; 4096];
            let mut into = ReadBuf::new(&mut piece);
            let read = Pin::new(&mut *from).poll_read(&mut cx, &mut into);
            if read.is_pending() || into.filled().is_empty() {
                return all;
            }
            all.extend_from_slice(into.filled());
        }
    }

    fn numbers(bytes: usize) -> Vec<u8> {
        (0..bytes).map(|n| (n % 251) as u8).collect()
    }

    #[test]
    fn much_is_read_in_large_pieces_and_comes_as_it_was_to_its_end() {
        for bytes in [0, 1, 4095, 4096, 4097, 70_000, 1 << 20] {
            let source = Source { there: numbers(bytes), is_over: true, reads: 0 };
            let mut stream = ReadAhead::new(source);
            assert!(read_all(&mut stream) == numbers(bytes), "{bytes}");
            let reads = stream.stream.reads;
            assert!(reads <= bytes / AHEAD + 3, "{bytes} bytes were read in {reads} calls");
        }
    }

    #[test]
    fn a_connection_on_which_nothing_waits_keeps_no_memory_and_goes_on_with_what_comes() {
        let mut stream = ReadAhead::new(Source { there: Vec::new(), is_over: false, reads: 0 });
        for bytes in [300_000, 10, 300_000, 5000, 10] {
            stream.stream.there = numbers(bytes);
            assert!(read_all(&mut stream) == numbers(bytes), "{bytes}");
            assert_eq!(stream.ahead.capacity(), 0);
        }
    }
}
