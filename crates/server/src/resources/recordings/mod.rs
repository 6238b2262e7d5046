//! `Sekisho.Bastion/recordings`: what was recorded of sessions on a machine, or on all machines in a scope, newest first,
//! and where in them words are ([`search`]). What is to be seen of one is in [`play`], its file as it is in [`download`], what
//! becomes of one in [`keeping`].

mod download;
mod keeping;
mod play;
mod search;

use async_trait::async_trait;
use axum::body::Bytes;
use schemars::{JsonSchema, SchemaGenerator};
use sekisho_arm::registry::{PutStyle, Storage};
use sekisho_arm::resource::{instant, shown};
use sekisho_arm::traits::{read_document, read_documents};
use sekisho_arm::{ArmError, Call, Read, ResourceType, Scope, ScopeKind, TypeSpec};
use sekisho_bastion_recording::verify::{Broken, End, Recording, read, unpacked};
use sekisho_bastion_recording::window::{NoWindow, Proved};
use serde::Serialize;
use serde_json::{Value, json};
use time::OffsetDateTime;
use uuid::Uuid;

pub(crate) use download::Download;
pub(crate) use keeping::register as register_keeping;
pub(crate) use play::Play;
pub(crate) use search::SEARCHED;

use crate::bastion::{Archive, Hold, Kept, RECORDING, RecordingState, Unread};
use crate::http as web;
use crate::resources::core::top;
use search::{Budget, Found, find};

/// The provider namespace.
pub(super) const NAMESPACE: &str = "Sekisho.Bastion";
/// Largest recording that is shown, in bytes, and when it is unpacked.
const LARGEST: u64 = 256 << 20;
const LARGEST_UNPACKED: u64 = 512 << 20;
/// What keeps a recording does not answer.
const UNREADABLE: &str = "RecordingUnreadable";
/// Recordings of one answer, when the client does not say, and at most.
const PAGE: usize = 100;
const MOST: usize = 1000;

static SPEC: TypeSpec = TypeSpec {
    namespace: NAMESPACE,
    path: "recordings",
    versions: &["2026-11-01", "2026-09-01"],
    scopes: &[ScopeKind::Subscription, ScopeKind::ResourceGroup, ScopeKind::Resource],
    storage: Storage::Computed,
    put: PutStyle::Refused,
    location: false,
    shows_etag: false,
    shows_state: false,
    actions: &[],
    schema: |g: &mut SchemaGenerator| g.subschema_for::<RecordingShown>(),
};

/// The files of recordings.
#[derive(Clone)]
pub(crate) struct Files(pub(crate) Archive);

/// The recordings.
pub(crate) struct Recordings {
    pub(crate) files: Files,
    /// Bytes of them, unpacked, after which a search pauses.
    pub(crate) searched: u64,
}

/// After which recording the next page begins: the newest come first, of one instant those with the lowest ids.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Place(std::cmp::Reverse<OffsetDateTime>, Uuid);

impl Place {
    fn of(kept: &Kept) -> Place {
        Place(std::cmp::Reverse(kept.session.since), kept.session.id)
    }

    fn token(self) -> String {
        format!("{} {}", self.0.0.unix_timestamp_nanos(), self.1)
    }

    fn parse(token: &str) -> Result<Place, ArmError> {
        let place = token.split_once(' ').and_then(|(since, id)| {
            let since = OffsetDateTime::from_unix_timestamp_nanos(since.parse().ok()?).ok()?;
            Some(Place(std::cmp::Reverse(since), Uuid::try_parse(id).ok()?))
        });
        place.ok_or_else(web::foreign_token)
    }
}

/// A recording.
#[derive(Serialize, JsonSchema)]
struct RecordingShown {
    /// Its id.
    id: String,
    /// The session's id.
    name: String,
    #[serde(rename = "type")]
    kind: String,
    properties: RecordingProperties,
}

