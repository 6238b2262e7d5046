//! Configuration: one TOML file, every key overridable by an environment variable, each value knowing where it came
//! from.
//!
//! A key `listen` is overridden by `SEKISHO_LISTEN`. Secrets are never configuration: the server makes its own keys in
//! its data directory, and what others give it stands in files that the configuration names.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use sekisho_lake::Place;

/// The environment variables begin with this.
pub const PREFIX: &str = "SEKISHO_";
/// The variable by which systemd says where the credentials of the service are.
const CREDENTIALS: &str = "CREDENTIALS_DIRECTORY";

/// Where a value came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// Nobody set it.
    Default,
    /// The file.
    File,
    /// The environment variable of this name.
    Environment(String),
}

impl std::fmt::Display for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Source::Default => f.write_str("default"),
            Source::File => f.write_str("file"),
            Source::Environment(name) => write!(f, "environment {name}"),
        }
    }
}

/// The configuration cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("{0}: {1}")]
    Read(PathBuf, std::io::Error),
    /// The file is not TOML.
    #[error("{0}: {1}")]
    Parse(PathBuf, String),
    /// A key is not known.
    #[error("{source_name}: there is no setting '{key}'; 'sekisho server --print-config' lists all of them")]
    Unknown {
        /// Where it stands.
        source_name: String,
        /// The key.
        key: String,
    },
    /// A value does not fit.
    #[error("the setting '{key}' from {source_name} is not valid: {why}")]
    Value {
        /// The key.
        key: &'static str,
        /// Where it stands.
        source_name: String,
        /// What is wrong with it.
        why: String,
    },
}

/// Where the operator keeps a certificate of another authority.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateFiles {
    /// The chain, PEM, the server's own certificate first.
    pub chain: PathBuf,
    /// Its private key, PEM.
    pub key: PathBuf,
}

/// All settings.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where the database, keys and the administration socket are.
    pub data_dir: PathBuf,
    /// The URL of a PostgreSQL database, without a password; `None` is SQLite in the data directory.
    pub database: Option<String>,
    /// The file with the database's password.
    pub database_password_file: Option<PathBuf>,
    /// Where the segments of events are.
    pub lake: Place,
    /// The file with the options of object storage, its keys among them.
    pub lake_options_file: Option<PathBuf>,
    /// Where recordings of sessions go that are over; without a place they stay where they were made.
    pub recordings: Option<Place>,
    /// The file with the options of the object storage that they go to.
    pub recordings_options_file: Option<PathBuf>,
    /// The file that says where storage accounts are.
    pub storage_accounts_file: Option<PathBuf>,
    /// How many days events are kept.
    pub lake_retention_days: u32,
    /// How many days the content of audit entries is kept; `None` is for ever.
    pub audit_retention_days: Option<u32>,
    /// How many days recordings of sessions are kept after their end; `None` is for ever.
    pub recording_retention_days: Option<u32>,
    /// The address browsers, `az` and agents connect to.
    pub listen: SocketAddr,
    /// Where `/metrics` is open to whoever reaches it, without TLS.
    pub metrics_listen: Option<SocketAddr>,
    /// The public name: the passkey domain and the first name of the certificate.
    pub host: String,
    /// Further names and addresses of the certificate.
    pub names: Vec<String>,
    /// The certificate that browsers and `az` see, and its key, when it is not the installation's own.
    pub certificate: Option<CertificateFiles>,
    /// The PEM file of authorities whose certificates identity providers may show, beside the system's.
    pub federation_ca_file: Option<PathBuf>,
    /// `host:port` as machines reach the server; printed into join strings.
    pub join_address: String,
    /// A database of countries, for policies by country.
    pub country_database: Option<PathBuf>,
    /// A list of breached passwords, which nobody may have.
    pub breached_passwords_file: Option<PathBuf>,
    /// The file that says by which webhook approvers are told what waits for them.
    pub webhook_file: Option<PathBuf>,
    /// Where the packages of the agent are that machines are given.
    pub agents_dir: PathBuf,
    /// The name in `/metadata/endpoints`; some older clients insist on `AzureCloud`.
    pub cloud_name: String,
    /// What the organisation is called.
    pub organization: String,
    /// The location that new things are in.
    pub location: String,
    /// How old the sign-in behind a person's client may be when it does something dangerous; `None` asks never.
    pub client_step_up: Option<time::Duration>,
    /// Log lines as JSON.
    pub log_json: bool,
    /// Where systemd puts the credentials of the service, `systemd.exec(5)`.
    pub credentials_dir: Option<PathBuf>,
    sources: BTreeMap<&'static str, (String, Source)>,
}

