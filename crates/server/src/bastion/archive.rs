//! Where the files of recordings are: on the disk of the server that makes one and, where the setting `recordings` names a
//! place, there once it is over.
//!
//! A file goes there in steps, each of which may be the last before a crash: it is copied, read back and compared, then its
//! document says that it is there, then this server's own goes. What was not finished is begun again by the next look;
//! until then the file is on this server's disk as it was.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::body::Bytes;
use futures_util::{StreamExt as _, TryStreamExt as _};
use object_store::path::Path as Name;
use object_store::{ObjectStore, ObjectStoreExt as _, WriteMultipart};
use ring::digest::{Context, Digest, SHA256};
use sekisho_arm::traits::{read_document, write_document};
use sekisho_arm::{StoreError, Write};
use sekisho_store::{News, Store};
use tokio::fs::File;
use tokio::io::{AsyncReadExt as _, AsyncSeekExt as _, SeekFrom};
use tokio::time::{MissedTickBehavior, interval};
use uuid::Uuid;

use super::recorder::{KIND, Kept, State};
use crate::app::App;
use crate::config::Config;

/// How often it is looked for files that are still to go where recordings go.
const EVERY: Duration = Duration::from_secs(60);
/// Bytes of a file that go there in one request, and that are read at once.
const PART: usize = 8 << 20;
const PIECE: usize = 256 << 10;
/// Requests that are under way at once.
const AT_ONCE: usize = 2;

/// Where recordings are.
#[derive(Clone)]
pub struct Archive(Arc<Inner>);

struct Inner {
    /// Those that this server makes.
    directory: PathBuf,
    /// Those that are over, of all servers.
    place: Option<Arc<dyn ObjectStore>>,
    server: String,
}

/// Something was not done with a recording's file.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ArchiveError {
    /// The database does not answer.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A file of this server.
    #[error("{0}: {1}")]
    File(PathBuf, std::io::Error),
    /// The place where recordings go.
    #[error("the place of recordings: {0}")]
    Place(#[from] object_store::Error),
    /// What came back is something else.
    #[error("what was read back of the recording {0} is not what was written")]
    Differs(Uuid),
}

/// Why a recording's file cannot be read.
#[derive(Debug)]
pub(crate) enum Unread {
    /// It is on another server's disk, or nowhere.
    NotHere,
    /// It has so many bytes.
    TooLarge(u64),
    /// Whether it is there could not be found out.
    Failed(ArchiveError),
}

impl<E: Into<ArchiveError>> From<E> for Unread {
    fn from(error: E) -> Unread {
        Unread::Failed(error.into())
    }
}

/// The name of a recording's file.
fn name(session: Uuid) -> String {
    format!("{session}.skr")
}

/// The session of a file that is a recording's.
fn session(file: &Path) -> Option<Uuid> {
    let is_ours = file.extension().is_some_and(|kind| kind == "skr");
    file.file_stem().and_then(|stem| Uuid::try_parse(stem.to_str()?).ok()).filter(|_| is_ours)
}

