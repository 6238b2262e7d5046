//! `sekisho recording verify`: whether files are what was recorded, with nothing but them and what the activity log says
//! of their keys.
//!
//! A recording names its own key, which proves nothing; so the key comes from the log, by hand or out of an export that
//! is checked first. What files say is printed without control characters: they may be anybody's.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use sekisho_arm::resource::instant;
use sekisho_audit::note::Verifier;
use sekisho_audit::{Leaf, export};
use sekisho_bastion_recording::container::{Header, Line};
use sekisho_bastion_recording::export::{asciicast, plain, text};
use sekisho_bastion_recording::verify::{End, Examined, examine};
use sekisho_link::ticket::OPERATION;

/// What is checked, and against what.
#[derive(clap::Args)]
pub(crate) struct Verify {
    /// The files (.skr).
    #[arg(required = true)]
    files: Vec<PathBuf>,
    /// The key of the recording, of one file: 'recordingKey' in the activity log's entry about the session, base64.
    #[arg(long, required_unless_present = "log", conflicts_with = "log")]
    key: Option<String>,
    /// An export of the activity log ('sekisho audit export'), or - for standard input. It is checked first; then it says
    /// whose session each recording is of, when, and on which machine.
    #[arg(long)]
    log: Option<PathBuf>,
    /// The log's key when it is known from elsewhere; otherwise the export's own word is taken for it.
    #[arg(long, requires = "log")]
    log_key: Option<String>,
    /// Writes what is proved to standard output as text; what is said of it goes to standard error.
    #[arg(long, conflicts_with = "cast")]
    text: bool,
    /// The same as asciicast v3.
    #[arg(long)]
    cast: bool,
}

/// Checks recordings.
///
/// # Errors
/// When one cannot be read, or is not whole, or the log's export is not to be believed.
pub(crate) fn verify(asked: &Verify) -> anyhow::Result<()> {
    if asked.key.is_some() && asked.files.len() > 1 {
        bail!("every recording has a key of its own: give one file, or the log instead of --key");
    }
    let log = asked.log.as_deref().map(|file| Sessions::read(file, asked.log_key.as_deref())).transpose()?;
    let mut bad = 0;
    for file in &asked.files {
        let bytes = std::fs::read(file).with_context(|| file.display().to_string())?;
        let Judged { said, is_whole, proved } = judge(&bytes, asked.key.as_deref(), log.as_ref());
        let said = format!("{}\n{said}", file.display());
        bad += usize::from(!is_whole);
        match (proved, asked.text, asked.cast) {
            (_, false, false) => super::print(&said),
            (proved, as_text, _) => {
                super::note(&said);
                let exported = proved.map(|r| if as_text { text(&r) } else { asciicast(&r) });
                let exported = exported.transpose().with_context(|| file.display().to_string())?;
                super::print(&exported.unwrap_or_default());
            }
        }
    }
    if bad > 0 {
        bail!("{bad} of {} recordings are not what was recorded, or not all of it", asked.files.len());
    }
    Ok(())
}

/// What is to be said of a recording.
struct Judged {
    said: String,
    is_whole: bool,
    /// What of it is proved, if anything is.
    proved: Option<sekisho_bastion_recording::verify::Recording>,
}

