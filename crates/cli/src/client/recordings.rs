//! Recordings, fetched to be checked and kept on this computer.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use reqwest::Method;
use serde_json::json;
use uuid::Uuid;

use super::home::Home;
use super::sign_in;

const VERSION: &str = "2026-11-01";
const OF_ALL: &str = "/providers/sekisho.bastion/recordings/";

/// A recording.
#[derive(clap::Args)]
pub(crate) struct Download {
    /// The recording: its id, with the machine that it is of; or its session's alone, for whoever may see those of all
    /// machines.
    recording: String,
    /// The file to make; SESSION.skr when not given.
    #[arg(long)]
    to: Option<PathBuf>,
}

/// The scope of a recording and its session.
fn parsed(recording: &str) -> anyhow::Result<(&str, Uuid)> {
    let (scope, session) = match recording.to_ascii_lowercase().find(OF_ALL) {
        Some(at) => recording.split_at(at),
        None => ("", recording),
    };
    let session = session.rsplit('/').next().unwrap_or_default();
    let is_scope = scope.is_empty() || scope.starts_with('/') && !scope.contains(['?', '#', '%']);
    match Uuid::try_parse(session) {
        Ok(session) if is_scope => Ok((scope, session)),
        _ => bail!("'{recording}' is no recording: the id of one, or of its session, is expected"),
    }
}

/// Fetches a recording's file.
pub(super) async fn download(home: &Home, asked: &Download) -> anyhow::Result<()> {
    let (scope, session) = parsed(&asked.recording)?;
    let to = asked.to.clone().unwrap_or_else(|| format!("{session}.skr").into());
    let mut options = OpenOptions::new();
    let file = options.write(true).create_new(true).mode(0o600).open(&to);
    let mut file = file.with_context(|| to.display().to_string())?;
    let done = fetch(home, scope, session, &mut file, &to).await;
    match done {
        Ok(()) => crate::print(&format!("{}\n", to.display())),
        // A part of one looks like a whole one that was cut.
        Err(_) => drop(std::fs::remove_file(&to)),
    }
    done
}

async fn fetch(
    home: &Home,
    scope: &str,
    session: Uuid,
    file: &mut std::fs::File,
    to: &Path,
) -> anyhow::Result<()> {
    let url = format!("{scope}/providers/Sekisho.Bastion/downloadRecording?api-version={VERSION}");
    let mut offset = 0_u64;
    loop {
        let (server, token) = sign_in::signed_in(home).await?;
        let body = json!({ "id": session, "offset": offset });
        let answer = server.ask(Method::POST, &url, &token, Some(&body)).await?;
        let size = answer["size"].as_u64().context("the server says nothing of the file's size")?;
        let piece = STANDARD.decode(answer["content"].as_str().context("the server gave no content")?)?;
        file.write_all(&piece).with_context(|| to.display().to_string())?;
        offset += u64::try_from(piece.len())?;
        if piece.is_empty() || offset >= size {
            return file.sync_all().with_context(|| to.display().to_string());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_recording_is_named_by_its_id_or_its_session_and_nothing_else_goes_into_the_request() {
        let session = Uuid::nil();
        let machine = "/subscriptions/s/resourceGroups/g/providers/Microsoft.Compute/virtualMachines/db";
        let id = format!("{machine}/providers/Sekisho.Bastion/recordings/{session}");
        assert_eq!(parsed(&id).unwrap(), (machine, session));
        assert_eq!(parsed(&session.to_string()).unwrap(), ("", session));
        for wrong in
            ["", "db", "/x?y/providers/Sekisho.Bastion/recordings/z", &format!("{id}/x"), &format!("a{id}")]
        {
            assert!(parsed(wrong).is_err(), "{wrong}");
        }
    }
}