#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct RecordingProperties {
    /// The machine.
    machine: String,
    /// The bastion host.
    host: String,
    /// The account on the machine.
    account: String,
    /// Whose session it was.
    user_name: String,
    /// The client's address.
    address: String,
    /// When it began, RFC 3339.
    since: String,
    /// When it ended; absent while it lasts.
    until: Option<String>,
    /// Bytes of the recording.
    bytes: u64,
    /// How it is.
    state: RecordingState,
    /// `ssh` of a terminal, `rdp` or `vnc` of a desktop.
    protocol: String,
    /// Columns at the beginning; of a desktop, pixels.
    columns: u32,
    /// Rows at the beginning; of a desktop, pixels.
    rows: u32,
    /// The key that seals it; it stands in the activity log, too.
    key: String,
    /// The hash over all of it, once it has ended.
    head: Option<String>,
    /// Why nobody may remove it, and who says so.
    #[serde(skip_serializing_if = "Option::is_none")]
    hold: Option<HoldShown>,
    /// Where it says what was searched for.
    matches: Vec<Found>,
}

/// A recording that nobody may remove until it is released.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct HoldShown {
    /// Who holds it.
    by: String,
    /// Since when, RFC 3339.
    since: String,
    /// Why.
    reason: String,
}

fn hold_shown(Hold { by, since, reason }: &Hold) -> HoldShown {
    HoldShown { by: by.name.clone(), since: instant(*since), reason: reason.clone() }
}

fn of(kept: &Kept, matches: Vec<Found>) -> Result<Value, ArmError> {
    let s = &kept.session;
    shown(&RecordingShown {
        id: kept.resource_id(),
        name: s.id.to_string(),
        kind: format!("{NAMESPACE}/recordings"),
        properties: RecordingProperties {
            machine: s.machine.clone(),
            host: s.host.clone(),
            account: s.account.clone().unwrap_or_default(),
            user_name: s.caller.name.clone(),
            address: s.address.clone(),
            since: instant(s.since),
            until: kept.until.map(instant),
            bytes: kept.bytes,
            state: kept.state,
            protocol: s.protocol.clone(),
            columns: kept.columns,
            rows: kept.rows,
            key: kept.key.clone(),
            head: kept.head.clone(),
            hold: kept.hold.as_ref().map(hold_shown),
            matches,
        },
    })
}

/// Whether a machine is a scope or in it.
pub(super) fn within(machine: &str, scope: &Scope) -> bool {
    let (machine, scope) = (machine.to_lowercase(), scope.key());
    machine == scope || machine.starts_with(&format!("{}/", scope.trim_end_matches('/')))
}

fn too_large(size: u64, most: u64) -> ArmError {
    let text = format!(
        "The recording has {size} bytes; more than {most} are not shown. 'sekisho recording download' fetches it, and \
         'sekisho recording verify' writes out what it says."
    );
    ArmError::new(413, "RecordingTooLarge", text)
}

fn not_recorded(why: &str) -> ArmError {
    ArmError::new(409, "RecordingBroken", format!("The recording is not what was recorded: {why}."))
}

fn broken(why: &Broken) -> ArmError {
    not_recorded(&why.to_string())
}

/// A file that is cut, or says that more follows than does, is what a server leaves that dies; the one of this had not.
fn cut() -> ArmError {
    not_recorded("its end is missing")
}

impl Files {
    async fn read(&self, kept: &Kept) -> Result<Recording, ArmError> {
        self.read_measured(kept).await.map(|(recording, _)| recording)
    }

    /// The bytes of a recording.
    async fn bytes(&self, kept: &Kept) -> Result<Bytes, ArmError> {
        self.0.read(kept.session.id, LARGEST).await.map_err(|why| self.unread(kept, why))
    }

