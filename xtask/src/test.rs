//! All tests, in the order in which they fail fastest: Rust, the portal's own, then `az`, the SDKs, generated requests
//! and the browser against a real demo.

use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};

use crate::fleet::Fleet;
use crate::{cargo, debug_dir, dist, root, setup};

/// Which tests run.
#[derive(clap::Args, Default)]
pub(crate) struct Options {
    /// Only the tests that need no running demo.
    #[arg(long)]
    quick: bool,
    /// Only the portal with thousands of machines.
    #[arg(long, conflicts_with = "quick")]
    fleet: bool,
    /// Only what needs a kernel of its own, in a guest under QEMU.
    #[arg(long, conflicts_with_all = ["quick", "fleet", "packages"])]
    guest: bool,
    /// Only the packages, and the book that is followed with them.
    #[arg(long, conflicts_with_all = ["quick", "fleet"])]
    packages: bool,
}

/// The programs of thousands of machines.
const FLEET: [&str; 3] = ["sekisho", "sekisho-agent", "sekisho-fleet"];

/// Runs everything.
pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    setup::packages(setup::DEMO)?;
    if !options.quick {
        setup::packages(setup::TESTS)?;
    }
    let node = setup::node_dir()?;
    let path = node.as_deref().map(setup::path_with);
    let with_path = |mut command: Command| {
        if let Some(path) = &path {
            command.env("PATH", path);
        }
        command
    };
    if options.packages {
        crate::build(&crate::PROGRAMS)?;
        return packages();
    }
    if options.guest {
        crate::build(&crate::PROGRAMS)?;
        return guest();
    }
    if options.fleet {
        crate::build(&FLEET)?;
        return many_machines(with_path(npm()));
    }
    if !options.quick {
        read_book()?;
    }
    // Tests run programs of other packages; cargo builds only those of packages that have tests of their own.
    let mut build = cargo();
    build.args(["build", "--workspace", "--all-targets", "--locked"]);
    run_step("building", &mut with_path(build))?;
    let mut rust = with_path(rust_tests());
    if !options.quick {
        rust.env("SEKISHO_AZURITE", setup::azurite(with_path(npm()))?).env("SEKISHO_S3S", setup::s3s()?);
        let duckdb = setup::python("flowtable", &root().join("xtask/flow-table-requirements.txt"))?;
        rust.env("SEKISHO_DUCKDB", duckdb.join("python"));
        let clients = setup::python("sshclients", &root().join("xtask/ssh-clients-requirements.txt"))?;
        rust.env("SEKISHO_SSH_CLIENTS", clients.join("python"));
    }
    run_step("Rust", &mut rust)?;
    if !options.quick {
        run_step("Rust on PostgreSQL", &mut with_path(postgres_tests()))?;
    }
    if !options.quick {
        decided_by_others()?;
    }
    run_step("the portal", with_path(npm()).args(["run", "check"]))?;
    if options.quick {
        return Ok(());
    }
    let python = setup::python("az", &root().join("tests/az/requirements.txt"))?;
    let demo = Running::start()?;
    let mut pytest = Command::new(python.join("python"));
    pytest.args(["-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/az"]).current_dir(root());
    pytest.env("SEKISHO_READY", &demo.ready).env("PATH", setup::path_with(&python));
    run_step("az and the SDKs", &mut pytest)?;
    // Last on this demo, whose machines it may remove. Its packages would clash with those of `az`.
    let python = setup::python("surface", &root().join("tests/surface/requirements.txt"))?;
    let mut surface = Command::new(python.join("python"));
    surface.args([
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        "-o",
        "pythonpath=tests/az",
        "tests/surface",
    ]);
    surface.current_dir(root()).env("SEKISHO_READY", &demo.ready);
    run_step("everything described, by four identities", &mut surface)?;
    drop(demo);
    let demo = Running::start()?;
    let browser = Browser::trusting(&demo.ready)?;
    run_step("the browser", with_path(npm()).args(["run", "e2e"]).envs(browser.environment(&demo.ready)))?;
    drop(demo);
    many_machines(with_path(npm()))?;
    packages()?;
    println!("All tests passed.");
    Ok(())
}

