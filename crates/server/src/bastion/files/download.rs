//! Files from a machine: as many bytes as the file has when it is opened, or those behind one, for a client that has the
//! beginning already and can prove that it is of this very file.

use std::pin::pin;
use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::extract::rejection::QueryRejection;
use axum::extract::{Extension, Path, Query, State};
use axum::response::Response;
use futures_util::{Stream, StreamExt as _, stream};
use http::{HeaderMap, StatusCode, header};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use ring::digest::{Context, SHA256, digest};
use sekisho_arm::ArmError;
use sekisho_bastion_ssh::files::{FilesError, Source};
use sekisho_link::join::Hex;
use serde_json::json;
use tokio::sync::mpsc;

use super::log::{Deed, Log};
use super::{Admitted, Place, Want, admitted, answered, needed, small_enough};
use crate::app::App;
use crate::http::{self as web, OCTETS, Peer};

/// Pieces that wait for a client.
const WAITING: usize = 4;
/// What makes a page of a file does nothing, wherever it is opened.
const POLICY: &str = "sandbox; default-src 'none'";

/// `GET …/content`.
pub(super) async fn get(
    State(app): State<Arc<App>>,
    Extension(peer): Extension<Peer>,
    Path((_, session)): Path<(String, String)>,
    place: Result<Query<Place>, QueryRejection>,
    headers: HeaderMap,
) -> Response {
    let given = async {
        let Admitted { open, most } = admitted(&app, peer, &headers, &session, Want::Download).await?;
        let source = open.files()?.open(&needed(place)?).await?;
        small_enough(source.bytes, most)?;
        let tag = tag(&source);
        let from = from(&headers, &tag);
        if from.is_some_and(|from| from >= source.bytes) {
            return Ok(behind(source.bytes));
        }
        let log = Log::new(&app, &open, Deed::Download);
        let start = from.unwrap_or(0);
        log.intent(json!({"path": source.path.as_str(), "bytes": source.bytes - start, "from": start}))
            .await?;
        let mut answer = Response::builder()
            .status(if from.is_some() { StatusCode::PARTIAL_CONTENT } else { StatusCode::OK })
            .header(header::CONTENT_TYPE, OCTETS)
            .header(header::CONTENT_LENGTH, source.bytes - start)
            .header(header::CONTENT_DISPOSITION, disposition(source.path.name()))
            .header(header::CONTENT_SECURITY_POLICY, POLICY)
            .header(header::CACHE_CONTROL, "no-store")
            .header(header::ACCEPT_RANGES, "bytes")
            .header(header::ETAG, tag);
        if from.is_some() {
            answer = answer.header(header::CONTENT_RANGE, range(start, source.bytes - start, source.bytes));
        }
        let (sender, receiver) = mpsc::channel(WAITING);
        let whole = source.bytes - start;
        tokio::spawn(give(log, source, start, sender));
        Ok(answer.body(Body::from_stream(body(receiver, whole))).map_err(|_| ArmError::internal())?)
    };
    answered(given.await)
}

/// Some bytes of a file, as RFC 9110, 14.4 writes it.
fn range(from: u64, bytes: u64, of: u64) -> String {
    match (from + bytes).checked_sub(1) {
        Some(last) if bytes > 0 => format!("bytes {from}-{last}/{of}"),
        _ => format!("bytes */{of}"),
    }
}

fn behind(bytes: u64) -> Response {
    let text = format!("The file has {bytes} bytes.");
    let mut answer = web::arm_error(&ArmError::new(416, "RangeNotSatisfiable", text));
    if let Ok(range) = range(0, 0, bytes).parse() {
        answer.headers_mut().insert(header::CONTENT_RANGE, range);
    }
    answer
}

/// A name as RFC 6266 has it.
fn disposition(name: &str) -> String {
    format!("attachment; filename*=UTF-8''{}", utf8_percent_encode(name, NON_ALPHANUMERIC))
}

/// What is the same for as long as a file is: where, how large and how old it is.
fn tag(source: &Source) -> String {
    let what = format!("{} {} {}", source.bytes, source.modified, source.path);
    format!("\"{}\"", Hex(&digest(&SHA256, what.as_bytes()).as_ref()[..16]))
}

