//! A storage in front of the real one that counts what is read, and stops for ever or for a while at a chosen request:
//! a lake whose request never returns, and is then dropped, is one that died there.

use std::ops::Range;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::stream::BoxStream;
use futures_util::{FutureExt as _, StreamExt as _};
use object_store::path::Path;
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};
use tokio::sync::{Notify, oneshot};

/// Where a lake stops.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stop {
    /// Before a change is made to a file.
    Before,
    /// When it is made.
    After,
}

#[derive(Debug)]
pub(crate) struct Storage {
    inner: Arc<dyn ObjectStore>,
    read: AtomicU64,
    /// How many writing or deleting requests still pass; negative for no end.
    left: Arc<AtomicI64>,
    stop: Stop,
    stopped: Arc<Notify>,
    /// The first read says that it has come, and waits until it may go on.
    gate: Mutex<Option<(oneshot::Sender<()>, oneshot::Receiver<()>)>>,
}

impl std::fmt::Display for Storage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.inner)
    }
}

impl Storage {
    pub(crate) fn over(inner: Arc<dyn ObjectStore>) -> Storage {
        Storage::dying(inner, -1, Stop::Before)
    }

    pub(crate) fn dying(inner: Arc<dyn ObjectStore>, left: i64, stop: Stop) -> Storage {
        Storage {
            inner,
            read: AtomicU64::new(0),
            left: Arc::new(AtomicI64::new(left)),
            stop,
            stopped: Arc::default(),
            gate: Mutex::default(),
        }
    }

    /// Stops the first read until the returned sender is used; the receiver says that the read has come.
    pub(crate) fn gated(
        inner: Arc<dyn ObjectStore>,
    ) -> (Storage, oneshot::Receiver<()>, oneshot::Sender<()>) {
        let storage = Storage::over(inner);
        let ((come, has_come), (go, may_go)) = (oneshot::channel(), oneshot::channel());
        *storage.gate.lock().unwrap() = Some((come, may_go));
        (storage, has_come, go)
    }

    pub(crate) fn bytes_read(&self) -> u64 {
        self.read.load(Ordering::Relaxed)
    }

    /// Runs `work` until it ends, or dies with it at the chosen request; then `None`.
    pub(crate) async fn until_death<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            biased;
            done = work => Some(done),
            () = self.stopped.notified() => None,
        }
    }

    fn dies(left: &AtomicI64) -> bool {
        left.load(Ordering::Relaxed) >= 0 && left.fetch_sub(1, Ordering::Relaxed) == 0
    }
}

async fn die(stopped: &Notify) {
    stopped.notify_one();
    std::future::pending().await
}

#[async_trait]
impl ObjectStore for Storage {
    async fn put_opts(&self, at: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        let dies = Storage::dies(&self.left);
        if dies && self.stop == Stop::Before {
            die(&self.stopped).await;
        }
        let done = self.inner.put_opts(at, payload, options).await;
        if dies {
            die(&self.stopped).await;
        }
        done
    }

    async fn put_multipart_opts(
        &self,
        at: &Path,
        o: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.inner.put_multipart_opts(at, o).await
    }

    async fn get_opts(&self, at: &Path, options: GetOptions) -> Result<GetResult> {
        let gate = self.gate.lock().unwrap().take();
        if let Some((come, may_go)) = gate {
            come.send(()).unwrap();
            may_go.await.unwrap();
        }
        let head = options.head;
        let found = self.inner.get_opts(at, options).await?;
        if !head {
            self.read.fetch_add(found.range.end - found.range.start, Ordering::Relaxed);
        }
        Ok(found)
    }

    async fn get_ranges(&self, at: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        self.read.fetch_add(ranges.iter().map(|r| r.end - r.start).sum(), Ordering::Relaxed);
        self.inner.get_ranges(at, ranges).await
    }

    fn delete_stream(&self, paths: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        let (left, stopped, stop) = (self.left.clone(), self.stopped.clone(), self.stop);
        let inner = self.inner.clone();
        paths
            .then(move |path| {
                let (left, stopped, inner) = (left.clone(), stopped.clone(), inner.clone());
                async move {
                    let dies = Storage::dies(&left);
                    if dies && stop == Stop::Before {
                        die(&stopped).await;
                    }
                    let one = futures_util::stream::once(async move { path }).boxed();
                    let done = inner.delete_stream(one).next().await.unwrap();
                    if dies {
                        die(&stopped).await;
                    }
                    done
                }
                .boxed()
            })
            .boxed()
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.inner.list(prefix)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.inner.copy_opts(from, to, options).await
    }
}