/// Rights in many small worlds, decided by us and by Cedar.
fn decided_by_others() -> anyhow::Result<()> {
    let dir = tempfile::tempdir()?;
    let mut write = Command::new(debug_dir().join("sekisho-bench"));
    run_step("worlds", write.args(["worlds", "--cedar"]).arg(dir.path()))?;
    let python = setup::python("cedar", &root().join("xtask/cedar-requirements.txt"))?;
    let mut cedar = Command::new(python.join("python"));
    cedar.arg(root().join("xtask/src/bench/cedar.py"));
    for world in std::fs::read_dir(dir.path())? {
        cedar.arg(world?.path());
    }
    run_step("rights, as Cedar decides them", &mut cedar)
}

/// That every page of the book says where its commands are run; they are run last, when an hour has gone by.
fn read_book() -> anyhow::Result<()> {
    let python = setup::python("az", &root().join("tests/az/requirements.txt"))?;
    let mut pytest = Command::new(python.join("python"));
    pytest.args(["-m", "pytest", "-q", "-p", "no:cacheprovider", "--collect-only", "tests/packages"]);
    run_step("reading the book", pytest.current_dir(root()).stdout(std::process::Stdio::null()))
}

/// What reboots, pauses and clocks do, in a guest.
fn guest() -> anyhow::Result<()> {
    setup::packages(setup::GUEST)?;
    let mut tests = rust_tests();
    tests.arg("guest::").env("SEKISHO_GUEST", setup::guest_kernel()?);
    run_step("a guest", &mut tests)
}

/// The portal with thousands of machines.
fn many_machines(mut npm: Command) -> anyhow::Result<()> {
    let began = Instant::now();
    let fleet = Fleet::start(crate::free_port()?)?;
    println!("== the fleet is up: {:.0} s", began.elapsed().as_secs_f32());
    let browser = Browser::trusting(&fleet.ready)?;
    run_step("the fleet", npm.args(["run", "e2e:fleet"]).envs(browser.environment(&fleet.ready)))
}

/// The packages, on machines with a real systemd, by the commands of the book. The older version is older by its number
/// alone: what upgrades is what is tested.
fn packages() -> anyhow::Result<()> {
    setup::packages(setup::MACHINES)?;
    let dist = tempfile::tempdir()?;
    let began = Instant::now();
    for (version, dir) in [("0.0.9", "old"), (env!("CARGO_PKG_VERSION"), "new")] {
        dist::run_with(&dist::Options {
            out: dist.path().join(dir),
            version: Some(version.to_owned()),
            debug: true,
        })?;
    }
    println!("== packages are made: {:.0} s", began.elapsed().as_secs_f32());
    let python = setup::python("az", &root().join("tests/az/requirements.txt"))?;
    let mut pytest = Command::new(python.join("python"));
    pytest.args(["-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", "tests/packages"]).current_dir(root());
    pytest.env("SEKISHO_DIST", dist.path()).env("SEKISHO_AZ", &python).env("SEKISHO_CACHE", setup::cache());
    run_step("the packages and the book", &mut pytest)
}

/// Takes the pictures.
pub(crate) fn screenshots() -> anyhow::Result<()> {
    setup::packages(setup::DEMO)?;
    setup::packages(setup::TESTS)?;
    let node = setup::node_dir()?;
    crate::build(&crate::PROGRAMS)?;
    let demo = Running::start()?;
    let browser = Browser::trusting(&demo.ready)?;
    let out = root().join("docs/screens");
    let mut command = npm();
    if let Some(node) = &node {
        command.env("PATH", setup::path_with(node));
    }
    run_step(
        "screenshots",
        command.args(["run", "screenshots", "--"]).arg(out).envs(browser.environment(&demo.ready)),
    )
}

