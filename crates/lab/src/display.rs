//! X displays of a test's own, as machines have them that people look at: what is on them is known to the pixel.

use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use crate::Host;

/// The password of every VNC server here.
pub const PASSWORD: &str = "sesame42";
/// The same as `vncpasswd` writes it down: under a key that everybody knows.
const WRITTEN: &str = "f50026b539715709";
/// The display's number; each host is a network namespace, in which the X server listens by a name of its own.
const NUMBER: &str = ":1";

/// A display on a host. Dropping it ends it.
#[derive(Debug)]
pub struct Display {
    host: Host,
    number: String,
    /// Whose it is, where it is not anybody's.
    authority: Option<PathBuf>,
    server: Option<Child>,
}

/// What is on a display: `0x00RRGGBB` a pixel, along rows from the upper left corner, without the pointer.
#[derive(Debug, PartialEq, Eq)]
pub struct Picture {
    /// Pixels in a row.
    pub width: u16,
    /// Rows.
    pub height: u16,
    /// The pixels.
    pub pixels: Vec<u32>,
}

impl Display {
    /// A display behind a VNC server on port 5900, with [`PASSWORD`].
    ///
    /// # Errors
    /// When it does not come up.
    pub fn vnc(host: &Host, width: u16, height: u16) -> io::Result<Display> {
        Display::vnc_with(host, width, height, &[])
    }

    /// The same with other arguments, too.
    ///
    /// # Errors
    /// When it does not come up.
    pub fn vnc_with(host: &Host, width: u16, height: u16, more: &[&str]) -> io::Result<Display> {
        let size = format!("{width}x{height}");
        let password = format!("Password={WRITTEN}");
        let server =
            ["Xvnc", NUMBER, "-displayfd", "1", "-geometry", &size, "-depth", "24", "-desktop", "lab"];
        let reached = ["-rfbport", "5900", "-SecurityTypes", "VncAuth", &password];
        Display::start(host, &[&server[..], &reached, more].concat())
    }

    /// A display that nobody can reach but by a server that looks at it.
    ///
    /// # Errors
    /// When it does not come up.
    pub fn bare(host: &Host, width: u16, height: u16) -> io::Result<Display> {
        let screen = format!("{width}x{height}x24");
        Display::start(host, &["Xvfb", NUMBER, "-displayfd", "1", "-screen", "0", &screen])
    }

    fn start(host: &Host, arguments: &[&str]) -> io::Result<Display> {
        // X servers write into /tmp, which namespaces share otherwise.
        let own_tmp = "mount -t tmpfs -o mode=1777 tmpfs /tmp && exec \"$@\"";
        let mut server = host
            .command("unshare")
            .args(["--mount", "--propagation", "private", "sh", "-c", own_tmp, "sh"])
            .args(arguments)
            // It would begin anew whenever the last program on it has gone, and refuse the next meanwhile.
            .arg("-noreset")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()?;
        // It says its number when it is ready.
        let mut said = [0];
        let ready = server.stdout.as_mut().map(|out| out.read_exact(&mut said));
        let display =
            Display { host: host.clone(), number: NUMBER.to_owned(), authority: None, server: Some(server) };
        ready.unwrap_or_else(|| Err(io::ErrorKind::BrokenPipe.into()))?;
        Ok(display)
    }

    /// One that somebody else has started there, and ends.
    pub fn of(host: &Host, number: &str, authority: &Path) -> Display {
        let authority = Some(authority.to_owned());
        Display { host: host.clone(), number: number.to_owned(), authority, server: None }
    }

    /// A program that shows something on it.
    pub fn command(&self, program: &str) -> Command {
        let mut command = self.host.command(program);
        command.env("DISPLAY", &self.number).env("LC_ALL", "C.UTF-8");
        if let Some(authority) = &self.authority {
            command.env("XAUTHORITY", authority);
        }
        command
    }

    /// What is on it.
    ///
    /// # Errors
    /// When `xwd` does not say, or something unheard of.
    pub fn picture(&self) -> io::Result<Picture> {
        let output = self.command("xwd").args(["-root", "-silent"]).output()?;
        read(&output.stdout)
            .ok_or_else(|| io::Error::other(String::from_utf8_lossy(&output.stderr).into_owned()))
    }
}

impl Drop for Display {
    fn drop(&mut self) {
        if let Some(server) = &mut self.server {
            let _ = server.kill();
            let _ = server.wait();
        }
    }
}

/// Reads a dump of `xwd` (`XWDFile.h`) with pixels of 32 bits, the lowest byte first.
fn read(dump: &[u8]) -> Option<Picture> {
    let field = |at: usize| dump.get(at * 4..at * 4 + 4)?.try_into().map(u32::from_be_bytes).ok();
    let [header, width, height, order, bits, row, colours] =
        [field(0)?, field(4)?, field(5)?, field(7)?, field(11)?, field(12)?, field(19)?];
    if (order, bits) != (0, 32) {
        return None;
    }
    let pixels = dump.get(header as usize + colours as usize * 12..)?;
    let rows = pixels.chunks_exact(row as usize).take(height as usize);
    let pixels: Vec<u32> = rows
        .flat_map(|row| row.chunks_exact(4).take(width as usize))
        .map(|p| u32::from_be_bytes([0, p[2], p[1], p[0]]))
        .collect();
    let whole = pixels.len() == width as usize * height as usize;
    whole.then_some(Picture { width: width.try_into().ok()?, height: height.try_into().ok()?, pixels })
}