/// What there is, if it is.
fn found<T>(result: object_store::Result<T>) -> object_store::Result<Option<T>> {
    match result {
        Ok(there) => Ok(Some(there)),
        Err(object_store::Error::NotFound { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Something done with a file of this server's, if it is there.
fn done<T>(path: &Path, result: std::io::Result<T>) -> Result<Option<T>, ArchiveError> {
    match result {
        Ok(done) => Ok(Some(done)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(ArchiveError::File(path.to_owned(), error)),
    }
}

impl Archive {
    /// Opens what the configuration names, of one installation.
    ///
    /// # Errors
    /// When the place cannot be opened, or the file with its options cannot be read.
    pub(crate) fn open(config: &Config, installation: Uuid) -> Result<Archive, crate::ServerError> {
        let options = config.recordings_options()?;
        let place = config.recordings.as_ref().map(|place| place.open(installation, &options)).transpose()?;
        // For people only, who know their machines by it.
        let server = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
        Ok(Archive::of(&config.data_dir, place, server.trim()))
    }

    /// Recordings in a data directory, that go to a place.
    pub fn of(data_dir: &Path, place: Option<Arc<dyn ObjectStore>>, server: &str) -> Archive {
        let directory = data_dir.join("recordings");
        Archive(Arc::new(Inner { directory, place, server: server.to_owned() }))
    }

    /// What people call this server.
    pub(crate) fn server(&self) -> &str {
        &self.0.server
    }

    /// The file of a recording that this server makes.
    pub(crate) fn path(&self, session: Uuid) -> PathBuf {
        self.0.directory.join(name(session))
    }

    /// The file of a recording, of at most so many bytes.
    pub(crate) async fn read(&self, session: Uuid, most: u64) -> Result<Bytes, Unread> {
        let path = self.path(session);
        let failed = |error| Unread::Failed(ArchiveError::File(path.clone(), error));
        if let Some(mut file) = done(&path, File::open(&path).await)? {
            let size = file.metadata().await.map_err(failed)?.len();
            if size > most {
                return Err(Unread::TooLarge(size));
            }
            let mut bytes = Vec::new();
            file.read_to_end(&mut bytes).await.map_err(failed)?;
            return Ok(bytes.into());
        }
        let Some(place) = &self.0.place else { return Err(Unread::NotHere) };
        let there = found(place.get(&Name::from(name(session))).await)?.ok_or(Unread::NotHere)?;
        if there.meta.size > most {
            return Err(Unread::TooLarge(there.meta.size));
        }
        Ok(there.bytes().await?)
    }

    /// How many bytes a recording's file has, and those of them from an offset on, but not more than so many.
    pub(crate) async fn piece(&self, session: Uuid, offset: u64, most: u64) -> Result<(u64, Bytes), Unread> {
        let path = self.path(session);
        let failed = |error| Unread::Failed(ArchiveError::File(path.clone(), error));
        if let Some(mut file) = done(&path, File::open(&path).await)? {
            let size = file.metadata().await.map_err(failed)?.len();
            file.seek(SeekFrom::Start(offset)).await.map_err(failed)?;
            let mut bytes = Vec::new();
            // What is recorded meanwhile belongs to a later piece.
            let rest = most.min(size.saturating_sub(offset));
            file.take(rest).read_to_end(&mut bytes).await.map_err(failed)?;
            return Ok((size, bytes.into()));
        }
        let (Some(place), name) = (&self.0.place, Name::from(name(session))) else {
            return Err(Unread::NotHere);
        };
        let size = found(place.head(&name).await)?.ok_or(Unread::NotHere)?.size;
        let range = offset.min(size)..offset.saturating_add(most).min(size);
        if range.is_empty() {
            return Ok((size, Bytes::new()));
        }
        Ok((size, found(place.get_range(&name, range).await)?.ok_or(Unread::NotHere)?))
    }

    /// Removes a recording's file, wherever it is.
    ///
    /// # Errors
    /// [`ArchiveError`]; it may still be there then.
    pub(crate) async fn remove(&self, session: Uuid) -> Result<(), ArchiveError> {
        self.remove_own(session).await?;
        if let Some(place) = &self.0.place {
            found(place.delete(&Name::from(name(session))).await)?;
        }
        Ok(())
    }

    async fn remove_own(&self, session: Uuid) -> Result<(), ArchiveError> {
        let path = self.path(session);
        done(&path, tokio::fs::remove_file(&path).await).map(drop)
    }

    /// Renames a recording's file to what is taken for nobody's, wherever it is.
    ///
    /// # Errors
    /// [`ArchiveError`].
    pub(crate) async fn set_aside(&self, session: Uuid) -> Result<(), ArchiveError> {
        let path = self.path(session);
        done(&path, tokio::fs::rename(&path, path.with_extension("skr.orphan")).await)?;
        if let Some(place) = &self.0.place {
            let (from, to) = (Name::from(name(session)), Name::from(format!("{}.orphan", name(session))));
            // Another server may have been faster.
            found(place.rename(&from, &to).await)?;
        }
        Ok(())
    }

    /// The sessions whose files were written longer ago than this. Other files are not ours.
    ///
    /// # Errors
    /// [`ArchiveError`].
    pub(crate) async fn older_than(&self, age: Duration) -> Result<Vec<Uuid>, ArchiveError> {
        let before = SystemTime::now().checked_sub(age).unwrap_or(UNIX_EPOCH);
        let own = self.own().await?.into_iter().filter(|(_, written)| *written < before);
        let mut old: Vec<Uuid> = own.map(|(session, _)| session).collect();
        if let Some(place) = &self.0.place {
            let all: Vec<_> = place.list(None).try_collect().await?;
            let of_age = all.into_iter().filter(|object| SystemTime::from(object.last_modified) < before);
            old.extend(of_age.filter_map(|object| session(Path::new(object.location.filename()?))));
        }
        Ok(old)
    }

    /// The sessions whose files are on this server's disk, and when those were written.
    async fn own(&self) -> Result<Vec<(Uuid, SystemTime)>, ArchiveError> {
        let directory = &self.0.directory;
        let failed = |error| ArchiveError::File(directory.clone(), error);
        let Some(mut entries) = done(directory, tokio::fs::read_dir(directory).await)? else {
            return Ok(Vec::new());
        };
        let mut all = Vec::new();
        while let Some(entry) = entries.next_entry().await.map_err(failed)? {
            let Some(session) = session(Path::new(&entry.file_name())) else { continue };
            // It may have gone meanwhile.
            let path = entry.path();
            if let Some(about) = done(&path, entry.metadata().await)? {
                all.push((session, about.modified().map_err(failed)?));
            }
        }
        Ok(all)
    }

    /// Has a recording's file where recordings go, if it is over and here. Nothing is to be done twice at a time.
    ///
    /// # Errors
    /// [`ArchiveError`]; it is here as it was then.
    async fn settle(&self, store: &Store, session: Uuid) -> Result<(), ArchiveError> {
        let Some(place) = &self.0.place else { return Ok(()) };
        let path = self.path(session);
        if done(&path, tokio::fs::metadata(&path).await)?.is_none() {
            return Ok(());
        }
        let kept = read_document::<Kept>(&mut store.read().await?, KIND, &session.to_string()).await?;
        // Of one that is not over, or that nobody knows, the file stays where it is.
        if kept.is_none_or(|kept| kept.state == State::Open) {
            return Ok(());
        }
        let written = self.copy(place, session).await?;
        is_there(place, session, &written).await?;
        let is_kept = store
            .write::<_, StoreError, _>(move |tx| Box::pin(async move { stored(tx, session).await }))
            .await?;
        // Who was told to remove it meanwhile may have looked before it was there.
        if is_kept { self.remove_own(session).await } else { self.remove(session).await }
    }

    /// Copies a file. Returns the SHA-256 of what was read.
    async fn copy(&self, place: &Arc<dyn ObjectStore>, session: Uuid) -> Result<Digest, ArchiveError> {
        let path = self.path(session);
        let failed = |error| ArchiveError::File(path.clone(), error);
        let mut file = File::open(&path).await.map_err(failed)?;
        let begun = place.put_multipart(&Name::from(name(session))).await?;
        let mut there = WriteMultipart::new_with_chunk_size(begun, PART);
        let (mut hash, mut piece) = (Context::new(&SHA256), vec![0; PIECE]);
        let read = async {
            loop {
                let read = file.read(&mut piece).await.map_err(failed)?;
                if read == 0 {
                    return Ok(());
                }
                hash.update(&piece[..read]);
                there.wait_for_capacity(AT_ONCE).await?;
                there.write(&piece[..read]);
            }
        };
        if let Err(error) = read.await {
            // What is left of it there is no object, and costs room only.
            let _ = there.abort().await;
            return Err(error);
        }
        there.finish().await?;
        Ok(hash.finish())
    }
}

/// Reads back what was copied: nothing else proves that it is there.
async fn is_there(place: &Arc<dyn ObjectStore>, session: Uuid, written: &Digest) -> Result<(), ArchiveError> {
    let mut stream = place.get(&Name::from(name(session))).await?.into_stream();
    let mut hash = Context::new(&SHA256);
    while let Some(piece) = stream.next().await {
        hash.update(&piece?);
    }
    let is_same = hash.finish().as_ref() == written.as_ref();
    is_same.then_some(()).ok_or(ArchiveError::Differs(session))
}

/// Says that a recording's file is where recordings go. Whether there still is such a recording.
async fn stored(tx: &mut (dyn Write + '_), session: Uuid) -> Result<bool, StoreError> {
    let key = session.to_string();
    let Some(mut kept) = read_document::<Kept>(tx.as_read(), KIND, &key).await? else { return Ok(false) };
    kept.is_stored = true;
    write_document(tx, KIND, &key, &kept).await?;
    Ok(true)
}

/// Has recordings that are over go where they go, for as long as the server runs.
pub(crate) async fn keep(app: Arc<App>) {
    if app.recordings.0.place.is_none() {
        return;
    }
    let mut feed = app.store.changes();
    let mut look = interval(EVERY);
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let sessions = tokio::select! {
            news = feed.next() => match news {
                Some(News::Changes(changes)) => {
                    let ids = changes.iter().filter(|c| c.kind == KIND);
                    Ok(ids.filter_map(|c| Uuid::try_parse(&c.key).ok()).collect())
                }
                // What was missed is on the disk at the next look.
                Some(News::Missed) => Ok(Vec::new()),
                None => return,
            },
            _ = look.tick() => app.recordings.own().await.map(|all| all.into_iter().map(|(id, _)| id).collect()),
        };
        match sessions {
            Ok(sessions) => settle_all(&app, sessions).await,
            Err(error) => tracing::warn!(%error, "recordings could not be looked for"),
        }
    }
}

async fn settle_all(app: &App, sessions: Vec<Uuid>) {
    for session in sessions.into_iter().filter(|session| !app.bastion.carries(*session)) {
        if let Err(error) = app.recordings.settle(&app.store, session).await {
            tracing::warn!(%error, %session, "a recording stays on this server until the next look");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use sekisho_lab::objects::{Kind, Objects};
    use sekisho_lake::Place;
    use tempfile::TempDir;

    use super::super::recorder::tests::kept;
    use super::*;

    const BYTES: &[u8] = b"what was on the screen";

    /// Two servers on one database, with a place where their recordings go.
    struct Installation {
        dir: TempDir,
        store: Store,
        place: Arc<dyn ObjectStore>,
    }

    impl Installation {
        async fn new(place: &Place, options: &BTreeMap<String, String>) -> Installation {
            let dir = TempDir::new().unwrap();
            let store = Store::open(&format!("sqlite://{}/db", dir.path().display())).await.unwrap();
            Installation { store, place: place.open(Uuid::from_u128(1), options).unwrap(), dir }
        }

        async fn in_a_directory() -> Installation {
            let dir = TempDir::new().unwrap();
            Self::new(&Place::Directory(dir.keep()), &BTreeMap::new()).await
        }

        fn server(&self, name: &str) -> Archive {
            Archive::of(&self.dir.path().join(name), Some(self.place.clone()), name)
        }

        /// A recording, and its file on a server's disk.
        async fn record(&self, on: &Archive, state: State) -> Uuid {
            let kept = Kept { state, server: on.server().to_owned(), ..kept() };
            let session = kept.session.id;
            self.write(kept).await;
            put(on, session, BYTES);
            session
        }

        async fn write(&self, kept: Kept) {
            let write = self.store.write::<_, StoreError, _>(move |tx| {
                Box::pin(async move { write_document(tx, KIND, &kept.session.id.to_string(), &kept).await })
            });
            write.await.unwrap();
        }

        async fn kept(&self, session: Uuid) -> Kept {
            let mut read = self.store.read().await.unwrap();
            read_document(&mut read, KIND, &session.to_string()).await.unwrap().unwrap()
        }
    }

    fn put(on: &Archive, session: Uuid, bytes: &[u8]) {
        std::fs::create_dir_all(&on.0.directory).unwrap();
        std::fs::write(on.path(session), bytes).unwrap();
    }

    async fn read_by(server: &Archive, session: Uuid) -> Bytes {
        server.read(session, 1 << 20).await.unwrap()
    }

    async fn is_the_same_wherever_it_goes(kind: Kind, place: &str) {
        let mut objects = match Objects::start(kind) {
            Ok(objects) => objects,
            Err(why) => return skipped(&why.to_string()),
        };
        objects.make("recordings").unwrap();
        let place = Place::parse(place).unwrap();
        let all = Installation::new(&place, &objects.options()).await;
        let (here, there) = (all.server("here"), all.server("there"));
        let session = all.record(&here, State::Closed).await;
        // More than goes at once.
        let large: Vec<u8> = (0..2 * PART + 7).map(|n| (n % 251) as u8).collect();
        put(&here, session, &large);
        objects.stop().unwrap();
        assert!(matches!(here.settle(&all.store, session).await, Err(ArchiveError::Place(_))));
        assert!(here.path(session).exists() && !all.kept(session).await.is_stored);
        assert!(matches!(there.read(session, u64::MAX).await, Err(Unread::Failed(_))));
        objects.restart().unwrap();
        // Azurite forgets what it was told a moment before it is killed.
        let _ = objects.make("recordings");
        here.settle(&all.store, session).await.unwrap();
        assert!(!here.path(session).exists() && all.kept(session).await.is_stored);
        for server in [&here, &there] {
            assert!(server.read(session, u64::MAX).await.unwrap() == large);
            assert!(
                matches!(server.read(session, 9).await, Err(Unread::TooLarge(n)) if n == large.len() as u64)
            );
        }
        // Another installation in the same container has a folder of its own.
        let other = Archive::of(
            &all.dir.path().join("other"),
            Some(place.open(Uuid::from_u128(2), &objects.options()).unwrap()),
            "other",
        );
        assert!(matches!(other.read(session, u64::MAX).await, Err(Unread::NotHere)));
        assert!(other.older_than(Duration::ZERO).await.unwrap().is_empty());
        there.set_aside(session).await.unwrap();
        here.set_aside(session).await.unwrap();
        assert!(matches!(here.read(session, u64::MAX).await, Err(Unread::NotHere)));
        assert!(here.older_than(Duration::ZERO).await.unwrap().is_empty());
        let gone = all.record(&here, State::Interrupted).await;
        here.settle(&all.store, gone).await.unwrap();
        for server in [&there, &here] {
            server.remove(gone).await.unwrap();
            assert!(matches!(server.read(gone, u64::MAX).await, Err(Unread::NotHere)));
        }
    }

    #[tokio::test]
    async fn a_recording_that_is_over_goes_to_s3_and_every_server_reads_it_there() {
        is_the_same_wherever_it_goes(Kind::S3, "s3://recordings/of/sessions").await;
    }

    #[tokio::test]
    async fn a_recording_that_is_over_goes_to_azures_storage_and_every_server_reads_it_there() {
        is_the_same_wherever_it_goes(Kind::Azure, "az://recordings/of/sessions").await;
    }

    #[tokio::test]
    async fn whatever_step_was_the_last_before_a_crash_the_next_look_finishes_it_and_nothing_is_lost() {
        let all = Installation::in_a_directory().await;
        let (here, there) = (all.server("here"), all.server("there"));
        let half = Name::from(name(all.record(&here, State::Closed).await));
        let session = session(Path::new(half.as_ref())).unwrap();
        // Half of it was copied.
        all.place.put(&half, Bytes::from_static(b"what was").into()).await.unwrap();
        here.settle(&all.store, session).await.unwrap();
        assert_eq!(read_by(&there, session).await, BYTES);
        // The document says that it is there, and this server's own was still to go.
        put(&here, session, BYTES);
        here.settle(&all.store, session).await.unwrap();
        assert!(!here.path(session).exists());
        assert_eq!(read_by(&here, session).await, BYTES);
        // The server that made it was dead when it was said to be over.
        let left = all.record(&there, State::Interrupted).await;
        assert!(matches!(here.read(left, 99).await, Err(Unread::NotHere)));
        there.settle(&all.store, left).await.unwrap();
        assert_eq!(read_by(&here, left).await, BYTES);
    }

    #[tokio::test]
    async fn what_is_still_made_or_known_to_nobody_stays_where_it_is_and_what_was_removed_meanwhile_is_gone()
    {
        let all = Installation::in_a_directory().await;
        let here = all.server("here");
        let open = all.record(&here, State::Open).await;
        let unknown = Uuid::new_v4();
        put(&here, unknown, BYTES);
        for session in [open, unknown] {
            here.settle(&all.store, session).await.unwrap();
            assert!(here.path(session).exists());
        }
        let mut old = here.older_than(Duration::ZERO).await.unwrap();
        old.sort();
        let mut both = [open, unknown];
        both.sort();
        assert_eq!(old, both);
        assert!(here.older_than(Duration::from_secs(3600)).await.unwrap().is_empty());
        here.set_aside(unknown).await.unwrap();
        assert!(here.path(unknown).with_extension("skr.orphan").exists());
        assert_eq!(here.older_than(Duration::ZERO).await.unwrap(), [open]);
        // Nothing says any more that it was stored.
        let (store, none) = (&all.store, Uuid::new_v4());
        let kept = store.write::<_, StoreError, _>(move |tx| Box::pin(async move { stored(tx, none).await }));
        assert!(!kept.await.unwrap());
    }

    #[tokio::test]
    async fn what_does_not_come_back_as_it_was_written_is_not_taken_for_it() {
        let all = Installation::in_a_directory().await;
        let here = all.server("here");
        let session = all.record(&here, State::Closed).await;
        let written = here.copy(&all.place, session).await.unwrap();
        is_there(&all.place, session, &written).await.unwrap();
        let mut changed = BYTES.to_vec();
        changed[0] ^= 1;
        for other in [changed.as_slice(), &BYTES[1..], b""] {
            let other = Bytes::copy_from_slice(other);
            all.place.put(&Name::from(name(session)), other.into()).await.unwrap();
            let refused = is_there(&all.place, session, &written).await;
            assert!(matches!(refused, Err(ArchiveError::Differs(_))));
        }
        all.place.delete(&Name::from(name(session))).await.unwrap();
        let refused = is_there(&all.place, session, &written).await;
        assert!(matches!(refused, Err(ArchiveError::Place(_))));
    }

    #[test]
    fn files_of_others_are_nobodys_recordings() {
        let id = Uuid::new_v4();
        assert_eq!(session(Path::new(&name(id))), Some(id));
        for other in [format!("{id}.txt"), format!("{id}.skr.orphan"), "notes.skr".to_owned(), id.to_string()]
        {
            assert_eq!(session(Path::new(&other)), None, "{other}");
        }
    }

    fn skipped(why: &str) {
        eprintln!("skipped: {why}");
    }
}