    fn unread(&self, kept: &Kept, why: Unread) -> ArmError {
        match why {
            Unread::TooLarge(size) => too_large(size, LARGEST),
            Unread::NotHere => self.not_here(kept),
            Unread::Failed(error) => {
                tracing::error!(%error, session = %kept.session.id, "a recording could not be read");
                ArmError::new(503, UNREADABLE, "The recording cannot be read now. See the server's log.")
            }
        }
    }

    /// Something made of what of a recording is proved.
    async fn part<T: Send + 'static>(
        &self,
        kept: &Kept,
        make: impl FnOnce(&Proved<'_>) -> Result<T, NoWindow> + Send + 'static,
    ) -> Result<T, ArmError> {
        let bytes = self.bytes(kept).await?;
        let (key, closed) = (kept.key.clone(), kept.state == RecordingState::Closed);
        let made = tokio::task::spawn_blocking(move || {
            let proved = Proved::of(&bytes, Some(&key))?;
            Ok::<_, NoWindow>((closed && proved.end() == End::Open, make(&proved)?))
        });
        match made.await.map_err(|_| ArmError::internal())? {
            Ok((false, made)) => Ok(made),
            Ok((true, _)) => Err(cut()),
            Err(NoWindow::Broken(why)) => Err(broken(&why)),
            Err(NoWindow::TooLarge(size)) => Err(too_large(size, LARGEST_UNPACKED)),
        }
    }

    /// A recording, and how many bytes it has when it is unpacked.
    async fn read_measured(&self, kept: &Kept) -> Result<(Recording, u64), ArmError> {
        let bytes = self.bytes(kept).await?;
        // What repeats itself is packed to almost nothing.
        let size = unpacked(&bytes);
        if size > LARGEST_UNPACKED {
            return Err(too_large(size, LARGEST_UNPACKED));
        }
        let key = kept.key.clone();
        let read = tokio::task::spawn_blocking(move || read(&bytes, Some(&key))).await;
        let recording = read.map_err(|_| ArmError::internal())?.map_err(|why| broken(&why))?;
        if kept.state == RecordingState::Closed && recording.end == End::Open {
            return Err(cut());
        }
        Ok((recording, size))
    }

    /// Of a recording whose file is neither on this server's disk nor where recordings go.
    fn not_here(&self, kept: &Kept) -> ArmError {
        let server = &kept.server;
        if server.is_empty() || server == self.0.server() || kept.is_stored {
            let text = "The file of the recording is not there any more.";
            return ArmError::new(404, "RecordingNotFound", text);
        }
        let text = match kept.state {
            RecordingState::Open => format!(
                "The session is still recorded, by the server '{server}': it is shown there, and everywhere once it is over \
                 if 'recordings' names a place that all servers share."
            ),
            RecordingState::Closed | RecordingState::Interrupted => {
                format!("The recording is on the disk of the server '{server}', and is shown there.")
            }
        };
        ArmError::new(409, "RecordingElsewhere", text)
    }

    /// Where a recording says these words; nowhere when it is broken or elsewhere.
    ///
    /// # Errors
    /// When nobody knows what it says, because what keeps it does not answer.
    async fn search(&self, kept: &Kept, words: &str, budget: &mut Budget) -> Result<Vec<Found>, ArmError> {
        match self.read_measured(kept).await {
            Ok((recording, size)) => {
                budget.spend(size);
                Ok(find(&recording, words))
            }
            Err(error) if error.code == UNREADABLE => Err(error),
            Err(_) => Ok(Vec::new()),
        }
    }
}

#[async_trait]
impl ResourceType for Recordings {
    fn spec(&self) -> &TypeSpec {
        &SPEC
    }