/// Key, default (empty: computed), what it is.
const KEYS: &[(&str, &str, &str)] = &[
    ("data_dir", "/var/lib/sekisho", "directory of the database, keys and the administration socket"),
    ("database", "", "postgres://user@host/name when one machine is outgrown (default: SQLite in data_dir)"),
    ("database_password_file", "", "file with the password of that database; it is never part of the URL"),
    (
        "lake",
        "",
        "directory or URL (s3://, az://) of the event segments, shared by all servers (default: data_dir/lake)",
    ),
    ("lake_options_file", "", "file with the options of object storage, such as aws_region, and its keys"),
    (
        "recordings",
        "",
        "directory or URL (s3://, az://) where recordings of sessions go that are over, shared by all servers (default: they stay in data_dir/recordings)",
    ),
    ("recordings_options_file", "", "file with the options of that object storage, as lake_options_file"),
    (
        "storage_accounts_file",
        "",
        "file that says where the storage accounts of flow logs are (default: each is a directory in data_dir/storage)",
    ),
    ("lake_retention_days", "90", "days that events of machines are kept"),
    (
        "audit_retention_days",
        "",
        "days that the content of audit entries is kept; their hashes stay (default: for ever)",
    ),
    (
        "recording_retention_days",
        "",
        "days that recordings of sessions are kept after their end, unless they are held (default: for ever)",
    ),
    ("listen", "0.0.0.0:8443", "address and port for browsers, az and agents"),
    (
        "metrics_listen",
        "",
        "address and port where /metrics needs no sign-in and no TLS, such as 127.0.0.1:9464",
    ),
    ("host", "localhost", "public DNS name; passkeys belong to it, so choose it before people enrol"),
    ("names", "", "further DNS names and addresses of the certificate, separated by commas"),
    (
        "certificate_file",
        "",
        "PEM chain of a certificate for browsers and az, read again when it changes (default: of our own CA)",
    ),
    ("certificate_key_file", "", "PEM key of that certificate"),
    (
        "federation_ca_file",
        "",
        "PEM file of authorities that identity providers of federated credentials may show, beside the system's",
    ),
    ("join_address", "", "host:port as machines reach the server (default: host and the port of listen)"),
    (
        "country_database",
        "",
        "a .mmdb file that says in which country an address is, for conditional access by country (default: none)",
    ),
    (
        "breached_passwords_file",
        "",
        "a list of the SHA-1 of breached passwords, in order, as Have I Been Pwned has it; nobody may have one (default: none)",
    ),
    (
        "webhook_file",
        "",
        "file with the url, and the secret that signs, of a webhook that is told what waits for approval (default: none)",
    ),
    ("agents_dir", "/usr/share/sekisho/agents", "directory of the agent's packages that machines are given"),
    ("cloud_name", "Sekisho", "the name az and Terraform are told; some older clients insist on AzureCloud"),
    ("organization", "Sekisho", "what your organisation is called"),
    ("location", "home", "the location (site name) of new things"),
    (
        "client_step_up_minutes",
        "15",
        "minutes that a person's sign-in is good for when az or another client of theirs changes rights or secrets; 0 is for ever",
    ),
    ("log_json", "false", "write log lines as JSON"),
];

