//! Talking to a site's server from outside, as any program would: `curl` with a service principal's token. Secrets go
//! in by standard input, never by argument.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::site::SiteError;

/// A signed-in client.
#[derive(Clone)]
pub struct Api {
    url: String,
    ca: PathBuf,
    token: String,
}

impl Api {
    /// Signs in as a service principal.
    ///
    /// # Errors
    /// [`SiteError::Answer`] with the server's words.
    pub fn sign_in(url: &str, ca: &Path, tenant: &str, app: &str, password: &str) -> Result<Api, SiteError> {
        let mut api = Api { url: url.to_owned(), ca: ca.to_owned(), token: String::new() };
        let scope = format!("{url}/.default");
        let form =
            format!("grant_type=client_credentials&client_id={app}&client_secret={password}&scope={scope}");
        let answer =
            api.curl(&format!("{url}/{tenant}/oauth2/v2.0/token"), &format!("data = \"{form}\"\n"))?;
        let token = answer["access_token"].as_str();
        api.token = token.ok_or_else(|| SiteError::Answer("the server gave no token".to_owned()))?.to_owned();
        Ok(api)
    }

    /// The access token: a secret.
    pub fn token(&self) -> &str {
        &self.token
    }

    /// GET of a path with its api-version.
    ///
    /// # Errors
    /// [`SiteError::Answer`] with the server's words.
    pub fn get(&self, path: &str) -> Result<Value, SiteError> {
        self.curl(&format!("{}{path}", self.url), "")
    }

    /// PUT of a path with its api-version.
    ///
    /// # Errors
    /// [`SiteError::Answer`] with the server's words.
    pub fn put(&self, path: &str, body: &Value) -> Result<Value, SiteError> {
        self.send("PUT", path, body)
    }

    /// POST of a path with its api-version.
    ///
    /// # Errors
    /// [`SiteError::Answer`] with the server's words.
    pub fn post(&self, path: &str, body: &Value) -> Result<Value, SiteError> {
        self.send("POST", path, body)
    }

    /// DELETE of a path with its api-version.
    ///
    /// # Errors
    /// [`SiteError::Answer`] with the server's words.
    pub fn delete(&self, path: &str) -> Result<Value, SiteError> {
        self.curl(&format!("{}{path}", self.url), "request = DELETE\n")
    }

    fn send(&self, method: &str, path: &str, body: &Value) -> Result<Value, SiteError> {
        let text = body.to_string().replace('\\', "\\\\").replace('"', "\\\"");
        let config =
            format!("request = {method}\nheader = \"content-type: application/json\"\ndata = \"{text}\"\n");
        self.curl(&format!("{}{path}", self.url), &config)
    }

    fn curl(&self, url: &str, config: &str) -> Result<Value, SiteError> {
        let ca = self.ca.display();
        let mut all =
            format!("url = \"{url}\"\ncacert = \"{ca}\"\nsilent\nshow-error\nmax-time = 20\n{config}");
        if !self.token.is_empty() {
            all.push_str(&format!("header = \"authorization: Bearer {}\"\n", self.token));
        }
        let failed = |e: std::io::Error| SiteError::Io("curl".to_owned(), e);
        let mut child = Command::new("curl")
            .args(["--config", "-"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(failed)?;
        if let Some(mut input) = child.stdin.take() {
            input.write_all(all.as_bytes()).map_err(failed)?;
        }
        let output = child.wait_with_output().map_err(failed)?;
        if !output.status.success() {
            return Err(SiteError::Answer(format!(
                "{url}: {}",
                String::from_utf8_lossy(&output.stderr).trim()
            )));
        }
        if output.stdout.is_empty() {
            return Ok(Value::Null);
        }
        let answer: Value = serde_json::from_slice(&output.stdout)
            .map_err(|_| SiteError::Answer(format!("{url} answered no JSON")))?;
        match answer.get("error") {
            None => Ok(answer),
            Some(error) => Err(SiteError::Answer(format!("{url}: {error}"))),
        }
    }
}
