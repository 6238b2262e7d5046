//! Request bodies that are read to their end even when nobody wants them.
//!
//! A request that is refused for its headers is answered while its body is still on the way. Dropping the body then
//! would reset the HTTP/2 stream (RFC 9113, 8.1) or close the connection, and some clients report that instead of the
//! answer.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, Bytes, HttpBody};
use http_body_util::{BodyExt as _, Limited};
use hyper::body::{Frame, SizeHint};

/// The most that is read for nothing, in bytes.
const MOST: usize = 4 << 20;
/// The longest that it may take to arrive.
const PATIENCE: Duration = Duration::from_secs(5);

/// A body whose rest is read and thrown away when it is dropped, within limits.
pub(crate) struct Drained(Body);

impl Drained {
    pub(crate) fn new(body: Body) -> Drained {
        Drained(body)
    }
}

impl HttpBody for Drained {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.0).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.0.size_hint()
    }
}

impl Drop for Drained {
    fn drop(&mut self) {
        let body = std::mem::take(&mut self.0);
        if body.is_end_stream() || tokio::runtime::Handle::try_current().is_err() {
            return;
        }
        tokio::spawn(async move {
            let mut rest = Limited::new(body, MOST);
            let _ =
                tokio::time::timeout(PATIENCE, async { while let Some(Ok(_)) = rest.frame().await {} }).await;
        });
    }
}