impl Config {
    /// Reads the file (if given) and the environment.
    ///
    /// # Errors
    /// [`ConfigError`] naming the key and where it stands.
    pub fn load(file: Option<&Path>, environment: &BTreeMap<String, String>) -> Result<Config, ConfigError> {
        let mut values: BTreeMap<&'static str, (String, Source)> =
            KEYS.iter().map(|(key, default, _)| (*key, ((*default).to_owned(), Source::Default))).collect();
        let known = |key: &str| KEYS.iter().map(|(k, _, _)| *k).find(|k| *k == key);
        if let Some(path) = file {
            let text = std::fs::read_to_string(path).map_err(|e| ConfigError::Read(path.to_owned(), e))?;
            let table: toml::Table =
                text.parse().map_err(|e| ConfigError::Parse(path.to_owned(), without_text(&e, &text)))?;
            for (key, value) in table {
                let name = known(&key).ok_or_else(|| ConfigError::Unknown {
                    source_name: path.display().to_string(),
                    key: key.clone(),
                })?;
                let text = match value {
                    toml::Value::String(s) => s,
                    toml::Value::Array(items) => {
                        items.iter().map(|i| i.as_str().unwrap_or_default()).collect::<Vec<_>>().join(",")
                    }
                    other => other.to_string(),
                };
                values.insert(name, (text, Source::File));
            }
        }
        for (variable, value) in environment {
            let Some(key) = variable.strip_prefix(PREFIX) else { continue };
            // Other programs of ours use the prefix too; only settings are taken here.
            if let Some(name) = known(&key.to_ascii_lowercase()) {
                values.insert(name, (value.clone(), Source::Environment(variable.clone())));
            }
        }
        let credentials_dir = environment.get(CREDENTIALS).map(PathBuf::from);
        Ok(Config { credentials_dir, ..Self::from_values(values)? })
    }

    fn from_values(values: BTreeMap<&'static str, (String, Source)>) -> Result<Config, ConfigError> {
        let text = |key: &'static str| values.get(key).map(|(v, _)| v.clone()).unwrap_or_default();
        let invalid = |key: &'static str, why: String| ConfigError::Value {
            key,
            source_name: values.get(key).map(|(_, s)| s.to_string()).unwrap_or_default(),
            why,
        };
        let listen: SocketAddr = text("listen").parse().map_err(|_| {
            invalid("listen", "an address and a port such as 0.0.0.0:443 or [::]:443 is expected".to_owned())
        })?;
        let metrics_listen = match text("metrics_listen") {
            empty if empty.is_empty() => None,
            given => Some(given.parse().map_err(|_| {
                invalid(
                    "metrics_listen",
                    "an address and a port such as 127.0.0.1:9464 is expected".to_owned(),
                )
            })?),
        };
        let host = text("host").to_ascii_lowercase();
        if host.is_empty() || host.contains([':', '/', ' ']) {
            return Err(invalid("host", "a DNS name without scheme and port is expected".to_owned()));
        }
        let log_json = text("log_json")
            .parse()
            .map_err(|_| invalid("log_json", "true or false is expected".to_owned()))?;
        let join_address = match text("join_address") {
            empty if empty.is_empty() => format!("{host}:{}", listen.port()),
            given => given,
        };
        if !sekisho_link::join::is_address(&join_address) {
            return Err(invalid(
                "join_address",
                "host:port is expected, such as sekisho.example:443".to_owned(),
            ));
        }
        let database = Some(text("database")).filter(|url| !url.is_empty());
        if let Some(url) = &database {
            check_database(url).map_err(|why| invalid("database", why))?;
        }
        let data_dir = PathBuf::from(text("data_dir"));
        let lake = match text("lake") {
            empty if empty.is_empty() => Place::Directory(data_dir.join("lake")),
            given => Place::parse(&given).map_err(|e| invalid("lake", e.to_string()))?,
        };
        let recordings = match text("recordings") {
            empty if empty.is_empty() => None,
            given => Some(Place::parse(&given).map_err(|e| invalid("recordings", e.to_string()))?),
        };
        let lake_retention_days = text("lake_retention_days").parse().ok().filter(|days| *days > 0);
        let days_or_ever = |key: &'static str| match text(key) {
            empty if empty.is_empty() => Ok(None),
            given => match given.parse().ok().filter(|days| *days > 0) {
                Some(days) => Ok(Some(days)),
                None => Err(invalid(key, "a number of days above 0 is expected".to_owned())),
            },
        };
        let client_step_up = match text("client_step_up_minutes").parse::<u32>() {
            Ok(0) => None,
            Ok(minutes) => Some(time::Duration::minutes(minutes.into())),
            Err(_) => {
                return Err(invalid("client_step_up_minutes", "a number of minutes is expected".to_owned()));
            }
        };
        let file = |key: &'static str| {
            Some(PathBuf::from(text(key))).filter(|path: &PathBuf| !path.as_os_str().is_empty())
        };
        let certificate = match (file("certificate_file"), file("certificate_key_file")) {
            (Some(chain), Some(key)) => Some(CertificateFiles { chain, key }),
            (None, None) => None,
            (Some(_), None) => {
                return Err(invalid("certificate_key_file", "the certificate's key is missing".to_owned()));
            }
            (None, Some(_)) => {
                return Err(invalid("certificate_file", "the key's certificate is missing".to_owned()));
            }
        };
        let names = text("names").split(',').map(|n| n.trim().to_owned()).filter(|n| !n.is_empty()).collect();
        Ok(Config {
            data_dir,
            lake,
            lake_options_file: file("lake_options_file"),
            recordings,
            recordings_options_file: file("recordings_options_file"),
            storage_accounts_file: file("storage_accounts_file"),
            lake_retention_days: lake_retention_days.ok_or_else(|| {
                invalid("lake_retention_days", "a number of days above 0 is expected".to_owned())
            })?,
            audit_retention_days: days_or_ever("audit_retention_days")?,
            recording_retention_days: days_or_ever("recording_retention_days")?,
            client_step_up,
            database,
            database_password_file: file("database_password_file"),
            listen,
            metrics_listen,
            host,
            names,
            certificate,
            join_address,
            country_database: file("country_database"),
            breached_passwords_file: file("breached_passwords_file"),
            federation_ca_file: file("federation_ca_file"),
            webhook_file: file("webhook_file"),
            agents_dir: PathBuf::from(text("agents_dir")),
            cloud_name: text("cloud_name"),
            organization: text("organization"),
            location: text("location"),
            log_json,
            credentials_dir: None,
            sources: values,
        })
    }

    /// All settings with their values, sources and meanings, as a TOML file with comments.
    pub fn describe(&self) -> String {
        let mut out = String::new();
        for (key, _, meaning) in KEYS {
            let (value, source) = self.sources.get(key).cloned().unwrap_or((String::new(), Source::Default));
            let value =
                if *key == "join_address" && value.is_empty() { self.join_address.clone() } else { value };
            out.push_str(&format!("# {meaning}\n{key} = {}  # {source}\n", toml::Value::String(value)));
        }
        out
    }

    /// The options of the lake's object storage.
    ///
    /// # Errors
    /// When their file cannot be read. The error does not repeat what stands in it.
    pub fn lake_options(&self) -> Result<BTreeMap<String, String>, ConfigError> {
        options(self.lake_options_file.as_deref())
    }

    /// The options of the object storage of recordings.
    ///
    /// # Errors
    /// As [`Config::lake_options`].
    pub fn recordings_options(&self) -> Result<BTreeMap<String, String>, ConfigError> {
        options(self.recordings_options_file.as_deref())
    }

    /// Every name the certificate is for.
    pub fn certificate_names(&self) -> Vec<String> {
        let mut all = vec![self.host.clone()];
        all.extend(self.names.iter().cloned());
        if let Some((host, _)) = self.join_address.rsplit_once(':') {
            all.push(host.trim_matches(['[', ']']).to_owned());
        }
        all.sort();
        all.dedup();
        let at = all.iter().position(|n| *n == self.host).unwrap_or(0);
        all.swap(0, at);
        all
    }
}

