//! A viewer, a recorder, and a host with a display.

use std::io::Write as _;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use sekisho_bastion_desktop::key::Key;
use sekisho_bastion_desktop::tile::Decoder;
use sekisho_bastion_desktop::{
    Broken, Desktop, Event, Exit, Input, Next, NotRecorded, Pump, Record, Size, View,
};
use sekisho_lab::{Display, Host, Lab, Picture};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};

/// Longer than anything takes here, on a machine that is busy.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);
/// Without news for so long, a picture is taken to be still.
const STILL: Duration = Duration::from_millis(100);

/// A lab, unless something is missing for it.
#[expect(clippy::print_stderr, reason = "a skipped test says so")]
pub(crate) fn lab(prefix: &str, programs: &[&str]) -> Option<(Lab, Host)> {
    let missing =
        programs.iter().find(|p| !["/usr/bin", "/usr/sbin"].iter().any(|d| Path::new(d).join(p).exists()));
    let needs = missing.map_or(Ok(()), |p| Err(format!("{p} is not installed")));
    if let Err(why) = needs.and_then(|()| sekisho_lab::requirements()) {
        eprintln!("skipped: {why}");
        return None;
    }
    let lab = Lab::new(prefix).unwrap();
    let host = lab.host("vm", "10.77.0.4/24").unwrap();
    Some((lab, host))
}

/// A connection from within the host, as an agent makes it.
pub(crate) fn connect(host: &Host, port: u16) -> TcpStream {
    let stream = host.connect_tcp(SocketAddr::from(([127, 0, 0, 1], port)), PATIENCE).unwrap();
    stream.set_nonblocking(true).unwrap();
    TcpStream::from_std(stream).unwrap()
}

/// What was recorded.
#[derive(Debug, Default)]
pub(crate) struct Tape {
    pub(crate) decoder: Option<Decoder>,
    pub(crate) keyframes: usize,
    pub(crate) inputs: usize,
    pub(crate) clipboard: Vec<(bool, usize)>,
}

#[derive(Debug, Clone, Default)]
pub(crate) struct Recorder(pub(crate) Arc<Mutex<Tape>>);

impl Record for Recorder {
    async fn note(&mut self, event: Event<'_>) -> Result<(), NotRecorded> {
        let mut tape = self.0.lock().unwrap();
        match event {
            Event::Size(size) => tape.decoder = Some(Decoder::new(size)),
            Event::Frame(frame) => drop(tape.decoder.as_mut().unwrap().apply(frame).unwrap()),
            Event::Keyframe(frame) => {
                tape.keyframes += 1;
                let mut decoder = Decoder::new(tape.decoder.as_ref().unwrap().picture().size());
                decoder.apply(frame).unwrap();
                tape.decoder = Some(decoder);
            }
            Event::Input(count) => tape.inputs += count,
            Event::Clipboard { into_machine, chars } => tape.clipboard.push((into_machine, chars)),
        }
        Ok(())
    }
}

/// A desktop that is looked at and recorded.
pub(crate) struct Looked {
    pub(crate) desktop: Desktop,
    pub(crate) viewer: Viewer,
    pub(crate) tape: Recorder,
    pub(crate) pump: JoinHandle<Result<Exit, Broken>>,
}

impl Looked {
    pub(crate) fn at((desktop, pump): (Desktop, Pump)) -> Looked {
        let tape = Recorder::default();
        let viewer = Viewer::new(desktop.view(true));
        let pump = tokio::spawn(pump.run(tape.clone()));
        Looked { desktop, viewer, tape, pump }
    }

    /// Ends it; how it ended, and what was recorded.
    pub(crate) async fn end(self) -> (Exit, Tape) {
        self.desktop.end().await;
        let exit = timeout(PATIENCE, self.pump).await.unwrap().unwrap().unwrap();
        (exit, std::mem::take(&mut *self.tape.0.lock().unwrap()))
    }
}

/// Whoever takes in frames as a browser does.
pub(crate) struct Viewer {
    pub(crate) view: View,
    pub(crate) decoder: Decoder,
}

impl Viewer {
    pub(crate) fn new(view: View) -> Viewer {
        let decoder = Decoder::new(view.size());
        Viewer { view, decoder }
    }

    /// What comes next that is no frame; frames are taken in.
    pub(crate) async fn next(&mut self) -> Option<Next> {
        let next = self.view.next().await?;
        match &next {
            Next::Frame(frame) => {
                let number = self.decoder.apply(frame).unwrap();
                self.view.acknowledge(number);
            }
            Next::Size(size) => self.decoder = Decoder::new(*size),
            _ => {}
        }
        Some(next)
    }

