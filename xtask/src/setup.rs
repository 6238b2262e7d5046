//! What the chores need from outside, installed when it is missing: Debian packages, Node.js, the Python environment
//! with `az`.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, bail};

use crate::{root, run};

/// A program, or a path in which `*` stands for any one directory, and the Debian package that brings it.
pub(crate) type Need = (&'static str, &'static str);

/// What the demo needs.
pub(crate) const DEMO: &[Need] = &[
    ("nft", "nftables"),
    ("ip", "iproute2"),
    ("setpriv", "util-linux"),
    ("curl", "curl"),
    ("dropbear", "dropbear-bin"),
    ("python3", "python3"),
];

/// The client's programs are often there without the server's.
pub(crate) const POSTGRESQL: Need = ("/usr/lib/postgresql/*/bin/initdb", "postgresql");

/// The tests start their own.
const SSHD: Need = ("/usr/sbin/sshd", "openssh-server");
const XRDP: Need = ("xrdp", "xrdp");

/// Of these Debian starts a service with the package.
const SERVICES: &[Need] = &[SSHD, XRDP];

/// What the tests need beside that.
pub(crate) const TESTS: &[Need] = &[
    POSTGRESQL,
    ("/usr/share/doc/libfaketime/copyright", "libfaketime"),
    ("chromium", "chromium"),
    ("certutil", "libnss3-tools"),
    ("rpmbuild", "rpm"),
    SSHD,
    ("scp", "openssh-client"),
    ("rsync", "rsync"),
    ("plink", "putty-tools"),
    ("sshfs", "sshfs"),
    ("visudo", "sudo"),
    ("Xvnc", "tigervnc-standalone-server"),
    ("Xvfb", "xvfb"),
    XRDP,
    ("freerdp-shadow-cli", "freerdp2-shadow-x11"),
    ("xfreerdp", "freerdp2-x11"),
    ("xwd", "x11-apps"),
    ("xev", "x11-utils"),
    ("xterm", "xterm"),
    ("xclip", "xclip"),
    ("display", "imagemagick"),
    ("openssl", "openssl"),
    ("/usr/share/fonts/opentype/noto/NotoSansCJK-Regular.ttc", "fonts-noto-cjk"),
];

/// What the tests of the packages need.
pub(crate) const MACHINES: &[Need] = &[
    ("systemd-nspawn", "systemd-container"),
    ("mmdebstrap", "mmdebstrap"),
    ("scp", "openssh-client"),
    ("jq", "jq"),
];

/// What the tests of guests need.
pub(crate) const GUEST: &[Need] = &[
    ("qemu-system-x86_64", "qemu-system-x86"),
    ("busybox", "busybox"),
    ("cpio", "cpio"),
    ("mkfs.ext4", "e2fsprogs"),
];

/// Microsoft's emulator of its object storage.
const AZURITE: &str = "azurite@3.37.0";
/// An S3 server on a directory.
const S3S: &str = "s3s-fs@0.14.1";

/// The caches outside the checkout.
pub(crate) fn cache() -> PathBuf {
    let given = std::env::var_os("SEKISHO_CACHE").map(PathBuf::from);
    given.unwrap_or_else(|| {
        let home = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
        let home = home.or_else(|| std::env::var_os("HOME").map(|h| PathBuf::from(h).join(".cache")));
        home.unwrap_or_else(|| "/var/cache".into()).join("sekisho")
    })
}