    async fn computed(
        &self,
        db: &mut dyn Read,
        call: &Call,
        scope: &Scope,
        name: Option<&str>,
    ) -> Result<Value, ArmError> {
        let words = call.query("search").map(str::trim).filter(|words| !words.is_empty());
        let mut budget = Budget::of(self.searched);
        if let Some(name) = name {
            let kept = one(db, scope, name).await?;
            let matches = match words {
                Some(words) => self.files.search(&kept, words, &mut budget).await?,
                None => Vec::new(),
            };
            return of(&kept, matches);
        }
        let top = top(call)?.map_or(PAGE, |n| n.min(MOST));
        let after = call.query("$skiptoken").map(web::decode_token).transpose()?;
        let after = after.as_deref().map(Place::parse).transpose()?;
        let all: Vec<(String, Kept)> = read_documents(db, RECORDING).await?;
        let own = all.into_iter().map(|(_, kept)| kept).filter(|k| within(&k.session.machine, scope));
        let mut own: Vec<Kept> =
            own.filter(|kept| after.is_none_or(|after| Place::of(kept) > after)).collect();
        own.sort_by_key(Place::of);
        let (mut value, mut last, mut rest) = (Vec::new(), None, own.iter().peekable());
        while value.len() < top
            && !budget.is_spent()
            && let Some(kept) = rest.next()
        {
            last = Some(kept);
            match words {
                None => value.push(of(kept, Vec::new())?),
                Some(words) => match self.files.search(kept, words, &mut budget).await? {
                    matches if matches.is_empty() => {}
                    matches => value.push(of(kept, matches)?),
                },
            }
        }
        let mut body = json!({ "value": value });
        if let (Some(last), Some(_)) = (last, rest.peek()) {
            let path = format!("{scope}/providers/{NAMESPACE}/{}", SPEC.path);
            body["nextLink"] = web::next_link(call, path, &Place::of(last).token()).into();
            if words.is_some() {
                // What was not looked at may have it, too.
                body["truncated"] = true.into();
            }
        }
        Ok(body)
    }
}

async fn one(db: &mut dyn Read, scope: &Scope, name: &str) -> Result<Kept, ArmError> {
    let missing = || ArmError::new(404, "ResourceNotFound", format!("There is no recording '{name}' here."));
    let id = Uuid::try_parse(name).map_err(|_| missing())?;
    let kept: Option<Kept> = read_document(db, RECORDING, &id.to_string()).await?;
    kept.filter(|kept| within(&kept.session.machine, scope)).ok_or_else(missing)
}

#[cfg(test)]
mod tests {
    use sekisho_arm::ApiVersion;
    use sekisho_arm::registry::SignIn;
    use sekisho_arm::traits::write_document;
    use sekisho_bastion_recording::container::{Header, Key, Lane, Line, Shows, Writer};
    use sekisho_store::Store;

    use super::*;
    use crate::bastion::kept;

    fn call(query: &[(&str, &str)]) -> Call {
        Call {
            caller: crate::keys::itself(),
            api_version: ApiVersion::parse("2026-11-01").unwrap(),
            base_url: String::new(),
            query: query.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect(),
            correlation_id: String::new(),
            sign_in: SignIn::default(),
            address: None,
            at: OffsetDateTime::now_utc(),
        }
    }

    /// A recording of one line, on the disk and in the database, made so many seconds ago.
    async fn record(store: &Store, files: &Files, said: &str, ago: i64) -> Kept {
        let key = Key::generate().unwrap();
        let mut kept = Kept { key: key.public(), ..kept() };
        kept.session.since -= time::Duration::seconds(ago);
        let header = Header {
            session: kept.session.id.to_string(),
            machine: kept.session.machine.clone(),
            account: "root".to_owned(),
            person: "jun".to_owned(),
            since: instant(kept.session.since),
            shows: Shows::Terminal,
            columns: 80,
            rows: 24,
            key: key.public(),
        };
        let (mut writer, mut bytes) = Writer::begin(key, &header).unwrap();
        bytes.extend(writer.chunk(&[Line(1, Lane::Output, said.to_owned())]).unwrap());
        bytes.extend(writer.end().unwrap());
        let path = files.0.path(kept.session.id);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
        let document = kept.clone();
        store
            .write::<_, sekisho_arm::StoreError, _>(move |tx| {
                Box::pin(async move {
                    write_document(tx, RECORDING, &document.session.id.to_string(), &document).await
                })
            })
            .await
            .unwrap();
        kept
    }

