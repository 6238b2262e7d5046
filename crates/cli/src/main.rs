//! `sekisho`: runs the server, administers it, and leads people from their own computers to machines.
//!
//! `server` is the product. What administers it talks to the running server through the administration socket in its
//! data directory, which only root and the server's own user can open. What works on the installation as a whole
//! (`db`, `restore`) takes the data directory's lock, which a running server holds; `backup` and `doctor` only read. This program
//! must never write the database beside a running server, or take a secret as an argument.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context as _;
use clap::{CommandFactory, Parser, Subcommand};
use sekisho_audit::export;
use sekisho_audit::note::Verifier;
use sekisho_server::config::Config;
use sekisho_server::{admin, backup, database, doctor, log};

mod client;
mod recording;

/// Lists are read and written as trees of many small pieces, on several threads: with the C library's allocator, a third
/// of the server's time went into it.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Secures virtual machines wherever they run.
#[derive(Parser)]
#[command(name = "sekisho", version)]
struct Arguments {
    /// The configuration file; /etc/sekisho/sekisho.toml when there is one. Every setting can also be given as an
    /// environment variable, such as SEKISHO_LISTEN.
    #[arg(long, global = true)]
    config: Option<PathBuf>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    #[command(flatten)]
    Client(client::Command),
    #[command(flatten)]
    Installation(Installation),
}

#[derive(Subcommand)]
enum Installation {
    /// Runs the server.
    Server {
        /// Shows every setting with its value and where it came from, and ends.
        #[arg(long)]
        print_config: bool,
    },
    /// Shows how the running server is.
    Status,
    /// Looks at everything the installation stands on: settings, clock, certificates, database, disk, kernel, headroom.
    ///
    /// Ends with status 1 when something is bad; warnings alone do not.
    Doctor {
        /// Prints a JSON list.
        #[arg(long)]
        json: bool,
    },
    /// Makes a one-time link by which somebody can enrol as Owner: the first person, or after a lock-out.
    SetupLink,
    /// People whom no policy of conditional access holds up, for the day on which one keeps everybody out.
    ///
    /// At most two. Give them passkeys that lie in a safe; every sign-in of one is an entry of its own in the log.
    EmergencyAccount {
        #[command(subcommand)]
        command: EmergencyAccount,
    },
    /// What only root on the server may do for people.
    Admin {
        #[command(subcommand)]
        command: Admin,
    },
    /// Tokens that let machines in.
    AgentToken {
        #[command(subcommand)]
        command: AgentToken,
    },
    /// Service principals for az, SDKs and scripts.
    ServicePrincipal {
        #[command(subcommand)]
        command: ServicePrincipal,
    },
    /// The keys of the installation: one root key, and the ring of all others in the database.
    Keys {
        #[command(subcommand)]
        command: Keys,
    },
    /// The activity log: export it, and check that nothing in it was changed, dropped or put in between.
    Audit {
        #[command(subcommand)]
        command: Audit,
    },
    /// Recordings of sessions: check that one is what was recorded.
    Recording {
        #[command(subcommand)]
        command: Recording,
    },
    /// Writes the whole installation, keys and database, into one file. The server may be running.
    ///
    /// The file holds the root key, and with it all others: keep it where only administrators can read it, or encrypt it
    /// on its way, as in 'sekisho backup - | age -r KEY > FILE'. A root key that systemd keeps is not in it.
    ///
    /// Events of the last hour are in it, and the list of the segments that hold the older ones. The segments are files
    /// of their own ('lake', by default the directory of that name in the data directory): copy them after the backup.
    Backup {
        /// The file to make, or - for standard output.
        file: PathBuf,
    },
    /// Restores a backup into an empty data directory and an empty database, of either kind.
    ///
    /// The segments of older events are put back by hand, under 'lake'. The server names those that are missing when it
    /// starts, and answers with an error where a machine's history needs one.
    ///
    /// Machines that have seen more of the activity log than is in the backup keep their rules and obey nothing new: to
    /// them, history was rewritten. 'sekisho-agent trust-log' lets a machine go on; only root on it can say so.
    Restore {
        /// The file, or - for standard input.
        file: PathBuf,
    },
    /// Works on the database as a whole, while the server is stopped.
    Db {
        #[command(subcommand)]
        command: Db,
    },
    /// Prints a completion script.
    Completions {
        /// For which shell.
        shell: clap_complete::Shell,
    },
}

#[derive(Subcommand)]
enum EmergencyAccount {
    /// Shows them.
    List,
    /// Makes a person's account one of them.
    Add {
        /// The sign-in name.
        name: String,
    },
    /// Makes it an ordinary one again.
    Remove {
        /// The sign-in name.
        name: String,
    },
}