fn exists(program: &str) -> bool {
    if let Some((dir, rest)) = program.split_once("/*/") {
        return std::fs::read_dir(dir).into_iter().flatten().flatten().any(|d| d.path().join(rest).exists());
    }
    if program.starts_with('/') {
        return Path::new(program).exists();
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    // Debian keeps administrators' programs where an ordinary PATH does not look.
    let extra = ["/usr/sbin", "/sbin"].map(PathBuf::from);
    std::env::split_paths(&path).chain(extra).any(|dir| dir.join(program).is_file())
}

/// Installs the Debian packages of programs that are missing.
pub(crate) fn packages(needs: &[Need]) -> anyhow::Result<()> {
    let mut missing: Vec<&str> =
        needs.iter().filter(|(program, _)| !exists(program)).map(|(_, p)| *p).collect();
    missing.sort_unstable();
    missing.dedup();
    if missing.is_empty() {
        return Ok(());
    }
    if missing.contains(&"postgresql") {
        no_cluster();
    }
    let no_start = SERVICES.iter().any(|s| missing.contains(&s.1)).then(NoStart::new);
    println!("Installing Debian packages: {}", missing.join(" "));
    if !is_root() {
        bail!("run this as root, or install them first: apt-get install {}", missing.join(" "));
    }
    let apt = || {
        let mut command = Command::new("apt-get");
        command.env("DEBIAN_FRONTEND", "noninteractive").args(["-q", "-o", "Dpkg::Use-Pty=0"]);
        command
    };
    run(apt().arg("update").stdout(std::process::Stdio::null()))?;
    run(apt()
        .args(["install", "-y", "--no-install-recommends"])
        .args(&missing)
        .stdout(std::process::Stdio::null()))?;
    drop(no_start);
    Ok(())
}

/// Keeps packages from starting their services while it is there, and from starting them with the machine.
struct NoStart {
    policy: Option<&'static Path>,
}

impl NoStart {
    fn new() -> NoStart {
        let path = Path::new("/usr/sbin/policy-rc.d");
        // Where there is one, somebody has decided.
        let policy = (is_root() && !path.exists() && write_policy(path).is_ok()).then_some(path);
        NoStart { policy }
    }
}

fn write_policy(path: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::write(path, "#!/bin/sh\nexit 101\n")?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755))
}

impl Drop for NoStart {
    fn drop(&mut self) {
        if let Some(path) = self.policy {
            let _ = std::fs::remove_file(path);
            // They would start with the next boot; a machine that tests are run on did not ask for it.
            for unit in ["ssh.service", "ssh.socket", "xrdp.service", "xrdp-sesman.service"] {
                let _ = Command::new("systemctl").args(["disable", "--quiet", unit]).status();
            }
        }
    }
}

/// Debian makes and starts a cluster with the package; the tests start their own.
fn no_cluster() {
    let path = Path::new("/etc/postgresql-common/createcluster.conf");
    if is_root() && !path.exists() {
        // Without it the cluster is made, which is only a waste.
        let _ = std::fs::create_dir_all("/etc/postgresql-common")
            .and_then(|()| std::fs::write(path, "create_main_cluster = false\n"));
    }
}

/// Whether this runs as root, which namespaces need.
pub(crate) fn is_root() -> bool {
    let output = Command::new("id").arg("-u").output();
    output.is_ok_and(|o| o.stdout.starts_with(b"0\n") || o.stdout == b"0")
}

/// A Python environment in the cache with everything of a requirements file.
pub(crate) fn python(name: &str, requirements: &Path) -> anyhow::Result<PathBuf> {
    let wanted = std::fs::read_to_string(requirements).with_context(|| requirements.display().to_string())?;
    let dir = installed(name, "PyPI", &wanted, |dir| {
        let venv = || Command::new("python3").args(["-c", "import ensurepip"]).output();
        if venv().is_ok_and(|o| !o.status.success()) {
            packages(&[("/nonexistent/ensurepip", "python3-venv")])?;
        }
        run(Command::new("python3").args(["-m", "venv", "--clear"]).arg(dir))?;
        run(Command::new(dir.join("bin/pip"))
            .args(["install", "--quiet", "--disable-pip-version-check", "-r"])
            .arg(requirements))
    })?;
    Ok(dir.join("bin"))
}

/// Azurite, with an `npm` to install it.
pub(crate) fn azurite(mut npm: Command) -> anyhow::Result<PathBuf> {
    let dir = installed("azurite", "npm", AZURITE, |dir| {
        run(npm.args(["install", "--silent", "--no-audit", "--no-fund", "--prefix"]).arg(dir).arg(AZURITE))
    })?;
    Ok(dir.join("node_modules/.bin/azurite-blob"))
}

