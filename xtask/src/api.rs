//! Talking to a demo's server from outside, as any program would: `curl` with a service principal's token. Secrets go
//! in by standard input, never by argument.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, bail};
use serde_json::Value;

/// A signed-in client.
pub(crate) struct Api {
    url: String,
    ca: PathBuf,
    token: String,
}

impl Api {
    /// Signs in.
    pub(crate) fn sign_in(
        url: &str,
        ca: &Path,
        tenant: &str,
        app: &str,
        password: &str,
    ) -> anyhow::Result<Api> {
        let mut api = Api { url: url.to_owned(), ca: ca.to_owned(), token: String::new() };
        let form = format!(
            "grant_type=client_credentials&client_id={app}&client_secret={password}&scope={url}/.default"
        );
        let config = format!("data = \"{form}\"\n");
        let answer = api.curl(&format!("{url}/{tenant}/oauth2/v2.0/token"), &config)?;
        api.token = answer["access_token"].as_str().context("the server gave no token")?.to_owned();
        Ok(api)
    }

    /// GET of a path with its api-version.
    pub(crate) fn get(&self, path: &str) -> anyhow::Result<Value> {
        self.curl(&format!("{}{path}", self.url), "")
    }

    /// PUT of a path with its api-version.
    pub(crate) fn put(&self, path: &str, body: &Value) -> anyhow::Result<Value> {
        let text = body.to_string().replace('\\', "\\\\").replace('"', "\\\"");
        let config =
            format!("request = PUT\nheader = \"content-type: application/json\"\ndata = \"{text}\"\n");
        self.curl(&format!("{}{path}", self.url), &config)
    }

    fn curl(&self, url: &str, config: &str) -> anyhow::Result<Value> {
        let mut all =
            format!("url = \"{url}\"\ncacert = \"{}\"\nsilent\nshow-error\n{config}", self.ca.display());
        if !self.token.is_empty() {
            all.push_str(&format!("header = \"authorization: Bearer {}\"\n", self.token));
        }
        let mut child = Command::new("curl")
            .args(["--config", "-"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .context("starting curl")?;
        child.stdin.take().context("curl has no input")?.write_all(all.as_bytes())?;
        let output = child.wait_with_output()?;
        if !output.status.success() {
            bail!("{url}: {}", String::from_utf8_lossy(&output.stderr).trim());
        }
        let answer: Value =
            serde_json::from_slice(&output.stdout).with_context(|| format!("{url} answered no JSON"))?;
        match answer.get("error") {
            None => Ok(answer),
            Some(error) => bail!("{url}: {error}"),
        }
    }
}