/// The options of object storage that stand in a file.
fn options(file: Option<&Path>) -> Result<BTreeMap<String, String>, ConfigError> {
    let Some(path) = file else { return Ok(BTreeMap::new()) };
    let text = std::fs::read_to_string(path).map_err(|e| ConfigError::Read(path.to_owned(), e))?;
    let expected = "lines such as aws_region = \"eu-west-1\" are expected";
    toml::from_str(&text).map_err(|_| ConfigError::Parse(path.to_owned(), expected.to_owned()))
}

/// Variables that look like settings and are none: misspelt, most likely.
pub fn unknown_variables(environment: &BTreeMap<String, String>) -> impl Iterator<Item = &str> {
    /// Those of our programs that are no settings.
    const OTHERS: &[&str] = &["LOG"];
    environment.keys().filter_map(|variable| {
        let key = variable.strip_prefix(PREFIX)?;
        let known = KEYS.iter().any(|(k, _, _)| k.eq_ignore_ascii_case(key)) || OTHERS.contains(&key);
        (!known).then_some(variable.as_str())
    })
}

/// What is wrong with the file and where, without the line itself: it may hold a secret.
fn without_text(error: &toml::de::Error, text: &str) -> String {
    let before = error.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
    format!("line {}: {}", before.matches('\n').count() + 1, error.message())
}