#[derive(Subcommand)]
enum Admin {
    /// Prints a one-time link with which a person who can sign in with nothing registers anew, good for 15 minutes.
    ///
    /// It is in the log, and all administrators are told in the portal.
    Recover {
        /// The sign-in name.
        name: String,
    },
}

#[derive(Subcommand)]
enum Audit {
    /// Writes the log to standard output as lines of JSON: entries, the newest checkpoint, cosignatures of machines.
    ///
    /// The server may be running. What is written can be checked anywhere, by 'sekisho audit verify FILE'.
    Export {
        /// The first entry.
        #[arg(long, default_value_t = 1)]
        from: u64,
        /// The last one; the newest when not given.
        #[arg(long)]
        to: Option<u64>,
    },
    /// Checks an export, offline; without a file, the running server's database.
    ///
    /// Names the first entry that does not fit. Of an export it says whether the log has signed it and which machines
    /// have seen it so.
    Verify {
        /// The file, or - for standard input.
        file: Option<PathBuf>,
        /// The log's key when it is known from elsewhere; otherwise the file's own word is taken for it.
        #[arg(long)]
        key: Option<String>,
    },
}

#[derive(Subcommand)]
enum Recording {
    /// Checks recordings, offline: that nothing in them was changed, cut or exchanged.
    ///
    /// Says of one that is not whole what is wrong, and up to which moment it is proved; the status is 1 then.
    Verify(recording::Verify),
    /// Fetches the file of a recording from the server that this computer is signed in to ('sekisho login').
    Download(client::Download),
}

#[derive(Subcommand)]
enum AgentToken {
    /// Makes an enrolment token and prints its join string, once.
    Create {
        /// The resource group that machines join; made when it does not exist.
        #[arg(long, default_value = "machines")]
        resource_group: String,
        /// How long it is good for, in seconds (60 to 86400).
        #[arg(long, default_value_t = 3600)]
        ttl: i64,
        /// How many machines it lets in.
        #[arg(long, default_value_t = 1)]
        uses: i64,
        /// Prints the shell command that installs the agent and joins instead. It holds the join string.
        #[arg(long)]
        install_command: bool,
    },
}

#[derive(Subcommand)]
enum Db {
    /// Brings the database up to date with this program, after a backup. The server does the same when it starts.
    Migrate {
        /// Only says whether there is something to do.
        #[arg(long)]
        check: bool,
    },
    /// Copies the database into an empty PostgreSQL. The old one stays as it is.
    Copy {
        /// Where to, without a password: postgres://user@host/name.
        #[arg(long)]
        to: String,
        /// A file with the password.
        #[arg(long)]
        password_file: Option<PathBuf>,
    },
}

#[derive(Subcommand)]
enum Keys {
    /// Shows the keys and where they are in their lives: pending, active, retiring or destroyed.
    List,
    /// Replaces a key. The server replaces the one that signs tokens every 90 days by itself.
    ///
    /// A new key is published for an hour before it is used (an authority for a day), and the old one is trusted for as
    /// long as anything lives that it made, so that nobody notices. All servers of one database change over at the same
    /// moment.
    Rotate {
        /// What the key is for.
        purpose: Purpose,
        /// Uses the new key at once.
        #[arg(long)]
        at_once: bool,
        /// Destroys the old keys at once, because somebody else may have them. What they signed is refused from then on:
        /// programs ask for a new token by themselves.
        #[arg(long, requires = "at_once")]
        destroy_old: bool,
        /// Also when machines are cut off by that, as those are that may know no other key.
        #[arg(long, requires = "destroy_old")]
        cut_off: bool,
    },
}

/// What a key is for.
#[derive(Clone, Copy, clap::ValueEnum)]
enum Purpose {
    /// Signs access tokens and id tokens.
    TokenSigning,
    /// Proves to whoever connects that this is the server.
    ServerTls,
    /// Seals all other keys: every one is sealed anew with the new root key.
    Root,
    /// Signs the certificates of agents and of the server.
    AgentCa,
    /// Signs what machines are told.
    CommandSigning,
    /// Signs checkpoints of the activity log.
    LogSigning,
    /// Seals what else is secret in the database.
    Sealing,
    /// Keys the counters of failed sign-ins.
    Throttle,
    /// Certifies people to the SSH servers of machines.
    SshUserCa,
    /// Certifies machines' SSH servers to people.
    SshHostCa,
}

impl Purpose {
    fn word(self) -> String {
        clap::ValueEnum::to_possible_value(&self).map(|v| v.get_name().to_owned()).unwrap_or_default()
    }
}