/// An S3 server.
pub(crate) fn s3s() -> anyhow::Result<PathBuf> {
    let dir = installed("s3s", "crates.io", S3S, |dir| {
        let mut install = Command::new("cargo");
        install.args(["install", "--quiet", "--debug", "--locked", "--features", "binary", S3S, "--root"]);
        // Away from the checkout, whose configuration is not meant for it.
        run(install.arg(dir).current_dir(dir).env("CARGO_TARGET_DIR", dir.join("target")))?;
        Ok(std::fs::remove_dir_all(dir.join("target"))?)
    })?;
    Ok(dir.join("bin/s3s-fs"))
}

/// Unpacks a Debian package into a directory: nothing of it is set up or started.
pub(crate) fn unpack(package: &str, dir: &Path) -> anyhow::Result<()> {
    // Fetched as whoever we are: apt's own user may not write here.
    let fetch = || {
        let mut command = Command::new("apt-get");
        command.args(["-q", "-o", "APT::Sandbox::User=root", "download", package]).current_dir(dir);
        command.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null());
        run(&mut command)
    };
    if fetch().is_err() {
        run(Command::new("apt-get").args(["-q", "update"]).stdout(std::process::Stdio::null()))?;
        fetch()?;
    }
    let begins = format!("{package}_");
    let archive = std::fs::read_dir(dir)?.filter_map(|e| e.ok()).find(|e| {
        let name = e.file_name();
        name.to_str().is_some_and(|name| name.starts_with(&begins) && name.ends_with(".deb"))
    });
    let archive = archive.with_context(|| format!("apt-get brought no {package}"))?.path();
    run(Command::new("dpkg-deb").arg("-x").arg(&archive).arg(dir))
}

/// A kernel for guests, of Debian's: the directory in which its package is unpacked.
pub(crate) fn guest_kernel() -> anyhow::Result<PathBuf> {
    let newest =
        if cfg!(target_arch = "x86_64") { "linux-image-cloud-amd64" } else { bail!("guests are x86-64") };
    installed("guest", "Debian", newest, |dir| {
        // The package itself only names the one of the newest version.
        let output = Command::new("apt-cache").args(["depends", newest]).output().context("apt-cache")?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let named = text.lines().find_map(|line| line.trim().strip_prefix("Depends: ").map(str::to_owned));
        unpack(&named.with_context(|| format!("apt-cache knows no {newest}"))?, dir)
    })
}

/// A directory of the cache in which all that is wanted, and only that, has been installed.
fn installed(
    name: &str,
    registry: &str,
    wanted: &str,
    install: impl FnOnce(&Path) -> anyhow::Result<()>,
) -> anyhow::Result<PathBuf> {
    let dir = cache().join(name);
    let stamp = dir.join("installed.txt");
    if std::fs::read_to_string(&stamp).is_ok_and(|s| s == wanted) {
        return Ok(dir);
    }
    println!(
        "Installing from {registry} into {}: {}",
        dir.display(),
        wanted.lines().collect::<Vec<_>>().join(" ")
    );
    std::fs::create_dir_all(&dir)?;
    install(&dir)?;
    std::fs::write(&stamp, wanted)?;
    Ok(dir)
}

/// The directory of a usable Node.js when the one on the PATH is missing or too old; `None` when it will do.
pub(crate) fn node_dir() -> anyhow::Result<Option<PathBuf>> {
    if std::env::var_os("SEKISHO_PORTAL").is_some_and(|v| v == "stub") {
        return Ok(None);
    }
    let usable = Command::new("node").arg("--version").output().is_ok_and(|o| {
        let text = String::from_utf8_lossy(&o.stdout).into_owned();
        let mut numbers = text.trim().trim_start_matches('v').split('.').map_while(|n| n.parse::<u32>().ok());
        let (major, minor) = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
        major >= 21 || (major == 20 && minor >= 19)
    });
    if usable && exists("npm") {
        return Ok(None);
    }
    packages(&[("python3", "python3")])?;
    let bin = python("node", &root().join("xtask/node-requirements.txt"))?;
    Ok(Some(bin))
}

/// The PATH with a directory in front.
pub(crate) fn path_with(dir: &Path) -> OsString {
    let old = std::env::var_os("PATH").unwrap_or_default();
    let all = std::iter::once(dir.to_owned()).chain(std::env::split_paths(&old));
    std::env::join_paths(all).unwrap_or(old)
}