    /// The names of all that is listed, page by page, and how many pages and cut answers there were.
    async fn pages(store: &Store, kind: &Recordings, query: &[(&str, &str)]) -> (Vec<String>, usize, usize) {
        let machine = Scope::parse(&kept().session.machine).unwrap();
        let (mut names, mut pages, mut cut, mut token) = (Vec::new(), 0, 0, None::<String>);
        loop {
            let token_of = token.as_deref().map(|token| ("$skiptoken", token));
            let asked = call(&query.iter().copied().chain(token_of).collect::<Vec<_>>());
            let mut read = store.read().await.unwrap();
            let body = kind.computed(&mut read, &asked, &machine, None).await.unwrap();
            let rows = body["value"].as_array().unwrap();
            names.extend(rows.iter().map(|row| row["name"].as_str().unwrap().to_owned()));
            pages += 1;
            cut += usize::from(body["truncated"] == true);
            match body["nextLink"].as_str() {
                Some(link) => token = Some(link.rsplit_once('=').unwrap().1.to_owned()),
                None => return (names, pages, cut),
            }
        }
    }

    #[tokio::test]
    async fn what_is_on_the_disk_of_another_server_is_refused_by_its_name() {
        let dir = tempfile::tempdir().unwrap();
        let files = Files(Archive::of(dir.path(), None, "here"));
        let there = |state| Kept { server: "there".to_owned(), state, ..kept() };
        for state in [RecordingState::Open, RecordingState::Closed, RecordingState::Interrupted] {
            let refused = files.read(&there(state)).await.unwrap_err();
            assert_eq!((refused.status, refused.code.as_str()), (409, "RecordingElsewhere"));
            assert!(refused.message.contains("'there'"), "{}", refused.message);
        }
        let moved = Kept { is_stored: true, ..there(RecordingState::Closed) };
        for lost in [moved, kept()] {
            let refused = files.read(&lost).await.unwrap_err();
            assert_eq!((refused.status, refused.code.as_str()), (404, "RecordingNotFound"));
        }
    }

    #[tokio::test]
    async fn recordings_come_in_pages_newest_first_and_a_search_that_has_read_enough_says_where_it_goes_on() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&format!("sqlite://{}/db", dir.path().display())).await.unwrap();
        let files = Files(Archive::of(dir.path(), None, "here"));
        let mut expected = Vec::new();
        for ago in [1, 2, 3, 4, 5] {
            let said = if ago % 2 == 1 { "needle" } else { "hay" };
            expected.push(record(&store, &files, said, ago).await.session.id.to_string());
        }
        let kind = Recordings { files: files.clone(), searched: SEARCHED };
        assert_eq!(pages(&store, &kind, &[]).await, (expected.clone(), 1, 0));
        assert_eq!(pages(&store, &kind, &[("$top", "2")]).await, (expected.clone(), 3, 0));
        let found = [&expected[0], &expected[2], &expected[4]].map(String::clone).to_vec();
        assert_eq!(pages(&store, &kind, &[("search", "NEEDLE")]).await, (found.clone(), 1, 0));
        // Each recording is more than may be read at once.
        let kind = Recordings { files, searched: 1 };
        assert_eq!(pages(&store, &kind, &[("search", "needle")]).await, (found, 5, 4));
        let machine = Scope::parse(&kept().session.machine).unwrap();
        let wrong = call(&[("$skiptoken", "bm9uZQ")]);
        let refused = kind.computed(&mut store.read().await.unwrap(), &wrong, &machine, None).await;
        assert_eq!(refused.unwrap_err().code, "InvalidSkipToken");
    }
}