fn run_step(name: &str, command: &mut Command) -> anyhow::Result<()> {
    println!("== {name}");
    let began = Instant::now();
    run_command(command)?;
    println!("== {name}: {:.0} s", began.elapsed().as_secs_f32());
    Ok(())
}

fn run_command(command: &mut Command) -> anyhow::Result<()> {
    crate::run(command)
}

fn rust_tests() -> Command {
    let nextest = cargo().args(["nextest", "--version"]).output().is_ok_and(|o| o.status.success());
    let mut command = cargo();
    let arguments: &[&str] = if nextest {
        &["nextest", "run", "--workspace", "--locked", "--no-fail-fast"]
    } else {
        &["test", "--workspace", "--locked"]
    };
    // Tests of one package run another's program; with the whole workspace all of them have just been built.
    command.args(arguments).env(crate::BUILT, "1");
    command
}

/// The tests that keep something in a database, once more with PostgreSQL. The whole workspace is named so that nothing
/// is built with other features.
fn postgres_tests() -> Command {
    let mut command = rust_tests();
    let nextest = command.get_args().next().is_some_and(|a| a == "nextest");
    if nextest {
        command.args(["-E", "package(sekisho-store) | package(sekisho-server) | test(on_this_database)"]);
    }
    command.env("SEKISHO_TEST_DATABASE", "postgres");
    command
}

fn npm() -> Command {
    let mut command = Command::new("npm");
    command.current_dir(root().join("portal")).env("PLAYWRIGHT_SKIP_BROWSER_DOWNLOAD", "1");
    command
}

/// A demo that runs while tests drive it.
struct Running {
    child: Child,
    ready: PathBuf,
    _dir: tempfile::TempDir,
}

impl Running {
    fn start() -> anyhow::Result<Running> {
        let dir = tempfile::tempdir()?;
        let ready = dir.path().join("ready.json");
        // By its place: the build before the tests may have put another file there than the one that runs.
        let own = debug_dir().join("xtask");
        let port = crate::free_port()?;
        let mut command = Command::new(own);
        command
            .args(["demo", "--port", &port.to_string(), "--confirm-seconds", "5", "--ready-file"])
            .arg(&ready)
            .env(crate::BUILT, "1");
        command.stdout(std::process::Stdio::null());
        let mut child = command.spawn().context("starting the demo")?;
        let deadline = Instant::now() + Duration::from_secs(180);
        while !ready.exists() {
            if let Some(status) = child.try_wait()? {
                bail!("the demo ended before it was ready ({status})");
            }
            if Instant::now() > deadline {
                let _ = child.kill();
                bail!("the demo was not ready in time");
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(Running { child, ready, _dir: dir })
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // SIGTERM, so that the demo cleans up.
        let _ = Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status();
        let _ = self.child.wait();
    }
}

/// A browser profile that trusts one server's CA and nothing else of ours.
struct Browser(tempfile::TempDir);

impl Browser {
    fn trusting(ready: &Path) -> anyhow::Result<Browser> {
        let home = tempfile::tempdir()?;
        let store = home.path().join(".pki/nssdb");
        std::fs::create_dir_all(&store)?;
        let database = format!("sql:{}", store.display());
        run_command(Command::new("certutil").args(["-d", &database, "-N", "--empty-password"]))?;
        let ready: serde_json::Value = serde_json::from_str(&std::fs::read_to_string(ready)?)?;
        let ca = ready["ca"].as_str().context("the ready file names no CA")?;
        run_command(
            Command::new("certutil").args(["-d", &database, "-A", "-t", "C,,", "-n", "sekisho", "-i", ca]),
        )?;
        Ok(Browser(home))
    }

    fn environment(&self, ready: &Path) -> Vec<(&'static str, PathBuf)> {
        let home: &Path = self.0.path();
        vec![
            ("SEKISHO_READY", ready.to_owned()),
            ("SEKISHO_PROFILE", home.to_owned()),
            ("HOME", home.to_owned()),
        ]
    }
}