/// From which byte on it is to be given; none: all of it (RFC 9110, 14.2: what is not understood is left aside).
fn from(headers: &HeaderMap, tag: &str) -> Option<u64> {
    let condition = headers.get(header::IF_RANGE);
    if condition.is_some_and(|condition| condition.as_bytes() != tag.as_bytes()) {
        return None;
    }
    open_range(headers.get(header::RANGE)?.to_str().ok()?)
}

/// The first byte of a range without an end, the only kind that anybody asks for here.
fn open_range(text: &str) -> Option<u64> {
    let digits = text.strip_prefix("bytes=")?.strip_suffix('-')?;
    if digits.bytes().all(|byte| byte.is_ascii_digit()) { digits.parse().ok() } else { None }
}

/// What comes, of which nothing may be missing: a file that ends too early must not look whole.
fn body(receiver: mpsc::Receiver<Bytes>, whole: u64) -> impl Stream<Item = Result<Bytes, FilesError>> {
    stream::try_unfold((receiver, whole), |(mut receiver, left)| async move {
        match receiver.recv().await {
            Some(bytes) => {
                let left = left.saturating_sub(bytes.len() as u64);
                Ok(Some((bytes, (receiver, left))))
            }
            None if left == 0 => Ok(None),
            None => Err(FilesError::Broken("the file broke off".to_owned())),
        }
    })
}

/// Gives a file to whoever reads, for as long as the session lasts, and tells the log how that ended.
async fn give(log: Log, source: Source, from: u64, sender: mpsc::Sender<Bytes>) {
    let (mut hash, mut given) = (Context::new(&SHA256), 0);
    let giving = async {
        let mut content = pin!(source.read(from));
        while let Some(piece) = content.next().await {
            let bytes = piece.map_err(|_| "Broken")?;
            hash.update(&bytes);
            let length = bytes.len() as u64;
            sender.send(bytes).await.map_err(|_| "ClientGone")?;
            given += length;
        }
        Ok(())
    };
    let over = async {
        if let Ok(files) = log.open.files() {
            files.until_over().await;
        }
    };
    let ended = tokio::select! {
        ended = giving => ended,
        () = over => Err("SessionOver"),
    };
    drop(sender);
    let mut about = json!({"path": source.path.as_str(), "bytes": given});
    if from > 0 || ended.is_err() {
        // What was not given here cannot be hashed here.
        about["range"] = json!(range(from, given, source.bytes));
    } else {
        about["sha256"] = json!(Hex(hash.finish().as_ref()).to_string());
    }
    let told = match ended {
        Ok(()) => log.done(about).await,
        Err(why) => log.failed(why, about).await,
    };
    if let Err(error) = told {
        tracing::error!(%error, session = %log.open.id, "the end of a download could not be kept");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn only_a_whole_file_or_its_end_is_given_and_the_end_only_of_the_very_file() {
        let asked = |range: &str, condition: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::RANGE, range.parse().unwrap());
            headers.insert(header::IF_RANGE, condition.parse().unwrap());
            from(&headers, "\"1\"")
        };
        assert_eq!(asked("bytes=7-", "\"1\""), Some(7));
        assert_eq!(asked("bytes=7-", "\"2\""), None);
        assert_eq!(from(&HeaderMap::new(), "\"1\""), None);
        for other in ["bytes=-7", "bytes=1-2", "bytes=1-,3-", "bytes=+1-", "bytes=-", "items=1-", "bytes= 1-"]
        {
            assert_eq!(asked(other, "\"1\""), None, "{other}");
        }
    }

    #[test]
    fn a_name_cannot_leave_its_header() {
        assert_eq!(disposition("a\"\r\nb 関"), "attachment; filename*=UTF-8''a%22%0D%0Ab%20%E9%96%A2");
    }

    proptest! {
        #[test]
        fn every_range_is_read_or_left_aside(text in "(bytes=)?[0-9+ -]{0,24}", first: u64) {
            prop_assert_eq!(open_range(&format!("bytes={first}-")), Some(first));
            if let Some(read) = open_range(&text) {
                let digits = text["bytes=".len()..].trim_end_matches('-').trim_start_matches('0');
                let same = read.to_string();
                prop_assert_eq!(same.trim_start_matches('0'), digits);
            }
        }
    }
}
