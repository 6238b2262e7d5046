//! `sekisho`: runs the server and administers it.
//!
//! `server` is the product; everything else talks to a running server through the administration socket in its data
//! directory, which only root and the server's own user can open. This program must never touch the database while a
//! server runs, or take a secret as an argument.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};
use sekisho_server::admin;
use sekisho_server::config::Config;

/// Secures virtual machines wherever they run.
#[derive(Parser)]
#[command(name = "sekisho", version)]
struct Arguments {
    /// The configuration file. Every setting can also be given as an environment variable, such as SEKISHO_LISTEN.
    #[arg(long, global = true)]
    config: Option<PathBuf>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Runs the server.
    Server {
        /// Shows every setting with its value and where it came from, and ends.
        #[arg(long)]
        print_config: bool,
    },
    /// Shows how the running server is.
    Status,
    /// Makes a one-time link by which somebody can enrol as Owner: the first person, or after a lock-out.
    SetupLink,
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
    /// Checks that nothing in the audit log was changed, dropped or put in between.
    AuditVerify,
    /// Prints a completion script.
    Completions {
        /// For which shell.
        shell: clap_complete::Shell,
    },
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
    },
}

#[derive(Subcommand)]
enum ServicePrincipal {
    /// Makes a service principal that owns a subscription and prints its password, once.
    Create {
        /// What people call it.
        #[arg(long)]
        name: String,
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
    let environment: BTreeMap<String, String> = std::env::vars().collect();
    let config = Config::load(arguments.config.as_deref(), &environment)?;
    let ask = async |path: &str, body: serde_json::Value| admin::ask(&config.data_dir, path, body).await;
    match arguments.command {
        Command::Server { print_config: true } => print(&config.describe()),
        Command::Server { print_config: false } => {
            logging(config.log_json);
            sekisho_server::run(config).await?;
        }
        Command::Status => print(&pretty(&ask("/status", serde_json::Value::Null).await?)),
        Command::SetupLink => print(&line(&ask("/setup-link", serde_json::Value::Null).await?, "link")),
        Command::AgentToken { command: AgentToken::Create { resource_group, ttl, uses } } => {
            let body =
                serde_json::json!({"resourceGroup": resource_group, "ttlSeconds": ttl, "maxUses": uses});
            print(&line(&ask("/agent-token", body).await?, "joinString"));
        }
        Command::ServicePrincipal { command: ServicePrincipal::Create { name } } => {
            print(&pretty(&ask("/service-principal", serde_json::json!({ "displayName": name })).await?));
        }
        Command::AuditVerify => print(&pretty(&ask("/audit-verify", serde_json::Value::Null).await?)),
        Command::Completions { shell } => {
            clap_complete::generate(shell, &mut Arguments::command(), "sekisho", &mut std::io::stdout());
        }
    }
    Ok(())
}

fn logging(json: bool) {
    let filter = tracing_subscriber::EnvFilter::try_from_env("SEKISHO_LOG").unwrap_or_else(|_| "info".into());
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    if json { builder.json().init() } else { builder.init() }
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

#[expect(clippy::print_stderr, reason = "the command line talks to a person")]
fn fail(error: &anyhow::Error) -> ExitCode {
    eprintln!("sekisho: {error:#}");
    ExitCode::FAILURE
}