    /// Until something comes that is looked for.
    pub(crate) async fn until<T>(&mut self, mut wanted: impl FnMut(&Next) -> Option<T>) -> T {
        let look = async {
            loop {
                if let Some(found) = wanted(&self.next().await.expect("it is not over")) {
                    return found;
                }
            }
        };
        timeout(PATIENCE, look).await.expect("it comes in time")
    }

    /// Until the picture is still and good.
    pub(crate) async fn until_still(&mut self, mut good: impl FnMut(&Decoder) -> bool) {
        let began = Instant::now();
        loop {
            if timeout(STILL, self.next()).await.is_err() && self.decoder.exact() && good(&self.decoder) {
                return;
            }
            assert!(began.elapsed() < PATIENCE, "the picture never is what it should be");
        }
    }

    /// Until it is what is on a display, to the pixel.
    pub(crate) async fn until_same(&mut self, display: &Display) {
        self.until_still(|decoder| same(decoder, &display.picture().unwrap())).await;
    }

    pub(crate) async fn press(&self, codes: &[&str]) {
        for code in codes {
            let key = Key::of(code).unwrap();
            self.view.input(Input::Key { key, down: true }).await;
        }
        for code in codes.iter().rev() {
            let key = Key::of(code).unwrap();
            self.view.input(Input::Key { key, down: false }).await;
        }
    }

    pub(crate) async fn point(&self, x: u16, y: u16, buttons: u8) {
        self.view.input(Input::Pointer { x, y, buttons }).await;
    }
}

pub(crate) fn same(decoder: &Decoder, picture: &Picture) -> bool {
    let size = decoder.picture().size();
    (size.width(), size.height()) == (picture.width, picture.height)
        && decoder.picture().pixels() == picture.pixels
}

/// Shows something of ImageMagick's all over a display.
pub(crate) fn paint(display: &Display, what: &str) {
    let before = display.picture().unwrap();
    // It says that it has failed when there is no window to wait for; so what counts is what is to be seen.
    let _ = display.command("display").args(["-window", "root", "-size", "400x300", what]).output().unwrap();
    assert_ne!(display.picture().unwrap(), before, "{what} is not to be seen");
}

/// Very many colours, each time others.
pub(crate) const PLASMA: &str = "plasma:fractal";

/// A terminal in the upper left corner, in which what a shell does is to be seen, and which has its keyboard as long as the
/// pointer is in it.
pub(crate) fn terminal(display: &Display, script: &str) -> Child {
    let mut command: Command = display.command("xterm");
    command.args(["-geometry", "60x12+0+0", "-bc", "-e", "sh", "-c", script]);
    command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}

/// Waits for a program without keeping the rest from going on.
pub(crate) async fn ended(mut child: Child) {
    let wait = tokio::task::spawn_blocking(move || child.wait());
    let status = timeout(PATIENCE, wait).await.expect("it ends in time").unwrap().unwrap();
    assert!(status.success(), "{status}");
}

/// A size that is asked for.
pub(crate) fn size(width: u32, height: u32) -> Size {
    Size::new(width, height)
}

/// Has text in the clipboard of a display until somebody else has.
pub(crate) fn copy(display: &Display, text: &str) -> Child {
    let mut command = display.command("xclip");
    command.args(["-selection", "clipboard", "-in", "-quiet"]);
    let mut child = command.stdin(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    child
}

/// What a program would paste; the machine may have to ask for it first.
pub(crate) async fn pasted(display: &Display) -> String {
    let mut command = display.command("xclip");
    command.args(["-selection", "clipboard", "-out"]).stdout(Stdio::piped()).stderr(Stdio::null());
    // A lab's programs end with the thread that began them.
    let child = command.spawn().unwrap();
    let output = tokio::task::spawn_blocking(move || child.wait_with_output());
    String::from_utf8(timeout(PATIENCE, output).await.unwrap().unwrap().unwrap().stdout).unwrap()
}

/// Whether somebody listens, in the end; not when the one who was to has ended.
pub(crate) fn listens(host: &Host, port: u16, server: &mut Child) -> bool {
    let began = std::time::Instant::now();
    while host.connect_tcp(SocketAddr::from(([127, 0, 0, 1], port)), PATIENCE).is_err() {
        if began.elapsed() > PATIENCE || server.try_wait().unwrap().is_some() {
            return false;
        }
        std::thread::yield_now();
    }
    true
}
