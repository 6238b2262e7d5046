//! A machine's desktop in a program of this computer: a port here whose every connection OpenSSH leads through the gate, and a
//! file that tells the program of it.

use std::ffi::OsString;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::process::Stdio;

use anyhow::{Context as _, bail};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::{Child, Command};
use tokio::task::JoinSet;

use super::home::Home;
use super::openssh::{self, Way};
use crate::note;

/// Programs that open such a file, the first of them that is there.
const CLIENTS: [&str; 4] = ["xfreerdp3", "sdl-freerdp3", "xfreerdp", "sdl-freerdp"];

/// A desktop.
#[derive(clap::Args)]
pub(crate) struct Rdp {
    /// The machine.
    machine: String,
    /// Its port.
    #[arg(long, default_value_t = 3389)]
    port: u16,
    /// Where to listen on this computer: a port of 127.0.0.1, any that is free when not given.
    #[arg(long, default_value_t = 0)]
    listen: u16,
    /// The account on the machine. Its password is asked for by the program that shows the desktop, and goes nowhere else.
    #[arg(long)]
    user: Option<String>,
    /// Writes the .rdp file here, starts no program, and leads whatever comes to the machine until it is stopped.
    #[arg(long, conflicts_with = "with")]
    file: Option<PathBuf>,
    /// The program to start, which is given the .rdp file; FreeRDP when not given.
    #[arg(long, value_name = "PROGRAM")]
    with: Option<OsString>,
}

/// What an .rdp file says (learn.microsoft.com, "Supported RDP properties"). Nothing of this computer is shared but its clipboard,
/// and no password is in it.
fn rdp_file(at: SocketAddr, user: Option<&str>) -> anyhow::Result<String> {
    if user.is_some_and(|user| user.is_empty() || user.chars().any(char::is_control)) {
        bail!("the name of an account is one line");
    }
    let user = user.map(|user| format!("username:s:{user}\r\n")).unwrap_or_default();
    Ok(format!(
        "full address:s:{at}\r\n{user}prompt for credentials:i:1\r\nenablecredsspsupport:i:1\r\n\
         authentication level:i:2\r\ndynamic resolution:i:1\r\nredirectclipboard:i:1\r\ndrivestoredirect:s:\r\n\
         redirectprinters:i:0\r\nredirectsmartcards:i:0\r\nredirectcomports:i:0\r\naudiocapturemode:i:0\r\n"
    ))
}

/// Opens a desktop, and leads to it for as long as the program runs.
pub(super) async fn open(home: &Home, asked: &Rdp) -> anyhow::Result<()> {
    let way = openssh::way(home, &asked.machine, asked.port).await?;
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, asked.listen)).await;
    let listener = listener.context("a port of this computer cannot be listened on")?;
    let text = rdp_file(listener.local_addr()?, asked.user.as_deref())?;
    let shown = |path: &PathBuf| path.display().to_string();
    if let Some(file) = &asked.file {
        std::fs::write(file, &text).with_context(|| shown(file))?;
        note(&format!("{} leads to {} until this is stopped.\n", shown(file), asked.machine));
        return lead(&listener, &way).await;
    }
    let name = format!("{}.rdp", std::process::id());
    home.write(&name, &text)?;
    let file = home.path(&name);
    let done = async {
        let mut program = start(asked, &file)?;
        tokio::select! {
            ended = program.wait() => ended.map(drop).map_err(anyhow::Error::from),
            broken = lead(&listener, &way) => broken,
            // The file goes, too.
            asked = tokio::signal::ctrl_c() => asked.map_err(anyhow::Error::from),
        }
    };
    let done = done.await;
    drop(std::fs::remove_file(&file));
    done
}

/// Starts the program that shows the desktop.
fn start(asked: &Rdp, file: &PathBuf) -> anyhow::Result<Child> {
    let start = |program: &OsString| Command::new(program).arg(file).kill_on_drop(true).spawn();
    if let Some(program) = &asked.with {
        return start(program).with_context(|| program.display().to_string());
    }
    let all = CLIENTS.map(OsString::from);
    let found = all.iter().find_map(|program| start(program).ok());
    found.context(
        "no FreeRDP is installed here; name another program (--with), or open a file (--file) with one",
    )
}

/// Leads each connection to the machine.
async fn lead(listener: &TcpListener, way: &Way) -> anyhow::Result<()> {
    let mut open = JoinSet::new();
    loop {
        tokio::select! {
            come = listener.accept() => {
                let mut ssh = through(come?.0, way)?;
                open.spawn(async move { ssh.wait().await });
            }
            // Why it ended, OpenSSH has said itself.
            Some(_) = open.join_next() => {}
        }
    }
}

/// OpenSSH, with a connection as its input and output.
fn through(connection: TcpStream, way: &Way) -> anyhow::Result<Child> {
    let connection = connection.into_std()?;
    connection.set_nonblocking(false)?;
    let (input, output) = (OwnedFd::from(connection.try_clone()?), OwnedFd::from(connection));
    let mut ssh = Command::new("ssh");
    ssh.args(way.arguments()).stdin(Stdio::from(input)).stdout(Stdio::from(output)).kill_on_drop(true);
    ssh.spawn().context("'ssh' of OpenSSH could not be started")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_cannot_say_anything_else_in_the_file() {
        let at = SocketAddr::from((Ipv4Addr::LOCALHOST, 4000));
        let file = rdp_file(at, Some("田中")).unwrap();
        assert!(file.starts_with(
            "full address:s:127.0.0.1:4000\r\nusername:s:田中\r\nprompt for credentials:i:1\r\n"
        ));
        assert!(rdp_file(at, None).unwrap().lines().all(|line| !line.starts_with("username")));
        for name in ["", "a\r\nalternate shell:s:calc", "a\nb", "a\0"] {
            assert!(rdp_file(at, Some(name)).is_err(), "{name:?}");
        }
    }
}