/// A password in the URL would stand in `--print-config`, in the environment and in backups of the configuration.
fn check_database(url: &str) -> Result<(), String> {
    let rest = url
        .strip_prefix("postgres://")
        .or_else(|| url.strip_prefix("postgresql://"))
        .ok_or("a URL such as postgres://user@host/name is expected")?;
    let user = rest.split('/').next().and_then(|authority| authority.rsplit_once('@')).map_or("", |(u, _)| u);
    let query = rest.split_once('?').map_or("", |(_, query)| query);
    if user.contains(':') || query.split('&').any(|pair| pair.starts_with("password=")) {
        return Err(
            "the password belongs in the file that 'database_password_file' names, not in the URL".into()
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_environment_overrides_the_file_and_the_source_is_shown() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("sekisho.toml");
        std::fs::write(&path, "host = \"a.example\"\nlisten = \"127.0.0.1:1\"\n").unwrap();
        let environment = BTreeMap::from([("SEKISHO_LISTEN".to_owned(), "127.0.0.1:9443".to_owned())]);
        let config = Config::load(Some(&path), &environment).unwrap();
        assert_eq!(config.join_address, "a.example:9443");
        let text = config.describe();
        assert!(text.contains("host = \"a.example\"  # file"), "{text}");
        assert!(text.contains("listen = \"127.0.0.1:9443\"  # environment SEKISHO_LISTEN"), "{text}");
    }

    #[test]
    fn a_password_in_the_database_url_is_refused_and_not_repeated() {
        for url in ["postgres://u:hunter2@h/d", "postgresql://u@h/d?password=hunter2", "mysql://hunter2"] {
            let environment = BTreeMap::from([("SEKISHO_DATABASE".to_owned(), url.to_owned())]);
            let error = Config::load(None, &environment).unwrap_err().to_string();
            assert!(error.contains("'database'") && !error.contains("hunter2"), "{error}");
        }
    }

    #[test]
    fn a_lake_that_is_nowhere_and_a_retention_of_no_days_name_themselves() {
        for (key, value) in [
            ("LAKE", "lake"),
            ("LAKE", "s3://user:secret@bucket/x"),
            ("LAKE", "s4://user:secret@bucket/x"),
            ("RECORDINGS", "s3://user:secret@bucket/x"),
            ("LAKE_RETENTION_DAYS", "0"),
            ("RECORDING_RETENTION_DAYS", "0"),
        ] {
            let environment = BTreeMap::from([(format!("SEKISHO_{key}"), value.to_owned())]);
            let error = Config::load(None, &environment).unwrap_err().to_string();
            assert!(error.contains(&key.to_lowercase()) && !error.contains("secret"), "{error}");
        }
    }

    #[test]
    fn what_is_no_toml_is_named_by_its_line_and_not_repeated() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("sekisho.toml");
        std::fs::write(&path, "host = \"h\"\ndatabase = postgres://u:hunter2@h/d\n").unwrap();
        let error = Config::load(Some(&path), &BTreeMap::new()).unwrap_err().to_string();
        assert!(error.contains("line 2:") && !error.contains("hunter2"), "{error}");
    }

    #[test]
    fn the_file_with_the_options_of_object_storage_can_be_named() {
        let environment = BTreeMap::from([("SEKISHO_LAKE_OPTIONS_FILE".to_owned(), "/etc/o".to_owned())]);
        let config = Config::load(None, &environment).unwrap();
        assert_eq!(config.lake_options_file, Some(PathBuf::from("/etc/o")));
    }

    #[test]
    fn a_misspelt_key_or_value_names_itself() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("sekisho.toml");
        std::fs::write(&path, "lisen = \"x\"\n").unwrap();
        assert!(Config::load(Some(&path), &BTreeMap::new()).unwrap_err().to_string().contains("'lisen'"));
        let environment = BTreeMap::from([("SEKISHO_LISTEN".to_owned(), "nonsense".to_owned())]);
        let error = Config::load(None, &environment).unwrap_err().to_string();
        assert!(error.contains("'listen'") && error.contains("SEKISHO_LISTEN"), "{error}");
    }
}