#[derive(Subcommand)]
enum ServicePrincipal {
    /// Makes a service principal with a role and prints its password, once.
    Create {
        /// What people call it.
        #[arg(long)]
        name: String,
        /// The built-in role that it has: Owner when not given.
        #[arg(long)]
        role: Option<String>,
        /// Where it has the role, such as / for everything: the first subscription when not given.
        #[arg(long)]
        scope: Option<String>,
        /// A file with a certificate, PEM: it signs in with the key of that, and no password is made.
        #[arg(long)]
        certificate: Option<PathBuf>,
    },
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return fail(&anyhow::Error::from(error)),
    };
    match runtime.block_on(run(arguments)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(&error),
    }
}

async fn run(arguments: Arguments) -> anyhow::Result<()> {
    sekisho_logging::keep_memory().context("core dumps cannot be turned off")?;
    match arguments.command {
        Command::Client(command) => client::run(&command).await,
        Command::Installation(command) => administer(command, arguments.config).await,
    }
}

async fn administer(command: Installation, config: Option<PathBuf>) -> anyhow::Result<()> {
    let environment: BTreeMap<String, String> = std::env::vars().collect();
    let usual = Path::new("/etc/sekisho/sekisho.toml");
    let file = config.as_deref().or_else(|| usual.exists().then_some(usual));
    let config = Config::load(file, &environment)?;
    let ask = async |path: &str, body: serde_json::Value| admin::ask(&config.data_dir, path, body).await;
    match command {
        Installation::Server { print_config: true } => print(&config.describe()),
        Installation::Server { print_config: false } => {
            sekisho_logging::start("info,sqlx::postgres::notice=warn", config.log_json);
            sekisho_server::run(config).await?;
        }
        Installation::Status => print(&pretty(&ask("/status", serde_json::Value::Null).await?)),
        Installation::Doctor { json } => {
            let findings = doctor::examine(&config, &environment).await;
            if json {
                print(&(serde_json::to_string_pretty(&findings)? + "\n"));
            } else {
                findings.iter().for_each(|finding| print(&format!("{finding}\n")));
            }
            let bad = findings.iter().filter(|f| f.state == doctor::State::Bad).count();
            if bad > 0 {
                anyhow::bail!("{bad} of {} findings are bad", findings.len());
            }
        }
        Installation::SetupLink => print(&line(&ask("/setup-link", serde_json::Value::Null).await?, "link")),
        Installation::EmergencyAccount { command } => {
            let body = match command {
                EmergencyAccount::List => serde_json::json!({}),
                EmergencyAccount::Add { name } => serde_json::json!({ "add": name }),
                EmergencyAccount::Remove { name } => serde_json::json!({ "remove": name }),
            };
            print(&pretty(&ask("/emergency-account", body).await?));
        }
        Installation::Admin { command: Admin::Recover { name } } => {
            print(&line(&ask("/recover", serde_json::json!({ "name": name })).await?, "link"));
        }
        Installation::AgentToken {
            command: AgentToken::Create { resource_group, ttl, uses, install_command },
        } => {
            let body =
                serde_json::json!({"resourceGroup": resource_group, "ttlSeconds": ttl, "maxUses": uses});
            let shown = if install_command { "installCommand" } else { "joinString" };
            print(&line(&ask("/agent-token", body).await?, shown));
        }
        Installation::ServicePrincipal {
            command: ServicePrincipal::Create { name, role, scope, certificate },
        } => {
            // Only the certificate goes anywhere, should the file hold its key, too.
            let read = |path: PathBuf| {
                let text = std::fs::read_to_string(&path).with_context(|| path.display().to_string())?;
                let begin = text.find("-----BEGIN CERTIFICATE-----");
                let rest = begin
                    .map(|at| &text[at..])
                    .with_context(|| format!("{}: no certificate", path.display()))?;
                let end = rest.find("-----END CERTIFICATE-----").map_or(rest.len(), |at| at + 25);
                anyhow::Ok(rest[..end].to_owned())
            };
            let certificate = certificate.map(read).transpose()?;
            let body = serde_json::json!({
                "displayName": name, "role": role, "scope": scope, "certificate": certificate,
            });
            print(&pretty(&ask("/service-principal", body).await?));
        }
        Installation::Keys { command: Keys::List } => {
            print(&pretty(&ask("/keys", serde_json::Value::Null).await?));
        }
        Installation::Keys { command: Keys::Rotate { purpose, at_once, destroy_old, cut_off } } => {
            let body = serde_json::json!({
                "purpose": purpose.word(), "atOnce": at_once, "destroyOld": destroy_old, "cutOff": cut_off,
            });
            print(&pretty(&ask("/keys/rotate", body).await?));
        }
        Installation::Audit { command: Audit::Export { from, to } } => {
            let mut out = std::io::BufWriter::new(std::io::stdout().lock());
            log::export(&config, from, to, &mut out).await?;
        }
        Installation::Audit { command: Audit::Verify { file: None, .. } } => {
            print(&pretty(&ask("/audit-verify", serde_json::Value::Null).await?));
        }
        Installation::Audit { command: Audit::Verify { file: Some(file), key } } => {
            verify(&file, key.as_deref())?
        }
        Installation::Recording { command: Recording::Verify(asked) } => recording::verify(&asked)?,
        Installation::Recording { command: Recording::Download(asked) } => client::download(&asked).await?,
        Installation::Backup { file } if file.as_os_str() == "-" => {
            backup::write(&config, std::io::stdout().lock()).await?;
        }
        Installation::Backup { file } => {
            let kept = backup::to_file(&config, &file).await?;
            let (keys, rows) = (kept.keys, kept.rows);
            print(&format!(
                "{keys} keys and {rows} rows are in {}.\nOlder events are in the files under {}: copy them, too.\n",
                file.display(),
                config.lake
            ));
        }
        Installation::Restore { file } => {
            let _lock = database::take(&config.data_dir)?;
            let kept = if file.as_os_str() == "-" {
                backup::restore(&config, std::io::stdin().lock()).await?
            } else {
                let input = std::fs::File::open(&file).with_context(|| file.display().to_string())?;
                backup::restore(&config, input).await?
            };
            print(&format!(
                "{} keys and {} rows were restored. Put the files of older events back under {}; then 'sekisho server' \
                 starts.\nMachines that have seen more of the activity log than is in the backup obey nothing new until \
                 'sekisho-agent trust-log' is run on them.\n",
                kept.keys, kept.rows, config.lake
            ));
        }
        Installation::Db { command: Db::Migrate { check: true } } => {
            let versions = database::versions(&config).await?;
            print(&format!("The database has schema {}, this program {}.\n", versions.found, versions.known));
        }
        Installation::Db { command: Db::Migrate { check: false } } => {
            let _lock = database::take(&config.data_dir)?;
            print(&match database::migrate(&config).await? {
                Some(done) => format!(
                    "From schema {} to {}. The installation as it was before is in {}.\n",
                    done.from,
                    done.to,
                    done.backup.display()
                ),
                None => "The database is up to date.\n".to_owned(),
            });
        }
        Installation::Db { command: Db::Copy { to, password_file } } => {
            let _lock = database::take(&config.data_dir)?;
            let rows = database::copy(&config, &to, password_file.as_deref()).await?;
            print(&format!(
                "{rows} rows were copied. Set 'database' (and 'database_password_file') to use them from now on.\n"
            ));
        }
        Installation::Completions { shell } => {
            clap_complete::generate(shell, &mut Arguments::command(), "sekisho", &mut std::io::stdout());
        }
    }
    Ok(())
}