fn judge(bytes: &[u8], key: Option<&str>, log: Option<&Sessions>) -> Judged {
    let nothing = |why: &str| Judged { said: field("BAD", why), is_whole: false, proved: None };
    let Examined { recording, broken } = match examine(bytes, key) {
        Ok(examined) => examined,
        Err(why) => return nothing(&why.to_string()),
    };
    // The header, too, is proved by the first seal only.
    if recording.lines.is_empty() && recording.end == End::Open {
        return nothing(&broken.map_or_else(
            || "it ends before its first seal: nothing of it is proved".to_owned(),
            |why| why.to_string(),
        ));
    }
    let header = &recording.header;
    let mut said = field("session", &header.session);
    said += &field("machine", &header.machine);
    said += &field("account", &header.account);
    said += &field("person", &header.person);
    said += &field("began", &header.since);
    if let Some(log) = log {
        match log.of(header) {
            Ok(told) => said += &told,
            Err(why) => return nothing(&why),
        }
    }
    let last = recording.lines.last().map_or(0, |Line(at, ..)| *at);
    said += &field("proved", &format!("up to {} after its beginning", clock(last)));
    let wrong = match (&broken, recording.end) {
        (Some(why), _) => Some(why.to_string()),
        (None, End::Closed) => None,
        (None, End::Open) => {
            Some("the seal that closes it is missing: it was cut, or goes on, or its server died".to_owned())
        }
    };
    said += &match &wrong {
        Some(why) => field("BAD", why),
        None => field("whole", "it ends with its session"),
    };
    Judged { said, is_whole: wrong.is_none(), proved: Some(recording) }
}

fn field(name: &str, value: &str) -> String {
    format!("  {name:<8}  {}\n", plain(value).replace('\n', " "))
}

/// Hours, minutes, seconds.
fn clock(ms: u64) -> String {
    let seconds = ms / 1000;
    format!("{}:{:02}:{:02}.{:03}", seconds / 3600, seconds / 60 % 60, seconds % 60, ms % 1000)
}

/// The sessions that an export of the log tells of, after it was checked.
struct Sessions(Vec<Leaf>);

impl Sessions {
    fn read(file: &Path, key: Option<&str>) -> anyhow::Result<Sessions> {
        let trusted = key.map(str::parse::<Verifier>).transpose().context("--log-key")?;
        let lines = super::read_text(file)?;
        let report =
            export::verify(lines.lines(), trusted.as_ref()).with_context(|| file.display().to_string())?;
        if !report.holds() {
            bail!("{}: it is not what the log has signed\n{report}", file.display());
        }
        let leaves = lines.lines().filter_map(|line| match serde_json::from_str(line) {
            Ok(export::Line::Entry { leaf: Some(leaf), .. }) => serde_json::from_str::<Leaf>(&leaf).ok(),
            _ => None,
        });
        Ok(Sessions(leaves.filter(|leaf| leaf.entry.operation == OPERATION).collect()))
    }

    /// What the log says of the session that was sealed with a recording's key; else why it is not the recording's.
    fn of(&self, header: &Header) -> Result<String, String> {
        let session = |leaf: &&Leaf| {
            leaf.entry
                .properties
                .as_ref()
                .is_some_and(|p| p["session"]["recordingKey"] == header.key.as_str())
        };
        let begun = self.0.iter().find(session).ok_or(
            "the log's export tells of no session that this key seals: it may begin later, or the recording is not of this installation",
        )?;
        let entry = &begun.entry;
        // Of VNC there is none.
        let account = entry.properties.as_ref().and_then(|p| p["session"]["account"].as_str());
        let agree = [
            ("session", entry.correlation_id == header.session),
            ("machine", entry.resource_id.eq_ignore_ascii_case(&header.machine)),
            ("account", account.unwrap_or_default() == header.account),
            ("person", entry.caller.name == header.person),
        ];
        if let Some((what, _)) = agree.iter().find(|(_, same)| !same) {
            return Err(format!("the log names another {what} than the recording"));
        }
        let (number, at, who) = (begun.sequence, instant(begun.at), &entry.caller.name);
        let mut told = field("log", &format!("entry {number}: {who} at {at}"));
        let ended =
            |leaf: &&Leaf| leaf.sequence > number && leaf.entry.correlation_id == entry.correlation_id;
        told += &match self.0.iter().find(ended) {
            Some(end) => {
                let (number, at) = (end.sequence, instant(end.at));
                field("", &format!("entry {number}: over at {at} ({})", end.entry.detail))
            }
            None => field("", "it does not tell of the session's end"),
        };
        Ok(told)
    }
}