/// Checks an export.
fn verify(file: &Path, key: Option<&str>) -> anyhow::Result<()> {
    let trusted = key.map(str::parse::<Verifier>).transpose().context("--key")?;
    let text = read_text(file)?;
    let report = export::verify(text.lines(), trusted.as_ref())?;
    print(&report.to_string());
    if !report.holds() {
        anyhow::bail!("it is not what was signed");
    }
    Ok(())
}

/// A file's text, or that of standard input for `-`.
fn read_text(file: &Path) -> anyhow::Result<String> {
    let text = if file.as_os_str() == "-" {
        std::io::read_to_string(std::io::stdin())
    } else {
        std::fs::read_to_string(file)
    };
    text.with_context(|| file.display().to_string())
}

fn pretty(value: &serde_json::Value) -> String {
    serde_json::to_string_pretty(value).unwrap_or_default() + "\n"
}

fn line(value: &serde_json::Value, field: &str) -> String {
    format!("{}\n", value[field].as_str().unwrap_or_default())
}

#[expect(clippy::print_stdout, reason = "the command line talks to a person")]
fn print(text: &str) {
    print!("{text}");
}

/// For a person, beside what is written to standard output.
#[expect(clippy::print_stderr, reason = "the command line talks to a person")]
fn note(text: &str) {
    eprint!("{text}");
}

#[expect(clippy::print_stderr, reason = "the command line talks to a person")]
fn fail(error: &anyhow::Error) -> ExitCode {
    eprintln!("sekisho: {error:#}");
    ExitCode::FAILURE
}
